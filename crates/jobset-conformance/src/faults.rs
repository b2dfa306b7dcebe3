//! What the operator must survive: its own end, and that of what it depends on.
//!
//! Each fault strikes while Jobs are created. Afterwards each Job exists exactly once, nothing was
//! counted as a failure, and nobody was flooded with events. How long it took is reported; it
//! decides nothing, except where a time is promised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::environment::Environment;
use crate::kind::Kind;
use crate::objects::{jobset, role, role_with};
use crate::world::World;

/// Where the lease is.
const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/jobset-system/leases/6d4f6a47.jobset.x-k8s.io";
/// How long etcd and API server stand still.
const STANDSTILL: Duration = Duration::from_secs(20);
/// `leaderElection.retryPeriod` by default, with the spread that candidates keep.
const RETRY_PERIOD: Duration = Duration::from_millis(4400);
/// Between two looks at the lease.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a change of the leader may take. Only reached when something is broken.
const PATIENCE: Duration = Duration::from_mins(1);
/// Events about one JobSet that nobody would call a storm.
const FEW_EVENTS: i64 = 10;

/// How the control plane is disturbed: a program that takes `kube pause NAME` and the like.
pub struct ControlPlane {
    /// The program.
    pub program: PathBuf,
}

impl ControlPlane {
    async fn run(&self, command: &str, part: &str) -> anyhow::Result<()> {
        let mut child = Command::new(&self.program);
        let status = child.args(["kube", command, part]).status().await?;
        ensure!(status.success(), "kube {command} {part}: {status}");
        Ok(())
    }
}

/// Plays all faults one after the other; returns whether all went well.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub async fn run(environment: &Arc<Environment>, plane: &Path) -> bool {
    let plane = ControlPlane {
        program: plane.to_owned(),
    };
    let mut good = true;
    for name in [
        "leader-killed",
        "hand-over",
        "apiserver-restarted",
        "etcd-paused",
        "apiserver-paused",
    ] {
        let begin = Instant::now();
        let result = play(environment, &plane, name).await;
        let took = begin.elapsed().as_secs_f64();
        match result {
            Ok(figures) => println!("ok      {took:>6.1}s  {name:<32}{figures}"),
            Err(error) => {
                good = false;
                println!("FAILED  {took:>6.1}s  {name:<32}{error:#}");
            }
        }
    }
    good
}

async fn play(
    environment: &Arc<Environment>,
    plane: &ControlPlane,
    name: &str,
) -> anyhow::Result<String> {
    let world = World::open(environment.clone(), name).await?;
    let result = match name {
        "leader-killed" => leader_killed(&world).await,
        "hand-over" => hand_over(&world).await,
        "apiserver-restarted" => outage(&world, plane, "kube-apiserver", None).await,
        "etcd-paused" => outage(&world, plane, "etcd", Some(STANDSTILL)).await,
        _ => outage(&world, plane, "kube-apiserver", Some(STANDSTILL)).await,
    };
    let closed = world.close().await;
    let figures = result?;
    closed.map(|()| figures)
}

/// Jobs without Pods: nothing but their creation is of interest.
fn bare(jobs: u32) -> Value {
    let none = json!({"template": {"spec": {"parallelism": 0}}});
    jobset("js", vec![role_with("w", jobs, &none)])
}

async fn leader_killed(world: &World) -> anyhow::Result<String> {
    const JOBS: usize = 500;
    let mut operator = world.environment.operator.lock().await;
    operator.start_standby().await?;
    let before = holder(world).await?;
    world.create(&bare(500)).await?;
    let seen = until_jobs(world, 100).await?;
    let killed = Instant::now();
    operator.kill_leader().await?;
    let left = world.look(|state| state.names(Kind::Job).len());
    let led = until_other_holder(world, &before, killed).await?;
    until_jobs(world, left + 1).await?;
    let first = killed.elapsed();
    until_jobs(world, JOBS).await?;
    let all = killed.elapsed();
    let events = each_once(world, JOBS)?;
    Ok(format!(
        "killed at {seen} of {JOBS} Jobs: led again after {led:.1?}, first Job {first:.1?}, all \
         {all:.1?}; each once, {events} events"
    ))
}

