//! One Job of a large JobSet fails, and all of them are deleted and created again.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use futures::{Stream, StreamExt as _};
use jobset_api::{FeatureGates, JobSet, conditions, constants};
use jobset_local::cluster::ClusterOptions;
use jobset_local::node::{EXIT_CODE, FakeRuntime, Runtime};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::figures::{counts, forget_peak, head, memory, row, sizes, times};
use crate::world::{Asked, PATIENCE, World};

const NAME: &str = "storm";

#[derive(Args)]
pub(crate) struct Options {
    /// Jobs of the JobSet, each with one Pod
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Failures, one after the other
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    restarts: u16,
}

/// One restart.
struct Restart {
    /// From the order that a Pod should fail to its Job's condition.
    failed: Duration,
    /// From there on.
    deleted: Duration,
    created: Duration,
    ready: Duration,
    asked: Asked,
    memory_before: u64,
    memory_peak: u64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let fake = FakeRuntime {
        succeed_after: None,
        ..FakeRuntime::default()
    };
    let cluster = ClusterOptions {
        runtime: Runtime::Fake(fake),
        ..ClusterOptions::default()
    };
    let world = World::start(cluster, FeatureGates::default()).await?;
    let result = measure(&world, options).await;
    world.stop().await?;
    show(options, &result?);
    Ok(())
}

async fn measure(world: &World, options: &Options) -> anyhow::Result<Vec<Restart>> {
    world.create(jobset(options.jobs, options.restarts)).await?;
    let ready = |jobset: &JobSet| is_ready(jobset, options.jobs, 0);
    world.until(NAME, ready).await?;
    let mut before = world.asked_in_the_end().await;
    let mut restarts = Vec::new();
    for attempt in 1..=i32::from(options.restarts) {
        let (memory_before, _) = memory()?;
        forget_peak()?;
        let mut seen = fail_one(world, usize::from(options.jobs), attempt).await?;
        world
            .until(NAME, |jobset| is_ready(jobset, options.jobs, attempt))
            .await?;
        let after = world.asked_in_the_end().await;
        seen.asked = after.since(&before);
        (seen.memory_before, seen.memory_peak) = (memory_before, memory()?.1);
        restarts.push(seen);
        before = after;
    }
    Ok(restarts)
}

fn jobset(jobs: u16, restarts: u16) -> Value {
    let container = json!({"name": "main", "image": "none", "command": ["true"]});
    let pod = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
    let job = json!({"spec": {"backoffLimit": 0, "template": pod}});
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": {"maxRestarts": restarts},
            "replicatedJobs": [{"name": "workers", "replicas": jobs, "template": job}],
        },
    })
}

fn is_ready(jobset: &JobSet, jobs: u16, attempt: i32) -> bool {
    let Some(status) = &jobset.status else {
        return false;
    };
    let ready: i32 = status.replicated_jobs_status.iter().map(|r| r.ready).sum();
    let restarting = conditions::is_true(jobset, "RestartingJobSet");
    status.restarts == attempt && ready == i32::from(jobs) && !restarting
}

/// Tells one Pod to fail and follows the Jobs until all of them are there again.
async fn fail_one(world: &World, jobs: usize, attempt: i32) -> anyhow::Result<Restart> {
    let client = world.cluster.client();
    let mut view = View::new(jobs, attempt);
    let events = watcher(
        Api::<Job>::default_namespaced(client.clone()),
        watcher::Config::default(),
    );
    let mut events = pin!(events);
    // What is there already is no news.
    while let Some(event) = events.next().await {
        if matches!(event?, Event::InitDone) {
            break;
        }
    }
    let pods: Api<Pod> = Api::default_namespaced(client);
    let victim = pods.list(&ListParams::default().limit(1)).await?;
    let victim = victim.items.first().context("there is no Pod")?.name_any();
    let told = Instant::now();
    let order = json!({"metadata": {"annotations": {EXIT_CODE: "1"}}});
    pods.patch(&victim, &PatchParams::default(), &Patch::Merge(&order))
        .await?;
    timeout(PATIENCE, view.follow(&mut events))
        .await
        .context("not all Jobs came back")??;
    let failed = view.failed.context("no Job failed")?;
    let after = |at: Option<Instant>| at.map(|at| at.duration_since(failed));
    Ok(Restart {
        failed: failed.duration_since(told),
        deleted: after(view.deleted).context("not all Jobs were deleted")?,
        created: after(view.created).context("not all Jobs were created")?,
        ready: after(view.ready).context("not all Jobs were ready")?,
        asked: Asked::default(),
        memory_before: 0,
        memory_peak: 0,
    })
}

