//! A definition with rules, end to end: the one of JobSet, as it is installed in clusters.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use axum::body::Body;
use embedded_apiserver::ApiServer;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SETS: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets";

async fn send(
    server: &ApiServer,
    method: Method,
    uri: &str,
    media_type: &str,
    body: &Value,
) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", media_type)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = server.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

async fn post(server: &ApiServer, uri: &str, body: &Value) -> (u16, Value) {
    send(server, Method::POST, uri, "application/json", body).await
}

async fn merge(server: &ApiServer, name: &str, patch: &Value) -> (u16, Value) {
    let media_type = "application/merge-patch+json";
    send(
        server,
        Method::PATCH,
        &format!("{SETS}/{name}"),
        media_type,
        patch,
    )
    .await
}

fn definition() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../jobset-api/generated/crd.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn server() -> ApiServer {
    let server = ApiServer::builder().build();
    let (code, answer) = post(&server, CRDS, &definition()).await;
    assert_eq!(code, 201, "{answer}");
    server
}

fn replicated_job(name: &str) -> Value {
    json!({"name": name, "template": {"spec": {"template": {"spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "busybox"}],
    }}}}})
}

fn jobset(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": [replicated_job("a"), replicated_job("b")]},
    });
    object["spec"]
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    object
}

/// The causes of a 422 as `field: message`.
fn causes(answer: &Value) -> Vec<String> {
    answer["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cause| {
            assert_eq!(cause["reason"], "FieldValueInvalid");
            format!(
                "{}: {}",
                cause["field"].as_str().unwrap(),
                cause["message"].as_str().unwrap()
            )
        })
        .collect()
}

const EXCLUSIVE: &str =
    "spec: Invalid value: \"object\": StartupPolicy and DependsOn APIs are mutually exclusive";

