//! Process trees end with their Pods, and everything ends with the cluster.

#![allow(clippy::unwrap_used, reason = "test code")]

mod machine;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::DeleteParams;
use machine::{cluster, create, gone, logs, options, phase, pod, pods, sh, shell, until};
use serde_json::json;

/// Set for the copy of this test binary that hosts a cluster to be killed.
const HOST: &str = "JOBSET_TEST_HOST_DIRECTORY";

/// Processes whose command line contains `text`, this one left out.
fn running(text: &str) -> Vec<u32> {
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(text)
        })
        .collect()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < machine::LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number of seconds to sleep that no other process sleeps: the mark of a test's processes.
fn mark(n: u32) -> String {
    format!(
        "{}",
        1_000_000_000 + n * 1_000_000 + std::process::id() % 1_000_000
    )
}

/// Starts a child, and a grandchild that has left session, group and parents; none obeys SIGTERM.
fn stubborn(mark: &str) -> String {
    format!(
        "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep {mark} & sleep {mark}' &); \
             echo up; while :; do sleep {mark}; done"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_tree_is_killed_after_the_grace_period() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mark = mark(1);
    let mut object = sh("stubborn", &stubborn(&mark));
    object["spec"]["terminationGracePeriodSeconds"] = json!(1);
    create(&client, object).await;
    until(&client, "stubborn", |pod| phase(pod) == "Running").await;
    eventually("three processes sleep", || running(&mark).len() >= 3);
    pods(&client)
        .delete("stubborn", &DeleteParams::default())
        .await
        .unwrap();
    gone(&client, "stubborn").await;
    assert_eq!(running(&mark), [0; 0]);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_does_not_outlive_its_container() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mark = mark(2);
    create(
        &client,
        sh(
            "daemon",
            &format!("(setsid sleep {mark} >/dev/null 2>&1 &); echo up"),
        ),
    )
    .await;
    machine::ended(&client, "daemon").await;
    assert_eq!(running(&mark), [0; 0]);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_comes_first_and_hooks_before_it() {
    let cluster = cluster().await;
    let client = cluster.client();
    let mut container = shell(
        "main",
        "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.01; done",
    );
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("note");
    let say = |word: &str| json!({"exec": {"command": ["sh", "-c", format!("echo {word} >> {}", note.display())]}});
    container["lifecycle"] = json!({"postStart": say("started"), "preStop": say("stopping")});
    let mut object = pod("polite", json!({"containers": [container]}));
    // Keeps the object, and with it its log, until the test has read it.
    object["metadata"]["finalizers"] = json!(["test.example.com/keep"]);
    create(&client, object).await;
    until(&client, "polite", |pod| phase(pod) == "Running").await;
    let mut lines = cluster.subscribe_logs();
    assert_eq!(std::fs::read_to_string(&note).unwrap(), "started\n");
    pods(&client)
        .delete("polite", &DeleteParams::default())
        .await
        .unwrap();
    while lines.recv().await.unwrap().line != "term" {}
    until(&client, "polite", |pod| phase(pod) == "Succeeded").await;
    assert_eq!(
        std::fs::read_to_string(&note).unwrap(),
        "started\nstopping\n"
    );
    let log = logs(&client, "polite").await;
    assert!(log.starts_with("up\n") && log.contains("term\n"), "{log}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_leaves_nothing() {
    let before = leftovers();
    let cluster = cluster().await;
    let client = cluster.client();
    let mark = mark(3);
    create(&client, sh("stubborn", &stubborn(&mark))).await;
    eventually("three processes sleep", || running(&mark).len() >= 3);
    let own: Vec<_> = leftovers()
        .into_iter()
        .filter(|p| !before.contains(p))
        .collect();
    assert!(!own.is_empty());
    cluster.shutdown().await;
    assert_eq!(running(&mark), [0; 0]);
}

/// Temporary directories of clusters.
fn leftovers() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries
        .map(|e| e.path())
        .filter(|p| is_scratch(p))
        .collect()
}

fn is_scratch(path: &Path) -> bool {
    path.file_name()
        .and_then(|n| n.to_str())
        .is_some_and(|n| n.starts_with("jobset-"))
}

/// Not a test of its own: hosts a cluster until it is killed, when asked to by the environment.
#[tokio::test(flavor = "multi_thread")]
async fn host() {
    let Ok(directory) = std::env::var(HOST) else {
        return;
    };
    let directory = Path::new(&directory);
    let cluster = cluster().await;
    let client = cluster.client();
    let mark = std::fs::read_to_string(directory.join("mark")).unwrap();
    for name in ["one", "two"] {
        create(&client, sh(name, &stubborn(&mark))).await;
        until(&client, name, |pod| phase(pod) == "Running").await;
    }
    std::fs::write(directory.join("up"), "").unwrap();
    std::future::pending::<()>().await;
}

fn start_host(directory: &Path, mark: &str) -> Child {
    std::fs::write(directory.join("mark"), mark).unwrap();
    let temporary = directory.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env(HOST, directory)
        .env("TMPDIR", &temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the host is up", || {
        directory.join("up").exists() && running(mark).len() >= 6
    });
    host
}

#[test]
fn a_killed_host_leaves_nothing() {
    for signal in [
        nix::sys::signal::Signal::SIGKILL,
        nix::sys::signal::Signal::SIGTERM,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mark = mark(4 + signal as u32);
        let mut host = start_host(directory.path(), &mark);
        let temporary = directory.path().join("tmp");
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1);
        let pid = nix::unistd::Pid::from_raw(host.id().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
        host.wait().unwrap();
        eventually("all processes are gone", || running(&mark).is_empty());
        eventually("all files are gone", || {
            std::fs::read_dir(&temporary).unwrap().count() == 0
        });
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(temporary.to_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_cluster_knows_its_lost_processes() {
    let directory = tempfile::tempdir().unwrap();
    let durable = || jobset_local::cluster::ClusterOptions {
        data_dir: Some(directory.path().to_owned()),
        ..options()
    };
    let cluster = jobset_local::cluster::Cluster::start(durable())
        .await
        .unwrap();
    let pod = create(&cluster.client(), sh("survivor", "sleep 1000")).await;
    until(&cluster.client(), "survivor", |pod| phase(pod) == "Running").await;
    cluster.shutdown().await;
    let cluster = jobset_local::cluster::Cluster::start(durable())
        .await
        .unwrap();
    let found = machine::ended(&cluster.client(), "survivor").await;
    assert_eq!((found.uid(), phase(&found)), (pod.uid(), "Failed"));
    let end = machine::terminated(&found, 0);
    assert_eq!(
        (end.exit_code, end.reason.as_deref()),
        (137, Some("ContainerStatusUnknown"))
    );
    cluster.shutdown().await;
}
