//! `ValidatingAdmissionPolicy`, end to end: small ones, and those that JobSet is shipped with.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use axum::body::Body;
use embedded_apiserver::ApiServer;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SETS: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets";

struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    #[track_caller]
    fn ok(self) -> Value {
        assert!(self.code < 300, "{}", self.body);
        self.body
    }

    #[track_caller]
    fn refused(&self, code: u16, message: &str) {
        assert_eq!(self.code, code, "{}", self.body);
        assert!(self.message().contains(message), "{}", self.message());
    }
}

async fn send(server: &ApiServer, method: Method, uri: &str, kind: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", kind)
        .body(if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        })
        .unwrap();
    let response = server.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|w| w.to_str().unwrap().to_owned()).collect();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer {
        code,
        warnings,
        body: serde_json::from_slice(&bytes).unwrap(),
    }
}

async fn post(server: &ApiServer, uri: &str, body: &Value) -> Answer {
    send(server, Method::POST, uri, "application/json", body).await
}

async fn merge(server: &ApiServer, uri: &str, body: &Value) -> Answer {
    let kind = "application/merge-patch+json";
    send(server, Method::PATCH, uri, kind, body).await
}

async fn delete(server: &ApiServer, uri: &str) -> Answer {
    send(
        server,
        Method::DELETE,
        uri,
        "application/json",
        &Value::Null,
    )
    .await
}

/// Of ConfigMaps, for an operation.
fn policy(operation: &str, validation: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{
            "operations": [operation], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["configmaps"],
        }]},
        "validations": [validation],
    }})
}

fn binding(more: Value) -> Value {
    let mut binding = json!({"metadata": {"name": "b"}, "spec": {
        "policyName": "p", "validationActions": ["Deny"],
    }});
    let fields = more.as_object().unwrap().clone();
    binding["spec"].as_object_mut().unwrap().extend(fields);
    binding
}

async fn server(policy: Value, binding: Value) -> ApiServer {
    let server = ApiServer::builder().build();
    let policies = format!("{ADMISSION}/validatingadmissionpolicies");
    post(&server, &policies, &policy).await.ok();
    let bindings = format!("{ADMISSION}/validatingadmissionpolicybindings");
    post(&server, &bindings, &binding).await.ok();
    server
}

fn map(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": value}})
}

#[tokio::test]
async fn a_policy_is_in_effect_while_it_is_bound() {
    let server = ApiServer::builder().build();
    let validation = json!({"expression": "object.data.k != 'bad'", "message": "k is bad"});
    let policies = format!("{ADMISSION}/validatingadmissionpolicies");
    let bindings = format!("{ADMISSION}/validatingadmissionpolicybindings");
    let made = post(&server, &policies, &policy("*", validation))
        .await
        .ok();
    assert_eq!(made["spec"]["failurePolicy"], "Fail");
    assert_eq!(made["metadata"]["generation"], 1);
    post(&server, MAPS, &map("a", "bad")).await.ok();
    post(&server, &bindings, &binding(json!({}))).await.ok();
    let refused = post(&server, MAPS, &map("b", "bad")).await;
    refused.refused(
        422,
        "configmaps \"b\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied \
         request: k is bad",
    );
    assert_eq!(refused.body["reason"], "Invalid");
    let details = &refused.body["details"];
    assert_eq!(
        (&details["kind"], &details["name"]),
        (&json!("configmaps"), &json!("b"))
    );
    post(&server, MAPS, &map("b", "good")).await.ok();
    let worse = json!({"data": {"k": "bad"}});
    merge(&server, &format!("{MAPS}/b"), &worse)
        .await
        .refused(422, "k is bad");
    let dry = post(&server, &format!("{MAPS}?dryRun=All"), &map("c", "bad")).await;
    dry.refused(422, "k is bad");
    delete(&server, &format!("{bindings}/b")).await.ok();
    merge(&server, &format!("{MAPS}/b"), &worse).await.ok();
}

