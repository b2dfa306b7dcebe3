//! The environment, command and arguments of a container, as Kubernetes defines them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Container, Pod};

use super::fields::{self, PodFacts};

/// The host's variables that containers inherit. Everything else of the host's environment stays
/// out of containers: what a Pod sees must come from its spec.
///
/// Commands come from the host, so what finds programs, libraries and their user's files there
/// has to be right: search paths, home, user, locale, time zone, temporary directory.
pub const INHERITED: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "NIX_SSL_CERT_FILE",
];

/// The present values of [`INHERITED`].
pub(crate) fn inherited() -> Vec<(String, String)> {
    let present = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
    INHERITED.iter().filter_map(present).collect()
}

/// Decoded data of the ConfigMaps or Secrets a Pod names; absent ones map to `None`.
pub(crate) type Data = HashMap<String, Option<BTreeMap<String, Vec<u8>>>>;

/// ConfigMaps and Secrets by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: Data,
    pub(crate) secrets: Data,
}

/// A ConfigMap or Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SourceKind {
    ConfigMap,
    Secret,
}

impl SourceKind {
    fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }
}

impl Sources {
    fn of(&self, kind: SourceKind) -> &Data {
        match kind {
            SourceKind::ConfigMap => &self.config_maps,
            SourceKind::Secret => &self.secrets,
        }
    }
}

/// What has to be fetched before [`build`] can be called.
pub(crate) fn needed(container: &Container) -> BTreeSet<(SourceKind, String)> {
    let mut needed = BTreeSet::new();
    for source in container.env_from.iter().flatten() {
        if let Some(r) = &source.config_map_ref {
            needed.insert((SourceKind::ConfigMap, r.name.clone()));
        }
        if let Some(r) = &source.secret_ref {
            needed.insert((SourceKind::Secret, r.name.clone()));
        }
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|e| e.value_from.as_ref())
    {
        if let Some(r) = &source.config_map_key_ref {
            needed.insert((SourceKind::ConfigMap, r.name.clone()));
        }
        if let Some(r) = &source.secret_key_ref {
            needed.insert((SourceKind::Secret, r.name.clone()));
        }
    }
    needed
}

/// The container's environment in order: `base`, then `envFrom`, then `env`; later entries replace
/// earlier ones.
///
/// # Errors
///
/// A message for the `CreateContainerConfigError` state.
pub(crate) fn build(
    base: &[(String, String)],
    pod: &Pod,
    container: &Container,
    facts: &PodFacts,
    sources: &Sources,
) -> Result<Vec<(String, String)>, String> {
    let mut env = Environment::default();
    for (name, value) in base {
        env.set(name, value.clone());
    }
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(r), _) => (SourceKind::ConfigMap, &r.name, r.optional),
            (None, Some(r)) => (SourceKind::Secret, &r.name, r.optional),
            (None, None) => continue,
        };
        match sources.of(kind).get(name) {
            Some(Some(data)) => {
                for (key, value) in data {
                    env.set(&format!("{prefix}{key}"), text(value));
                }
            }
            _ if optional == Some(true) => {}
            _ => return Err(format!("{} {name:?} not found", kind.word())),
        }
    }
    // References see what stands above them, not what the base and `envFrom` of others give.
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, |name| env.get(name))),
            (None, None) => Some(String::new()),
            (None, Some(from)) => {
                if let Some(r) = &from.field_ref {
                    Some(fields::field(pod, facts, &r.field_path)?)
                } else if let Some(r) = &from.resource_field_ref {
                    let of = r.container_name.as_deref().filter(|n| !n.is_empty());
                    let of = of.map_or(Ok(container), |name| find(pod, name))?;
                    Some(fields::resource(
                        of,
                        facts,
                        &r.resource,
                        r.divisor.as_ref(),
                    )?)
                } else if let Some(r) = &from.config_map_key_ref {
                    key(sources, SourceKind::ConfigMap, &r.name, &r.key, r.optional)?
                } else if let Some(r) = &from.secret_key_ref {
                    key(sources, SourceKind::Secret, &r.name, &r.key, r.optional)?
                } else {
                    return Err(format!(
                        "environment variable {:?} has a source the process runtime does not know",
                        variable.name
                    ));
                }
            }
        };
        if let Some(value) = value {
            env.set(&variable.name, value);
        }
    }
    Ok(env.entries)
}

/// Command followed by arguments, with references to `env` expanded. Empty without a command:
/// the image's own is not known.
pub(crate) fn argv(container: &Container, env: &[(String, String)]) -> Vec<String> {
    let command = container.command.as_deref().unwrap_or_default();
    if command.is_empty() {
        return Vec::new();
    }
    let lookup = lookup_in(env);
    command
        .iter()
        .chain(container.args.iter().flatten())
        .map(|word| expand(word, |name| lookup.get(name).map(|v| (*v).to_owned())))
        .collect()
}

fn lookup_in(env: &[(String, String)]) -> HashMap<&str, &str> {
    env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

/// Any container of the Pod by name.
pub(crate) fn find<'a>(pod: &'a Pod, name: &str) -> Result<&'a Container, String> {
    let spec = pod.spec.as_ref();
    spec.iter()
        .flat_map(|s| {
            s.containers
                .iter()
                .chain(s.init_containers.iter().flatten())
        })
        .find(|c| c.name == name)
        .ok_or_else(|| format!("container {name:?} not found"))
}

