//! Which writes a webhook hears of.

use embedded_apiserver::ApiServer;
use serde_json::{Value, json};

use crate::fixture::{
    Hooks, MAPS, MUTATING, PODS, VALIDATING, allow, configuration, delete, deny, get, map, merge,
    pod, post, put, rule, server,
};

#[tokio::test]
async fn a_pod_that_is_not_meant_causes_no_call() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let webhook = hooks.webhook(
        "v",
        json!({
            "rules": [rule(&["CREATE"], "", "pods")],
            "objectSelector": {"matchExpressions": [{"key": "set", "operator": "Exists"}]},
            "matchConditions": [
                {"name": "exclusive", "expression":
                    "has(object.metadata.annotations) && 'topology' in object.metadata.annotations"},
                {"name": "create", "expression": "request.operation == 'CREATE' && oldObject == null"},
            ],
        }),
    );
    let server = server(
        std::slice::from_ref(&webhook),
        std::slice::from_ref(&webhook),
    )
    .await;
    for (name, labels, annotations, calls) in [
        ("bare", json!({}), json!({}), 0),
        ("labelled", json!({"set": "a"}), json!({}), 0),
        ("annotated", json!({}), json!({"topology": "rack"}), 0),
        ("other", json!({"set": "a"}), json!({"other": "rack"}), 0),
        ("meant", json!({"set": "a"}), json!({"topology": "rack"}), 2),
    ] {
        hooks.forget();
        let mut pod = pod(name);
        pod["metadata"]["labels"] = labels;
        pod["metadata"]["annotations"] = annotations;
        post(&server, PODS, &pod).await.ok();
        assert_eq!(hooks.calls().len(), calls, "{name}");
    }
    post(&server, MAPS, &map("x")).await.ok();
    assert_eq!(hooks.calls().len(), 2);
}

#[tokio::test]
async fn a_condition_that_fails_is_for_the_policy() {
    let hooks = Hooks::start(|_, _| deny(Value::Null)).await;
    for (policy, code) in [("Fail", 403), ("Ignore", 201)] {
        let webhook = hooks.webhook(
            "v",
            json!({
                "failurePolicy": policy,
                "matchConditions": [{"name": "a", "expression": "object.data.none == 'x'"}],
            }),
        );
        let server = server(&[], &[webhook]).await;
        let reply = post(&server, MAPS, &map("x")).await;
        assert_eq!(reply.code, code, "{}", reply.body);
        if code == 403 {
            assert_eq!(
                reply.message(),
                "configmaps \"x\" is forbidden: no such key: none"
            );
        }
    }
    assert_eq!(hooks.calls().len(), 0);
}

#[tokio::test]
async fn an_object_is_selected_by_what_it_was_too() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let selector = json!({"objectSelector": {"matchLabels": {"a": "b"}}});
    let server = server(&[], &[hooks.webhook("v", selector)]).await;
    let mut labelled = map("x");
    labelled["metadata"]["labels"] = json!({"a": "b"});
    post(&server, MAPS, &labelled).await.ok();
    let uri = format!("{MAPS}/x");
    put(&server, &uri, &map("x")).await.ok();
    assert_eq!(hooks.calls().len(), 2);
    merge(&server, &uri, &json!({"data": {"c": "d"}}))
        .await
        .ok();
    assert_eq!(hooks.calls().len(), 2);
}

#[tokio::test]
async fn namespaces_are_selected_by_their_labels() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let webhook = hooks.webhook(
        "v",
        json!({
            "namespaceSelector": {"matchLabels": {"checked": "yes"}},
            "rules": [
                rule(&["CREATE"], "", "configmaps"), rule(&["CREATE", "UPDATE"], "", "namespaces"),
                rule(&["CREATE"], "", "nodes"),
            ],
        }),
    );
    let server = server(&[], &[webhook]).await;
    let namespace =
        |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    let spaces = "/api/v1/namespaces";
    post(&server, spaces, &namespace("no", json!({"checked": "no"})))
        .await
        .ok();
    post(&server, "/api/v1/namespaces/no/configmaps", &map("x"))
        .await
        .ok();
    assert_eq!(hooks.calls().len(), 0);
    // A namespace is selected by its own labels, the new ones.
    post(
        &server,
        spaces,
        &namespace("yes", json!({"checked": "yes"})),
    )
    .await
    .ok();
    assert_eq!(hooks.only()["namespace"], "yes");
    post(&server, "/api/v1/namespaces/yes/configmaps", &map("x"))
        .await
        .ok();
    assert_eq!(hooks.calls().len(), 2);
    let uri = format!("{spaces}/no");
    merge(
        &server,
        &uri,
        &json!({"metadata": {"labels": {"checked": "yes"}}}),
    )
    .await
    .ok();
    assert_eq!(hooks.calls().len(), 3);
    post(&server, "/api/v1/namespaces/no/configmaps", &map("y"))
        .await
        .ok();
    assert_eq!(hooks.calls().len(), 4);
    // What is in no namespace is never exempt.
    post(
        &server,
        "/api/v1/nodes",
        &json!({"metadata": {"name": "n"}}),
    )
    .await
    .ok();
    assert_eq!(hooks.calls().len(), 5);
}