#[tokio::test]
async fn what_policies_see() {
    for (operation, expression) in [
        (
            "CREATE",
            "oldObject == null && request.operation == 'CREATE'",
        ),
        (
            "CREATE",
            "object.metadata.name == 'a' && request.name == 'a'",
        ),
        (
            "CREATE",
            "namespaceObject.metadata.name == request.namespace",
        ),
        (
            "CREATE",
            "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'",
        ),
        (
            "UPDATE",
            "oldObject.data.k == 'old' && object.data.k == 'new'",
        ),
        ("DELETE", "object == null && oldObject.data.k == 'old'"),
    ] {
        for (expression, holds) in [
            (expression.to_owned(), true),
            (format!("!({expression})"), false),
        ] {
            let rule = policy(operation, json!({"expression": expression}));
            let server = server(rule, binding(json!({}))).await;
            let one = format!("{MAPS}/a");
            let mut answer = post(&server, MAPS, &map("a", "old")).await;
            if operation == "UPDATE" {
                answer.ok();
                answer = merge(&server, &one, &json!({"data": {"k": "new"}})).await;
            } else if operation == "DELETE" {
                answer.ok();
                answer = delete(&server, &one).await;
            }
            if holds {
                answer.ok();
            } else {
                answer.refused(422, "failed expression: !(");
            }
        }
    }
}

#[tokio::test]
async fn reasons_have_codes() {
    for (reason, code) in [
        ("Invalid", 422),
        ("Forbidden", 403),
        ("Unauthorized", 401),
        ("RequestEntityTooLarge", 413),
    ] {
        let validation = json!({"expression": "false", "reason": reason});
        let server = server(policy("CREATE", validation), binding(json!({}))).await;
        let refused = post(&server, MAPS, &map("a", "")).await;
        refused.refused(code, "failed expression: false");
        assert_eq!(refused.body["reason"], reason);
    }
}

#[tokio::test]
async fn a_warning_lets_pass() {
    let validation = json!({"expression": "false", "message": "careful"});
    let warning = binding(json!({"validationActions": ["Warn"]}));
    let warned = server(policy("CREATE", validation.clone()), warning).await;
    let answer = post(&warned, MAPS, &map("a", "")).await;
    let [said] = answer.warnings.as_slice() else {
        panic!("{:?}", answer.warnings);
    };
    let expected = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': careful";
    assert!(said.contains(expected), "{said}");
    answer.ok();
    let audit = binding(json!({"validationActions": ["Audit"]}));
    let audited = server(policy("CREATE", validation), audit).await;
    let answer = post(&audited, MAPS, &map("a", "")).await;
    assert!(answer.warnings.is_empty());
    answer.ok();
}

#[tokio::test]
async fn whom_policies_and_bindings_concern() {
    let no = json!({"expression": "false"});
    let labels = |value: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": value}});
    for (matched, resources, concerned) in [
        (json!({}), json!({}), true),
        (
            json!({"namespaceSelector": labels("default")}),
            json!({}),
            true,
        ),
        (
            json!({"namespaceSelector": labels("other")}),
            json!({}),
            false,
        ),
        (
            json!({"objectSelector": {"matchLabels": {"a": "b"}}}),
            json!({}),
            false,
        ),
        (
            json!({"excludeResourceRules": [{"operations": ["*"], "apiGroups": ["*"],
            "apiVersions": ["*"], "resources": ["*"], "resourceNames": ["a"]}]}),
            json!({}),
            false,
        ),
        (
            json!({}),
            json!({"namespaceSelector": labels("default")}),
            true,
        ),
        (
            json!({}),
            json!({"namespaceSelector": labels("other")}),
            false,
        ),
        (
            json!({}),
            json!({"resourceRules": [{"operations": ["UPDATE"], "apiGroups": ["*"],
            "apiVersions": ["*"], "resources": ["*"]}]}),
            false,
        ),
    ] {
        let mut policy = policy("CREATE", no.clone());
        let constraints = policy["spec"]["matchConstraints"].as_object_mut().unwrap();
        constraints.extend(matched.as_object().unwrap().clone());
        let server = server(policy, binding(json!({"matchResources": resources}))).await;
        let answer = post(&server, MAPS, &map("a", "")).await;
        assert_eq!(
            answer.code == 422,
            concerned,
            "{matched} {resources} {}",
            answer.body
        );
    }
    let mut conditional = policy("CREATE", no);
    conditional["spec"]["matchConditions"] =
        json!([{"name": "n", "expression": "object.metadata.name == 'a'"}]);
    let server = server(conditional, binding(json!({}))).await;
    post(&server, MAPS, &map("a", ""))
        .await
        .refused(422, "false");
    post(&server, MAPS, &map("b", "")).await.ok();
}

