//! A cluster per test, and how to talk to it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code; each test file uses a part of it"
)]

use std::time::Duration;

use jobset_local::cluster::{Cluster, ClusterOptions};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// Longer than anything here takes; only a hang reaches it.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

pub(crate) fn options() -> ClusterOptions {
    ClusterOptions {
        launcher: vec![env!("CARGO_BIN_EXE_jobset-sandbox").into()],
        work_dir: "/".into(),
        ..ClusterOptions::default()
    }
}

pub(crate) async fn cluster() -> Cluster {
    Cluster::start(options()).await.unwrap()
}

/// Says that a test shows nothing here; past the harness, which hides what passing tests print.
pub(crate) fn skip(why: &str) {
    use std::io::Write as _;
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {name}: {why}");
}

/// Whether this machine lets us isolate; a test that needs it says so loudly and passes.
pub(crate) async fn isolated(cluster: &Cluster) -> bool {
    create(&cluster.client(), sh("isolation-check", "true")).await;
    ended(&cluster.client(), "isolation-check").await;
    if !cluster.is_isolated() {
        skip("this machine does not permit user and mount namespaces");
    }
    cluster.is_isolated()
}

pub(crate) fn pods(client: &Client) -> Api<Pod> {
    Api::default_namespaced(client.clone())
}

/// A Pod that runs a shell script once.
pub(crate) fn sh(name: &str, script: &str) -> Value {
    pod(name, json!({"containers": [shell("main", script)]}))
}

pub(crate) fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "none", "command": ["sh", "-c", script]})
}

pub(crate) fn pod(name: &str, spec: Value) -> Value {
    let mut full = json!({"restartPolicy": "Never"});
    full.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    json!({"metadata": {"name": name}, "spec": full})
}

pub(crate) async fn create(client: &Client, pod: Value) -> Pod {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    pods(client)
        .create(&PostParams::default(), &pod)
        .await
        .unwrap()
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|s| s.phase.as_deref())
        .unwrap_or_default()
}

/// Waits until a Pod is as it should be.
pub(crate) async fn until(client: &Client, name: &str, condition: impl Fn(&Pod) -> bool) -> Pod {
    let wanted = |pod: Option<&Pod>| pod.is_some_and(&condition);
    let waiting = await_condition(pods(client), name, wanted);
    match tokio::time::timeout(LIMIT, waiting).await {
        Ok(found) => found.unwrap().unwrap(),
        Err(_) => {
            let pod = pods(client).get(name).await;
            panic!("{name} is not as wanted: {:#?}", pod.map(|p| p.status));
        }
    }
}

pub(crate) async fn ended(client: &Client, name: &str) -> Pod {
    until(client, name, |pod| {
        matches!(phase(pod), "Succeeded" | "Failed")
    })
    .await
}

pub(crate) async fn gone(client: &Client, name: &str) {
    let waiting = await_condition(pods(client), name, |pod: Option<&Pod>| pod.is_none());
    tokio::time::timeout(LIMIT, waiting)
        .await
        .expect("the Pod goes")
        .unwrap();
}

pub(crate) async fn logs(client: &Client, name: &str) -> String {
    pods(client)
        .logs(name, &LogParams::default())
        .await
        .unwrap()
}

/// Runs a Pod to its end; its phase and what it printed.
pub(crate) async fn output(client: &Client, pod: Value) -> (String, String) {
    let name = create(client, pod).await.name_any();
    let pod = ended(client, &name).await;
    (phase(&pod).to_owned(), logs(client, &name).await)
}

/// The termination of the `i`-th main container.
pub(crate) fn terminated(
    pod: &Pod,
    i: usize,
) -> k8s_openapi::api::core::v1::ContainerStateTerminated {
    let statuses = pod
        .status
        .as_ref()
        .unwrap()
        .container_statuses
        .as_ref()
        .unwrap();
    statuses[i]
        .state
        .as_ref()
        .unwrap()
        .terminated
        .clone()
        .unwrap()
}
