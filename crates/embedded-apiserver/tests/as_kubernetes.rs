//! Answers that clients of Kubernetes rely on without noticing: compared with a real API server by
//! `cargo xtask conformance --compare`, and held here.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use axum::body::Body;
use embedded_apiserver::ApiServer;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// An answer: code, warnings, body. The body of a watch is the list of its events.
struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Answer {
    fn causes(&self) -> Vec<(&str, &str)> {
        let causes = self.body["details"]["causes"].as_array();
        causes
            .into_iter()
            .flatten()
            .map(|cause| {
                (
                    cause["field"].as_str().unwrap_or_default(),
                    cause["reason"].as_str().unwrap_or_default(),
                )
            })
            .collect()
    }
}

struct Server(ApiServer);

impl Server {
    fn new() -> Self {
        Self(ApiServer::builder().build())
    }

    async fn send(&self, method: Method, uri: &str, media_type: &str, body: &Value) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        if uri.contains("?table") {
            request = request.header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = request
            .header("content-type", media_type)
            .body(body)
            .unwrap();
        let response = self.0.router().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|w| w.to_str().unwrap().to_owned()).collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let events = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
            events.collect::<Result<Value, _>>().unwrap()
        });
        Answer {
            code,
            warnings,
            body,
        }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Method::GET, uri, "", &Value::Null).await
    }

    async fn post(&self, uri: &str, body: Value) -> Answer {
        self.send(Method::POST, uri, "application/json", &body)
            .await
    }

    /// POST of what has to be accepted.
    async fn create(&self, uri: &str, body: Value) -> Value {
        let answer = self.post(uri, body).await;
        assert_eq!(answer.code, 201, "{}", answer.body);
        answer.body
    }

    async fn patch(&self, uri: &str, media_type: &str, body: Value) -> Answer {
        self.send(Method::PATCH, uri, media_type, &body).await
    }

    async fn delete(&self, uri: &str, options: Value) -> Answer {
        self.send(Method::DELETE, uri, "application/json", &options)
            .await
    }

    /// The events since a version, ended by the server at once.
    async fn events(&self, uri: &str, since: &Value, query: &str) -> Vec<(String, Value)> {
        let since = since["metadata"]["resourceVersion"].as_str().unwrap();
        let uri = format!("{uri}?watch=1&timeoutSeconds=1&resourceVersion={since}{query}");
        let answer = self.get(&uri).await;
        let body = match answer.body {
            event @ Value::Object(_) => json!([event]),
            body => body,
        };
        body.as_array()
            .unwrap()
            .iter()
            .map(|event| {
                let kind = event["type"].as_str().unwrap().to_owned();
                (kind, event["object"].clone())
            })
            .collect()
    }
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn job(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
    }}}})
}

