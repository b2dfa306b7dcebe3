//! Main-container mode: the worker as a child.

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, until};
use crate::process::{Agent, RESTART, lonely};

/// A shell that is everywhere.
const SHELL: (&str, &str) = ("SHELL", "sh");

/// Waits for a file without looking more often than a test does.
fn wait_for(file: &str) -> String {
    format!("until [ -e {file} ]; do sleep 0.02; done")
}

async fn until_exists(cluster: &Cluster, file: &str) {
    let path = cluster.path(file);
    until(&format!("{file} exists"), async || path.exists()).await;
}

/// An agent whose worker runs already, as far as its barrier goes.
async fn lifted(cluster: &Cluster, script: &str, more: &[(&str, &str)]) -> Agent {
    cluster.set_attempts(None, None).await;
    let variables = [&[SHELL, ("WORKER_COMMAND", script)], more].concat();
    let mut agent = Agent::start(cluster, "pod", &variables);
    agent.until_log("waiting for the others").await;
    cluster.set_attempts(Some(0), None).await;
    agent
}

#[tokio::test]
async fn the_worker_waits_for_its_attempt_and_gives_the_exit_code() {
    let cluster = lonely().await;
    cluster.set_attempts(Some(3), Some(2)).await;
    let script = r#"echo "$GREETING from $POD_NAME"; cat; exit 7"#;
    let variables = [SHELL, ("WORKER_COMMAND", script), ("GREETING", "hello")];
    let mut agent = Agent::start(&cluster, "pod", &variables);
    cluster.until_reported("pod", "4").await;
    agent.until_log("waiting for the others").await;
    assert!(
        !agent.log().contains("hello"),
        "not before the others are there"
    );
    cluster.set_attempts(Some(4), Some(3)).await;
    let log = agent.until_exit(7).await;
    assert!(log.contains("hello from pod"), "{log}");

    for (script, code) in [
        ("exit 0", 0),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
    ] {
        lifted(&cluster, script, &[]).await.until_exit(code).await;
    }
    let none = [("SHELL", "no-such-shell")];
    let log = lifted(&cluster, "exit 0", &none).await.until_exit(1).await;
    assert!(log.contains("cannot run no-such-shell"), "{log}");
}

#[tokio::test]
async fn signals_reach_the_worker_and_everything_it_has_started() {
    for (signal, code, name) in [(Signal::SIGTERM, 143, "TERM"), (Signal::SIGINT, 130, "INT")] {
        let cluster = lonely().await;
        // Both shells say that they got it; the outer one ends well.
        let script = format!(
            "trap 'echo outer got {name}' {name}
             sh -c 'trap \"echo inner got {name}; exit\" {name}; touch started; {forever}'
             {then}
             exit 0",
            forever = "while :; do sleep 0.02; done",
            then = wait_for("may-end"),
        );
        let mut agent = lifted(&cluster, &script, &[]).await;
        until_exists(&cluster, "started").await;
        agent.signal(signal);
        agent.until_log("inner got").await;
        agent.until_log("outer got").await;
        assert_eq!(agent.ended(), None, "the worker has the Pod's grace period");
        std::fs::write(cluster.path("may-end"), "").unwrap();
        agent.until_exit(code).await;
    }
}

#[tokio::test]
async fn other_signals_are_passed_on_too() {
    let cluster = lonely().await;
    let script = format!(
        "trap 'touch got-usr1' USR1; touch started; {}; exit 5",
        wait_for("got-usr1")
    );
    let agent = lifted(&cluster, &script, &[]).await;
    until_exists(&cluster, "started").await;
    agent.signal(Signal::SIGUSR1);
    agent.until_exit(5).await;
}

#[tokio::test]
async fn a_restart_lets_the_worker_end_first() {
    let cluster = lonely().await;
    let script = format!(
        "trap 'touch cleaned-up; exit 0' TERM; touch started; {}",
        wait_for("never")
    );
    let agent = lifted(&cluster, &script, &[]).await;
    until_exists(&cluster, "started").await;
    cluster.set_attempts(Some(0), Some(0)).await;
    agent.until_exit(RESTART).await;
    assert!(cluster.path("cleaned-up").exists());
}

#[tokio::test]
async fn a_worker_that_does_not_end_is_killed_with_all_its_children() {
    let cluster = lonely().await;
    let script = format!(
        "trap '' TERM
         sh -c 'echo $$ > child; while :; do sleep 0.02; done' &
         {}",
        wait_for("never")
    );
    let grace = [("WORKER_GRACE_SECONDS", "0")];
    let agent = lifted(&cluster, &script, &grace).await;
    until("the child runs", async || {
        child(&cluster, "child").is_some()
    })
    .await;
    let child = child(&cluster, "child").unwrap();
    cluster.set_attempts(Some(0), Some(0)).await;
    agent.until_exit(RESTART).await;
    until("the child is gone", async || !is_alive(child)).await;
}

#[tokio::test]
async fn what_the_worker_leaves_behind_goes_with_it() {
    let cluster = lonely().await;
    let script = "sh -c 'echo $$ > child; while :; do sleep 0.02; done' &
                  until [ -s child ]; do sleep 0.02; done; exit 4";
    let agent = lifted(&cluster, script, &[]).await;
    agent.until_exit(4).await;
    let child = child(&cluster, "child").unwrap();
    until("the child is gone", async || !is_alive(child)).await;
}

#[tokio::test]
async fn orphans_are_collected() {
    let cluster = lonely().await;
    let script = format!(
        "(sh -c 'echo $$ > orphan; {}' &)
         {}",
        wait_for("go"),
        wait_for("end")
    );
    let agent = lifted(&cluster, &script, &[]).await;
    until("the orphan is the agent's", async || {
        child(&cluster, "orphan").is_some_and(|pid| parent(pid) == Some(agent.pid()))
    })
    .await;
    let orphan = child(&cluster, "orphan").unwrap();
    std::fs::write(cluster.path("go"), "").unwrap();
    // A zombie would still be there.
    until("the orphan is collected", async || parent(orphan).is_none()).await;
    std::fs::write(cluster.path("end"), "").unwrap();
    agent.until_exit(0).await;
}

/// The process id in a file, once it is written.
fn child(cluster: &Cluster, file: &str) -> Option<i32> {
    let text = std::fs::read_to_string(cluster.path(file)).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

/// The parent of a process, if the process exists.
fn parent(pid: i32) -> Option<i32> {
    field(pid, "PPid:")?.parse().ok()
}

/// Whether it runs: a zombie that nobody collects does not.
fn is_alive(pid: i32) -> bool {
    field(pid, "State:").is_some_and(|state| state != "Z")
}

fn field(pid: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(str::to_owned)
}