#[tokio::test]
async fn policies_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || ApiServer::builder().open(directory.path()).unwrap();
    let first = open();
    let validation = json!({"expression": "false"});
    let policies = format!("{ADMISSION}/validatingadmissionpolicies");
    let bindings = format!("{ADMISSION}/validatingadmissionpolicybindings");
    post(&first, &policies, &policy("CREATE", validation))
        .await
        .ok();
    post(&first, &bindings, &binding(json!({}))).await.ok();
    drop(first);
    let again = open();
    post(&again, MAPS, &map("a", ""))
        .await
        .refused(422, "false");
}

/// A server that JobSet is installed on without webhooks.
async fn shipped() -> ApiServer {
    let read = |path: &str| {
        let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let server = ApiServer::builder().build();
    let definition = read("crates/jobset-api/generated/crd.json");
    let definition: Value = serde_json::from_str(&definition).unwrap();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    post(&server, definitions, &definition).await.ok();
    let policies = read("charts/jobset/files/validating-admission-policies.yaml");
    let policies: Value = serde_saphyr::from_str(&policies).unwrap();
    let policies = policies["objects"].as_array().unwrap();
    assert!(policies.len() >= 4);
    for object in policies {
        let plural = match object["kind"].as_str().unwrap() {
            "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
            _ => "validatingadmissionpolicybindings",
        };
        post(&server, &format!("{ADMISSION}/{plural}"), object)
            .await
            .ok();
    }
    server
}

fn role(name: &str) -> Value {
    json!({"name": name, "template": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
    }}}}})
}

fn jobset(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
        "spec": {"replicatedJobs": [role("w")]},
    });
    let fields = spec.as_object().unwrap().clone();
    object["spec"].as_object_mut().unwrap().extend(fields);
    object
}

#[tokio::test]
async fn shipped_policies_check_new_jobsets() {
    let server = shipped().await;
    let mut exclusive = jobset("js", json!({}));
    exclusive["metadata"]["annotations"] =
        json!({"alpha.jobset.sigs.k8s.io/exclusive-topology": "rack"});
    let mut dependent = role("b");
    dependent["dependsOn"] = json!([{"name": "c", "status": "Ready"}]);
    for (object, message) in [
        (jobset(&"a".repeat(64), json!({})), "63 characters"),
        (
            jobset(
                "js",
                json!({"successPolicy": {"operator": "All", "targetReplicatedJobs": ["x"]}}),
            ),
            "does not exist",
        ),
        (
            jobset(
                "js",
                json!({"failurePolicy": {"maxRestarts": 1, "rules": [
                    {"name": "a", "action": "FailJobSet"}, {"name": "a", "action": "FailJobSet"},
                ]}}),
            ),
            "two failure policy rules have the same name",
        ),
        (
            jobset("js", json!({"coordinator": {"replicatedJob": "x"}})),
            "the coordinator's replicated job does not exist",
        ),
        (
            jobset(
                "js",
                json!({"replicatedJobs": [role("a"), dependent, role("c")]}),
            ),
            "listed before it",
        ),
        (
            jobset("js", json!({"managedBy": "nobody"})),
            "domain-prefixed path",
        ),
        (exclusive, "needs the Pod webhook"),
    ] {
        post(&server, SETS, &object).await.refused(422, message);
    }
    post(&server, SETS, &jobset("js", json!({}))).await.ok();
}

#[tokio::test]
async fn shipped_policies_check_changes_of_jobsets() {
    let server = shipped().await;
    let two = json!({"replicatedJobs": [role("a"), role("b")]});
    post(&server, SETS, &jobset("js", two.clone())).await.ok();
    let one = format!("{SETS}/js");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut roles = two["replicatedJobs"].clone();
        change(&mut roles);
        json!({"spec": {"replicatedJobs": roles}})
    };
    let more = with(&|roles| roles.as_array_mut().unwrap().push(role("x")));
    merge(&server, &one, &more)
        .await
        .refused(422, "cannot be added");
    let image = with(&|roles| {
        roles[0]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("o");
    });
    let selector = with(&|roles| {
        roles[0]["template"]["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
    });
    for change in [&image, &selector] {
        merge(&server, &one, change)
            .await
            .refused(422, "immutable while");
    }
    merge(&server, &one, &json!({"spec": {"suspend": true}}))
        .await
        .ok();
    merge(&server, &one, &image)
        .await
        .refused(422, "only nodeSelector");
    merge(&server, &one, &selector).await.ok();
}