#[tokio::test]
async fn options_of_requests_are_checked() {
    let server = Server::new();
    server.create(MAPS, named("a")).await;
    let one = |query: &str| format!("{MAPS}/a?{query}");
    let all = |query: &str| format!("{MAPS}?{query}");
    let manager = "m".repeat(129);
    let (post, put, patch) = (Method::POST, Method::PUT, Method::PATCH);
    let (get, delete) = (Method::GET, Method::DELETE);
    let unsupported = "FieldValueNotSupported";
    let forbidden = "FieldValueForbidden";
    for (method, media_type, uri, kind, field, reason) in [
        (
            &post,
            "",
            all("dryRun=Some"),
            "CreateOptions",
            "dryRun",
            unsupported,
        ),
        (
            &post,
            "",
            all("fieldValidation=Odd"),
            "CreateOptions",
            "fieldValidation",
            unsupported,
        ),
        (
            &put,
            "",
            one("dryRun=Some"),
            "UpdateOptions",
            "dryRun",
            unsupported,
        ),
        (
            &patch,
            MERGE,
            one("dryRun=Some"),
            "PatchOptions",
            "dryRun",
            unsupported,
        ),
        (
            &patch,
            MERGE,
            one("force=true"),
            "PatchOptions",
            "force",
            forbidden,
        ),
        (
            &patch,
            APPLY,
            one(""),
            "PatchOptions",
            "fieldManager",
            "FieldValueRequired",
        ),
        (
            &put,
            "",
            one(&format!("fieldManager={manager}")),
            "UpdateOptions",
            "fieldManager",
            "FieldValueTooLong",
        ),
        (
            &put,
            "",
            one("fieldManager=a%0Ab"),
            "UpdateOptions",
            "fieldManager",
            "FieldValueInvalid",
        ),
        (
            &delete,
            "",
            one("dryRun=Some"),
            "DeleteOptions",
            "dryRun",
            unsupported,
        ),
        (
            &get,
            "",
            all("sendInitialEvents=true"),
            "ListOptions",
            "sendInitialEvents",
            forbidden,
        ),
        (
            &get,
            "",
            all("watch=1&sendInitialEvents=true"),
            "ListOptions",
            "resourceVersionMatch",
            forbidden,
        ),
        (
            &get,
            "",
            all("watch=1&resourceVersionMatch=NotOlderThan"),
            "ListOptions",
            "resourceVersionMatch",
            forbidden,
        ),
    ] {
        let media_type = if media_type.is_empty() {
            "application/json"
        } else {
            media_type
        };
        let body = match *method {
            Method::GET | Method::DELETE => Value::Null,
            _ => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        };
        let answer = server.send(method.clone(), &uri, media_type, &body).await;
        assert_eq!(answer.code, 422, "{uri} {}", answer.body);
        assert_eq!(answer.body["reason"], "Invalid", "{uri}");
        let details = &answer.body["details"];
        assert_eq!(details["kind"], kind, "{uri}");
        assert_eq!(details["group"], "meta.k8s.io", "{uri}");
        assert_eq!(answer.causes()[0], (field, reason), "{uri}");
    }
}

#[tokio::test]
async fn some_failures_have_empty_details() {
    let server = Server::new();
    server.create(MAPS, named("a")).await;
    let one = format!("{MAPS}/a");
    let test = json!([{"op": "test", "path": "/metadata/name", "value": "b"}]);
    for (method, uri, media_type, body, code) in [
        (Method::PATCH, one.as_str(), JSON, test, 422),
        (Method::PATCH, &one, "application/odd", json!({}), 415),
        (Method::POST, &one, "application/json", named("a"), 405),
        (Method::PUT, MAPS, "application/json", named("a"), 405),
        (
            Method::GET,
            "/api/v1/namespaces/default/nothings",
            "",
            Value::Null,
            404,
        ),
    ] {
        let answer = server.send(method, uri, media_type, &body).await;
        assert_eq!(answer.code, code, "{uri}");
        assert_eq!(answer.body["details"], json!({}), "{uri} {}", answer.body);
    }
}

