//! Pods that share a topology domain, or keep each other out of it.

#![allow(clippy::unwrap_used, reason = "test code")]

mod machine;

use std::collections::BTreeSet;
use std::time::Duration;

use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::node::{FakeRuntime, Runtime};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use machine::{create, phase, pod, pods, until};
use serde_json::json;

const KEY: &str = "jobset.sigs.k8s.io/job-key";
const PRIORITY: &str = "jobset.sigs.k8s.io/priority";

/// A Pod with the terms that exclusive placement gives to leaders.
fn leader(i: usize) -> serde_json::Value {
    let key = format!("key-{i}");
    let term = |expressions: serde_json::Value| {
        json!({"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchExpressions": expressions},
            "topologyKey": "rack", "namespaceSelector": {},
        }]})
    };
    let mut pod = pod(
        &format!("leader-{i}"),
        json!({
            "containers": [{"name": "main", "image": "x"}],
            "affinity": {
                "podAffinity": term(json!([{"key": KEY, "operator": "In", "values": [key]}])),
                "podAntiAffinity": term(json!([
                    {"key": KEY, "operator": "Exists"},
                    {"key": KEY, "operator": "NotIn", "values": [key]},
                    {"key": PRIORITY, "operator": "In", "values": ["0"]},
                ])),
            },
        }),
    );
    pod["metadata"]["labels"] = json!({KEY: key, PRIORITY: "0"});
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn exclusive_leaders_get_a_domain_each() {
    let fake = FakeRuntime {
        start_after: Duration::ZERO,
        succeed_after: None,
    };
    let options = ClusterOptions {
        nodes: 16,
        topology: vec![("rack".to_owned(), 8)],
        runtime: Runtime::Fake(fake),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client();
    let mut racks = BTreeSet::new();
    let rack = |pod: &Pod| {
        let node = pod.spec.as_ref().unwrap().node_name.clone().unwrap();
        let number: usize = node.strip_prefix("node-").unwrap().parse().unwrap();
        number / 2
    };
    for i in 0..8 {
        create(&client, leader(i)).await;
    }
    for i in 0..8 {
        let found = until(&client, &format!("leader-{i}"), |p| phase(p) == "Running").await;
        racks.insert(rack(&found));
    }
    assert_eq!(racks.len(), 8);

    create(&client, leader(8)).await;
    let why = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|s| s.conditions.clone());
        let mut conditions = conditions.into_iter().flatten();
        let found = conditions.find(|c| c.reason.as_deref() == Some("Unschedulable"));
        found.and_then(|c| c.message)
    };
    let waiting = until(&client, "leader-8", |p| why(p).is_some()).await;
    assert_eq!(
        why(&waiting).unwrap(),
        "0/16 nodes are available: 16 node(s) didn't match pod anti-affinity rules."
    );
    assert_eq!(phase(&waiting), "Pending");

    let first = pods(&client).get("leader-3").await.unwrap();
    pods(&client)
        .delete("leader-3", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    let placed = until(&client, "leader-8", |p| phase(p) == "Running").await;
    assert_eq!(rack(&placed), rack(&first));
    cluster.shutdown().await;
}
