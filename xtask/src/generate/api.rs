//! `docs/api.md`: the fields of a JobSet, and the feature gates.

use std::fmt::Write as _;

use jobset_api::features::Feature;
use serde_json::Value;

use super::Generated;
use crate::links::anchor;

/// Fields whose content is Kubernetes' own, and the name of their type there.
const FOREIGN: &[(&str, &str)] = &[
    (
        "spec.replicatedJobs[].template",
        "JobTemplateSpec of batch/v1",
    ),
    (
        "spec.volumeClaimPolicies[].templates",
        "list of PersistentVolumeClaim of v1",
    ),
    ("status.conditions", "list of Condition of meta/v1"),
];

pub(super) fn file(crd: &Value) -> anyhow::Result<Generated> {
    let schema = crd
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .ok_or_else(|| anyhow::anyhow!("the CRD has no schema"))?;
    let mut text = String::from(
        "<!-- Made by `cargo xtask generate` from crates/jobset-api. Do not edit. -->\n\
         # API reference\n\n\
         `apiVersion: jobset.x-k8s.io/v1alpha2`, `kind: JobSet`, resource `jobsets`, in namespaces.\n\n\
         *Fixed* fields cannot be changed once they are set. A field in **bold** is required.\n\
         [Admission](admission.md) tells what else is checked, and which defaults the controller \
         fills in.\n",
    );
    for part in ["spec", "status"] {
        object(&mut text, part, &schema["properties"][part]);
    }
    text += "\n## Feature gates\n\n| gate | stage | on by default |\n|---|---|---|\n";
    for gate in Feature::all() {
        let locked = if gate.locked {
            ", cannot be changed"
        } else {
            ""
        };
        let on = if gate.default { "yes" } else { "no" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {on}{locked} |", gate.name, gate.stage);
    }
    text += "\n[What each does](failure.md#feature-gates).\n";
    Ok(Generated::new("docs/api.md", text))
}

/// A section with the fields of an object, then the sections of the objects in it.
fn object(text: &mut String, path: &str, schema: &Value) {
    let Some(fields) = schema["properties"].as_object() else {
        return;
    };
    let _ = write!(text, "\n## `{path}`\n\n{}\n", description(schema));
    for rule in rules(schema).filter(|rule| !is_immutability(rule)) {
        let _ = writeln!(text, "\nRule: {}.", word(&rule["message"]));
    }
    text.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for (name, field) in fields {
        let required = schema["required"]
            .as_array()
            .is_some_and(|list| list.iter().any(|entry| entry == name));
        let mark = if required { "**" } else { "" };
        let _ = writeln!(
            text,
            "| {mark}`{name}`{mark} | {} | {}{} |",
            kind(&format!("{path}.{name}"), field),
            description(field),
            remarks(field)
        );
    }
    for (name, field) in fields {
        let path = format!("{path}.{name}");
        if is_foreign(&path).is_some() {
            continue;
        }
        match field["type"].as_str() {
            Some("array") => object(text, &format!("{path}[]"), &field["items"]),
            _ => object(text, &path, field),
        }
    }
}

fn is_foreign(path: &str) -> Option<&'static str> {
    FOREIGN
        .iter()
        .find_map(|(foreign, name)| (*foreign == path).then_some(*name))
}

/// The type of a field; for objects a link to their section.
fn kind(path: &str, schema: &Value) -> String {
    if let Some(name) = is_foreign(path) {
        return name.to_owned();
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&format!("{path}[]"), &schema["items"])),
        Some("object") => {
            format!("[object](#{})", anchor(path))
        }
        Some("string") if schema["format"] == "date-time" => "time".to_owned(),
        Some(other) => other.to_owned(),
        None => "anything".to_owned(),
    }
}

/// What is to be said of a field beside its meaning.
fn remarks(schema: &Value) -> String {
    let mut remarks = Vec::new();
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|v| format!("`{}`", word(v))).collect();
        remarks.push(format!("One of {}.", values.join(", ")));
    }
    if !schema["default"].is_null() {
        remarks.push(format!("Default `{}`.", word(&schema["default"])));
    }
    if let Some(least) = schema["minimum"].as_i64() {
        remarks.push(format!("At least {least}."));
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        remarks.push(format!("At most {most} entries."));
    }
    if let Some(keys) = schema["x-kubernetes-list-map-keys"].as_array() {
        let keys: Vec<_> = keys.iter().map(word).collect();
        remarks.push(format!("No two with the same `{}`.", keys.join(", ")));
    }
    if rules(schema).any(is_immutability) {
        remarks.push("*Fixed.*".to_owned());
    }
    remarks.insert(0, String::new());
    remarks.join(" ")
}

fn rules(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
}

fn is_immutability(rule: &Value) -> bool {
    rule["rule"] == "self == oldSelf"
}

fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    // A bar would end the cell of a table.
    text.replace('|', "\\|").replace('\n', " ")
}

/// A value as it is written in a manifest.
fn word(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_there_and_kubernetes_own_are_not() {
        let text = file(&jobset_api::crd::generate()).unwrap().content;
        for line in [
            "## `spec.replicatedJobs[]`",
            "| **`template`** | JobTemplateSpec of batch/v1 |",
            "| `dependsOn` | list of [object](#specreplicatedjobsdependson) |",
            "Default `Recreate`.",
            "One of `Ready`, `Complete`.",
            "Rule: StartupPolicy and DependsOn APIs are mutually exclusive.",
            "At most 5 entries. No two with the same `name`. *Fixed.*",
            "| `startTime` | time |",
            "| `TLSOptions` | GA | yes, cannot be changed |",
        ] {
            assert!(text.contains(line), "{line:?} is not in {text}");
        }
        assert!(!text.contains("| `containers`"), "Pods are Kubernetes' own");
    }
}