#[tokio::test]
async fn quantities_are_checked_and_canonical() {
    let server = Server::new();
    let with = |name: &str, cpu: Value| {
        let resources = json!({"limits": {"cpu": cpu, "memory": "1024Mi"}});
        pod(
            name,
            json!({"containers": [{"name": "c", "image": "i", "resources": resources}]}),
        )
    };
    let refused = server.post(PODS, with("bad", json!("many"))).await;
    assert_eq!(
        (refused.code, &refused.body["reason"]),
        (400, &json!("BadRequest"))
    );
    for (name, cpu, canonical) in [
        ("a", json!("1000m"), "1"),
        ("b", json!("0.5"), "500m"),
        ("c", json!(2), "2"),
    ] {
        let made = server.create(PODS, with(name, cpu)).await;
        let expected = json!({"cpu": canonical, "memory": "1Gi"});
        let resources = &made["spec"]["containers"][0]["resources"];
        assert_eq!(
            *resources,
            json!({"limits": expected, "requests": expected})
        );
    }
    let mut template = job("j");
    template["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "v", "emptyDir": {"sizeLimit": "2048Mi"}}]);
    let made = server.create(JOBS, template).await;
    let volume = &made["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(volume["emptyDir"]["sizeLimit"], "2Gi");
    // Quantities of a node are another server's business; it may write them as it likes, too.
    let mut node = named("n");
    node["status"] = json!({"capacity": {"cpu": "4000m", "memory": "8192Mi"}});
    let made = server.create("/api/v1/nodes", node).await;
    assert_eq!(
        made["status"]["capacity"],
        json!({"cpu": "4", "memory": "8Gi"})
    );
}

#[tokio::test]
async fn a_patch_that_makes_a_wrong_type_breaks_a_rule() {
    let server = Server::new();
    server.create(MAPS, named("a")).await;
    let one = format!("{MAPS}/a");
    for (media_type, patch) in [
        (MERGE, json!({"data": "text"})),
        (MERGE, json!({"metadata": {"labels": ["a"]}})),
        (STRATEGIC, json!({"data": {"a": 1}})),
        (
            JSON,
            json!([{"op": "add", "path": "/immutable", "value": "yes"}]),
        ),
    ] {
        let answer = server.patch(&one, media_type, patch.clone()).await;
        assert_eq!(answer.code, 422, "{patch} {}", answer.body);
        assert_eq!(answer.causes(), [("patch", "FieldValueInvalid")], "{patch}");
    }
    // A body that is wrong is something else.
    let mut wrong = named("b");
    wrong["data"] = json!("text");
    assert_eq!(server.post(MAPS, wrong.clone()).await.code, 400);
    wrong["apiVersion"] = json!("v1");
    wrong["kind"] = json!("ConfigMap");
    let applied = server
        .patch(&format!("{MAPS}/b?fieldManager=m"), APPLY, wrong)
        .await;
    assert_eq!(applied.code, 400, "{}", applied.body);
}

#[tokio::test]
async fn what_is_empty_is_not_stored() {
    let server = Server::new();
    let mut map = named("a");
    map["data"] = json!({});
    map["metadata"]["finalizers"] = json!([]);
    let made = server.create(MAPS, map).await;
    assert!(made.get("data").is_none(), "{made}");
    assert!(made["metadata"].get("finalizers").is_none(), "{made}");
    let version = &made["metadata"]["resourceVersion"];
    let same = server
        .patch(&format!("{MAPS}/a"), MERGE, json!({"data": {}}))
        .await;
    assert_eq!(same.body["metadata"]["resourceVersion"], *version);
}

#[tokio::test]
async fn finalizers_have_a_domain() {
    let server = Server::new();
    for (finalizer, fits) in [
        ("bad", false),
        ("example.com/good", true),
        ("orphan", true),
        ("foregroundDeletion", true),
        ("kubernetes", true),
    ] {
        let mut map = named(&finalizer.to_lowercase().replace('/', "-"));
        map["metadata"]["finalizers"] = json!([finalizer]);
        let answer = server.post(MAPS, map).await;
        assert_eq!(answer.code == 201, fits, "{finalizer} {}", answer.body);
        if !fits {
            assert_eq!(
                answer.causes(),
                [("metadata.finalizers[0]", "FieldValueInvalid")]
            );
        }
    }
    // Kinds of younger groups never asked for it.
    let mut lease = named("l");
    lease["metadata"]["finalizers"] = json!(["bad"]);
    server
        .create(
            "/apis/coordination.k8s.io/v1/namespaces/default/leases",
            lease,
        )
        .await;
}

#[tokio::test]
async fn what_goes_at_once_is_never_marked() {
    let server = Server::new();
    let start = server.create(MAPS, named("a")).await;
    let answer = server.delete(&format!("{MAPS}/a"), Value::Null).await;
    assert_eq!(answer.code, 200);
    assert_eq!(answer.body["status"], "Success");
    assert!(answer.body.get("code").is_none(), "{}", answer.body);
    let events = server.events(MAPS, &start, "").await;
    let [(kind, last)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(kind, "DELETED");
    let mut before = start.clone();
    before["metadata"]["resourceVersion"] = last["metadata"]["resourceVersion"].clone();
    assert_eq!(*last, before);
    assert_ne!(
        start["metadata"]["resourceVersion"],
        last["metadata"]["resourceVersion"]
    );

    let gated = json!({"schedulingGates": [{"name": "example.com/g"}]});
    server.create(PODS, pod("p", gated)).await;
    // Pods are marked even so.
    let gone = server.delete(&format!("{PODS}/p"), Value::Null).await.body;
    assert_eq!(gone["kind"], "Pod");
    assert_eq!(gone["metadata"]["deletionGracePeriodSeconds"], 0);
    assert!(gone["metadata"]["deletionTimestamp"].is_string(), "{gone}");

    server.create(MAPS, named("b")).await;
    let list = server.delete(MAPS, Value::Null).await.body;
    let item = &list["items"][0]["metadata"];
    assert_eq!(item["name"], "b");
    assert!(item.get("deletionTimestamp").is_none(), "{list}");
}

#[tokio::test]
async fn the_last_finalizer_goes_with_the_object() {
    let server = Server::new();
    let mut held = named("a");
    held["metadata"]["finalizers"] = json!(["example.com/f"]);
    server.create(MAPS, held).await;
    let one = format!("{MAPS}/a");
    let marked = server.delete(&one, Value::Null).await.body;
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let free = json!({"metadata": {"finalizers": null}});
    let freed = server.patch(&one, MERGE, free).await.body;
    assert!(freed["metadata"].get("finalizers").is_none());
    let events = server.events(MAPS, &marked, "").await;
    let [(kind, last)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(kind, "DELETED");
    // Without it the object was never stored.
    assert_eq!(last["metadata"]["finalizers"], json!(["example.com/f"]));
    assert_eq!(
        last["metadata"]["resourceVersion"],
        freed["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn preconditions_of_a_deletion_name_the_kind() {
    let server = Server::new();
    server.create(MAPS, named("a")).await;
    for precondition in ["uid", "resourceVersion"] {
        let options = json!({"preconditions": {precondition: "0"}});
        let answer = server.delete(&format!("{MAPS}/a"), options).await;
        assert_eq!(answer.code, 409);
        assert_eq!(
            answer.body["details"],
            json!({"kind": "ConfigMap", "name": "a"})
        );
    }
}

#[tokio::test]
async fn what_leaves_a_selection_is_shown_as_it_was() {
    let server = Server::new();
    let label = |value: &str| json!({"metadata": {"labels": {"app": value}}});
    let start = server.create(MAPS, named("a")).await;
    let one = format!("{MAPS}/a");
    server.patch(&one, MERGE, label("x")).await;
    let left = server.patch(&one, MERGE, label("y")).await.body;
    let events = server.events(MAPS, &start, "&labelSelector=app%3Dx").await;
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["ADDED", "DELETED"]);
    let meta = &events[1].1["metadata"];
    assert_eq!(meta["labels"]["app"], "x");
    assert_eq!(meta["resourceVersion"], left["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn bookmarks_have_no_time() {
    let server = Server::new();
    let query = "watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true\
                 &resourceVersionMatch=NotOlderThan";
    let answer = server.get(&format!("{MAPS}?{query}")).await;
    let bookmark = &answer.body[0];
    assert_eq!(bookmark["type"], "BOOKMARK");
    let meta = bookmark["object"]["metadata"].as_object().unwrap();
    assert!(!meta.contains_key("creationTimestamp"), "{bookmark}");
}

#[tokio::test]
async fn jobs_leave_their_pods_behind_unless_told_otherwise() {
    let server = Server::new();
    for name in [
        "default",
        "foreground",
        "background",
        "orphan",
        "one",
        "other",
    ] {
        server.create(JOBS, job(name)).await;
    }
    let by = |policy: &str| json!({"propagationPolicy": policy});
    for (name, options, finalizer, warned) in [
        ("default", Value::Null, Some("orphan"), true),
        // Said once, it need not be said again.
        (
            "foreground",
            by("Foreground"),
            Some("foregroundDeletion"),
            false,
        ),
        ("foreground", Value::Null, Some("foregroundDeletion"), true),
        ("orphan", by("Orphan"), Some("orphan"), false),
        ("background", by("Background"), None, false),
    ] {
        let answer = server.delete(&format!("{JOBS}/{name}"), options).await;
        assert_eq!(answer.code, 200, "{}", answer.body);
        let warning = answer
            .warnings
            .iter()
            .any(|w| w.contains("child pods are preserved"));
        assert_eq!(warning, warned, "{name} {:?}", answer.warnings);
        match finalizer {
            Some(finalizer) => {
                assert_eq!(
                    answer.body["metadata"]["finalizers"],
                    json!([finalizer]),
                    "{name}"
                );
            }
            None => assert_eq!(answer.body["kind"], "Status", "{name}"),
        }
    }
    let all = server
        .delete(JOBS, json!({"propagationPolicy": "Background"}))
        .await;
    assert!(all.warnings.is_empty());
    // A namespace takes everything with it.
    server.create("/api/v1/namespaces", named("n")).await;
    server
        .create("/apis/batch/v1/namespaces/n/jobs", job("j"))
        .await;
    server.delete("/api/v1/namespaces/n", Value::Null).await;
    assert_eq!(server.get("/api/v1/namespaces/n").await.code, 404);
}

#[tokio::test]
async fn labels_that_a_job_gets_are_its_templates() {
    let server = Server::new();
    let made = server.create(JOBS, job("j")).await;
    assert_eq!(
        made["metadata"]["labels"],
        made["spec"]["template"]["metadata"]["labels"]
    );
    // A name that is too long for the labels is wrong there only.
    let long = server.post(JOBS, job(&"a".repeat(64))).await;
    assert_eq!(
        long.causes(),
        [("spec.template.labels", "FieldValueInvalid")]
    );
}

#[tokio::test]
async fn the_template_of_a_suspended_job() {
    let server = Server::new();
    let mut suspended = job("j");
    suspended["spec"]["suspend"] = json!(true);
    server.create(JOBS, suspended).await;
    server.create(JOBS, job("running")).await;
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "o"}]}}}});
    for (name, field) in [("j", "spec.template.spec"), ("running", "spec.template")] {
        let answer = server
            .patch(&format!("{JOBS}/{name}"), MERGE, image.clone())
            .await;
        assert_eq!(
            answer.causes(),
            [(field, "FieldValueInvalid")],
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn pods_behind_a_gate() {
    let server = Server::new();
    let gates = json!([{"name": "example.com/g"}]);
    let refused = pod("n", json!({"schedulingGates": gates, "nodeName": "n"}));
    let refused = server.post(PODS, refused).await;
    assert_eq!(refused.code, 422);
    assert_eq!(refused.causes(), [("spec.nodeName", "FieldValueForbidden")]);
    let made = server
        .create(PODS, pod("p", json!({"schedulingGates": gates})))
        .await;
    let condition = &made["status"]["conditions"][0];
    assert_eq!(condition["reason"], "SchedulingGated");
    assert_eq!(
        condition["lastTransitionTime"],
        made["metadata"]["creationTimestamp"]
    );
    let shown = condition.as_object().unwrap();
    assert_eq!(shown.get("lastProbeTime"), Some(&Value::Null));

    let one = format!("{PODS}/p");
    let more = json!({"spec": {"schedulingGates": [
        {"name": "example.com/g"}, {"name": "example.com/more"},
    ]}});
    let answer = server.patch(&one, MERGE, more).await;
    assert_eq!(
        answer.causes(),
        [("spec.schedulingGates[1].name", "FieldValueForbidden")]
    );
    let answer = server
        .patch(&one, MERGE, json!({"spec": {"nodeName": "n"}}))
        .await;
    assert_eq!(answer.causes(), [("spec", "FieldValueForbidden")]);
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let answer = server.post(&format!("{one}/binding"), binding).await;
    assert_eq!(answer.code, 409);
    assert_eq!(answer.body["details"]["kind"], "pods/binding");
}

#[tokio::test]
async fn a_strategic_merge_puts_new_elements_in_front() {
    let server = Server::new();
    server
        .create(
            PODS,
            pod("p", json!({"schedulingGates": [{"name": "example.com/g"}]})),
        )
        .await;
    let condition =
        |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True"}]}});
    let status = format!("{PODS}/p/status");
    let types = |pod: &Value| -> Vec<String> {
        let conditions = pod["status"]["conditions"].as_array().unwrap().iter();
        conditions
            .map(|c| c["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let one = server
        .patch(&status, STRATEGIC, condition("DisruptionTarget"))
        .await
        .body;
    assert_eq!(types(&one), ["DisruptionTarget", "PodScheduled"]);
    // What is there keeps its place.
    let same = server
        .patch(&status, STRATEGIC, condition("PodScheduled"))
        .await
        .body;
    assert_eq!(types(&same), ["DisruptionTarget", "PodScheduled"]);
    let finalizer = |name: &str| json!({"metadata": {"finalizers": [name]}});
    let map = server.create(MAPS, named("a")).await;
    assert!(map["metadata"].get("finalizers").is_none());
    server
        .patch(&format!("{MAPS}/a"), STRATEGIC, finalizer("a.b/c"))
        .await;
    let both = server
        .patch(&format!("{MAPS}/a"), STRATEGIC, finalizer("a.b/d"))
        .await
        .body;
    assert_eq!(both["metadata"]["finalizers"], json!(["a.b/d", "a.b/c"]));
}

#[tokio::test]
async fn ports_of_services() {
    let server = Server::new();
    let mut service = named("s");
    service["spec"] = json!({"ports": [{"port": 0}]});
    let answer = server.post(SERVICES, service).await;
    let invalid = "FieldValueInvalid";
    let expected = [
        ("spec.ports[0].port", invalid),
        ("spec.ports[0].targetPort", invalid),
    ];
    assert_eq!(answer.causes(), expected);
}

#[tokio::test]
async fn numbers_in_tables_are_texts() {
    let server = Server::new();
    server.create(MAPS, named("a")).await;
    let table = server.get(&format!("{MAPS}?table")).await.body;
    let column = &table["columnDefinitions"][1];
    assert_eq!(
        (&column["name"], &column["type"]),
        (&json!("Data"), &json!("string"))
    );
}

#[tokio::test]
async fn custom_resources_say_what_they_are() {
    let server = Server::new();
    let definition = json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "properties": {"n": {"type": "integer"}},
                    "x-kubernetes-validations": [{"rule": "self.n > 1"}],
                }}},
            }}],
        },
    });
    server
        .create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition,
        )
        .await;
    let things = "/apis/example.com/v1/namespaces/default/things";
    let whole = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}});
    for missing in ["kind", "apiVersion"] {
        let mut part = whole.clone();
        part.as_object_mut().unwrap().remove(missing);
        let answer = server.post(things, part).await;
        assert_eq!(answer.code, 400, "{missing} {}", answer.body);
        assert_eq!(answer.body["reason"], "BadRequest");
    }
    server.create(things, whole.clone()).await;
    let list = server.get(things).await.body;
    assert_eq!(list["metadata"]["continue"], "");
    assert!(
        server.get(MAPS).await.body["metadata"]
            .get("continue")
            .is_none()
    );
    let none = server.get(&format!("{things}/a/scale")).await;
    assert_eq!(none.code, 404);
    let expected = json!({"group": "example.com", "kind": "things", "name": "a"});
    assert_eq!(none.body["details"], expected);

    let mut wrong = whole.clone();
    wrong["metadata"]["name"] = json!("b");
    wrong["spec"] = json!({"n": "one"});
    let answer = server.post(things, wrong).await;
    let causes = [
        ("spec.n", "FieldValueTypeInvalid"),
        ("<nil>", "FieldValueInvalid"),
    ];
    assert_eq!(answer.causes(), causes);
}