/// When what was seen of the Jobs.
struct View {
    jobs: usize,
    attempt: String,
    gone: usize,
    /// Jobs of the new attempt, and whether they are ready.
    new: HashMap<String, bool>,
    failed: Option<Instant>,
    deleted: Option<Instant>,
    created: Option<Instant>,
    ready: Option<Instant>,
}

impl View {
    fn new(jobs: usize, attempt: i32) -> Self {
        Self {
            jobs,
            attempt: attempt.to_string(),
            gone: 0,
            new: HashMap::new(),
            failed: None,
            deleted: None,
            created: None,
            ready: None,
        }
    }

    async fn follow(
        &mut self,
        events: &mut (impl Stream<Item = Result<Event<Job>, watcher::Error>> + Unpin),
    ) -> anyhow::Result<()> {
        while self.ready.is_none() {
            match events.next().await.context("the watch ended")?? {
                Event::Apply(job) => self.apply(&job),
                Event::Delete(_) => {
                    self.gone += 1;
                    if self.gone == self.jobs {
                        self.deleted = Some(Instant::now());
                    }
                }
                // What happened meanwhile is lost, and with it the times.
                _ => bail!("the watch had to begin anew"),
            }
        }
        Ok(())
    }

    fn apply(&mut self, job: &Job) {
        let status = job.status.as_ref();
        let conditions = status.and_then(|s| s.conditions.as_ref());
        let failed =
            conditions.is_some_and(|l| l.iter().any(|c| c.type_ == "Failed" && c.status == "True"));
        if failed {
            self.failed.get_or_insert_with(Instant::now);
        }
        if job.labels().get(constants::RESTART_ATTEMPT_KEY) != Some(&self.attempt) {
            return;
        }
        let ready = status.and_then(|s| s.ready) == Some(1);
        self.new.insert(job.name_any(), ready);
        if self.new.len() == self.jobs {
            self.created.get_or_insert_with(Instant::now);
            if self.new.values().all(|ready| *ready) {
                self.ready.get_or_insert_with(Instant::now);
            }
        }
    }
}

fn show(options: &Options, restarts: &[Restart]) {
    let time = |of: fn(&Restart) -> Duration| times(restarts.iter().map(of));
    let sent = |verb, resource| {
        counts(
            restarts
                .iter()
                .map(|r| r.asked.by_controller(verb, resource)),
        )
    };
    let jobs = u64::from(options.jobs);
    let writes = |r: &Restart| r.asked.by_controller("patch", "jobsets/status");
    let total = |r: &Restart| r.asked.controller.values().sum::<u64>();
    let title = format!("{jobs} Jobs, {} restarts", restarts.len());
    head(&[&title, "median (range)"]);
    row(&[
        &"Pod told to fail → its Job has failed",
        &time(|r| r.failed),
    ]);
    row(&[
        &"Job has failed → all old Jobs are gone",
        &time(|r| r.deleted),
    ]);
    row(&[
        &"Job has failed → all new Jobs are created",
        &time(|r| r.created),
    ]);
    row(&[
        &"Job has failed → all new Jobs are ready",
        &time(|r| r.ready),
    ]);
    row(&[&"controller: delete jobs", &sent("delete", "jobs")]);
    row(&[&"controller: create jobs", &sent("create", "jobs")]);
    row(&[
        &"controller: patch jobsets/status",
        &sent("patch", "jobsets/status"),
    ]);
    row(&[&"controller: create events", &sent("create", "events")]);
    row(&[
        &"controller: all requests",
        &counts(restarts.iter().map(total)),
    ]);
    let minimum = |r: &Restart| 2 * jobs + writes(r);
    let label = "minimum: a delete and a create for each Job, status writes";
    row(&[&label, &counts(restarts.iter().map(minimum))]);
    let in_vain = counts(restarts.iter().map(|r| r.asked.in_vain));
    row(&[&"controller: creates and status writes in vain", &in_vain]);
    let all = |r: &Restart| r.asked.all.values().sum::<u64>();
    row(&[
        &"requests of all parts of the cluster",
        &counts(restarts.iter().map(all)),
    ]);
    row(&[
        &"memory before",
        &sizes(restarts.iter().map(|r| r.memory_before)),
    ]);
    row(&[
        &"peak memory, the whole cluster in one process",
        &sizes(restarts.iter().map(|r| r.memory_peak)),
    ]);
}
