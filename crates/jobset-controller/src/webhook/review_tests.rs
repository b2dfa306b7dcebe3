//! Tests of [`super`]: every line of the response contract, and properties for any JSON.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::webhook::testing::{admission, any_json, exclusive_pod};

const JSON: Option<&[u8]> = Some(b"application/json");

#[expect(clippy::unnecessary_wraps, reason = "the signature of a lookup")]
fn no_claims(_: &str) -> Result<Option<Value>, String> {
    Ok(None)
}

fn jobset(name: &str) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"replicatedJobs": [{"name": "a", "future": [1], "replicas": 0,
            "template": {"spec": {"template": {"spec": {
                "containers": [{"name": "c", "image": "i", "future": {}}],
            }}}}}]},
    })
}

fn defaulted(name: &str) -> Value {
    let mut jobset = jobset(name);
    admission().default_jobset(&mut jobset);
    jobset
}

fn request(operation: &str, object: Value, old: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u-1", "operation": operation, "namespace": "ns",
                    "object": object, "oldObject": old,
                    "userInfo": {"username": "me"}, "dryRun": false},
    })
}

fn parse(answer: &Answer) -> Value {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["kind"], "AdmissionReview");
    assert!(body["response"]["uid"].is_string());
    assert!(body["response"]["allowed"].is_boolean());
    body
}