async fn hand_over(world: &World) -> anyhow::Result<String> {
    const JOBS: usize = 200;
    let mut operator = world.environment.operator.lock().await;
    operator.start_standby().await?;
    let before = holder(world).await?;
    world.create(&bare(200)).await?;
    let seen = until_jobs(world, 20).await?;
    let asked = Instant::now();
    let (stopped, led) = tokio::join!(
        operator.stop_leader(),
        until_other_holder(world, &before, asked)
    );
    stopped?;
    let led = led?;
    until_jobs(world, JOBS).await?;
    let all = asked.elapsed();
    let events = each_once(world, JOBS)?;
    ensure!(led < RETRY_PERIOD, "led again only after {led:.1?}");
    Ok(format!(
        "asked to end at {seen} of {JOBS} Jobs: led again after {led:.1?}, all Jobs {all:.1?}; \
         each once, {events} events"
    ))
}

/// A part of the control plane is killed and started again, or stands still for a time.
async fn outage(
    world: &World,
    plane: &ControlPlane,
    part: &str,
    standstill: Option<Duration>,
) -> anyhow::Result<String> {
    const JOBS: usize = 120;
    world.create(&jobset("js", vec![role("w", 120)])).await?;
    let seen = until_jobs(world, 10).await?;
    if standstill.is_none() {
        let mut operator = world.environment.operator.lock().await;
        operator.let_refusals_pass();
    }
    let begin = Instant::now();
    let mut restarts = 0;
    let outage = async {
        match standstill {
            None => plane.run("restart", part).await,
            Some(time) => {
                plane.run("pause", part).await?;
                tokio::time::sleep(time).await;
                plane.run("resume", part).await
            }
        }
    };
    tokio::select! {
        ended = outage => ended?,
        failed = keep_alive(world, &mut restarts) => return Err(failed),
    }
    let (down, back) = (begin.elapsed(), Instant::now());
    tokio::select! {
        ready = world.until_ready("js", 120) => ready?,
        failed = keep_alive(world, &mut restarts) => return Err(failed),
    }
    let recovered = back.elapsed();
    let events = each_once(world, JOBS)?;
    Ok(format!(
        "at {seen} of {JOBS} Jobs, for {down:.1?}: all Jobs ready {recovered:.1?} later; each \
         once, {events} events, operator restarted {restarts} times"
    ))
}

/// Does what a kubelet would: starts the operator again when it has ended by itself.
async fn keep_alive(world: &World, restarts: &mut u32) -> anyhow::Error {
    loop {
        match world.environment.operator.lock().await.revive() {
            Ok(true) => *restarts += 1,
            Ok(false) => {}
            Err(error) => return error,
        }
        // A container that failed is not started again at once.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn until_jobs(world: &World, count: usize) -> anyhow::Result<usize> {
    let what = format!("there are {count} Jobs");
    world
        .until(&what, |state| {
            let present = state.names(Kind::Job).len();
            (present >= count).then_some(present)
        })
        .await
}

/// Checks that all is there once, and that nothing was taken for a failure; counts events.
fn each_once(world: &World, jobs: usize) -> anyhow::Result<i64> {
    world.look(|state| {
        let names = state.names(Kind::Job);
        ensure!(names.len() == jobs, "{} Jobs, not {jobs}", names.len());
        for name in names {
            let lives = state.incarnations(Kind::Job, name).len();
            ensure!(lives == 1, "Job {name} has had {lives} lives");
        }
        let jobset = state.get(Kind::JobSet, "js").context("no JobSet")?;
        ensure!(
            jobset["status"]["restarts"].as_i64().unwrap_or(0) == 0,
            "restarted: {}",
            jobset["status"]
        );
        let about = |event: &&Value| event["regarding"]["kind"] == "JobSet";
        let events: Vec<&Value> = state
            .all(Kind::Event)
            .map(|(_, e)| e)
            .filter(about)
            .collect();
        let count = |event: &&Value| event["series"]["count"].as_i64().unwrap_or(1);
        let sum: i64 = events.iter().map(count).sum();
        ensure!(
            sum <= FEW_EVENTS,
            "{sum} events about the JobSet: {events:?}"
        );
        Ok(sum)
    })
}

async fn holder(world: &World) -> anyhow::Result<String> {
    let lease = world
        .user
        .send(Method::GET, LEASE, "json", &Value::Null)
        .await?;
    let holder = lease["spec"]["holderIdentity"].as_str();
    Ok(holder.unwrap_or_default().to_owned())
}

/// Waits until somebody else holds the lease; how long after `since` that was.
async fn until_other_holder(
    world: &World,
    before: &str,
    since: Instant,
) -> anyhow::Result<Duration> {
    loop {
        let now = holder(world).await?;
        if !now.is_empty() && now != before {
            return Ok(since.elapsed());
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "nobody takes over from {before}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
