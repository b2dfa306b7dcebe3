//! Refusals and warnings.

use serde_json::{Value, json};

use crate::fixture::{
    Answer, Hooks, MAPS, PODS, allow, delete, deny, get, map, pod, post, rule, send, server,
};

#[tokio::test]
async fn a_denial_is_passed_on() {
    let hooks = Hooks::start(|path, _| match path {
        "plain" => deny(Value::Null),
        "message" => deny(json!({"message": "not on a Monday"})),
        "success" => deny(json!({"code": 200, "status": "Success", "message": "no"})),
        _ => deny(json!({
            "code": 422, "reason": "Invalid", "message": "bad a",
            "details": {"causes": [{"field": "data.a", "message": "bad"}]},
        })),
    })
    .await;
    for (path, code, reason, message) in [
        ("plain", 400, "", " without explanation"),
        ("message", 400, "", ": not on a Monday"),
        ("success", 400, "", ": no"),
        ("custom", 422, "Invalid", ": bad a"),
    ] {
        for mutating in [true, false] {
            let webhook = [hooks.webhook(path, json!({}))];
            let server = if mutating {
                server(&webhook, &[]).await
            } else {
                server(&[], &webhook).await
            };
            let reply = post(&server, MAPS, &map("x")).await;
            assert_eq!(reply.code, code, "{path}");
            assert_eq!(reply.body["code"], code);
            assert_eq!(reply.body["status"], "Failure");
            assert_eq!(reply.body["reason"].as_str().unwrap_or_default(), reason);
            assert_eq!(
                reply.message(),
                format!(
                    "admission webhook \"{path}.hooks.example.com\" denied the request{message}"
                )
            );
            if path == "custom" {
                assert_eq!(reply.body["details"]["causes"][0]["field"], "data.a");
            }
            assert_eq!(get(&server, &format!("{MAPS}/x")).await.code, 404);
        }
    }
}

#[tokio::test]
async fn one_denial_is_enough_and_all_are_asked() {
    let hooks = Hooks::start(|path, _| match path {
        "no" => deny(json!({"message": "no"})),
        _ => allow(),
    })
    .await;
    let webhooks = ["yes", "no", "too"].map(|path| hooks.webhook(path, json!({})));
    let server = server(&[], &webhooks).await;
    assert_eq!(post(&server, MAPS, &map("x")).await.code, 400);
    let mut paths = hooks.paths();
    paths.sort();
    assert_eq!(paths, ["no", "too", "yes"]);
}

#[tokio::test]
async fn a_validating_webhook_changes_nothing() {
    let hooks =
        Hooks::start(|_, _| crate::fixture::patch(&json!([{"op": "remove", "path": "/data"}])))
            .await;
    let server = server(&[], &[hooks.webhook("v", json!({}))]).await;
    let created = post(&server, MAPS, &map("x")).await.ok();
    assert_eq!(created["data"], json!({"a": "1"}));
}

#[tokio::test]
async fn warnings_are_relayed() {
    let hooks = Hooks::start(|path, _| {
        let allowed = path != "no";
        let warnings = json!(["old \"thing\"", "old \"thing\"", format!("from {path}")]);
        Answer::Response(json!({"allowed": allowed, "warnings": warnings}))
    })
    .await;
    let mutating = [hooks.webhook("first", json!({}))];
    for (path, code) in [("yes", 201), ("no", 400)] {
        let server = server(&mutating, &[hooks.webhook(path, json!({}))]).await;
        let reply = post(&server, MAPS, &map("x")).await;
        assert_eq!(reply.code, code);
        assert_eq!(
            reply.warnings,
            [
                r#"299 - "old \"thing\"""#.to_owned(),
                "299 - \"from first\"".to_owned(),
                format!("299 - \"from {path}\""),
            ]
        );
        if path == "yes" {
            let reply = delete(&server, &format!("{MAPS}/x")).await;
            assert_eq!(reply.warnings.len(), 3);
        }
    }
}

