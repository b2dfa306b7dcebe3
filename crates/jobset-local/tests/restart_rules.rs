//! Restarts that containers ask for themselves: their own restart policy, and rules by exit code.

#![allow(clippy::unwrap_used, reason = "test code")]

mod machine;

use jobset_local::cluster::Cluster;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::Client;
use kube::api::{DeleteParams, LogParams};
use machine::{cluster, create, ended, gone, options, phase, pod, pods, shell, terminated, until};
use serde_json::{Value, json};

/// A script that counts its runs in a file and goes on to `rest` with the number in `$n`.
fn counting(file: &std::path::Path, rest: &str) -> String {
    let file = file.display();
    format!("echo x >> {file}; n=$(wc -l < {file}); {rest}")
}

fn with_rule(mut container: Value, action: &str, operator: &str, code: i32) -> Value {
    if container["restartPolicy"].is_null() {
        container["restartPolicy"] = json!("Never");
    }
    let exit_codes = json!({"operator": operator, "values": [code]});
    container["restartPolicyRules"] = json!([{"action": action, "exitCodes": exit_codes}]);
    container
}

fn status<'a>(pod: &'a Pod, name: &str) -> &'a ContainerStatus {
    let status = pod.status.as_ref().unwrap();
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    all.find(|c| c.name == name).unwrap()
}

fn restarting(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|c| c.type_ == "AllContainersRestarting")
}

