//! Calls that fail, and how calls are made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use embedded_apiserver::ApiServer;
use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use crate::fixture::{
    Answer, Hooks, MAPS, VALIDATING, allow, authority, configuration, deny, map, merge, patch,
    post, server,
};

/// Tries a webhook of both kinds with both policies: one refuses the write, the other does not.
async fn fails(webhook: &Value, expected: &str) {
    for mutating in [true, false] {
        for (policy, code) in [("Fail", 500), ("Ignore", 201)] {
            let mut webhook = webhook.clone();
            webhook["failurePolicy"] = json!(policy);
            let webhook = [webhook];
            let server = if mutating {
                server(&webhook, &[]).await
            } else {
                server(&[], &webhook).await
            };
            let reply = post(&server, MAPS, &map("x")).await;
            assert_eq!(reply.code, code, "{expected}: {}", reply.body);
            if code == 500 {
                let name = webhook[0]["name"].as_str().unwrap();
                let start = format!("Internal error occurred: failed calling webhook \"{name}\": ");
                let message = reply.message();
                assert!(
                    message.starts_with(&start) && message.contains(expected),
                    "{message}"
                );
                assert_eq!(reply.body["reason"], "InternalError");
            }
        }
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let hooks = Hooks::start(|path, _| match path {
        "error" => Answer::Other(StatusCode::BAD_GATEWAY, "out of order".to_owned()),
        "text" => Answer::Other(StatusCode::OK, "hello".to_owned()),
        "json" => Answer::Other(StatusCode::OK, "{}".to_owned()),
        "large" => Answer::Other(StatusCode::OK, " ".repeat(9 << 20)),
        _ => Answer::Response(json!({"allowed": true, "patch": "W10="})),
    })
    .await;
    for (path, expected) in [
        ("error", "502 Bad Gateway: \"out of order\""),
        ("text", "not JSON"),
        ("json", "expected webhook response of admission.k8s.io/v1"),
        ("large", "length limit exceeded"),
        ("patch", "response.patch but not response.patchType"),
    ] {
        fails(&hooks.webhook(path, json!({})), expected).await;
    }
}

#[tokio::test]
async fn nobody_is_trusted_but_the_bundle() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let mut webhook = hooks.webhook("v", json!({}));
    webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode(authority().pem()));
    fails(&webhook, "invalid peer certificate").await;
    webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode("no certificate"));
    fails(&webhook, "unable to load root certificates").await;
    webhook["clientConfig"]["caBundle"] = json!(hooks.ca);
    webhook["clientConfig"]["url"] = json!(format!("https://localhost:{}/v", hooks.address.port()));
    fails(&webhook, "not valid for name").await;
    assert_eq!(hooks.calls().len(), 0);
    assert_eq!(hooks.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_is_there() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut webhook = hooks.webhook("v", json!({}));
    webhook["clientConfig"]["url"] = json!(format!("https://{address}/v"));
    fails(&webhook, "Connection refused").await;
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_time_out() {
    let hooks = Hooks::start(|_, _| Answer::Hang).await;
    let webhook = hooks.webhook("v", json!({"timeoutSeconds": 1}));
    fails(&webhook, "?timeout=1s\": context deadline exceeded").await;
    // One that does not even shake hands.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let mut webhook = hooks.webhook("v", json!({"timeoutSeconds": 1}));
    let address = listener.local_addr().unwrap();
    webhook["clientConfig"]["url"] = json!(format!("https://{address}/v"));
    fails(&webhook, "context deadline exceeded").await;
}

#[tokio::test]
async fn services_need_a_resolver() {
    let hooks = Hooks::start(|_, _| deny(json!({"message": "no"}))).await;
    let mut webhook = hooks.webhook("v", json!({}));
    webhook["clientConfig"] = json!({
        "service": {"namespace": "system", "name": "hooks", "path": "/v"}, "caBundle": hooks.ca,
    });
    fails(&webhook, "service system/hooks cannot be reached").await;

    let address = hooks.address;
    let resolve = move |namespace: &str, name: &str, port: u16| -> Result<SocketAddr, String> {
        match (namespace, name, port) {
            ("system", "hooks", 443) => Ok(address),
            _ => Err("there is no such Service".to_owned()),
        }
    };
    let server = ApiServer::builder()
        .service_resolver(Arc::new(resolve))
        .build();
    post(
        &server,
        VALIDATING,
        &configuration("a", std::slice::from_ref(&webhook)),
    )
    .await
    .ok();
    let reply = post(&server, MAPS, &map("x")).await;
    assert!(
        reply.message().ends_with("denied the request: no"),
        "{}",
        reply.body
    );
    webhook["clientConfig"]["service"]["port"] = json!(444);
    merge(
        &server,
        &format!("{VALIDATING}/a"),
        &json!({"webhooks": [webhook]}),
    )
    .await
    .ok();
    let reply = post(&server, MAPS, &map("x")).await;
    assert!(
        reply.message().contains("there is no such Service"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn concurrent_writes_share_connections() {
    let hooks = Hooks::start(|path, request| match path {
        "m" => {
            let name = &request["object"]["metadata"]["name"];
            patch(&json!([{"op": "add", "path": "/data/name", "value": name}]))
        }
        _ => allow(),
    })
    .await;
    let server = server(
        &[hooks.webhook("m", json!({}))],
        &[hooks.webhook("v", json!({}))],
    )
    .await;
    let write = |n: usize| {
        let server = &server;
        async move {
            let name = format!("x{n}");
            let created = post(server, MAPS, &map(&name)).await.ok();
            assert_eq!(created["data"]["name"], name);
        }
    };
    write(0).await;
    join_all((1..50).map(write)).await;
    assert_eq!(hooks.calls().len(), 100);
    // HTTP/2: one connection carries all calls.
    assert_eq!(hooks.connections.load(Ordering::SeqCst), 1);
    // Another form of the configuration goes on with it.
    let webhook = hooks.webhook("v", json!({"timeoutSeconds": 5}));
    merge(
        &server,
        &format!("{VALIDATING}/c"),
        &json!({"webhooks": [webhook]}),
    )
    .await
    .ok();
    write(50).await;
    assert_eq!(hooks.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connections_are_kept_without_http2() {
    for protocols in [&["http/1.1"][..], &[]] {
        let hooks = Hooks::speaking(protocols, |_, _| allow()).await;
        let server = server(&[], &[hooks.webhook("v", json!({}))]).await;
        for name in ["x", "y", "z"] {
            post(&server, MAPS, &map(name)).await.ok();
        }
        assert_eq!(hooks.calls().len(), 3);
        assert_eq!(hooks.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn writers_of_one_object_all_get_through() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let server = server(&[], &[hooks.webhook("v", json!({}))]).await;
    post(&server, MAPS, &map("x")).await.ok();
    let uri = format!("{MAPS}/x");
    let writes = (0..8).map(|n| {
        let (server, uri) = (&server, &uri);
        async move {
            merge(server, uri, &json!({"data": {format!("k{n}"): "v"}}))
                .await
                .ok()
        }
    });
    join_all(writes).await;
    let stored = crate::fixture::get(&server, &uri).await.ok();
    assert_eq!(stored["data"].as_object().unwrap().len(), 9);
    assert!(hooks.calls().len() >= 9);
}
