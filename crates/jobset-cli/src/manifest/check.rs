//! What can be said about a document without a cluster.

use std::path::PathBuf;

use jobset_api::validation::Warning;
use jobset_api::{FeatureGates, JobSet, defaulting, validation};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::schema;
use super::source::Source;
use super::tree::{self, Tree};
use super::{Checks, Document, Problem};
use crate::kinds::{self, Kind};

/// What a look at the documents has found.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// The documents of known kinds, also those with problems.
    pub(crate) documents: Vec<Document>,
    pub(crate) problems: Vec<Problem>,
    /// What is legal and surely not meant.
    pub(crate) warnings: Vec<Problem>,
    /// Documents of kinds that cannot be checked or run here.
    pub(crate) skipped: Vec<Problem>,
    checks: Checks,
}

/// One object of a file.
struct Object<'a> {
    source: &'a Source,
    /// The document it stands in.
    tree: &'a Spanned<Tree>,
    /// Its place in the document: empty, or `items[3]` of a List.
    prefix: String,
    /// How messages call it.
    label: String,
    body: Value,
}

impl Object<'_> {
    fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let path = match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        Problem {
            file: self.source.name.clone(),
            place: tree::find(self.tree, &path),
            document: Some(self.label.clone()),
            path,
            message: message.into(),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.body
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Whether it is a JobSet.
pub(crate) fn is_jobset(document: &Document) -> bool {
    (document.kind.api_version, document.kind.kind) == kinds::JOBSET
}

/// That there is nothing to do what the command is for.
pub(crate) fn no_jobset(files: &[PathBuf], verb: &str) -> Problem {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    Problem {
        file: names.join(", "),
        message: format!(
            "nothing to {verb}: there is no document with apiVersion {} and kind {}",
            kinds::JOBSET.0,
            kinds::JOBSET.1
        ),
        ..Problem::default()
    }
}

impl Inspection {
    pub(super) fn new(checks: Checks) -> Self {
        Self {
            checks,
            ..Self::default()
        }
    }

    /// Looks at one source, or notes why it could not be read.
    pub(super) fn take_in(&mut self, source: Result<Source, Box<Problem>>) {
        let source = match source {
            Ok(source) => source,
            Err(problem) => return self.problems.push(*problem),
        };
        match tree::parse(&source) {
            Ok(trees) => self.source(&source, &trees),
            Err(problem) => {
                // The documents before it are looked at all the same.
                if let Some((line, _)) = problem.place
                    && let Some(before) = tree::before(&source, line)
                    && let Ok(trees) = tree::parse(&before)
                    && !trees.is_empty()
                {
                    self.source(&before, &trees);
                }
                self.problems.push(*problem);
            }
        }
    }

    /// Looks at the documents of one source.
    fn source(&mut self, source: &Source, trees: &[Spanned<Tree>]) {
        if trees.is_empty() {
            self.problems.push(Problem {
                file: source.name.clone(),
                message: "is empty: expected a YAML document with apiVersion and kind".to_owned(),
                ..Problem::default()
            });
        }
        for (index, tree) in trees.iter().enumerate() {
            self.object(Object {
                source,
                tree,
                prefix: String::new(),
                label: format!("document {}", index + 1),
                body: tree.value.to_json(),
            });
        }
    }

    /// Looks at one object; a List is a document that holds several.
    fn object(&mut self, mut object: Object<'_>) {
        if !object.body.is_object() {
            let message = "must be a mapping with apiVersion and kind";
            self.problems.push(object.problem("", message));
            return;
        }
        let (api_version, kind) = (object.text("apiVersion"), object.text("kind"));
        if api_version.is_empty() || kind.is_empty() {
            for key in ["apiVersion", "kind"] {
                if object.text(key).is_empty() {
                    self.problems
                        .push(object.problem(key, "is missing or not a string"));
                }
            }
            return;
        }
        if (api_version, kind) == ("v1", "List") {
            let items = object.body["items"].take();
            for (index, item) in items.as_array().into_iter().flatten().enumerate() {
                self.object(Object {
                    source: object.source,
                    tree: object.tree,
                    prefix: format!("items[{index}]"),
                    label: object.label.clone(),
                    body: item.clone(),
                });
            }
            return;
        }
        match Kind::find(api_version, kind) {
            Some(kind) => {
                let meta = &object.body["metadata"];
                let name = meta["name"].as_str().filter(|name| !name.is_empty());
                let shown = name.or(meta["generateName"].as_str()).unwrap_or_default();
                object.label = format!("{} ({} {shown:?})", object.label, kind.kind);
                self.known(object, kind);
            }
            None if kind == kinds::JOBSET.1 => {
                let message = format!(
                    "a JobSet has apiVersion {}, not {api_version:?}",
                    kinds::JOBSET.0
                );
                self.problems.push(object.problem("apiVersion", message));
            }
            None if let Some(known) = meant(api_version, kind) => {
                let message = format!(
                    "{kind:?} is no kind of apiVersion {api_version:?}; did you mean {} ({})?",
                    known.kind, known.api_version
                );
                self.problems.push(object.problem("kind", message));
            }
            None => {
                let message = format!(
                    "{kind:?} of apiVersion {api_version:?} is not supported here; supported: {}",
                    kinds::listed()
                );
                self.skipped.push(object.problem("kind", message));
            }
        }
    }

    /// Looks at an object of a kind that has a schema here.
    fn known(&mut self, object: Object<'_>, kind: &'static Kind) {
        let before = self.problems.len();
        for (path, message) in schema::problems(kind, &object.body) {
            self.problems.push(object.problem(&path, message));
        }
        let meta = &object.body["metadata"];
        let name = meta["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() && meta["generateName"].as_str().unwrap_or_default().is_empty() {
            self.problems
                .push(object.problem("metadata.name", "is required"));
        }
        let namespace = match meta["namespace"].as_str() {
            _ if !kind.namespaced => "",
            None | Some("") => "default",
            Some(namespace) => namespace,
        }
        .to_owned();
        let twin = !name.is_empty()
            && self.documents.iter().any(|other| {
                other.kind == kind && other.namespace == namespace && other.name == name
            });
        if twin {
            let message = format!(
                "there is another {} of this name in namespace {namespace:?}",
                kind.kind
            );
            self.problems.push(object.problem("metadata.name", message));
        }
        if self.problems.len() == before && (kind.api_version, kind.kind) == kinds::JOBSET {
            let (errors, warnings) = jobset(&object.body, self.checks.gates);
            for (path, message) in errors {
                self.problems.push(object.problem(&path, message));
            }
            for warning in warnings {
                self.warnings
                    .push(object.problem(&warning.path, warning.message));
            }
        }
        if self.checks.processes && self.problems.len() == before {
            for path in without_command(kind, &object.body) {
                let message = "has no command, and what its image would run is not known here: \
                               it cannot be started as a process";
                self.warnings.push(object.problem(&path, message));
            }
        }
        self.documents.push(Document {
            kind,
            namespace,
            name,
            origin: format!("{}: {}", object.source.name, object.label),
            body: object.body,
        });
    }
}

/// The kind that was meant by one that there is not: in capitals otherwise, or any other in the group of
/// JobSets, which holds nothing else.
fn meant(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let group = |api_version: &str| {
        api_version
            .split_once('/')
            .map(|(group, _)| group.to_owned())
    };
    let of_jobsets = group(api_version) == group(kinds::JOBSET.0);
    kinds::KINDS.iter().find(|known| {
        let alike = known.api_version == api_version && known.kind.eq_ignore_ascii_case(kind);
        alike || (of_jobsets && known.kind == kinds::JOBSET.1)
    })
}

/// Path and message of an error.
type Finding = (String, String);

/// The rules of admission, with the defaults that admission fills in before.
fn jobset(body: &Value, gates: FeatureGates) -> (Vec<Finding>, Vec<Warning>) {
    let mut body = body.clone();
    defaulting::default_value(&mut body);
    let mut jobset = match serde_json::from_value::<JobSet>(body) {
        Ok(jobset) => jobset,
        Err(error) => {
            let message = format!("cannot be read: {error}");
            return (vec![(String::new(), message)], Vec::new());
        }
    };
    defaulting::default_jobset(&mut jobset);
    let errors = validation::validate_create(&jobset, &gates)
        .into_iter()
        .map(|error| {
            let message = if error.path.is_empty() {
                error.detail.clone()
            } else {
                error.body()
            };
            (error.path, message)
        })
        .collect();
    (errors, validation::warnings(&jobset, &gates))
}

/// Paths of the containers that name no command.
fn without_command(kind: &Kind, body: &Value) -> Vec<String> {
    let pods: Vec<(String, Option<&Value>)> = match kind.kind {
        "Pod" => vec![("spec".to_owned(), body.pointer("/spec"))],
        "Job" => vec![(
            "spec.template.spec".to_owned(),
            body.pointer("/spec/template/spec"),
        )],
        "JobSet" => {
            let roles = body.pointer("/spec/replicatedJobs");
            let roles = roles.and_then(Value::as_array).into_iter().flatten();
            roles
                .enumerate()
                .map(|(index, role)| {
                    let path = format!("spec.replicatedJobs[{index}].template.spec.template.spec");
                    (path, role.pointer("/template/spec/template/spec"))
                })
                .collect()
        }
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (path, pod) in pods {
        for list in ["initContainers", "containers"] {
            let containers = pod.and_then(|pod| pod.get(list)?.as_array());
            for (index, container) in containers.into_iter().flatten().enumerate() {
                let command = container.get("command").and_then(Value::as_array);
                if command.is_none_or(Vec::is_empty) {
                    found.push(format!("{path}.{list}[{index}]"));
                }
            }
        }
    }
    found
}
