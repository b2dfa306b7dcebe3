//! The garbage collector against the embedded API server.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams,
    PropagationPolicy,
};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use support::Cluster;

fn config_map(name: &str, owners: Value, finalizers: Value) -> Value {
    json!({"metadata": {"name": name, "ownerReferences": owners, "finalizers": finalizers}})
}

fn owned_by(owner: &ConfigMap, block: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(),
        "uid": owner.uid().unwrap(), "blockOwnerDeletion": block,
    })
}

async fn make(cluster: &Cluster, name: &str, owners: Value) -> ConfigMap {
    cluster.create(config_map(name, owners, json!([]))).await
}

/// Waits until exactly the config maps of these names are left.
async fn left(cluster: &Cluster, names: &[&str]) -> Vec<ConfigMap> {
    let what = format!("only {names:?} left");
    let all = cluster
        .until::<ConfigMap>(&what, |all| {
            all.keys().map(String::as_str).eq(names.iter().copied())
        })
        .await;
    all.into_values().collect()
}

#[tokio::test]
async fn what_loses_its_last_owner_goes() {
    let cluster = Cluster::start();
    let first = make(&cluster, "owner-1", json!([])).await;
    let second = make(&cluster, "owner-2", json!([])).await;
    make(&cluster, "of-1", json!([owned_by(&first, false)])).await;
    make(
        &cluster,
        "of-both",
        json!([owned_by(&first, false), owned_by(&second, false)]),
    )
    .await;
    cluster
        .delete::<ConfigMap>("owner-1", PropagationPolicy::Background)
        .await;
    left(&cluster, &["of-both", "owner-2"]).await;
    let all = cluster
        .until::<ConfigMap>("one owner", |all| {
            all["of-both"].owner_references().len() == 1
        })
        .await;
    assert_eq!(all["of-both"].owner_references()[0].name, "owner-2");
    cluster
        .delete::<ConfigMap>("owner-2", PropagationPolicy::Background)
        .await;
    left(&cluster, &[]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_owner_of_another_uid_is_no_owner() {
    let cluster = Cluster::start();
    let owner = make(&cluster, "owner", json!([])).await;
    let mut stale = owned_by(&owner, false);
    stale["uid"] = "00000000-0000-0000-0000-000000000000".into();
    make(&cluster, "child", json!([stale])).await;
    left(&cluster, &["owner"]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn chains_go_link_by_link() {
    let cluster = Cluster::start();
    let mut owner = make(&cluster, "a", json!([])).await;
    for name in ["b", "c", "d"] {
        owner = make(&cluster, name, json!([owned_by(&owner, false)])).await;
    }
    cluster
        .delete::<ConfigMap>("a", PropagationPolicy::Background)
        .await;
    left(&cluster, &[]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn in_foreground_the_owner_waits_for_those_that_block_it() {
    let cluster = Cluster::start();
    let owner = make(&cluster, "owner", json!([])).await;
    make(&cluster, "child", json!([owned_by(&owner, true)])).await;
    let held = config_map(
        "held",
        json!([owned_by(&owner, true)]),
        json!(["test/hold"]),
    );
    let held: ConfigMap = cluster.create(held).await;
    make(&cluster, "loose", json!([owned_by(&owner, false)])).await;
    cluster
        .delete::<ConfigMap>("owner", PropagationPolicy::Foreground)
        .await;
    let all = cluster
        .until::<ConfigMap>("the first child gone", |all| {
            !all.contains_key("child") && all["held"].metadata.deletion_timestamp.is_some()
        })
        .await;
    assert_eq!(all["owner"].finalizers(), ["foregroundDeletion"]);
    assert!(all["loose"].metadata.deletion_timestamp.is_none());
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let api: Api<ConfigMap> = cluster.api();
    api.patch(&held.name_any(), &PatchParams::default(), &free)
        .await
        .unwrap();
    left(&cluster, &[]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_circle_deleted_in_foreground_is_broken() {
    let cluster = Cluster::start();
    let first = make(&cluster, "a", json!([])).await;
    let second = make(&cluster, "b", json!([owned_by(&first, true)])).await;
    let api: Api<ConfigMap> = cluster.api();
    let patch = json!({"metadata": {"ownerReferences": [owned_by(&second, true)]}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    cluster
        .delete::<ConfigMap>("a", PropagationPolicy::Foreground)
        .await;
    left(&cluster, &[]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn orphans_stay_and_forget_their_owner() {
    let cluster = Cluster::start();
    let owner = make(&cluster, "owner", json!([])).await;
    make(&cluster, "child", json!([owned_by(&owner, true)])).await;
    // Orphaning works with what the collector has seen: make sure that it has.
    let probe = make(&cluster, "probe", json!([])).await;
    make(&cluster, "probe-child", json!([owned_by(&probe, false)])).await;
    cluster
        .delete::<ConfigMap>("probe", PropagationPolicy::Background)
        .await;
    left(&cluster, &["child", "owner"]).await;
    cluster
        .delete::<ConfigMap>("owner", PropagationPolicy::Orphan)
        .await;
    let rest = left(&cluster, &["child"]).await;
    assert!(rest[0].owner_references().is_empty());
    cluster.stop().await;
}

async fn define_widgets(client: &Client) -> Api<DynamicObject> {
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}],
        },
    }))
    .unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    let kind = GroupVersionKind::gvk("example.com", "v1", "Widget");
    let resource = ApiResource::from_gvk_with_plural(&kind, "widgets");
    Api::namespaced_with(client.clone(), "default", &resource)
}

#[tokio::test]
async fn kinds_that_come_later_own_too() {
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
        let cluster = Cluster::start();
        let widgets = define_widgets(&cluster.client).await;
        let widget: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
        }))
        .unwrap();
        let widget = widgets
            .create(&PostParams::default(), &widget)
            .await
            .unwrap();
        let owner = json!([{
            "apiVersion": "example.com/v1", "kind": "Widget", "name": "w",
            "uid": widget.uid().unwrap(), "controller": true, "blockOwnerDeletion": true,
        }]);
        let job: Job = cluster
            .create(json!({
                "metadata": {"name": "j", "ownerReferences": owner},
                "spec": {"parallelism": 2, "completions": 2, "template": {"spec": {
                    "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
                }}},
            }))
            .await;
        assert_eq!(job.owner_references().len(), 1);
        cluster.pods(2).await;
        let params = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        widgets.delete("w", &params).await.unwrap();
        cluster.until::<Job>("no Job", BTreeMap::is_empty).await;
        cluster.until::<Pod>("no Pod", BTreeMap::is_empty).await;
        let gone = async {
            while widgets.get_opt("w").await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), gone)
            .await
            .unwrap();
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_job_deleted_in_foreground_outlives_its_pods() {
    // Deleted as soon as its Pods exist: the collector may not have heard of them yet.
    for _ in 0..20 {
        let cluster = Cluster::start();
        cluster
            .create_job("j", json!({"parallelism": 2, "completions": 2}))
            .await;
        let pods = cluster.pods(2).await;
        for pod in &pods {
            cluster.bind(pod).await;
        }
        cluster
            .delete::<Job>("j", PropagationPolicy::Foreground)
            .await;
        for pod in &pods {
            cluster
                .until::<Pod>("Pods that terminate", |all| {
                    all[&pod.name_any()].metadata.deletion_timestamp.is_some()
                })
                .await;
            assert!(cluster.api::<Job>().get_opt("j").await.unwrap().is_some());
            cluster.end(pod, 143).await;
            cluster.reap(pod).await;
        }
        cluster.until::<Job>("no Job", BTreeMap::is_empty).await;
        cluster.until::<Pod>("no Pod", BTreeMap::is_empty).await;
        cluster.stop().await;
    }
}
