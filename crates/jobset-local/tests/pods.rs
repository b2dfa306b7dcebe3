//! Pods as real processes.

mod machine;

use std::time::Duration;

use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::node::RestartBackoff;
use k8s_openapi::api::core::v1::Pod;
use machine::{
    cluster, create, ended, isolated, logs, options, output, phase, pod, pods, sh, shell,
    terminated, until,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_output() {
    let cluster = cluster().await;
    let client = cluster.client();
    for (name, script, phase_wanted, code) in [
        ("good", "echo out; echo err >&2", "Succeeded", 0),
        ("bad", "exit 3", "Failed", 3),
        ("killed", "kill -9 $$$$", "Failed", 137),
    ] {
        create(&client, sh(name, script)).await;
        let pod = ended(&client, name).await;
        assert_eq!(phase(&pod), phase_wanted, "{name}");
        let end = terminated(&pod, 0);
        assert_eq!(end.exit_code, code, "{name}");
        assert_eq!(
            end.reason.as_deref(),
            Some(if code == 0 { "Completed" } else { "Error" })
        );
        assert!(end.started_at.is_some() && end.finished_at.is_some());
        let status = pod.status.unwrap();
        assert!(status.pod_ip.unwrap().starts_with("127."));
        let conditions = status.conditions.unwrap();
        let scheduled = conditions
            .iter()
            .filter(|c| c.type_ == "PodScheduled")
            .count();
        assert_eq!(scheduled, 1, "{conditions:?}");
        let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "False");
    }
    let mut lines: Vec<_> = logs(&client, "good")
        .await
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    assert_eq!(
        cluster.api().stats().total_noop_writes(),
        0,
        "{:?}",
        cluster.api().stats()
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_cannot_run_are_explained() {
    let cluster = cluster().await;
    let client = cluster.client();
    create(
        &client,
        pod(
            "none",
            json!({"restartPolicy": "Always", "containers": [
        {"name": "main", "image": "nginx:1"}]}),
        ),
    )
    .await;
    let found = ended(&client, "none").await;
    let end = terminated(&found, 0);
    assert_eq!(end.reason.as_deref(), Some("NoCommand"));
    let message = end.message.unwrap();
    assert!(
        message.contains("does not pull images") && message.contains("nginx:1"),
        "{message}"
    );

    create(
        &client,
        pod(
            "missing",
            json!({"containers": [
        {"name": "main", "image": "x", "command": ["no-such-command-anywhere"]}]}),
        ),
    )
    .await;
    let found = ended(&client, "missing").await;
    let end = terminated(&found, 0);
    assert!(matches!(end.exit_code, 127 | 128), "{end:?}");
    assert_eq!(end.reason.as_deref(), Some("StartError"));
    assert!(end.message.unwrap().contains("installed on this host"));

    create(
        &client,
        pod(
            "cwd",
            json!({"containers": [
        {"name": "main", "image": "x", "command": ["true"], "workingDir": "/no/such/dir"}]}),
        ),
    )
    .await;
    let found = ended(&client, "cwd").await;
    assert!(
        terminated(&found, 0)
            .message
            .unwrap()
            .contains("/no/such/dir")
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment() {
    let cluster = cluster().await;
    let client = cluster.client();
    let config = json!({"metadata": {"name": "config"}, "data": {"key": "from-config"}});
    let config: k8s_openapi::api::core::v1::ConfigMap = serde_json::from_value(config).unwrap();
    let spec = json!({"containers": [{
        "name": "main", "image": "x",
        "command": ["sh", "-c", "echo $IP $NAME $KEY $(GREETING) $0 $1; env"],
        "args": ["$(GREETING)", "$$(NAME)"],
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "key"}}},
            {"name": "GREETING", "value": "hello-$(NAME)"}]}]});
    create(&client, pod("env", spec)).await;
    // The ConfigMap is missing at first: the container waits, says why, and goes on by itself.
    let waiting = until(&client, "env", |pod| {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|s| s.container_statuses.as_ref());
        let waiting = statuses.and_then(|s| s[0].state.as_ref()?.waiting.as_ref());
        waiting.is_some_and(|w| w.reason.as_deref() == Some("CreateContainerConfigError"))
    })
    .await;
    assert_eq!(phase(&waiting), "Pending");
    let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::default_namespaced(client.clone());
    api.create(&kube::api::PostParams::default(), &config)
        .await
        .unwrap();
    let pod = ended(&client, "env").await;
    let ip = pod.status.unwrap().pod_ip.unwrap();
    let log = logs(&client, "env").await;
    let first = log.lines().next().unwrap();
    assert_eq!(
        first,
        format!("{ip} env from-config hello-env hello-env $(NAME)")
    );
    assert!(
        !log.contains("CARGO"),
        "the host's environment leaks:\n{log}"
    );
    assert!(log.contains("\nHOSTNAME=env\n") && log.contains("\nPATH="));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_the_host() {
    let cluster = cluster().await;
    if !isolated(&cluster).await {
        return cluster.shutdown().await;
    }
    let client = cluster.client();
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"token": "t0k"}});
    let api: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::default_namespaced(client.clone());
    api.create(
        &kube::api::PostParams::default(),
        &serde_json::from_value(secret).unwrap(),
    )
    .await
    .unwrap();
    let mounts = json!([
        {"name": "shared", "mountPath": "/no-such-top/deep/shared"},
        {"name": "secret", "mountPath": "/etc/no-such-secret"},
        {"name": "info", "mountPath": "/no-such-top/info", "readOnly": true},
        {"name": "shared", "mountPath": "/no-such-top/sub", "subPath": "a/b"}]);
    let container = |name: &str, script: &str| {
        let mut c = shell(name, script);
        c["volumeMounts"] = mounts.clone();
        c
    };
    let spec = json!({
        "initContainers": [container("first", "echo from-init > /no-such-top/deep/shared/f; \
                                               echo in-sub > /no-such-top/sub/g")],
        "containers": [container("main", "cat /no-such-top/deep/shared/f \
            /no-such-top/deep/shared/a/b/g /etc/no-such-secret/token; echo; \
            cat /no-such-top/info/labels; echo; \
            stat -c %a /etc/no-such-secret/token; \
            touch /no-such-top/info/x 2>/dev/null || echo read-only; \
            hostname; cat /etc/hostname; test -e /etc/passwd && echo host-visible; \
            printf bye > /dev/termination-log")],
        "volumes": [
            {"name": "shared", "emptyDir": {}},
            {"name": "secret", "secret": {"secretName": "s", "defaultMode": 256}},
            {"name": "info", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]});
    let mut object = pod("volumes", spec);
    object["metadata"]["labels"] = json!({"app": "x"});
    let (phase, log) = output(&client, object).await;
    let expected =
        "from-init\nin-sub\nt0k\napp=\"x\"\n400\nread-only\nvolumes\nvolumes\nhost-visible\n";
    assert_eq!((phase.as_str(), log.as_str()), ("Succeeded", expected));
    let pod = ended(&client, "volumes").await;
    assert_eq!(terminated(&pod, 0).message.as_deref(), Some("bye"));
    for path in [
        "/no-such-top",
        "/etc/no-such-secret",
        "/dev/termination-log",
    ] {
        assert!(
            !std::path::Path::new(path).exists(),
            "{path} is left on the host"
        );
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecars_probes_and_restarts() {
    let cluster = Cluster::start(ClusterOptions {
        restart_backoff: RestartBackoff {
            initial: Duration::from_millis(10),
            ..RestartBackoff::default()
        },
        ..options()
    })
    .await
    .unwrap();
    let client = cluster.client();
    // Started means that it can be stopped politely.
    let directory = tempfile::tempdir().unwrap();
    let flag = directory.path().join("ready");
    let mut sidecar = shell(
        "side",
        &format!(
            "trap 'echo stopped; exit 0' TERM; : > {}; while :; do sleep 0.01; done",
            flag.display()
        ),
    );
    sidecar["restartPolicy"] = json!("Always");
    sidecar["startupProbe"] = json!({"exec": {"command": ["test", "-e", flag]}});
    create(
        &client,
        pod(
            "side",
            json!({
        "initContainers": [sidecar], "containers": [shell("main", "echo done")]}),
        ),
    )
    .await;
    assert_eq!(phase(&ended(&client, "side").await), "Succeeded");
    let params = kube::api::LogParams {
        container: Some("side".into()),
        ..Default::default()
    };
    let log = pods(&client).logs("side", &params).await.unwrap();
    // The shell may report that its `sleep` was terminated as well.
    assert!(log.lines().any(|line| line == "stopped"), "{log:?}");

    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let script = format!("echo x >> {0}; test $(wc -l < {0}) = 4", count.display());
    create(
        &client,
        pod(
            "flaky",
            json!({
        "restartPolicy": "OnFailure", "containers": [shell("main", &script)]}),
        ),
    )
    .await;
    let found = ended(&client, "flaky").await;
    let status = &found
        .status
        .as_ref()
        .unwrap()
        .container_statuses
        .as_ref()
        .unwrap()[0];
    assert_eq!((phase(&found), status.restart_count), ("Succeeded", 3));

    let flag = directory.path().join("ready");
    let mut c = shell("main", "sleep 1000");
    c["readinessProbe"] = json!({"exec": {"command": ["test", "-e", flag]}, "periodSeconds": 1});
    create(&client, pod("ready", json!({"containers": [c]}))).await;
    let is_ready = |wanted: &'static str| {
        move |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
            let ready = conditions.and_then(|l| l.iter().find(|c| c.type_ == "Ready"));
            phase(pod) == "Running" && ready.is_some_and(|c| c.status == wanted)
        }
    };
    until(&client, "ready", is_ready("False")).await;
    std::fs::write(&flag, "").unwrap();
    until(&client, "ready", is_ready("True")).await;

    let mut c = shell("main", "sleep 1000");
    c["livenessProbe"] =
        json!({"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1});
    create(&client, pod("unhealthy", json!({"containers": [c]}))).await;
    assert_eq!(
        terminated(&ended(&client, "unhealthy").await, 0).exit_code,
        143
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_pod() {
    let cluster = cluster().await;
    let client = cluster.client();
    create(
        &client,
        pod(
            "late",
            json!({
        "activeDeadlineSeconds": 1, "containers": [shell("main", "sleep 1000")]}),
        ),
    )
    .await;
    let found = ended(&client, "late").await;
    assert_eq!(
        found.status.unwrap().reason.as_deref(),
        Some("DeadlineExceeded")
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_may_hide_the_directory_of_the_others() {
    let cluster = cluster().await;
    if !isolated(&cluster).await {
        return cluster.shutdown().await;
    }
    let client = cluster.client();
    let mut container = shell(
        "main",
        "echo 1 > /tmp/a; echo 2 > /tmp/in/b; echo 3 > /no-such/c; \
                                       cat /tmp/a /tmp/in/b /no-such/c; ls /tmp",
    );
    container["volumeMounts"] = json!([
        {"name": "one", "mountPath": "/tmp"},
        {"name": "two", "mountPath": "/tmp/in"},
        {"name": "two", "mountPath": "/no-such"}]);
    let spec = json!({"containers": [container],
        "volumes": [{"name": "one", "emptyDir": {}}, {"name": "two", "emptyDir": {}}]});
    let (phase, log) = output(&client, pod("hiding", spec)).await;
    assert_eq!(
        (phase.as_str(), log.as_str()),
        ("Succeeded", "1\n2\n3\na\nin\n")
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_costs_few_status_writes() {
    let cluster = cluster().await;
    let client = cluster.client();
    create(
        &client,
        pod(
            "thrifty",
            json!({
        "initContainers": [shell("first", "true")], "containers": [shell("main", "true")]}),
        ),
    )
    .await;
    ended(&client, "thrifty").await;
    let stats = cluster.api().stats();
    let writes = stats
        .requests
        .get(&("patch".to_owned(), "pods/status".to_owned()));
    // Two on an idle machine. Where starts are slow, each of the two containers shows that it
    // waits and that it runs.
    assert!(writes.is_some_and(|n| (1..=5).contains(n)), "{stats:?}");
    assert_eq!(stats.total_noop_writes(), 0, "{stats:?}");
    cluster.shutdown().await;
}
