//! What can be said about a document without a cluster.

use std::path::PathBuf;

use jobset_api::{FeatureGates, JobSet, defaulting, validation};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::schema;
use super::source::Source;
use super::tree::{self, Tree};
use super::{Document, Problem};
use crate::kinds::{self, Kind};

/// Whether it is a JobSet.
pub(crate) fn is_jobset(document: &Document) -> bool {
    (document.kind.api_version, document.kind.kind) == kinds::JOBSET
}

pub(super) fn no_jobset(files: &[PathBuf]) -> Problem {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    Problem {
        file: names.join(", "),
        message: format!(
            "nothing to run: there is no document with apiVersion {} and kind {}",
            kinds::JOBSET.0,
            kinds::JOBSET.1
        ),
        ..Problem::default()
    }
}

/// Checks the documents of one source.
pub(super) fn documents(
    source: &Source,
    trees: Vec<Spanned<Tree>>,
    documents: &mut Vec<Document>,
    problems: &mut Vec<Problem>,
) {
    if trees.is_empty() {
        problems.push(Problem {
            file: source.name.clone(),
            message: "is empty: expected a YAML document with apiVersion and kind".to_owned(),
            ..Problem::default()
        });
    }
    let several = trees.len() > 1;
    for (index, tree) in trees.iter().enumerate() {
        let label = if several {
            format!("document {}", index + 1)
        } else {
            "document 1".to_owned()
        };
        document(
            source,
            &label,
            tree,
            tree.value.to_json(),
            "",
            documents,
            problems,
        );
    }
}

/// Checks one object; a List is a document that holds several.
fn document(
    source: &Source,
    label: &str,
    tree: &Spanned<Tree>,
    body: Value,
    prefix: &str,
    documents: &mut Vec<Document>,
    problems: &mut Vec<Problem>,
) {
    let mut label = label.to_owned();
    let mut found = Vec::new();
    let mut problem = |label: &str, path: &str, message: String| {
        let path = match (prefix, path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        };
        found.push(Problem {
            file: source.name.clone(),
            place: tree::find(tree, &path),
            document: Some(label.to_owned()),
            path,
            message,
        });
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if !body.is_object() {
        problem(
            &label,
            "",
            "must be a mapping with apiVersion and kind".to_owned(),
        );
    } else if kind == "List" && api_version == "v1" {
        for (index, item) in body["items"].as_array().into_iter().flatten().enumerate() {
            let prefix = format!("items[{index}]");
            document(
                source,
                &label,
                tree,
                item.clone(),
                &prefix,
                documents,
                problems,
            );
        }
        return;
    } else if api_version.is_empty() || kind.is_empty() {
        for (key, value) in [("apiVersion", api_version), ("kind", kind)] {
            if value.is_empty() {
                problem(&label, key, "is missing or not a string".to_owned());
            }
        }
    } else if let Some(kind) = Kind::find(api_version, kind) {
        let meta = &body["metadata"];
        let name = meta["name"].as_str().unwrap_or_default().to_owned();
        let generated = meta["generateName"].as_str().unwrap_or_default();
        label = format!(
            "{label} ({} {:?})",
            kind.kind,
            if name.is_empty() { generated } else { &name }
        );
        for (path, message) in schema::problems(kind, &body) {
            problem(&label, &path, message);
        }
        if name.is_empty() && generated.is_empty() {
            problem(&label, "metadata.name", "is required".to_owned());
        }
        let namespace = match meta["namespace"].as_str() {
            _ if !kind.namespaced => "",
            None | Some("") => "default",
            Some(namespace) => namespace,
        }
        .to_owned();
        let twin = documents.iter().any(|other| {
            other.kind == kind
                && other.namespace == namespace
                && other.name == name
                && !name.is_empty()
        });
        if twin {
            problem(
                &label,
                "metadata.name",
                format!(
                    "there is another {} of this name in namespace {namespace:?}",
                    kind.kind
                ),
            );
        }
        if found.is_empty() && (kind.api_version, kind.kind) == kinds::JOBSET {
            jobset(&body, |path, message| {
                found.push(Problem {
                    file: source.name.clone(),
                    place: tree::find(tree, &join(prefix, &path)),
                    document: Some(label.clone()),
                    path: join(prefix, &path),
                    message,
                });
            });
        }
        documents.push(Document {
            kind,
            namespace,
            name,
            body,
            origin: format!("{}: {label}", source.name),
        });
    } else {
        let hint = if kind == kinds::JOBSET.1 {
            format!(
                "a JobSet has apiVersion {}, not {api_version:?}",
                kinds::JOBSET.0
            )
        } else {
            format!(
                "{kind:?} of apiVersion {api_version:?} cannot be run here; supported: {}",
                kinds::listed()
            )
        };
        let at = if kind == kinds::JOBSET.1 {
            "apiVersion"
        } else {
            "kind"
        };
        problem(&label, at, hint);
    }
    problems.append(&mut found);
}

fn join(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", path) => path.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}.{path}"),
    }
}

/// The rules of admission, with the defaults that admission fills in before.
fn jobset(body: &Value, mut problem: impl FnMut(String, String)) {
    let mut body = body.clone();
    defaulting::default_value(&mut body);
    match serde_json::from_value::<JobSet>(body) {
        Ok(mut jobset) => {
            defaulting::default_jobset(&mut jobset);
            for error in validation::validate_create(&jobset, &FeatureGates::default()) {
                let message = if error.path.is_empty() {
                    error.detail.clone()
                } else {
                    error.body()
                };
                problem(error.path.clone(), message);
            }
        }
        Err(error) => problem(String::new(), format!("cannot be read: {error}")),
    }
}
