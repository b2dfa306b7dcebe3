//! Unknown fields and values of the wrong type, by the schema of the kind.

use std::sync::LazyLock;

use embedded_apiserver::schema::{self, ErrorKind, FieldError, Part, Schema};
use embedded_apiserver::topology::Gvk;
use serde_json::Value;

use crate::kinds::{self, Kind};

/// The schema of JobSets, from their CustomResourceDefinition.
static JOBSET: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let version = &jobset_api::crd::crd_value()["spec"]["versions"][0];
    Schema::compile(&version["schema"]["openAPIV3Schema"]).ok()
});

/// Fills in the defaults of the schema, as an API server does with every JobSet it gets or has.
pub(crate) fn default_jobset(body: &mut Value) {
    if let Some(schema) = JOBSET.as_ref() {
        schema.default(body);
    }
}

/// Paths and messages of the schema's rules that a change of a JobSet breaks: what may not change.
pub(crate) fn forbidden_changes(old: &Value, new: &Value) -> Vec<(String, String)> {
    let schema = JOBSET.as_ref();
    let errors = schema.map(|schema| schema.violations(new, Some(old), Part::Whole));
    let errors = errors.into_iter().flatten();
    errors
        .map(|error| (error.path.clone(), error.message()))
        .collect()
}

/// Paths and messages of everything that does not fit the schema.
pub(super) fn problems(kind: &Kind, body: &Value) -> Vec<(String, String)> {
    let schema = if (kind.api_version, kind.kind) == kinds::JOBSET {
        JOBSET.as_ref()
    } else {
        let (group, version) = kind
            .api_version
            .split_once('/')
            .unwrap_or(("", kind.api_version));
        schema::built_in(&Gvk::new(group, version, kind.kind))
    };
    let Some(schema) = schema else {
        return Vec::new();
    };
    let mut found = unknown_fields(schema, body);
    if (kind.api_version, kind.kind) == kinds::JOBSET {
        found.extend(metadata(body));
    }
    // Admission fills in what the schema then requires, such as names of failure policy rules.
    let mut admitted = body.clone();
    if (kind.api_version, kind.kind) == kinds::JOBSET {
        jobset_api::defaulting::default_value(&mut admitted);
    }
    let mut errors = schema.validate(&admitted);
    // Rules rely on the types.
    if errors.is_empty() {
        errors = schema.violations(&admitted, None, Part::Whole);
    }
    let errors = errors.into_iter();
    found.extend(errors.map(|error| (error.path.clone(), message(&error, body))));
    found
}

fn unknown_fields(schema: &Schema, body: &Value) -> Vec<(String, String)> {
    let message = |path: &str| match suggestion(schema, path) {
        Some(known) => format!("unknown field; did you mean {known:?}?"),
        None => "unknown field".to_owned(),
    };
    let paths = schema.unknown_fields(body).into_iter();
    paths
        .map(|path| {
            let message = message(&path);
            (path, message)
        })
        .collect()
}

/// What does not fit in the metadata: a CustomResourceDefinition leaves it to the API server, for
/// which it is the same in all kinds.
fn metadata(body: &Value) -> Vec<(String, String)> {
    let Some(schema) = schema::built_in(&Gvk::new("", "v1", "ConfigMap")) else {
        return Vec::new();
    };
    let bare = serde_json::json!({"metadata": body.get("metadata")});
    let mut found = unknown_fields(schema, &bare);
    let errors = schema.validate(&bare).into_iter();
    found.extend(errors.map(|error| (error.path.clone(), message(&error, body))));
    found.retain(|(path, _)| path.starts_with("metadata."));
    found
}

/// The API server names a value of the wrong type by its type; here the value itself can be shown.
fn message(error: &FieldError, body: &Value) -> String {
    if error.kind != ErrorKind::TypeInvalid {
        return error.message();
    }
    let wanted = error
        .detail
        .rsplit_once("must be of type ")
        .map(|(_, tail)| tail);
    let wanted = wanted.and_then(|tail| tail.split(':').next());
    match (wanted, value_at(body, &error.path)) {
        (Some(wanted), Some(value)) => format!("must be of type {wanted}, not {value}"),
        _ => error.message(),
    }
}

/// The value at a field path.
fn value_at<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    body.pointer(&format!("/{pointer}"))
}

/// The known sibling that an unknown field most resembles.
fn suggestion(schema: &Schema, path: &str) -> Option<String> {
    let (parent, unknown) = path.rsplit_once('.').unwrap_or(("", path));
    schema
        .fields_at(parent)
        .into_iter()
        .map(|known| {
            (
                distance(&unknown.to_lowercase(), &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= 1 + known.len().min(unknown.len()) / 4)
        .min()
        .map(|(_, known)| known)
}

/// Edits that turn one word into the other: insert, delete, replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: (&str, &str), body: &Value) -> Vec<(String, String)> {
        problems(Kind::find(kind.0, kind.1).unwrap(), body)
    }

    #[test]
    fn unknown_fields_get_a_suggestion() {
        let found = of(
            kinds::JOBSET,
            &json!({
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "a"},
                "spec": {"replicatedJobs": [{"name": "a", "template": {"spec": {
                    "paralellism": 1,
                    "template": {"spec": {"containers": [{"name": "c", "comand": ["x"]}]}},
                }}}]},
            }),
        );
        assert_eq!(
            found,
            [
                (
                    "spec.replicatedJobs[0].template.spec.paralellism",
                    "parallelism"
                ),
                (
                    "spec.replicatedJobs[0].template.spec.template.spec.containers[0].comand",
                    "command"
                ),
            ]
            .map(|(path, known)| (
                path.to_owned(),
                format!("unknown field; did you mean {known:?}?")
            ))
        );
    }

    #[test]
    fn metadata_is_the_same_in_all_kinds() {
        let found = of(
            kinds::JOBSET,
            &json!({
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                "metadata": {"name": "a", "label": {}, "annotations": {"a": 1}},
                "spec": {},
            }),
        );
        assert_eq!(
            found,
            [
                ("metadata.label", "unknown field; did you mean \"labels\"?"),
                ("metadata.annotations.a", "must be of type string, not 1"),
            ]
            .map(|(path, message)| (path.to_owned(), message.to_owned()))
        );
    }

    #[test]
    fn rules_of_the_schema_are_evaluated() {
        let job = |more: &Value| {
            let mut job = json!({"name": "a", "template": {"spec": {"template": {"spec": {
                "containers": [{"name": "c", "image": "i"}]}}}}});
            job.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            job
        };
        let after = json!({"name": "b", "dependsOn": [{"name": "a", "status": "Ready"}]});
        let mut body = json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "a"},
            "spec": {"startupPolicy": {"startupPolicyOrder": "InOrder"},
                "replicatedJobs": [job(&json!({})), job(&after)]},
        });
        let found = of(kinds::JOBSET, &body);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "spec");
        assert!(found[0].1.contains("mutually exclusive"), "{found:?}");
        body["spec"]["startupPolicy"]["startupPolicyOrder"] = "AnyOrder".into();
        assert_eq!(of(kinds::JOBSET, &body), []);
    }

    #[test]
    fn wrong_types_are_found() {
        let found = of(
            ("v1", "ConfigMap"),
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": 1}}),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0],
            (
                "data.a".to_owned(),
                "must be of type string, not 1".to_owned()
            )
        );
    }

    #[test]
    fn distances_are_edits() {
        for (left, right, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("paralellism", "parallelism", 2),
            ("abc", "abd", 1),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
