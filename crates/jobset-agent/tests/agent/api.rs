//! What goes wrong between the agent and the API server.

use jobset_api::constants;
use kube::ResourceExt as _;
use kube::api::DeleteParams;

use crate::cluster::Cluster;
use crate::process::{Agent, RESTART, lonely};

const MAIN: [(&str, &str); 2] = [("SHELL", "sh"), ("WORKER_COMMAND", "echo works; exit 9")];

#[tokio::test]
async fn only_the_annotation_is_written() {
    let cluster = lonely().await;
    let _agent = Agent::start(&cluster, "pod", &[]);
    cluster.until_reported("pod", "0").await;
    let pod = cluster.pods().get("pod").await.unwrap();
    assert_eq!(
        pod.annotations().get("other").map(String::as_str),
        Some("stays")
    );
    let fields = pod.managed_fields();
    let own: Vec<_> = fields
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(constants::IN_PLACE_RESTART_AGENT))
        .collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].operation.as_deref(), Some("Apply"));
    let expected = serde_json::json!({"f:metadata": {"f:annotations": {
        format!("f:{}", constants::IN_PLACE_RESTART_ATTEMPT_KEY): {}}}});
    assert_eq!(own[0].fields_v1.as_ref().unwrap().0, expected);
}

#[tokio::test]
async fn refused_writes_are_repeated_with_the_same_attempt() {
    let cluster = lonely().await;
    cluster.set_attempts(Some(1), Some(0)).await;
    cluster.refuse(3);
    let mut agent = Agent::start(&cluster, "pod", &MAIN);
    agent.until_log("verb patch on pods").await;
    // What a fresh process would choose now does not matter any more.
    cluster.set_attempts(Some(2), Some(0)).await;
    cluster.until_reported("pod", "2").await;
    assert_eq!(cluster.refused(), 3);
    let log = agent.until_exit(9).await;
    assert!(log.contains("works"), "{log}");
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let mut cluster = lonely().await;
    // Away at the start.
    cluster.close().await;
    let mut agent = Agent::start(&cluster, "pod", &MAIN);
    agent.until_log("cannot be watched, trying again").await;
    cluster.open().await;
    cluster.until_reported("pod", "0").await;
    // Away while others get there.
    cluster.close().await;
    cluster.set_attempts(Some(0), None).await;
    assert_eq!(agent.ended(), None);
    cluster.open().await;
    agent.until_exit(9).await;
    // Away while all have to restart.
    cluster.set_attempts(None, None).await;
    let agent = Agent::start(&cluster, "pod", &[]);
    cluster.until_reported("pod", "0").await;
    cluster.close().await;
    cluster.set_attempts(None, Some(0)).await;
    cluster.open().await;
    agent.until_exit(RESTART).await;
}

#[tokio::test]
async fn a_jobset_may_come_late_and_go() {
    let cluster = Cluster::start().await;
    cluster.create_pod("pod", None).await;
    let mut agent = Agent::start(&cluster, "pod", &MAIN);
    agent.until_log("there is no such JobSet").await;
    cluster.create_jobset(serde_json::json!([])).await;
    cluster.until_reported("pod", "0").await;
    let params = DeleteParams::default();
    cluster.jobsets().delete("js", &params).await.unwrap();
    agent.until_log("the JobSet is gone").await;
    assert_eq!(agent.ended(), None, "whoever deletes the Pod ends it");
}

#[tokio::test]
async fn an_unknown_pod_is_told() {
    let cluster = lonely().await;
    let mut agent = Agent::start(&cluster, "other", &MAIN);
    agent.until_log("not reported").await;
    // Nobody may make a Pod by applying an annotation to it.
    let pods = cluster
        .pods()
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    assert_eq!(pods.items.len(), 1);
}
