//! Compares the CRD with that of the reference implementation: every difference in structure is
//! listed, and each must be an accepted one.
//!
//! The reference lies outside of the workspace. Where it is missing the test says so and passes.

use std::{fs, io::Write as _, path::Path};

use jobset_api::crd::crd_value;
use serde_json::Value;

/// Differences that are meant, by the end of their path, with the reason.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "/metadata/annotations",
        "names the generator that the reference is made with",
    ),
    // The types here are of Kubernetes 1.37, the reference's of 1.36. A field that the schema
    // does not know would be cut off on a cluster that knows it.
    ("/template/spec/scheduling", "new in Kubernetes 1.37"),
    (
        "/template/spec/evictionResponders",
        "new in Kubernetes 1.37",
    ),
    (
        "/volumeMounts/[]/bindMountOptions",
        "new in Kubernetes 1.37",
    ),
    ("/httpGet/protocol", "new in Kubernetes 1.37"),
    ("/grpc/mode", "new in Kubernetes 1.37"),
    ("/emptyDir/mode", "new in Kubernetes 1.37"),
    ("/defaultUser", "new in Kubernetes 1.37"),
    ("/items/[]/user", "new in Kubernetes 1.37"),
    ("/clusterTrustBundle/user", "new in Kubernetes 1.37"),
    ("/podCertificate/user", "new in Kubernetes 1.37"),
    ("/serviceAccountToken/user", "new in Kubernetes 1.37"),
    ("/status/healthStatus", "new in Kubernetes 1.37"),
    // Fields of our own, each behind a gate or an annotation.
    (
        "/spec/activeDeadlineSeconds",
        "gate JobSetActiveDeadlineSeconds",
    ),
    ("/status/startTime", "gate JobSetActiveDeadlineSeconds"),
    (
        "/status/executionAttempts",
        "gate ExecutionAttemptsTracking",
    ),
    ("/status/recovery", "restart back-off and refilled budgets"),
];

/// One difference.
#[derive(Debug)]
struct Difference {
    /// Field names separated by `/`, with `[]` for list items and `{}` for map values; keywords
    /// of the schema start with `.`.
    path: String,
    ours: Option<Value>,
    reference: Option<Value>,
}

impl Difference {
    fn accepted(&self) -> bool {
        ACCEPTED.iter().any(|(end, _)| self.path.ends_with(end))
    }

    fn line(&self) -> String {
        let show = |value: &Option<Value>| match value {
            Some(value) => value.to_string().chars().take(100).collect(),
            None => "absent".to_owned(),
        };
        format!(
            "{}: {} vs {}",
            self.path,
            show(&self.ours),
            show(&self.reference)
        )
    }
}

/// Compares two schemas.
fn compare_schemas(path: &str, ours: &Value, reference: &Value, out: &mut Vec<Difference>) {
    for keyword in keys(ours, reference) {
        match (
            keyword.as_str(),
            ours.get(&keyword),
            reference.get(&keyword),
        ) {
            // Ours are in our own words.
            ("description", _, _) => {}
            ("properties", Some(ours), Some(reference)) => {
                for name in keys(ours, reference) {
                    let path = format!("{path}/{name}");
                    match (ours.get(&name), reference.get(&name)) {
                        (Some(ours), Some(reference)) => {
                            compare_schemas(&path, ours, reference, out);
                        }
                        (ours, reference) => out.push(difference(path, ours, reference)),
                    }
                }
            }
            ("items", Some(ours), Some(reference)) => {
                compare_schemas(&format!("{path}/[]"), ours, reference, out);
            }
            ("additionalProperties", Some(ours), Some(reference)) => {
                compare_schemas(&format!("{path}/{{}}"), ours, reference, out);
            }
            ("required" | "enum", Some(ours), Some(reference)) if same_set(ours, reference) => {}
            (_, ours, reference) if ours == reference => {}
            (_, ours, reference) => {
                out.push(difference(format!("{path}/.{keyword}"), ours, reference));
            }
        }
    }
}