/// The response to a review, which is a plain one: uid and version are those of the request.
fn response(hook: Hook, request: &Value) -> Value {
    let body = serde_json::to_vec(request).unwrap();
    let answer = review(hook, JSON, &body, &admission(), &no_claims);
    assert!(!answer.panicked);
    let body = parse(&answer);
    assert_eq!(body["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(body["response"]["uid"], "u-1");
    body["response"].clone()
}

/// Applies the patch of a response to an object, after checking its form.
fn apply(response: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    let Some(patch) = response.get("patch") else {
        assert_eq!(response.get("patchType"), None);
        return object;
    };
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(patch.as_str().unwrap()).unwrap();
    let operations: Value = serde_json::from_slice(&patch).unwrap();
    let operations = operations.as_array().unwrap();
    assert!(!operations.is_empty());
    assert!(operations.iter().all(|operation| operation["op"] == "add"));
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    json_patch::patch(&mut object, &patch).unwrap();
    object
}

#[test]
fn what_is_no_review_is_a_bad_request() {
    let good = serde_json::to_vec(&request("CREATE", jobset("js"), Value::Null)).unwrap();
    let big = vec![b' '; MAX_BODY + 1];
    let text = |text: &str| text.as_bytes().to_vec();
    for (content_type, body, code, part) in [
        (JSON, vec![], 400, "empty"),
        (None, good.clone(), 400, "content type"),
        (
            Some(b"text/plain".as_slice()),
            good.clone(),
            400,
            "text/plain",
        ),
        (Some(b"\xff".as_slice()), good, 400, "content type"),
        (JSON, big, 413, "7340032"),
        (JSON, text("{"), 400, "no AdmissionReview"),
        (JSON, text("\u{0}"), 400, "no AdmissionReview"),
        (JSON, text("[]"), 400, "no AdmissionReview"),
        (JSON, text("{}"), 400, "no request"),
        (JSON, text(r#"{"request": 3}"#), 400, "no AdmissionReview"),
        (
            JSON,
            text(r#"{"kind": "Pod", "request": {}}"#),
            400,
            "\"Pod\"",
        ),
        (
            JSON,
            text(r#"{"apiVersion": "v9", "request": {}}"#),
            400,
            "\"v9\"",
        ),
        (JSON, "[".repeat(100_000).into(), 400, "no AdmissionReview"),
    ] {
        for hook in Hook::ALL {
            let answer = review(hook, content_type, &body, &admission(), &no_claims);
            let body = parse(&answer);
            let status = &body["response"]["status"];
            let message = status["message"].as_str().unwrap();
            assert!(message.contains(part), "{part}: {message}");
            assert_eq!(status["code"], code);
            assert_eq!(body["response"]["allowed"], false);
            assert_eq!(body["apiVersion"], "admission.k8s.io/v1");
        }
    }
}

#[test]
fn version_of_the_request_is_that_of_the_answer() {
    for (sent, expected) in [
        (json!("admission.k8s.io/v1"), "admission.k8s.io/v1"),
        (
            json!("admission.k8s.io/v1beta1"),
            "admission.k8s.io/v1beta1",
        ),
        (json!(null), "admission.k8s.io/v1"),
    ] {
        let mut request = request("DELETE", Value::Null, Value::Null);
        request["apiVersion"] = sent;
        let body = serde_json::to_vec(&request).unwrap();
        let answer = review(Hook::MutatePod, JSON, &body, &admission(), &no_claims);
        assert_eq!(parse(&answer)["apiVersion"], expected);
    }
}

#[test]
fn operations() {
    for hook in Hook::ALL {
        for operation in ["CONNECT", "", "create"] {
            let response = response(hook, &request(operation, jobset("js"), Value::Null));
            assert_eq!(response["status"]["code"], 400, "{operation}");
            assert_eq!(response["allowed"], false);
        }
        let deleted = response(hook, &request("DELETE", Value::Null, jobset("js")));
        assert_eq!(
            deleted,
            json!({"uid": "u-1", "allowed": true, "status": {"code": 200}})
        );
        for object in [Value::Null, json!(3), json!([]), json!("x")] {
            let response = response(hook, &request("CREATE", object, Value::Null));
            assert_eq!(response["status"]["code"], 400);
            assert_eq!(response["status"]["reason"], "BadRequest");
        }
    }
    // An update is no time for defaults, nor for placing a Pod.
    for hook in [Hook::MutateJobSet, Hook::MutatePod, Hook::ValidatePod] {
        let response = response(hook, &request("UPDATE", jobset("js"), jobset("js")));
        assert_eq!(
            response,
            json!({"uid": "u-1", "allowed": true, "status": {"code": 200}})
        );
    }
}

#[test]
fn defaults_are_a_patch_that_only_adds() {
    let created = request("CREATE", jobset("js"), Value::Null);
    let first = response(Hook::MutateJobSet, &created);
    assert_eq!(first["allowed"], true);
    assert_eq!(first["status"], json!({"code": 200}));
    assert_eq!(apply(&first, &jobset("js")), defaulted("js"));
    assert_eq!(response(Hook::MutateJobSet, &created), first);
    let patch = STANDARD.decode(first["patch"].as_str().unwrap()).unwrap();
    let patch: Vec<Value> = serde_json::from_slice(&patch).unwrap();
    let paths: Vec<_> = patch
        .iter()
        .map(|op| op["path"].as_str().unwrap())
        .collect();
    let job = "/spec/replicatedJobs/0";
    assert_eq!(
        paths,
        [
            "/spec/network",
            &format!("{job}/groupName"),
            &format!("{job}/template/spec/completionMode"),
            &format!("{job}/template/spec/template/spec/restartPolicy"),
            "/spec/startupPolicy",
            "/spec/successPolicy",
        ]
    );
    let again = response(
        Hook::MutateJobSet,
        &request("CREATE", defaulted("js"), Value::Null),
    );
    assert_eq!(
        again,
        json!({"uid": "u-1", "allowed": true, "status": {"code": 200}})
    );
}

#[test]
fn invalid_jobsets_are_refused_with_causes() {
    let mut bad = defaulted("js");
    bad["spec"]["managedBy"] = "x".into();
    bad["spec"]["replicatedJobs"][0]["groupName"] = "UP".into();
    let created = response(
        Hook::ValidateJobSet,
        &request("CREATE", bad.clone(), Value::Null),
    );
    let updated = response(
        Hook::ValidateJobSet,
        &request("UPDATE", bad, defaulted("js")),
    );
    for response in [&created, &updated] {
        assert_eq!(response["allowed"], false);
        let status = &response["status"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(422), &json!("Invalid"))
        );
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["details"]["group"], "jobset.x-k8s.io");
        assert_eq!(status["details"]["kind"], "JobSet");
        assert_eq!(status["details"]["name"], "js");
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with("JobSet.jobset.x-k8s.io \"js\" is invalid: "));
    }
    let field = |response: &Value, index: usize| {
        response["status"]["details"]["causes"][index]["field"].clone()
    };
    assert_eq!(field(&created, 0), "spec.managedBy");
    assert_eq!(field(&created, 1), "spec.replicatedJobs[0].groupName");
    assert_eq!(field(&updated, 0), "spec.replicatedJobs");
    assert_eq!(field(&updated, 1), "spec.managedBy");
}

#[test]
fn valid_jobsets_pass_and_their_warnings_are_shown() {
    let plain = response(
        Hook::ValidateJobSet,
        &request("CREATE", defaulted("js"), Value::Null),
    );
    assert_eq!(
        plain,
        json!({"uid": "u-1", "allowed": true, "status": {"code": 200}})
    );
    let mut doubtful = defaulted("js");
    doubtful["spec"]["startupPolicy"]["startupPolicyOrder"] = "InOrder".into();
    let warned = response(
        Hook::ValidateJobSet,
        &request("CREATE", doubtful.clone(), Value::Null),
    );
    assert_eq!(warned["allowed"], true);
    assert!(warned["warnings"][0].as_str().unwrap().contains("InOrder"));
    let updated = response(
        Hook::ValidateJobSet,
        &request("UPDATE", doubtful.clone(), doubtful),
    );
    assert_eq!(
        updated,
        json!({"uid": "u-1", "allowed": true, "status": {"code": 200}})
    );
    let no_old = response(
        Hook::ValidateJobSet,
        &request("UPDATE", defaulted("js"), Value::Null),
    );
    assert_eq!(no_old["status"]["code"], 400);
}

#[test]
fn what_cannot_be_decoded_is_refused_by_validation() {
    let mut bad = defaulted("js");
    bad["spec"]["suspend"] = "yes".into();
    let refused = response(Hook::ValidateJobSet, &request("CREATE", bad, Value::Null));
    assert_eq!(refused["status"]["code"], 400);
}

#[test]
fn pods_of_others_are_left_alone() {
    let pod = json!({"metadata": {"name": "p", "labels": {"jobset.sigs.k8s.io/jobset-name": "x"}},
                     "spec": {"containers": [], "priority": 7}});
    for hook in [Hook::MutatePod, Hook::ValidatePod] {
        let response = response(hook, &request("CREATE", pod.clone(), Value::Null));
        assert_eq!(
            response,
            json!({"uid": "u-1", "allowed": true, "status": {"code": 200}})
        );
    }
}

#[test]
fn pods_are_placed() {
    let pod = |job: &str, index: &str| exclusive_pod("js", job, index);
    let create = |hook: Hook, pod: Value| response(hook, &request("CREATE", pod, Value::Null));

    let leader = create(Hook::MutatePod, pod("x", "0"));
    let placed = apply(&leader, &pod("x", "0"));
    let affinity = &placed["spec"]["affinity"];
    assert!(affinity["podAffinity"].is_object() && affinity["podAntiAffinity"].is_object());
    assert_eq!(placed["spec"]["future"], json!({}));

    let follower = create(Hook::MutatePod, pod("there", "1"));
    let patch = STANDARD
        .decode(follower["patch"].as_str().unwrap())
        .unwrap();
    let selector = json!({"example.com/rack": "rack-7"});
    assert_eq!(
        serde_json::from_slice::<Value>(&patch).unwrap(),
        json!([{"op": "add", "path": "/spec/nodeSelector", "value": selector}])
    );
    let placed = apply(&follower, &pod("there", "1"));
    let allowed = create(Hook::ValidatePod, placed);
    assert_eq!(allowed["allowed"], true);

    // Without a leader nothing is changed, and the verdict comes from validation.
    let early = create(Hook::MutatePod, pod("x", "1"));
    assert_eq!(
        (&early["allowed"], early.get("patch")),
        (&json!(true), None)
    );
    let early = create(Hook::ValidatePod, pod("x", "1"));
    assert_eq!(early["allowed"], false);
    let status = &early["status"];
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("follower pod node selector not set"),
        "{message}"
    );
}

fn with_claim() -> Value {
    let mut jobset = defaulted("js");
    jobset["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("namespace");
    jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
        ["volumeMounts"] = json!([{"name": "data", "mountPath": "/d"}]);
    jobset["spec"]["volumeClaimPolicies"] = json!([{
        "templates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        "retentionPolicy": {"whenDeleted": "Delete"},
    }]);
    jobset
}

#[test]
fn claims_are_looked_up_where_there_are_any() {
    let decode =
        |request: &Value| Review::decode(JSON, &serde_json::to_vec(request).unwrap()).unwrap();
    let review = decode(&request("CREATE", with_claim(), Value::Null));
    let admission = admission();
    assert_eq!(
        review.claims(Hook::ValidateJobSet, &admission),
        Some(("ns", vec!["data-js".to_owned()]))
    );
    assert_eq!(review.claims(Hook::MutateJobSet, &admission), None);
    let update = decode(&request("UPDATE", with_claim(), with_claim()));
    assert_eq!(update.claims(Hook::ValidateJobSet, &admission), None);
    let plain = decode(&request("CREATE", defaulted("js"), Value::Null));
    assert_eq!(plain.claims(Hook::ValidateJobSet, &admission), None);

    let asked = RefCell::new(Vec::new());
    let existing = json!({"spec": {"accessModes": ["ReadWriteOnce"]}});
    let answer = review.answer(Hook::ValidateJobSet, &admission, &|name| {
        asked.borrow_mut().push(name.to_owned());
        Ok(Some(existing.clone()))
    });
    assert_eq!(*asked.borrow(), ["data-js"]);
    let cause = &parse(&answer)["response"]["status"]["details"]["causes"][0];
    assert_eq!(
        cause["field"],
        "spec.volumeClaimPolicies[0].retentionPolicy.whenDeleted"
    );
}

#[test]
fn a_panic_is_an_answer() {
    let body = serde_json::to_vec(&request("CREATE", with_claim(), Value::Null)).unwrap();
    let lookup = |_: &str| -> Result<Option<Value>, String> { panic!("no claims today") };
    let answer = review(Hook::ValidateJobSet, JSON, &body, &admission(), &lookup);
    assert!(answer.panicked);
    let response = parse(&answer)["response"].clone();
    assert_eq!(response["uid"], "u-1");
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 500);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("no claims today"), "{message}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for hook in Hook::ALL {
            let answer = review(hook, JSON, &body, &admission(), &no_claims);
            prop_assert!(!answer.panicked);
            prop_assert_eq!(parse(&answer)["response"]["allowed"].clone(), false);
        }
    }

    #[test]
    fn any_object_is_answered(
        operation in prop::sample::select(vec!["CREATE", "UPDATE"]),
        object in any_json(),
        old in any_json(),
    ) {
        let request = request(operation, object.clone(), old);
        for hook in Hook::ALL {
            let answered = response(hook, &request);
            prop_assert_eq!(&answered, &response(hook, &request));
            if hook == Hook::MutateJobSet && operation == "CREATE" && object.is_object() {
                let mut expected = object.clone();
                admission().default_jobset(&mut expected);
                prop_assert_eq!(apply(&answered, &object), expected);
            }
        }
    }

    /// A JobSet in which one thing is anything at all.
    #[test]
    fn a_jobset_with_anything_in_it_is_answered(
        at in prop::sample::select(vec![
            "/metadata", "/metadata/name", "/spec", "/spec/replicatedJobs", "/spec/network",
            "/spec/replicatedJobs/0", "/spec/replicatedJobs/0/template",
            "/spec/replicatedJobs/0/template/spec", "/spec/replicatedJobs/0/replicas",
            "/spec/replicatedJobs/0/template/spec/template/spec/containers",
            "/spec/replicatedJobs/0/template/spec/template/spec/containers/0",
            "/spec/volumeClaimPolicies", "/spec/volumeClaimPolicies/0/templates",
        ]),
        value in any_json(),
    ) {
        let mut object = with_claim();
        *object.pointer_mut(at).unwrap() = value;
        for hook in [Hook::MutateJobSet, Hook::ValidateJobSet] {
            response(hook, &request("CREATE", object.clone(), Value::Null));
            response(hook, &request("UPDATE", object.clone(), with_claim()));
            response(hook, &request("UPDATE", with_claim(), object.clone()));
        }
    }
}