#[tokio::test]
async fn what_rules_forbid_is_not_created() {
    let server = server().await;
    let depends = {
        let mut jobs = json!([replicated_job("a"), replicated_job("b")]);
        jobs[1]["dependsOn"] = json!([{"name": "a", "status": "Ready"}]);
        jobs
    };
    let claim = |metadata: Value| {
        json!({"volumeClaimPolicies": [{"templates": [{"metadata": metadata,
            "spec": {"accessModes": ["ReadWriteOnce"]}}]}]})
    };
    let namespace = "spec.volumeClaimPolicies[0]: Invalid value: \"object\": namespace cannot be \
                     set for VolumeClaimPolicies templates";
    let cases: Vec<(Value, Option<&str>)> = vec![
        (json!({}), None),
        (
            json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}}),
            None,
        ),
        (
            json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}, "replicatedJobs": depends}),
            Some(EXCLUSIVE),
        ),
        (
            json!({"startupPolicy": {"startupPolicyOrder": "AnyOrder"}, "replicatedJobs": depends}),
            None,
        ),
        (
            json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}, "replicatedJobs": null}),
            Some(
                "spec: Invalid value: \"object\": no such key: replicatedJobs evaluating rule: \
                 StartupPolicy and DependsOn APIs are mutually exclusive",
            ),
        ),
        (claim(json!({"name": "data"})), None),
        (claim(json!({"name": "data", "namespace": ""})), None),
        (
            claim(json!({"name": "data", "namespace": "other"})),
            Some(namespace),
        ),
        (
            json!({"volumeClaimPolicies": [{}]}),
            Some(
                "spec.volumeClaimPolicies[0]: Invalid value: \"object\": no such key: templates \
                 evaluating rule: namespace cannot be set for VolumeClaimPolicies templates",
            ),
        ),
        (
            json!({"volumeClaimPolicies": [{"templates": [{"spec": {}}]}]}),
            Some(
                "spec.volumeClaimPolicies[0]: Invalid value: \"object\": a value is missing \
                 evaluating rule: namespace cannot be set for VolumeClaimPolicies templates",
            ),
        ),
    ];
    let mut refused = 0;
    for (index, (spec, expected)) in cases.into_iter().enumerate() {
        let (code, answer) = post(&server, SETS, &jobset(&format!("set-{index}"), spec)).await;
        match expected {
            None => assert_eq!(code, 201, "{index}: {answer}"),
            Some(cause) => {
                assert_eq!(code, 422, "{index}: {answer}");
                assert_eq!(causes(&answer), [cause]);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 5);
}

#[tokio::test]
async fn immutable_fields_can_be_added_and_removed_but_not_changed() {
    let server = server().await;
    let fields = [
        (
            "network",
            json!({"subdomain": "one"}),
            json!({"subdomain": "two"}),
        ),
        (
            "successPolicy",
            json!({"operator": "All"}),
            json!({"operator": "Any"}),
        ),
        (
            "failurePolicy",
            json!({"maxRestarts": 1}),
            json!({"maxRestarts": 2}),
        ),
        (
            "startupPolicy",
            json!({"startupPolicyOrder": "AnyOrder"}),
            json!({"startupPolicyOrder": "InOrder"}),
        ),
        (
            "volumeClaimPolicies",
            json!([{"templates": [{"metadata": {"name": "data"}}]}]),
            json!([{"templates": [{"metadata": {"name": "logs"}}]}]),
        ),
    ];
    for (field, one, two) in fields {
        let name = field.to_lowercase();
        let (code, answer) = post(&server, SETS, &jobset(&name, json!({}))).await;
        assert_eq!(code, 201, "{answer}");
        let (code, answer) = merge(&server, &name, &json!({"spec": {field: one}})).await;
        assert_eq!(code, 200, "add {field}: {answer}");
        let (code, answer) = merge(&server, &name, &json!({"spec": {field: two}})).await;
        assert_eq!(code, 422, "change {field}: {answer}");
        let kind = if two.is_array() { "array" } else { "object" };
        assert_eq!(
            causes(&answer),
            [format!(
                "spec.{field}: Invalid value: \"{kind}\": Value is immutable"
            )]
        );
        let patch = json!({"spec": {"suspend": true}, "metadata": {"labels": {"a": "b"}}});
        let (code, answer) = merge(&server, &name, &patch).await;
        assert_eq!(code, 200, "leave {field}: {answer}");
        let (code, answer) = merge(&server, &name, &json!({"spec": {field: null}})).await;
        assert_eq!(code, 200, "remove {field}: {answer}");
    }
}

#[tokio::test]
async fn elements_with_keys_are_compared_by_their_keys() {
    let server = server().await;
    let with = |status: &str| {
        let mut b = replicated_job("b");
        b["dependsOn"] = json!([{"name": "a", "status": status}]);
        b
    };
    let (a, ready, complete) = (replicated_job("a"), with("Ready"), with("Complete"));
    let spec = json!({"replicatedJobs": [a, ready]});
    let (code, answer) = post(&server, SETS, &jobset("set", spec)).await;
    assert_eq!(code, 201, "{answer}");
    let (code, answer) = merge(
        &server,
        "set",
        &json!({"spec": {"replicatedJobs": [ready, a]}}),
    )
    .await;
    assert_eq!(code, 200, "{answer}");
    let (code, answer) = merge(
        &server,
        "set",
        &json!({"spec": {"replicatedJobs": [a, complete]}}),
    )
    .await;
    assert_eq!(code, 422, "{answer}");
    assert_eq!(
        causes(&answer),
        ["spec.replicatedJobs[1].dependsOn: Invalid value: \"array\": Value is immutable"]
    );
}

#[tokio::test]
async fn the_schema_shapes_and_checks_before_the_rules() {
    let server = server().await;
    // Defaults, and fields nobody knows.
    let mut object = jobset(
        "shaped",
        json!({"failurePolicy": {"maxRestarts": 1}, "more": 1}),
    );
    object["spec"]["replicatedJobs"][0]["replicsa"] = json!(3);
    let (code, answer) = post(&server, SETS, &object).await;
    assert_eq!(code, 201, "{answer}");
    let spec = &answer["spec"];
    assert_eq!(spec["failurePolicy"]["restartStrategy"], "Recreate");
    assert_eq!(spec["replicatedJobs"][0]["replicas"], 1);
    assert_eq!(spec["replicatedJobs"][0]["groupName"], "default");
    assert!(spec.get("more").is_none());
    assert!(spec["replicatedJobs"][0].get("replicsa").is_none());

    let strict = format!("{SETS}?fieldValidation=Strict");
    object["metadata"]["name"] = json!("strict");
    let (code, answer) = post(&server, &strict, &object).await;
    assert_eq!(code, 400, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("unknown field \"spec.more\""), "{message}");
    assert!(
        message.contains("unknown field \"spec.replicatedJobs[0].replicsa\""),
        "{message}"
    );

    // The keys of keyed lists are unique. That hides nothing from the rules.
    let mut twice = jobset(
        "twice",
        json!({"replicatedJobs": [replicated_job("a"), replicated_job("a")],
            "startupPolicy": {"startupPolicyOrder": "InOrder"}}),
    );
    twice["spec"]["replicatedJobs"][1]["dependsOn"] = json!([{"name": "a", "status": "Ready"}]);
    let (code, answer) = post(&server, SETS, &twice).await;
    assert_eq!(code, 422, "{answer}");
    let causes = answer["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 2, "{answer}");
    assert_eq!(causes[0]["field"], "spec.replicatedJobs[1]");
    assert_eq!(causes[0]["reason"], "FieldValueDuplicate");
    assert_eq!(causes[1]["field"], "spec");

    // What is of no use to the rules does, and the answer says so.

    let enumerated = jobset("enum", json!({"successPolicy": {"operator": "Most"}}));
    let (code, answer) = post(&server, SETS, &enumerated).await;
    assert_eq!(code, 422, "{answer}");
    let cause = &answer["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.successPolicy.operator");
    assert_eq!(cause["reason"], "FieldValueNotSupported");
    let last = &answer["details"]["causes"][1];
    assert_eq!(
        (&last["field"], &last["reason"]),
        (&json!("<nil>"), &json!("FieldValueInvalid"))
    );
    assert!(last["message"].as_str().unwrap().contains("not checked"));
}

#[tokio::test]
async fn the_status_is_written_whatever_the_rules_of_the_spec_say() {
    let server = server().await;
    let (code, answer) = post(&server, SETS, &jobset("set", json!({}))).await;
    assert_eq!(code, 201, "{answer}");
    // The definition becomes stricter than the object.
    let mut strict = definition();
    strict["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "has(self.managedBy)", "message": "somebody must manage it"}]);
    let name = strict["metadata"]["name"].as_str().unwrap().to_owned();
    let media_type = "application/merge-patch+json";
    let (code, answer) = send(
        &server,
        Method::PATCH,
        &format!("{CRDS}/{name}"),
        media_type,
        &strict,
    )
    .await;
    assert_eq!(code, 200, "{answer}");
    let (code, answer) = merge(&server, "set/status", &json!({"status": {"restarts": 1}})).await;
    assert_eq!(code, 200, "{answer}");
    // Labels change, the spec does not.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, answer) = merge(&server, "set", &labels).await;
    assert_eq!(code, 200, "{answer}");
    let (code, answer) = merge(&server, "set", &json!({"spec": {"suspend": true}})).await;
    assert_eq!(code, 422, "{answer}");
    assert_eq!(
        causes(&answer),
        ["spec: Invalid value: \"object\": somebody must manage it"]
    );
}

#[tokio::test]
async fn a_definition_whose_rules_do_not_compile_is_refused() {
    let server = ApiServer::builder().build();
    let mut bad = definition();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
        [0]["rule"] = json!("has(self.startupPolicy");
    let (code, answer) = post(&server, CRDS, &bad).await;
    assert_eq!(code, 422, "{answer}");
    let causes = answer["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 1, "{answer}");
    assert_eq!(
        causes[0]["field"],
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    );
    let message = causes[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Invalid value: \"has(self.startupPolicy\": compilation failed: "),
        "{message}"
    );
}
