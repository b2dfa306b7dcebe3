//! Simulated nodes, and Pods that exist only in the books.

#![allow(clippy::unwrap_used, reason = "test code")]

mod machine;

use std::collections::BTreeMap;
use std::time::Duration;

use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::node::{FakeRuntime, Runtime};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use machine::{create, ended, gone, phase, pod, pods, until};
use serde_json::json;

async fn fake(nodes: usize, succeed_after: Option<Duration>) -> Cluster {
    let fake = FakeRuntime {
        start_after: Duration::ZERO,
        succeed_after,
    };
    let options = ClusterOptions {
        nodes,
        topology: vec![("rack".to_owned(), 2)],
        runtime: Runtime::Fake(fake),
        ..ClusterOptions::default()
    };
    Cluster::start(options).await.unwrap()
}

fn containers() -> serde_json::Value {
    json!([{"name": "main", "image": "x"}])
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_spread_over_nodes() {
    let cluster = fake(4, None).await;
    let client = cluster.client();
    for i in 0..8 {
        create(
            &client,
            pod(&format!("p{i}"), json!({"containers": containers()})),
        )
        .await;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for i in 0..8 {
        let found = until(&client, &format!("p{i}"), |pod| phase(pod) == "Running").await;
        *counts
            .entry(found.spec.unwrap().node_name.unwrap())
            .or_default() += 1;
    }
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|n| *n == 2), "{counts:?}");
    create(
        &client,
        pod(
            "rack",
            json!({"containers": containers(), "nodeSelector": {"rack": "rack-1"}}),
        ),
    )
    .await;
    let found = until(&client, "rack", |pod| phase(pod) == "Running").await;
    assert!(["node-2", "node-3"].contains(&found.spec.unwrap().node_name.unwrap().as_str()));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unschedulable_and_gated_pods_wait() {
    let cluster = fake(1, Some(Duration::ZERO)).await;
    let client = cluster.client();
    create(
        &client,
        pod(
            "picky",
            json!({"containers": containers(), "nodeSelector": {"no": "such"}}),
        ),
    )
    .await;
    let found = until(&client, "picky", |pod| {
        let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions.is_some_and(|l| {
            l.iter()
                .any(|c| c.reason.as_deref() == Some("Unschedulable"))
        })
    })
    .await;
    assert_eq!(phase(&found), "Pending");
    let gates = json!([{"name": "example.com/wait"}]);
    create(
        &client,
        pod(
            "gated",
            json!({"containers": containers(), "schedulingGates": gates}),
        ),
    )
    .await;
    // Something that comes later is placed, the gated one is not.
    create(&client, pod("free", json!({"containers": containers()}))).await;
    assert_eq!(phase(&ended(&client, "free").await), "Succeeded");
    let gated = pods(&client).get("gated").await.unwrap();
    let scheduled = gated.status.and_then(|s| s.conditions).unwrap_or_default();
    let why: Vec<_> = scheduled
        .iter()
        .filter(|c| c.type_ == "PodScheduled")
        .map(|c| (&*c.status, c.reason.as_deref()))
        .collect();
    assert_eq!(why, [("False", Some("SchedulingGated"))]);
    assert_eq!(gated.spec.unwrap().node_name, None);
    // The other one's event says what is in the way.
    let events: kube::Api<k8s_openapi::api::core::v1::Event> =
        kube::Api::namespaced(client.clone(), "default");
    let begin = std::time::Instant::now();
    let note = loop {
        let all = events
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        let of_picky = |e: &&k8s_openapi::api::core::v1::Event| {
            e.reason.as_deref() == Some("FailedScheduling")
                && e.involved_object.name.as_deref() == Some("picky")
                // Before the node has registered there was another one, that no node is there.
                && e.message.as_deref().is_some_and(|note| note.starts_with("0/1 nodes"))
        };
        if let Some(event) = all.items.iter().find(of_picky) {
            break event.message.clone().unwrap_or_default();
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "no event");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(note.starts_with("0/1 nodes are available: "), "{note}");
    let open = json!([{"op": "remove", "path": "/spec/schedulingGates/0"}]);
    let open: Patch<()> = Patch::Json(serde_json::from_value(open).unwrap());
    pods(&client)
        .patch("gated", &PatchParams::default(), &open)
        .await
        .unwrap();
    assert_eq!(phase(&ended(&client, "gated").await), "Succeeded");
    // A node that fits appears: here, by a label.
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(client.clone());
    let label = json!({"metadata": {"labels": {"no": "such"}}});
    nodes
        .patch("node-0", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
    assert_eq!(phase(&ended(&client, "picky").await), "Succeeded");
    assert_eq!(
        cluster.api().stats().total_noop_writes(),
        0,
        "{:?}",
        cluster.api().stats()
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fake_pods_are_cheap_and_can_be_deleted() {
    let cluster = fake(1, None).await;
    let client = cluster.client();
    let n = 200;
    for i in 0..n {
        create(
            &client,
            pod(&format!("p{i}"), json!({"containers": containers()})),
        )
        .await;
    }
    for i in 0..n {
        until(&client, &format!("p{i}"), |pod| phase(pod) == "Running").await;
    }
    let patches = |cluster: &Cluster| {
        let stats = cluster.api().stats();
        stats
            .requests
            .get(&("patch".to_owned(), "pods/status".to_owned()))
            .copied()
    };
    // One write per Pod; a second one only where a start took unusually long.
    let writes = patches(&cluster);
    assert!(
        writes.is_some_and(|w| (n..=2 * n).contains(&w)),
        "{writes:?}"
    );
    let found = pods(&client).get("p0").await.unwrap();
    pods(&client)
        .delete(&found.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    gone(&client, "p0").await;
    cluster.shutdown().await;
}
