//! CustomResourceDefinitions, and the resources they bring.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::{NameRule, Plain, Resource, Strategy, child, dns_label, field, fill, text};
use crate::schema::Schema;
use crate::status::Cause;

/// `apiextensions.k8s.io/v1 CustomResourceDefinition`.
pub(super) struct Definition;

/// The collection of the definitions themselves.
pub(crate) const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// What one version of a CustomResourceDefinition says about its objects.
pub(crate) struct CustomKind {
    /// The version's OpenAPI v3 schema, as written.
    pub(crate) openapi: Value,
    /// `additionalPrinterColumns`, as written.
    pub(crate) columns: Value,
    /// `selectableFields`: paths such as `spec.color` that field selectors can ask for.
    pub(crate) selectable: Vec<String>,
    schema: OnceLock<Option<Schema>>,
}

impl CustomKind {
    /// The schema, compiled when it is first asked for. A definition whose schema does not compile
    /// is refused, so there is none only for what an older server stored.
    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.schema
            .get_or_init(|| Schema::compile(&self.openapi).ok())
            .as_ref()
    }
}

impl Strategy for Definition {
    fn complete(&self, object: &mut Value) {
        let Some(spec) = child(object, "spec") else {
            return;
        };
        fill(spec, "conversion", json!({"strategy": "None"}));
        if let Some(names) = child(spec, "names") {
            let kind = text(names, &["kind"]).to_owned();
            fill(names, "singular", kind.to_lowercase());
            fill(names, "listKind", format!("{kind}List"));
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let spec = &object["spec"];
        let group = text(spec, &["group"]);
        let plural = text(spec, &["names", "plural"]);
        if group.is_empty() || !group.contains('.') {
            errors.push(field::invalid(
                "spec.group",
                &spec["group"],
                "should be a domain with at least one dot",
            ));
        }
        if dns_label(plural).is_some() {
            errors.push(field::invalid(
                "spec.names.plural",
                &spec["names"]["plural"],
                "must be a DNS label",
            ));
        }
        if text(spec, &["names", "kind"]).is_empty() {
            errors.push(field::required("spec.names.kind", ""));
        }
        if text(object, &["metadata", "name"]) != format!("{plural}.{group}") {
            errors.push(field::invalid(
                "metadata.name",
                &object["metadata"]["name"],
                "must be spec.names.plural+\".\"+spec.group",
            ));
        }
        if !["Namespaced", "Cluster"].contains(&text(spec, &["scope"])) {
            errors.push(field::unsupported(
                "spec.scope",
                &spec["scope"],
                &["Cluster", "Namespaced"],
            ));
        }
        let versions = spec["versions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if versions
            .iter()
            .filter(|version| version["storage"] == true)
            .count()
            != 1
        {
            errors.push(field::invalid(
                "spec.versions",
                "[]",
                "must have exactly one version marked as storage version",
            ));
        }
        for (index, version) in versions.iter().enumerate() {
            if text(version, &["name"]).is_empty() {
                errors.push(field::required(format!("spec.versions[{index}].name"), ""));
            }
            let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
            let schema = &version["schema"]["openAPIV3Schema"];
            if !schema.is_object() {
                errors.push(field::required(path.clone(), "schemas are required"));
                continue;
            }
            match Schema::compile(schema) {
                Ok(schema) => errors.extend(schema.invalid_rules().iter().map(|error| {
                    let mut cause = Cause::from(error);
                    cause.field = format!("{path}{}", error.path);
                    cause
                })),
                Err(error) => errors.push(field::invalid(path, "{…}", &error.to_string())),
            }
        }
        if text(spec, &["conversion", "strategy"]) == "Webhook" {
            errors.push(field::unsupported(
                "spec.conversion.strategy",
                "\"Webhook\"",
                &["None"],
            ));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        for path in [
            &["group"][..],
            &["scope"],
            &["names", "plural"],
            &["names", "kind"],
        ] {
            if text(&object["spec"], path) != text(&old["spec"], path) {
                let at = format!("spec.{}", path.join("."));
                errors.push(field::invalid(
                    at,
                    format!("{:?}", text(&object["spec"], path)),
                    "field is immutable",
                ));
            }
        }
        errors
    }
}

/// Writes what the API server's own controllers would: the names are accepted, the resource is
/// served.
pub(crate) fn accept_crd(crd: &mut Value, now: &str) {
    let names = crd["spec"]["names"].clone();
    let mut stored: Vec<Value> = crd["status"]["storedVersions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
        if version["storage"] == true && !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now,
        })
    };
    let conditions = match crd["status"]["conditions"].as_array() {
        Some(conditions) if !conditions.is_empty() => Value::Array(conditions.clone()),
        _ => json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]),
    };
    crd["status"] =
        json!({"acceptedNames": names, "conditions": conditions, "storedVersions": stored});
}

/// The resources that an accepted definition brings.
pub(crate) fn resources_of_crd(crd: &Value) -> Vec<Resource> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let group = text(spec, &["group"]);
    let plural = text(names, &["plural"]);
    let strings = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let versions = spec["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let storage = versions
        .iter()
        .find(|version| version["storage"] == true)
        .map(|version| text(version, &["name"]))
        .unwrap_or_default();
    versions
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| Resource {
            group: group.to_owned(),
            version: text(version, &["name"]).to_owned(),
            kind: text(names, &["kind"]).to_owned(),
            list_kind: text(names, &["listKind"]).to_owned(),
            plural: plural.to_owned(),
            singular: text(names, &["singular"]).to_owned(),
            short_names: strings(&names["shortNames"]),
            categories: strings(&names["categories"]),
            namespaced: text(spec, &["scope"]) == "Namespaced",
            collection: format!("{plural}.{group}").into(),
            stored_as: format!("{group}/{storage}"),
            measured: false,
            has_status: version["subresources"]["status"].is_object(),
            has_generation: true,
            name_rule: NameRule::Subdomain,
            strategy: Box::new(Plain),
            columns: OnceLock::new(),
            custom: Some(Arc::new(CustomKind {
                openapi: version["schema"]["openAPIV3Schema"].clone(),
                schema: OnceLock::new(),
                columns: version["additionalPrinterColumns"].clone(),
                selectable: version["selectableFields"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|field| {
                        text(field, &["jsonPath"])
                            .trim_start_matches('.')
                            .to_owned()
                    })
                    .collect(),
            })),
        })
        .collect()
}
