//! Who works, and who does not.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Seen, eventually};
use crate::replica::Replica;

/// Times for a leader that is to lose the lease soon.
const SHORT: &str = "leaderElection:
  resourceNamespace: jobset-system
  leaseDuration: 4s
  renewDeadline: 3s
  retryPeriod: 500ms
extensions: {webhooks: false}
";
/// The default times: a slow machine does not lose the lease.
const USUAL: &str = "leaderElection: {resourceNamespace: jobset-system}
extensions: {webhooks: false}
";

fn replica(cluster: &Cluster, name: &str, configuration: &str) -> Replica {
    let configuration = cluster.configuration(configuration);
    let config = format!("--config={}", configuration.display());
    Replica::start(&cluster.kubeconfig(name), &[&config])
}

/// A replica that leads, and one that waits with full caches.
async fn pair(cluster: &Cluster, configuration: &str) -> (Replica, Replica) {
    let first = replica(cluster, "first", configuration);
    first.is_leader().await;
    let second = replica(cluster, "second", configuration);
    second.logged("another replica holds the lease").await;
    second.logged("caches are complete").await;
    (first, second)
}

/// Writes of a client but those about the lease itself.
fn writes<'a>(seen: &'a [Seen], client: &str) -> Vec<&'a Seen> {
    seen.iter()
        .filter(|seen| seen.is_write() && seen.client == client)
        .filter(|seen| !seen.path.contains("/leases"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_alone_works() {
    let cluster = Cluster::start().await;
    let (_first, _second) = pair(&cluster, USUAL).await;
    cluster.create_jobset("js", 3).await;
    cluster.wait_for_jobs(3).await;
    let seen = cluster.seen();
    assert!(writes(&seen, "second").is_empty());
    assert!(!writes(&seen, "first").is_empty());
    assert!(
        seen.iter().all(|seen| seen.agent.starts_with("jobset/v")),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_in_the_middle_of_500_jobs_is_replaced_and_nothing_is_doubled() {
    let cluster = Cluster::start().await;
    let (mut first, mut second) = pair(&cluster, USUAL).await;
    cluster.hold_creations_after(200);
    cluster.create_jobset("js", 500).await;
    eventually("the creations wait", async || cluster.creations() > 200).await;
    first.signal(Signal::SIGKILL);
    let killed = Instant::now();
    first.ended().await;
    cluster.hold_creations_after(usize::MAX);
    second.is_leader().await;
    second.while_it_lives(cluster.wait_for_jobs(500)).await;
    let mut jobs = cluster.jobs().await;
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), 500);
    let seen = cluster.seen();
    let first_write = writes(&seen, "second").first().unwrap().at;
    let last_write = seen
        .iter()
        .filter(|seen| seen.creates_a_job())
        .map(|seen| seen.at)
        .max();
    println!(
        "takeover after SIGKILL with a lease of 15 s: first write after {:?}, 500 Jobs after {:?}",
        first_write - killed,
        last_write.unwrap() - killed
    );
    let of = |code: u16| {
        let creations = seen.iter().filter(|seen| seen.creates_a_job());
        creations.filter(|seen| seen.code == code).count()
    };
    assert_eq!(of(201), 500);
    // What was on its way when the leader died may have been carried out unseen.
    assert!(of(409) <= 50, "{} duplicate creations", of(409));
}

/// The former leader comes back to life long after somebody else leads: nothing of what it was about
/// to write may leave it.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_frozen_for_longer_than_its_lease_writes_nothing_any_more() {
    let cluster = Cluster::start().await;
    let (mut first, mut second) = pair(&cluster, USUAL).await;
    cluster.hold_creations_after(100);
    cluster.create_jobset("js", 400).await;
    // The leader has creations on their way, and hundreds to go.
    eventually("the creations wait", async || cluster.creations() > 100).await;
    first.signal(Signal::SIGSTOP);
    cluster.hold_creations_after(usize::MAX);
    second.is_leader().await;
    second.while_it_lives(cluster.wait_for_jobs(400)).await;
    // Everything that had left the first before it froze has arrived by now.
    let before = writes(&cluster.seen(), "first").len();
    first.signal(Signal::SIGCONT);
    let status = first.ended().await;
    assert_eq!(status.code(), Some(1), "{}", first.text());
    let seen = cluster.seen();
    let of_first = writes(&seen, "first");
    assert_eq!(of_first.len(), before, "{:?}", &of_first[before..]);
    assert_eq!(cluster.jobs().await.len(), 400);
    let text = first.text();
    assert!(text.contains("lost the lease"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_end_hands_over_within_one_retry_period() {
    let cluster = Cluster::start().await;
    let (mut first, second) = pair(&cluster, USUAL).await;
    first.signal(Signal::SIGTERM);
    assert!(first.ended().await.success(), "{}", first.text());
    second.is_leader().await;
    let seen = cluster.seen();
    let about_the_lease = |client: &str| {
        let leases = seen.iter().filter(|seen| seen.path.contains("/leases"));
        leases
            .filter(|seen| seen.is_write() && seen.client == client && seen.code == 200)
            .map(|seen| seen.at)
            .collect::<Vec<_>>()
    };
    let released = *about_the_lease("first").last().unwrap();
    let taken = *about_the_lease("second").first().unwrap();
    println!("handed over within {:?}", taken - released);
    assert!(taken - released <= Duration::from_secs(2));
    cluster.create_jobset("js", 3).await;
    cluster.wait_for_jobs(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_for_a_while_is_survived() {
    let mut cluster = Cluster::start().await;
    let mut only = replica(&cluster, "only", USUAL);
    only.is_leader().await;
    cluster.create_jobset("before", 3).await;
    cluster.wait_for_jobs(3).await;
    cluster.close();
    cluster.create_jobset("meanwhile", 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.open().await;
    cluster.wait_for_jobs(6).await;
    cluster.create_jobset("after", 3).await;
    cluster.wait_for_jobs(9).await;
    only.signal(Signal::SIGINT);
    assert!(only.ended().await.success(), "{}", only.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_ends() {
    let mut cluster = Cluster::start().await;
    let mut only = replica(&cluster, "only", SHORT);
    only.is_leader().await;
    cluster.close();
    assert_eq!(only.ended().await.code(), Some(1), "{}", only.text());
    assert!(only.text().contains("leader election lost"));
}
