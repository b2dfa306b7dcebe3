use serde_json::json;

use super::*;

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn check_closed(document: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    for target in found {
        let name = target
            .strip_prefix(REFERENCE)
            .unwrap_or_else(|| panic!("{target}"));
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

#[test]
fn built_in_documents_are_closed_and_say_what_kubectl_asks() {
    let gvk = Gvk::new("batch", "v1", "Job");
    let job = Described {
        gvk: &gvk,
        plural: "jobs",
        namespaced: true,
        has_status: true,
        read_only: false,
        schema: None,
    };
    let document = document("batch", "v1", &[job]);
    check_closed(&document);
    let patch = &document["paths"]["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Job");
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(
        parameters
            .iter()
            .any(|p| p["name"] == "fieldValidation" && p["in"] == "query")
    );
    let component = &document["components"]["schemas"]["io.k8s.api.batch.v1.Job"];
    assert_eq!(
        component["x-kubernetes-group-version-kind"][0]["kind"],
        "Job"
    );
    assert!(component["properties"]["spec"]["allOf"][0]["$ref"].is_string());
    assert!(component["properties"]["spec"]["description"].is_string());
}

#[test]
fn recursive_kinds_end() {
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let crd = Described {
        gvk: &gvk,
        plural: "customresourcedefinitions",
        namespaced: false,
        has_status: true,
        read_only: false,
        schema: None,
    };
    let document = document("apiextensions.k8s.io", "v1", &[crd]);
    check_closed(&document);
    assert!(
        document["paths"]["/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"]
            .is_object()
    );
}

#[test]
fn custom_documents_describe_their_schema() {
    let schema = json!({"type": "object", "description": "A thing.", "properties": {
        "spec": {"type": "object", "description": "What is wanted."}}});
    let gvk = Gvk::new("example.com", "v1", "Thing");
    let thing = Described {
        gvk: &gvk,
        plural: "things",
        namespaced: true,
        has_status: false,
        read_only: false,
        schema: Some(&schema),
    };
    let document = document("example.com", "v1", &[thing]);
    check_closed(&document);
    let component = &document["components"]["schemas"]["com.example.v1.Thing"];
    assert_eq!(
        component["properties"]["spec"]["description"],
        "What is wanted."
    );
    assert_eq!(
        component["x-kubernetes-group-version-kind"][0]["group"],
        "example.com"
    );
    let other = json!({"type": "object"});
    assert_ne!(
        hash(&[thing]),
        hash(&[Described {
            schema: Some(&other),
            ..thing
        }])
    );
    let index = index([
        ("example.com", "v1", hash(&[thing])),
        ("", "v1", "X".to_owned()),
    ]);
    assert_eq!(
        index["paths"]["api/v1"]["serverRelativeURL"],
        "/openapi/v3/api/v1?hash=X"
    );
    assert!(index["paths"]["apis/example.com/v1"].is_object());
}