#[tokio::test]
async fn what_was_written_before_the_first_apply_has_an_owner() {
    let server = Server::new();
    let mut map = named("a");
    map["data"] = json!({"k": "1", "l": "1"});
    server.create(MAPS, map).await;
    let one = format!("{MAPS}/a?fieldManager=m");
    let wanted = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
    let refused = server
        .patch(&one, APPLY, wanted(json!({"k": "2", "l": "1"})))
        .await;
    assert_eq!(refused.code, 409, "{}", refused.body);
    assert_eq!(refused.causes(), [(".data.k", "FieldManagerConflict")]);
    let message = refused.body["details"]["causes"][0]["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("before-first-apply"), "{message}");
    // The same value can be shared, and is not taken away when one of the two gives it up.
    let shared = server.patch(&one, APPLY, wanted(json!({"k": "1"}))).await;
    assert_eq!(shared.code, 200);
    let dropped = server.patch(&one, APPLY, wanted(json!({}))).await.body;
    assert_eq!(dropped["data"], json!({"k": "1", "l": "1"}));
    let forced = format!("{one}&force=true");
    let forced = server
        .patch(&forced, APPLY, wanted(json!({"k": "2"})))
        .await
        .body;
    assert_eq!(forced["data"], json!({"k": "2", "l": "1"}));
}
