//! kube-rs clients against the server, in process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use embedded_apiserver::ApiServer;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

fn client(server: &ApiServer) -> Client {
    Client::new(server.router(), "default")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"value": value}}, "data": {"key": value},
    }))
    .unwrap()
}

fn job(name: &str) -> Job {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox"}],
        }}},
    }))
    .unwrap()
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}]},
    }))
    .unwrap()
}

#[tokio::test]
async fn create_read_change_delete() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::default_namespaced(client(&server));
    let created = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    assert!(created.uid().is_some());
    let again = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert!(matches!(&again, kube::Error::Api(s) if s.code == 409 && s.reason == "AlreadyExists"));

    let mut changed = created.clone();
    changed.data = Some(BTreeMap::from([("key".into(), "2".into())]));
    let replaced = api
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap();
    assert_ne!(replaced.resource_version(), created.resource_version());
    let stale = api
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(s) if s.code == 409 && s.reason == "Conflict"));

    // The same again changes nothing, bumps nothing, and is counted.
    let noop = api
        .replace("a", &PostParams::default(), &replaced)
        .await
        .unwrap();
    assert_eq!(noop.resource_version(), replaced.resource_version());
    assert_eq!(server.stats().total_noop_writes(), 1);

    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
    let gone = api.delete("a", &DeleteParams::default()).await.unwrap_err();
    assert!(matches!(&gone, kube::Error::Api(s) if s.code == 404 && s.reason == "NotFound"));
}

#[tokio::test]
async fn job_defaults_status_and_generation() {
    let server = ApiServer::builder().build();
    let api: Api<Job> = Api::default_namespaced(client(&server));
    let created = api.create(&PostParams::default(), &job("j")).await.unwrap();
    let spec = created.spec.clone().unwrap();
    assert_eq!(spec.parallelism, Some(1));
    assert_eq!(spec.completions, Some(1));
    assert_eq!(spec.backoff_limit, Some(6));
    assert_eq!(spec.completion_mode.as_deref(), Some("NonIndexed"));
    let uid = created.uid().unwrap();
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    assert_eq!(labels["batch.kubernetes.io/controller-uid"], uid);
    assert_eq!(labels["batch.kubernetes.io/job-name"], "j");
    assert_eq!(created.metadata.generation, Some(1));

    let status = json!({"status": {"active": 1}, "spec": {"suspend": true}});
    let params = PatchParams::default();
    let patched = api
        .patch_status("j", &params, &Patch::Merge(&status))
        .await
        .unwrap();
    assert_eq!(patched.status.unwrap().active, Some(1));
    assert_eq!(patched.spec.unwrap().suspend, Some(false));
    let spec = json!({"status": {"active": 9}, "spec": {"suspend": true}});
    let patched = api.patch("j", &params, &Patch::Merge(&spec)).await.unwrap();
    assert_eq!(patched.status.unwrap().active, Some(1));
    assert_eq!(patched.spec.unwrap().suspend, Some(true));
    assert_eq!(patched.metadata.generation, Some(2));

    let wrong = json!({"metadata": {"uid": "other"}, "spec": {"suspend": false}});
    let refused = api
        .patch("j", &params, &Patch::Merge(&wrong))
        .await
        .unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(s) if s.code == 409 && s.reason == "Conflict"));
    let wrong = json!({"spec": {"completions": 7}});
    let refused = api
        .patch("j", &params, &Patch::Merge(&wrong))
        .await
        .unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(s) if s.code == 422 && s.reason == "Invalid"));
}

