//! Whether the operator's roles are sufficient and needed, as the API server's audit log tells.

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// Something that may be done: verb, group and resource, or verb and path.
type Right = (String, String);

/// The audit log from some moment on.
pub(crate) struct Audit {
    file: PathBuf,
    from: u64,
}

/// What was asked for since then.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) allowed: BTreeSet<Right>,
    pub(crate) refused: BTreeSet<Right>,
    /// Of the refused ones, those that were not granted later. An API server that has just started
    /// refuses everything until it has read the roles.
    pub(crate) refused_for_good: BTreeSet<Right>,
}

impl Audit {
    /// From now on.
    pub(crate) fn begin(file: &Path) -> anyhow::Result<Self> {
        let metadata = std::fs::metadata(file).with_context(|| file.display().to_string())?;
        Ok(Self {
            file: file.to_owned(),
            from: metadata.len(),
        })
    }

    /// What an account has asked for.
    pub(crate) fn of(&self, account: &str) -> anyhow::Result<Use> {
        let mut file = std::fs::File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(asked(&text, account))
    }
}

fn asked(log: &str, account: &str) -> Use {
    let mut found = Use::default();
    // A line that is being written is not complete.
    let entries = log.lines().filter_map(|l| serde_json::from_str(l).ok());
    for entry in entries.filter(|entry: &Value| entry["user"]["username"] == account) {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &entry["objectRef"];
        let subject = match object["resource"].as_str() {
            None => word(&entry["requestURI"]),
            Some(resource) => {
                let subresource = object["subresource"].as_str();
                let resource = match subresource {
                    None => resource.to_owned(),
                    Some(part) => format!("{resource}/{part}"),
                };
                qualified(object["apiGroup"].as_str().unwrap_or_default(), &resource)
            }
        };
        let right = (subject, word(&entry["verb"]));
        if entry["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            found.refused_for_good.insert(right.clone());
            found.refused.insert(right);
        } else {
            found.refused_for_good.remove(&right);
            found.allowed.insert(right);
        }
    }
    found
}

fn qualified(group: &str, resource: &str) -> String {
    match group {
        "" => resource.to_owned(),
        group => format!("{group}/{resource}"),
    }
}

/// All rights that the roles among these objects give which are bound to an account.
pub(crate) fn granted(objects: &[Value], account: &str) -> BTreeSet<Right> {
    let bound = |role: &Value| {
        objects.iter().any(|binding| {
            let subjects = binding["subjects"].as_array();
            binding["roleRef"]["name"] == role["metadata"]["name"]
                && binding["roleRef"]["kind"] == role["kind"]
                && subjects.is_some_and(|all| all.iter().any(|one| one["name"] == account))
        })
    };
    let mut rights = BTreeSet::new();
    for rule in objects
        .iter()
        .filter(|role| bound(role))
        .flat_map(|role| role["rules"].as_array().into_iter().flatten())
    {
        let words = |field: &str| {
            let list = rule[field].as_array().cloned().unwrap_or_default();
            list.into_iter()
                .filter_map(|word| word.as_str().map(str::to_owned))
        };
        for verb in words("verbs") {
            for url in words("nonResourceURLs") {
                rights.insert((url, verb.clone()));
            }
            for group in words("apiGroups") {
                for resource in words("resources") {
                    rights.insert((qualified(&group, &resource), verb.clone()));
                }
            }
        }
    }
    rights
}

/// Rights as `verb resource`, for people.
pub(crate) fn shown<'a>(rights: impl IntoIterator<Item = &'a Right>) -> String {
    let words: Vec<String> = rights
        .into_iter()
        .map(|(subject, verb)| format!("{verb} {subject}"))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rights(list: &[(&str, &str)]) -> BTreeSet<Right> {
        let owned = |(subject, verb): &(&str, &str)| ((*subject).to_owned(), (*verb).to_owned());
        list.iter().map(owned).collect()
    }

    #[test]
    fn an_audit_log_is_read() {
        let entry = |user: &str, verb: &str, object: Value, decision: &str| {
            json!({"user": {"username": user}, "verb": verb, "objectRef": object,
                   "requestURI": "/metrics",
                   "annotations": {"authorization.k8s.io/decision": decision}})
            .to_string()
        };
        let status = json!({"apiGroup": "batch", "resource": "jobs", "subresource": "status"});
        let log = [
            entry("me", "patch", status, "allow"),
            entry("me", "list", json!({"resource": "pods"}), "forbid"),
            entry("me", "get", Value::Null, "forbid"),
            entry("me", "get", Value::Null, "allow"),
            entry("other", "delete", json!({"resource": "pods"}), "forbid"),
            "{\"user\": {\"us".to_owned(),
        ]
        .join("\n");
        let expected = Use {
            allowed: rights(&[("batch/jobs/status", "patch"), ("/metrics", "get")]),
            refused: rights(&[("pods", "list"), ("/metrics", "get")]),
            refused_for_good: rights(&[("pods", "list")]),
        };
        assert_eq!(asked(&log, "me"), expected);
    }

    #[test]
    fn rights_come_from_bound_roles() {
        let role = |name: &str, rules: Value| json!({"kind": "Role", "metadata": {"name": name}, "rules": rules});
        let objects = [
            role(
                "a",
                json!([{"apiGroups": ["", "x"], "resources": ["r"], "verbs": ["get"]}]),
            ),
            role(
                "b",
                json!([{"apiGroups": [""], "resources": ["s"], "verbs": ["get"]}]),
            ),
            json!({"kind": "RoleBinding", "roleRef": {"kind": "Role", "name": "a"},
                   "subjects": [{"name": "me"}]}),
        ];
        let found = granted(&objects, "me");
        assert_eq!(found, rights(&[("r", "get"), ("x/r", "get")]));
        assert_eq!(shown(&found), "get r, get x/r");
    }
}