async fn log(client: &Client, pod: &str, container: &str) -> String {
    let params = LogParams {
        container: Some(container.to_owned()),
        ..LogParams::default()
    };
    pods(client).logs(pod, &params).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_restarts_alone() {
    let cluster = cluster().await;
    let client = cluster.client();
    let directory = tempfile::tempdir().unwrap();
    // By its rule: the Pod says Never, and so does the container for all other codes.
    let script = counting(&directory.path().join("rule"), "exit $((42 * (2 - n)))");
    let by_rule = with_rule(shell("by-rule", &script), "Restart", "In", 42);
    // By its own policy.
    let script = counting(&directory.path().join("own"), "exit $((n < 2))");
    let mut by_policy = shell("by-policy", &script);
    by_policy["restartPolicy"] = json!("OnFailure");
    let others = shell("other", "exit 0");
    let spec = json!({"containers": [by_rule, by_policy, others]});
    create(&client, pod("alone", spec)).await;
    let found = ended(&client, "alone").await;
    assert_eq!(phase(&found), "Succeeded");
    for (name, restarts, last) in [
        ("by-rule", 1, Some(42)),
        ("by-policy", 1, Some(1)),
        ("other", 0, None),
    ] {
        let status = status(&found, name);
        assert_eq!(status.restart_count, restarts, "{name}");
        let before = status
            .last_state
            .as_ref()
            .and_then(|s| s.terminated.as_ref());
        assert_eq!(before.map(|t| t.exit_code), last, "{name}");
    }
    assert!(
        restarting(&found).is_none(),
        "no rule of the Pod restarts all"
    );

    // No rule matches, and the container's policy is stronger than the Pod's.
    let script = counting(&directory.path().join("none"), "exit 41");
    let mut spec = json!({"containers": [with_rule(shell("main", &script), "Restart", "In", 42)]});
    spec["restartPolicy"] = json!("OnFailure");
    create(&client, pod("fails", spec)).await;
    let found = ended(&client, "fails").await;
    assert_eq!(
        (phase(&found), terminated(&found, 0).exit_code),
        ("Failed", 41)
    );
    assert_eq!(status(&found, "main").restart_count, 0);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_container_restarts_all() {
    let cluster = cluster().await;
    let client = cluster.client();
    let directory = tempfile::tempdir().unwrap();
    let order = directory.path().join("order");
    let note = |what: &str| format!("echo {what} >> {}", order.display());
    let wait = "while :; do sleep 0.01; done";
    let flag = directory.path().join("go");

    let init = shell("init", &note("init"));
    let mut side = shell("side", &format!("{}; {wait}", note("side")));
    side["restartPolicy"] = json!("Always");
    // Ends for good, and runs again all the same.
    let quick = shell("quick", &format!("{}; echo quick", note("quick")));
    // Deaf to SIGTERM with a long grace period: only being killed makes it go.
    let deaf = shell(
        "deaf",
        &format!(
            "trap '' TERM; test -e {0}.again && exit; {wait}",
            flag.display()
        ),
    );
    let script = format!(
        "while ! test -e {0}; do sleep 0.01; done; test -e {0}.again && exit; : > {0}.again; exit 7",
        flag.display()
    );
    let source = with_rule(shell("source", &script), "RestartAllContainers", "NotIn", 0);
    let spec = json!({"terminationGracePeriodSeconds": 3600,
        "initContainers": [init, side], "containers": [quick, deaf, source]});
    let created = create(&client, pod("all", spec)).await;
    let before = until(&client, "all", |pod| {
        let all = pod
            .status
            .as_ref()
            .and_then(|s| s.container_statuses.as_ref());
        all.is_some_and(|all| {
            let running =
                |c: &ContainerStatus| c.state.as_ref().is_some_and(|s| s.running.is_some());
            !running(&all[0]) && running(&all[1]) && running(&all[2])
        })
    })
    .await;
    let condition = restarting(&before).unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_deref()),
        ("False", None)
    );
    let address = before.status.as_ref().unwrap().pod_ip.clone();

    let seen = tokio::spawn({
        let client = client.clone();
        async move {
            until(&client, "all", |pod| {
                restarting(pod).is_some_and(|c| c.status == "True")
            })
            .await
        }
    });
    std::fs::write(&flag, "").unwrap();
    let during = seen.await.unwrap();
    assert_eq!(
        restarting(&during).unwrap().reason.as_deref(),
        Some("RestartAllContainersStarted")
    );
    let end = status(&during, "source").state.as_ref().unwrap();
    assert_eq!(end.terminated.as_ref().unwrap().exit_code, 7);

    let after = ended(&client, "all").await;
    assert_eq!(phase(&after), "Succeeded");
    assert_eq!(
        after.metadata.uid, created.metadata.uid,
        "it is the same Pod"
    );
    assert_eq!(after.status.as_ref().unwrap().pod_ip, address);
    assert_eq!(
        restarting(&after).unwrap().reason.as_deref(),
        Some("PodCompleted")
    );
    for name in ["init", "side", "quick", "deaf", "source"] {
        let status = status(&after, name);
        assert_eq!(status.restart_count, 1, "{name}");
        let last = status
            .last_state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref()
            .unwrap();
        assert_eq!(
            last.reason.as_deref(),
            Some("RestartingAllContainers"),
            "{name}"
        );
        assert_eq!(last.exit_code, 137, "{name}");
    }
    let order = std::fs::read_to_string(order).unwrap();
    let order: Vec<_> = order.lines().collect();
    assert_eq!(order, ["init", "side", "quick", "init", "side", "quick"]);
    assert_eq!(
        log(&client, "all", "quick").await,
        "quick\n",
        "the log is the last run's"
    );
    assert_eq!(cluster.api().stats().total_noop_writes(), 0);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_and_init_containers_restart_all_too() {
    let cluster = cluster().await;
    let client = cluster.client();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let script = counting(&file("init"), "exit $((n < 2))");
    let init = with_rule(shell("init", &script), "RestartAllContainers", "In", 1);
    let again = "test $n = 3 || exit 5; while :; do sleep 0.01; done";
    let mut side = shell("side", &counting(&file("side"), again));
    side["restartPolicy"] = json!("Always");
    let side = with_rule(side, "RestartAllContainers", "NotIn", 0);
    // The main container is done when the sidecar has come to stay.
    let script = format!(
        "until test \"$(cat {} 2>/dev/null | wc -l)\" -ge 3; do sleep 0.01; done",
        file("side").display()
    );
    let spec = json!({"initContainers": [init, side], "containers": [shell("main", &script)]});
    create(&client, pod("early", spec)).await;
    let found = ended(&client, "early").await;
    assert_eq!(phase(&found), "Succeeded");
    // One restart for the init container, two for the sidecar.
    assert_eq!(status(&found, "init").restart_count, 3);
    assert_eq!(status(&found, "side").restart_count, 2);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_always_restarts_can_be_deleted() {
    let cluster = cluster().await;
    let client = cluster.client();
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let main = with_rule(
        shell("main", &counting(&runs, "exit 1")),
        "RestartAllContainers",
        "NotIn",
        0,
    );
    create(&client, pod("loop", json!({"containers": [main]}))).await;
    until(&client, "loop", |pod| {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|s| s.container_statuses.as_ref());
        statuses.is_some_and(|s| s[0].restart_count >= 2)
    })
    .await;
    pods(&client)
        .delete("loop", &DeleteParams::default())
        .await
        .unwrap();
    gone(&client, "loop").await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_cluster_goes_on_counting() {
    let directory = tempfile::tempdir().unwrap();
    let durable = || jobset_local::cluster::ClusterOptions {
        data_dir: Some(directory.path().join("data")),
        ..options()
    };
    let cluster = Cluster::start(durable()).await.unwrap();
    // Lost while it runs, after one restart.
    let script = counting(
        &directory.path().join("all"),
        "test $n = 1 && exit 1; test $n = 2 && sleep 1000; exit 0",
    );
    let main = with_rule(shell("main", &script), "RestartAllContainers", "NotIn", 0);
    create(&cluster.client(), pod("all", json!({"containers": [main]}))).await;
    // Waits for its back-off, after one restart.
    let script = counting(&directory.path().join("alone"), "test $n = 3");
    let mut main = shell("main", &script);
    main["restartPolicy"] = json!("OnFailure");
    create(
        &cluster.client(),
        pod("alone", json!({"containers": [main]})),
    )
    .await;
    until(&cluster.client(), "all", |pod| {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|s| s.container_statuses.as_ref());
        statuses.is_some_and(|s| {
            s[0].restart_count == 1 && s[0].state.as_ref().is_some_and(|s| s.running.is_some())
        })
    })
    .await;
    until(&cluster.client(), "alone", |pod| {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|s| s.container_statuses.as_ref());
        statuses.is_some_and(|s| {
            let waiting = s[0].state.as_ref().and_then(|s| s.waiting.as_ref());
            s[0].restart_count == 1
                && waiting.is_some_and(|w| w.reason.as_deref() == Some("CrashLoopBackOff"))
        })
    })
    .await;
    cluster.shutdown().await;
    let cluster = Cluster::start(durable()).await.unwrap();
    for name in ["all", "alone"] {
        let found = ended(&cluster.client(), name).await;
        assert_eq!(phase(&found), "Succeeded", "{name}");
        assert_eq!(status(&found, "main").restart_count, 2, "{name}");
    }
    cluster.shutdown().await;
}