#[tokio::test]
async fn watch_follows_selectors() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::default_namespaced(client(&server));
    let list = api.list(&ListParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let params = WatchParams::default().labels("value=1");
    let mut stream = api.watch(&params, &version).await.unwrap().boxed();
    api.create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    api.create(&PostParams::default(), &config_map("b", "2"))
        .await
        .unwrap();
    let relabel = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"value": value}}}));
    api.patch("a", &PatchParams::default(), &relabel("2"))
        .await
        .unwrap();
    api.patch("b", &PatchParams::default(), &relabel("1"))
        .await
        .unwrap();
    api.delete("b", &DeleteParams::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(match stream.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(o) => format!("+{}", o.name_any()),
            WatchEvent::Modified(o) => format!("~{}", o.name_any()),
            WatchEvent::Deleted(o) => format!("-{}", o.name_any()),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(seen, ["+a", "-a", "+b", "-b"]);
}

#[tokio::test]
async fn old_revisions_are_gone() {
    let server = ApiServer::builder().watch_history(2).build();
    let api: Api<ConfigMap> = Api::default_namespaced(client(&server));
    for n in 0..5 {
        api.create(&PostParams::default(), &config_map(&format!("c{n}"), "1"))
            .await
            .unwrap();
    }
    let refused = api.watch(&WatchParams::default(), "2").await;
    assert!(matches!(refused, Err(kube::Error::Api(s)) if s.code == 410 && s.reason == "Expired"));
}

#[tokio::test]
async fn watchers_see_every_change_with_and_without_streaming_lists() {
    for streaming in [false, true] {
        let server = ApiServer::builder().build();
        let api: Api<ConfigMap> = Api::default_namespaced(client(&server));
        api.create(&PostParams::default(), &config_map("before", "1"))
            .await
            .unwrap();
        let mut config = watcher::Config::default();
        if streaming {
            config = config.streaming_lists();
        }
        let mut stream = watcher(api.clone(), config).applied_objects().boxed();
        let first = stream.try_next().await.unwrap().unwrap();
        assert_eq!(first.name_any(), "before");
        api.create(&PostParams::default(), &config_map("after", "1"))
            .await
            .unwrap();
        let second = stream.try_next().await.unwrap().unwrap();
        assert_eq!(second.name_any(), "after", "streaming: {streaming}");
    }
}

#[tokio::test]
async fn finalizers_hold_objects_back() {
    let server = ApiServer::builder().build();
    let api: Api<Job> = Api::default_namespaced(client(&server));
    api.create(&PostParams::default(), &job("j")).await.unwrap();
    let waiting = api
        .delete("j", &DeleteParams::foreground())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some());
    assert_eq!(waiting.finalizers(), ["foregroundDeletion"]);
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("j", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert!(api.get_opt("j").await.unwrap().is_none());
}

#[tokio::test]
async fn pods_end_gracefully() {
    let server = ApiServer::builder().build();
    let api: Api<Pod> = Api::default_namespaced(client(&server));
    api.create(&PostParams::default(), &pod("unscheduled"))
        .await
        .unwrap();
    api.delete("unscheduled", &DeleteParams::default())
        .await
        .unwrap();
    assert!(api.get_opt("unscheduled").await.unwrap().is_none());

    api.create(&PostParams::default(), &pod("p")).await.unwrap();
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "node-1"},
    });
    let bound: serde_json::Value = api
        .create_subresource("binding", "p", &PostParams::default(), &binding)
        .await
        .unwrap();
    assert_eq!(bound["status"], "Success");
    let on_node = api
        .list(&ListParams::default().fields("spec.nodeName=node-1"))
        .await
        .unwrap();
    assert_eq!(on_node.items.len(), 1);
    api.delete("p", &DeleteParams::default()).await.unwrap();
    let ending = api.get("p").await.unwrap();
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(30));
    api.delete("p", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(api.get_opt("p").await.unwrap().is_none());
}

#[tokio::test]
async fn definitions_bring_and_take_their_resources() {
    let server = ApiServer::builder().build();
    let client = client(&server);
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = serde_json::from_value(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    }))
    .unwrap();
    let created = crds.create(&PostParams::default(), &crd).await.unwrap();
    let established = created.status.unwrap().conditions.unwrap();
    assert!(
        established
            .iter()
            .any(|c| c.type_ == "Established" && c.status == "True")
    );

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &kind);
    let widget = DynamicObject::new("w", &kind).data(json!({"spec": {"a": 1}, "status": {"b": 1}}));
    let widget = widgets
        .create(&PostParams::default(), &widget)
        .await
        .unwrap();
    assert_eq!(widget.data["spec"]["a"], 1);
    assert!(widget.data.get("status").is_none());
    crds.delete("widgets.example.com", &DeleteParams::default())
        .await
        .unwrap();
    assert!(widgets.list(&ListParams::default()).await.is_err());
}

#[tokio::test]
async fn namespaces_exist_and_empty_themselves() {
    use k8s_openapi::api::core::v1::Namespace;
    let server = ApiServer::builder().build();
    let client = client(&server);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "n");
    let missing = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert!(matches!(&missing, kube::Error::Api(s) if s.code == 404));
    let namespaces: Api<Namespace> = Api::all(client);
    let namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    api.create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap();
    namespaces
        .delete("n", &DeleteParams::default())
        .await
        .unwrap();
    assert!(namespaces.get_opt("n").await.unwrap().is_none());
    assert!(
        api.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn chunked_lists_return_everything_once() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::default_namespaced(client(&server));
    for n in 0..7 {
        api.create(&PostParams::default(), &config_map(&format!("c{n}"), "1"))
            .await
            .unwrap();
    }
    let mut params = ListParams::default().limit(3);
    let mut names = Vec::new();
    loop {
        let page = api.list(&params).await.unwrap();
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
}