#[tokio::test]
async fn too_many_warnings_are_shortened() {
    let hooks = Hooks::start(|_, _| {
        let warnings: Vec<String> = (0..100)
            .map(|n| format!("{n:03}{}", "x".repeat(300)))
            .collect();
        Answer::Response(json!({"allowed": true, "warnings": warnings}))
    })
    .await;
    let server = server(&[], &[hooks.webhook("v", json!({}))]).await;
    let reply = post(&server, MAPS, &map("x")).await;
    assert_eq!(reply.code, 201);
    assert_eq!(reply.warnings.len(), 16);
    let frame = "299 - \"\"".len();
    assert!(reply.warnings.iter().all(|w| w.len() == 256 + frame));
}

#[tokio::test]
async fn deletions() {
    let hooks = Hooks::start(|_, request| {
        assert_eq!(request["object"], Value::Null);
        match request["oldObject"]["metadata"]["labels"]["keep"].as_str() {
            Some(_) => deny(json!({"message": "it is kept", "code": 403, "reason": "Forbidden"})),
            None => allow(),
        }
    })
    .await;
    let rules = json!({"rules": [rule(&["DELETE"], "", "configmaps")]});
    let webhook = hooks.webhook("v", rules);
    let server = server(
        std::slice::from_ref(&webhook),
        std::slice::from_ref(&webhook),
    )
    .await;
    let mut kept = map("kept");
    kept["metadata"]["labels"] = json!({"keep": "yes"});
    post(&server, MAPS, &kept).await.ok();
    post(&server, MAPS, &map("lost")).await.ok();
    assert_eq!(hooks.calls().len(), 0);

    let options = json!({"propagationPolicy": "Background"});
    let uri = format!("{MAPS}/kept");
    let method = http::Method::DELETE;
    let reply = send(&server, method, &uri, "application/json", &options).await;
    assert_eq!(
        (reply.code, reply.body["reason"].as_str()),
        (403, Some("Forbidden"))
    );
    let request = hooks.only();
    assert_eq!(request["operation"], "DELETE");
    assert_eq!(request["name"], "kept");
    assert_eq!(request["options"]["kind"], "DeleteOptions");
    assert_eq!(request["options"]["propagationPolicy"], "Background");
    assert_eq!(get(&server, &uri).await.code, 200);

    delete(&server, &format!("{MAPS}/lost")).await.ok();
    post(&server, MAPS, &map("lost")).await.ok();
    assert_eq!(delete(&server, MAPS).await.code, 403);
    assert_eq!(get(&server, &uri).await.code, 200);
}

#[tokio::test]
async fn a_deletion_has_nothing_to_patch() {
    let hooks =
        Hooks::start(|_, _| crate::fixture::patch(&json!([{"op": "remove", "path": "/data"}])))
            .await;
    let rules = json!({"rules": [rule(&["DELETE"], "", "configmaps")]});
    let server = server(&[hooks.webhook("m", rules)], &[]).await;
    post(&server, MAPS, &map("x")).await.ok();
    let reply = delete(&server, &format!("{MAPS}/x")).await;
    assert_eq!(reply.code, 500);
    assert!(
        reply.message().contains("attempted to modify the object"),
        "{}",
        reply.message()
    );
}

#[tokio::test]
async fn a_binding_can_be_refused() {
    let hooks = Hooks::start(|_, _| deny(json!({"message": "not there"}))).await;
    let rules = json!({"rules": [rule(&["CREATE"], "", "pods/binding")]});
    let server = server(&[], &[hooks.webhook("v", rules)]).await;
    post(&server, PODS, &pod("x")).await.ok();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "x"},
        "target": {"kind": "Node", "name": "n"}});
    let reply = post(&server, &format!("{PODS}/x/binding"), &binding).await;
    assert_eq!(reply.code, 400, "{}", reply.body);
    let request = hooks.only();
    assert_eq!(
        request["kind"],
        json!({"group": "", "version": "v1", "kind": "Binding"})
    );
    assert_eq!(
        request["resource"],
        json!({"group": "", "version": "v1", "resource": "pods"})
    );
    assert_eq!(request["object"]["target"]["name"], "n");
    let stored = get(&server, &format!("{PODS}/x")).await.ok();
    assert_eq!(stored["spec"]["nodeName"], Value::Null);
}