#[tokio::test]
async fn the_request_is_told_in_full() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let server = server(&[], &[hooks.webhook("v", json!({}))]).await;
    let uri = format!("{MAPS}?dryRun=All&fieldManager=me");
    post(&server, &uri, &map("x")).await.ok();
    let mut request = hooks.only();
    assert_eq!(request["object"]["metadata"]["name"], "x");
    let request = request.as_object_mut().unwrap();
    assert!(request.remove("uid").unwrap().is_string());
    request.remove("object");
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    let expected = json!({
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": "x", "namespace": "default", "operation": "CREATE",
        "userInfo": {
            "username": "system:admin", "groups": ["system:masters", "system:authenticated"],
        },
        "oldObject": null, "dryRun": true,
        "options": {
            "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"],
            "fieldManager": "me",
        },
    });
    assert_eq!(Value::Object(request.clone()), expected);
    assert_eq!(get(&server, &format!("{MAPS}/x")).await.code, 404);
}

#[tokio::test]
async fn another_version_is_converted_unless_it_must_be_exact() {
    let event = json!({
        "metadata": {"name": "e"}, "type": "Normal", "reason": "R", "message": "m",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
    });
    let uri = "/api/v1/namespaces/default/events";
    for (policy, calls) in [("Equivalent", 1), ("Exact", 0)] {
        let hooks = Hooks::start(|_, request| {
            assert_eq!(request["object"]["apiVersion"], "events.k8s.io/v1");
            assert_eq!(request["object"]["note"], "m");
            crate::fixture::patch(&json!([{"op": "replace", "path": "/note", "value": "n"}]))
        })
        .await;
        let webhook = hooks.webhook(
            "m",
            json!({"matchPolicy": policy, "rules": [rule(&["*"], "events.k8s.io", "events")]}),
        );
        let server = server(&[webhook], &[]).await;
        let created = post(&server, uri, &event).await.ok();
        assert_eq!(hooks.calls().len(), calls, "{policy}");
        assert_eq!(created["message"], ["m", "n"][calls], "{policy}");
        if calls == 1 {
            let request = hooks.only();
            assert_eq!(request["kind"]["group"], "events.k8s.io");
            assert_eq!(request["requestKind"]["group"], "");
        }
    }
}

#[tokio::test]
async fn a_configuration_is_in_effect_at_once_and_never_reviewed() {
    let hooks = Hooks::start(|_, _| deny(json!({"message": "no"}))).await;
    let server = ApiServer::builder().build();
    post(&server, MAPS, &map("before")).await.ok();
    let everything = hooks.webhook("v", json!({"rules": [rule(&["*"], "*", "*/*")]}));
    let webhooks = std::slice::from_ref(&everything);
    post(&server, VALIDATING, &configuration("a", webhooks))
        .await
        .ok();
    assert_eq!(post(&server, MAPS, &map("x")).await.code, 400);
    // It denies everything, and can still be joined, changed and removed.
    post(&server, MUTATING, &configuration("a", webhooks))
        .await
        .ok();
    assert_eq!(post(&server, MAPS, &map("x")).await.code, 400);
    let uri = format!("{VALIDATING}/a");
    let other =
        json!({"webhooks": [hooks.webhook("v", json!({"rules": [rule(&["*"], "", "pods")]}))]});
    merge(&server, &uri, &other).await.ok();
    delete(&server, &format!("{MUTATING}/a")).await.ok();
    post(&server, MAPS, &map("x")).await.ok();
    assert_eq!(post(&server, PODS, &pod("x")).await.code, 400);
    delete(&server, &uri).await.ok();
    post(&server, PODS, &pod("x")).await.ok();
}

#[tokio::test]
async fn a_restored_configuration_is_in_effect() {
    let hooks = Hooks::start(|_, _| deny(json!({"message": "no"}))).await;
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::builder().open(directory.path()).unwrap();
    let webhook = hooks.webhook("v", json!({}));
    post(&server, VALIDATING, &configuration("a", &[webhook]))
        .await
        .ok();
    drop(server);
    let server = ApiServer::builder().open(directory.path()).unwrap();
    assert_eq!(post(&server, MAPS, &map("x")).await.code, 400);
}

#[tokio::test]
async fn a_bad_configuration_is_refused() {
    let server = ApiServer::builder().build();
    let webhook = json!({"name": "short", "clientConfig": {"url": "http://a"}, "rules": [{}],
        "sideEffects": "Some", "admissionReviewVersions": []});
    let reply = post(&server, MUTATING, &configuration("a", &[webhook])).await;
    assert_eq!(reply.code, 422, "{}", reply.body);
    for expected in [
        "MutatingWebhookConfiguration.admissionregistration.k8s.io \"a\" is invalid: ",
        "webhooks[0].name: Invalid value: \"short\"",
        "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only",
        "webhooks[0].sideEffects: Unsupported value: \"Some\"",
        "webhooks[0].admissionReviewVersions: Required value",
        "webhooks[0].rules[0].operations: Required value",
    ] {
        assert!(
            reply.message().contains(expected),
            "{expected}: {}",
            reply.message()
        );
    }
}