fn key(
    sources: &Sources,
    kind: SourceKind,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<String>, String> {
    let data = sources.of(kind).get(name).and_then(Option::as_ref);
    match (data, data.and_then(|d| d.get(key))) {
        (_, Some(value)) => Ok(Some(text(value))),
        _ if optional == Some(true) => Ok(None),
        (Some(_), None) => Err(format!("couldn't find key {key} in {} {name}", kind.word())),
        (None, None) => Err(format!("{} {name:?} not found", kind.word())),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Insertion-ordered; a replaced entry keeps its place.
#[derive(Default)]
struct Environment {
    entries: Vec<(String, String)>,
    index: HashMap<String, usize>,
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        // The kernel's format has no way to carry these.
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return;
        }
        match self.index.get(name).and_then(|&i| self.entries.get_mut(i)) {
            Some(entry) => entry.1 = value,
            None => {
                self.index.insert(name.to_owned(), self.entries.len());
                self.entries.push((name.to_owned(), value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.index
            .get(name)
            .and_then(|&i| self.entries.get(i))
            .map(|(_, v)| v.clone())
    }
}

/// Replaces `$(NAME)` by its value; unknown names and unclosed references stay as they are;
/// `$$` stands for one `$`, which is how `$(NAME)` itself is written.
pub(crate) fn expand(input: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (before, reference) = rest.split_at(at);
        output.push_str(before);
        if let Some(after) = reference.strip_prefix("$$") {
            output.push('$');
            rest = after;
        } else if let Some((name, after)) =
            reference.strip_prefix("$(").and_then(|r| r.split_once(')'))
        {
            match value_of(name) {
                Some(value) => output.push_str(&value),
                None => {
                    output.push_str("$(");
                    output.push_str(name);
                    output.push(')');
                }
            }
            rest = after;
        } else {
            output.push('$');
            rest = reference.get(1..).unwrap_or_default();
        }
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::facts;
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_expanded_as_kubernetes_does() {
        let value = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "B" => Some("$(A)".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (input, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(EMPTY)-", "-"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$(B)", "$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("a$(A)$", "a1$"),
        ] {
            assert_eq!(expand(input, value), expected, "{input}");
        }
    }

    fn container(value: serde_json::Value) -> Container {
        serde_json::from_value(value).unwrap()
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [
                {"name": "other", "resources": {"limits": {"cpu": "2"}}}]}
        }))
        .unwrap()
    }

    fn sources() -> Sources {
        let data = BTreeMap::from([
            ("k".to_owned(), b"v".to_vec()),
            ("bad=name".to_owned(), b"v".to_vec()),
        ]);
        Sources {
            config_maps: HashMap::from([("cm".to_owned(), Some(data.clone()))]),
            secrets: HashMap::from([("s".to_owned(), Some(data))]),
        }
    }

    fn built(c: &Container) -> Result<Vec<(String, String)>, String> {
        let base = [("PATH".to_owned(), "/bin".to_owned())];
        build(&base, &pod(), c, &facts(), &sources())
    }

    #[test]
    fn order_and_precedence() {
        let c = container(json!({
            "name": "c",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}],
            "env": [
                {"name": "FIRST", "value": "$(k)$(LATER)"},
                {"name": "LATER", "value": "$(FIRST)!"},
                {"name": "k", "value": "own"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"containerName": "other", "resource": "limits.cpu"}}},
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": true}}},
                {"name": "PATH", "value": "/x:$(PATH)"},
                {"name": "BLANK"}
            ]
        }));
        let expected = [
            ("PATH", "/x:/bin"),
            ("P_k", "v"),
            ("k", "own"),
            ("FIRST", "v$(LATER)"),
            ("LATER", "v$(LATER)!"),
            ("NAME", "p"),
            ("CPU", "2"),
            ("KEY", "v"),
            ("BLANK", ""),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(built(&c), Ok(expected));
        assert_eq!(needed(&c).len(), 3);
    }

    #[test]
    fn missing_sources_are_named() {
        for (env, message) in [
            (
                json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]}),
                "configmap \"no\" not found",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]}),
                "couldn't find key no in secret s",
            ),
            (
                json!({"envFrom": [{"secretRef": {"name": "no"}}]}),
                "secret \"no\" not found",
            ),
        ] {
            let mut value = json!({"name": "c"});
            value
                .as_object_mut()
                .unwrap()
                .extend(env.as_object().unwrap().clone());
            assert_eq!(built(&container(value)), Err(message.to_owned()));
        }
    }

    #[test]
    fn command_and_arguments_are_expanded() {
        let c =
            container(json!({"name": "c", "command": ["echo", "$(A)"], "args": ["$(B)", "$$(A)"]}));
        let env = [("A".to_owned(), "1".to_owned())];
        assert_eq!(argv(&c, &env), ["echo", "1", "$(B)", "$(A)"]);
        let c = container(json!({"name": "c", "args": ["x"]}));
        assert!(argv(&c, &env).is_empty());
    }
}