/// Compares what is around the schema.
fn compare_values(path: &str, ours: &Value, reference: &Value, out: &mut Vec<Difference>) {
    for key in keys(ours, reference) {
        let path = format!("{path}/{key}");
        match (ours.get(&key), reference.get(&key)) {
            (Some(ours), Some(reference)) if key == "openAPIV3Schema" => {
                compare_schemas("", ours, reference, out);
            }
            (Some(ours), Some(reference)) if ours.is_object() && reference.is_object() => {
                compare_values(&path, ours, reference, out);
            }
            (Some(Value::Array(ours)), Some(Value::Array(reference)))
                if key == "versions" && ours.len() == reference.len() =>
            {
                for (ours, reference) in ours.iter().zip(reference) {
                    compare_values(&path, ours, reference, out);
                }
            }
            (ours, reference) if ours == reference => {}
            (ours, reference) => out.push(difference(path, ours, reference)),
        }
    }
}

fn difference(path: String, ours: Option<&Value>, reference: Option<&Value>) -> Difference {
    Difference {
        path,
        ours: ours.cloned(),
        reference: reference.cloned(),
    }
}

/// The keys of both objects, each once.
fn keys(ours: &Value, reference: &Value) -> Vec<String> {
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut all = keys(ours);
    all.extend(keys(reference));
    all.sort();
    all.dedup();
    all
}

fn same_set(ours: &Value, reference: &Value) -> bool {
    let sorted = |value: &Value| {
        let mut items: Vec<_> = value
            .as_array()
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect();
        items.sort();
        items
    };
    sorted(ours) == sorted(reference)
}

#[test]
fn only_accepted_differences_to_the_reference() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Beside the workspace; a second working copy may lie one folder deeper.
    let places = [
        "../shared/data/reference-crd.yaml",
        "../../shared/data/reference-crd.yaml",
    ];
    let Some(text) = places
        .iter()
        .find_map(|p| fs::read_to_string(workspace.join(p)).ok())
    else {
        // Straight to the stream: the test harness hides what the print macros write.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: no {} beside the workspace, the CRD was NOT compared with the \
             reference's ***\n",
            places[0]
        );
        return;
    };
    let reference: Value = serde_saphyr::from_str(&text).unwrap();
    let mut differences = Vec::new();
    compare_values("", crd_value(), &reference, &mut differences);

    let unexpected: Vec<_> = differences
        .iter()
        .filter(|d| !d.accepted())
        .map(Difference::line)
        .collect();
    assert!(
        unexpected.is_empty(),
        "ours vs reference:\n{}",
        unexpected.join("\n")
    );

    // An entry that nothing needs any more would hide a later mistake.
    let unused: Vec<_> = ACCEPTED
        .iter()
        .filter(|(end, _)| !differences.iter().any(|d| d.path.ends_with(end)))
        .collect();
    assert!(unused.is_empty(), "accepted but not found: {unused:?}");
    // Only additions are accepted, besides the annotation.
    for difference in differences
        .iter()
        .filter(|d| !d.path.starts_with("/metadata"))
    {
        assert!(difference.reference.is_none(), "{}", difference.line());
    }
}

#[test]
fn the_comparison_finds_each_kind_of_difference() {
    let reference = serde_json::json!({
        "type": "object", "required": ["a", "b"], "description": "x",
        "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "array", "items": {"type": "integer"}},
            "description": {"type": "string"},
        },
    });
    let ours = serde_json::json!({
        "type": "object", "required": ["b", "a"], "description": "y",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "array", "items": {"type": "number"}},
            "c": {"type": "string"},
        },
    });
    let mut differences = Vec::new();
    compare_schemas("", &ours, &reference, &mut differences);
    let paths: Vec<_> = differences.iter().map(|d| d.path.as_str()).collect();
    assert_eq!(paths, ["/a/.default", "/b/[]/.type", "/c", "/description"]);
}
