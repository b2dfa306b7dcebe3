//! Recovery of small JobSets whose Pods are processes: in place, against new Pods.
//!
//! The workers themselves say when they run, through a named pipe, so that the time is the same thing
//! for all strategies: from the moment at which one worker is told to fail until all run again.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jobset_api::{FeatureGates, JobSet, conditions};
use jobset_local::cluster::ClusterOptions;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::time::{sleep, timeout};

use crate::figures::{counts, head, row, times};
use crate::world::{Asked, PATIENCE, World};

const NAME: &str = "work";
const PODS_PER_JOB: u16 = 4;
/// The node restarts all containers of a Pod at most once a second; failures come more slowly.
const PAUSE: Duration = Duration::from_millis(1500);

#[derive(Args)]
pub(crate) struct Options {
    /// Sizes of the JobSet in Pods, each a multiple of 4
    #[arg(long, value_delimiter = ',', default_values_t = [8, 64], value_parser = size)]
    pods: Vec<u16>,
    /// Failures for each size and strategy
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    failures: u16,
}

fn size(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(pods) if pods > 0 && pods % PODS_PER_JOB == 0 => Ok(pods),
        _ => Err(format!("not a multiple of {PODS_PER_JOB}")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Recreate,
    Sidecar,
    MainContainer,
}

impl Strategy {
    fn words(self) -> &'static str {
        match self {
            Self::Recreate => "Recreate",
            Self::Sidecar => "InPlaceRestart, agent as a sidecar",
            Self::MainContainer => "InPlaceRestart, agent as the main container",
        }
    }

    fn is_in_place(self) -> bool {
        self != Self::Recreate
    }
}

/// One recovery.
struct Recovery {
    time: Duration,
    asked: Asked,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for &pods in &options.pods {
        for strategy in [
            Strategy::Recreate,
            Strategy::Sidecar,
            Strategy::MainContainer,
        ] {
            let recoveries = measure(strategy, pods, options.failures)
                .await
                .with_context(|| format!("{pods} Pods, {}", strategy.words()))?;
            rows.push((pods, strategy, recoveries));
        }
    }
    head(&[
        "Pods",
        "strategy",
        "failures",
        "failure → all workers run again, median (range)",
        "Pods created",
        "requests of all parts",
    ]);
    for (pods, strategy, recoveries) in rows {
        let created = |r: &Recovery| r.asked.by_all("create", "pods");
        let all = |r: &Recovery| r.asked.all.values().sum::<u64>();
        row(&[
            &pods,
            &strategy.words(),
            &recoveries.len(),
            &times(recoveries.iter().map(|r| r.time)),
            &counts(recoveries.iter().map(created)),
            &counts(recoveries.iter().map(all)),
        ]);
    }
    Ok(())
}

async fn measure(strategy: Strategy, pods: u16, failures: u16) -> anyhow::Result<Vec<Recovery>> {
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let cluster = ClusterOptions {
        launcher: vec![program.clone().into(), crate::LAUNCH.into()],
        tools: jobset_agent::NAMES
            .map(|name| (name.to_owned(), program.clone()))
            .into(),
        // For the agents.
        listen: Some(([127, 0, 0, 1], 0).into()),
        ..ClusterOptions::default()
    };
    let gates = FeatureGates::parse("InPlaceRestart=true").map_err(anyhow::Error::msg)?;
    let directory = tempfile::tempdir()?;
    let world = World::start(cluster, gates).await?;
    let result = recoveries(&world, directory.path(), strategy, pods, failures).await;
    world.stop().await?;
    result
}

async fn recoveries(
    world: &World,
    directory: &Path,
    strategy: Strategy,
    pods: u16,
    failures: u16,
) -> anyhow::Result<Vec<Recovery>> {
    let mut workers = Workers::new(directory, pods)?;
    world
        .create(jobset(strategy, pods, failures, &workers))
        .await?;
    workers.all_run().await?;
    let mut found = Vec::new();
    for attempt in 0..i32::from(failures) {
        let settled = |jobset: &JobSet| is_settled(jobset, strategy, pods, attempt);
        world.until(NAME, settled).await?;
        sleep(PAUSE).await;
        let before = world.asked_in_the_end().await;
        let failed_at = workers.fail_one().await?;
        workers.all_run().await?;
        let time = failed_at.elapsed();
        let settled = |jobset: &JobSet| is_settled(jobset, strategy, pods, attempt + 1);
        world.until(NAME, settled).await?;
        let asked = world.asked_in_the_end().await.since(&before);
        found.push(Recovery { time, asked });
    }
    Ok(found)
}

/// Whether all Pods are ready in this attempt, and the JobSet says so.
fn is_settled(jobset: &JobSet, strategy: Strategy, pods: u16, attempt: i32) -> bool {
    let Some(status) = &jobset.status else {
        return false;
    };
    let ready: i32 = status.replicated_jobs_status.iter().map(|r| r.ready).sum();
    let present = if strategy.is_in_place() {
        status.current_in_place_restart_attempt == Some(attempt)
    } else {
        status.restarts == attempt && !conditions::is_true(jobset, "RestartingJobSet")
    };
    present && ready == i32::from(pods / PODS_PER_JOB)
}

/// The pipes through which the workers are heard and told.
struct Workers {
    pods: usize,
    runs: PathBuf,
    orders: PathBuf,
    heard: Lines<BufReader<pipe::Receiver>>,
}

impl Workers {
    fn new(directory: &Path, pods: u16) -> anyhow::Result<Self> {
        let (runs, orders) = (directory.join("runs"), directory.join("orders"));
        for path in [&runs, &orders] {
            mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        // Open for writing too, so that it does not end when nobody writes.
        let receiver = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&runs)?;
        Ok(Self {
            pods: usize::from(pods),
            heard: BufReader::new(receiver).lines(),
            runs,
            orders,
        })
    }

    /// What a worker does: it says that it runs, and works until it is stopped; one of them waits for
    /// the order to fail.
    fn script(&self) -> String {
        format!(
            r#"me=$JOB-$JOB_COMPLETION_INDEX
            echo "$me" > "{}"
            if [ "$me" = 0-0 ]; then read -r order < "{}"; exit 1; fi
            exec sleep 1000000"#,
            self.runs.display(),
            self.orders.display()
        )
    }

    /// Waits until each worker has said that it runs.
    async fn all_run(&mut self) -> anyhow::Result<()> {
        let mut running = BTreeSet::new();
        timeout(PATIENCE, async {
            while running.len() < self.pods {
                let worker = self.heard.next_line().await?.context("the pipe ended")?;
                running.insert(worker);
            }
            anyhow::Ok(())
        })
        .await
        .with_context(|| format!("only {} workers run", running.len()))?
    }

    /// Tells a worker to fail. The moment at which it is told.
    async fn fail_one(&self) -> anyhow::Result<Instant> {
        let path = self.orders.clone();
        let told = tokio::task::spawn_blocking(move || {
            // Waits until the worker listens.
            let mut orders = OpenOptions::new().write(true).open(path)?;
            let now = Instant::now();
            orders.write_all(b"fail\n")?;
            std::io::Result::Ok(now)
        });
        Ok(timeout(PATIENCE, told)
            .await
            .context("no worker listens")???)
    }
}

fn jobset(strategy: Strategy, pods: u16, failures: u16, workers: &Workers) -> Value {
    let in_place = strategy.is_in_place();
    let mut job = json!({
        "parallelism": PODS_PER_JOB, "completions": PODS_PER_JOB, "backoffLimit": 0,
        "template": {"spec": pod(strategy, &workers.script())},
    });
    if in_place {
        job["backoffLimit"] = i32::MAX.into();
        job["podReplacementPolicy"] = "Failed".into();
    }
    let name = if in_place {
        "InPlaceRestart"
    } else {
        "Recreate"
    };
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": {"maxRestarts": failures, "restartStrategy": name},
            "replicatedJobs": [{
                "name": "workers",
                "replicas": pods / PODS_PER_JOB,
                "template": {"spec": job},
            }],
        },
    })
}

fn pod(strategy: Strategy, script: &str) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let env = json!([
        field(
            "JOBSET_NAME",
            "metadata.annotations['jobset.sigs.k8s.io/jobset-name']"
        ),
        field("POD_NAME", "metadata.name"),
        field("JOB", "metadata.labels['jobset.sigs.k8s.io/job-index']"),
    ]);
    let with_agent = |mut env: Value| {
        if let Some(list) = env.as_array_mut() {
            list.push(json!({"name": "SHELL", "value": "sh"}));
            list.push(json!({"name": "WORKER_COMMAND", "value": script}));
        }
        env
    };
    let restarting_all = |mut container: Value| {
        let exit_codes = json!({"operator": "NotIn", "values": [0]});
        container["restartPolicyRules"] =
            json!([{"action": "RestartAllContainers", "exitCodes": exit_codes}]);
        container
    };
    let worker = json!({
        "name": "worker", "image": "none", "env": env, "command": ["sh", "-c", script],
        "restartPolicy": "Never",
    });
    let agent = json!({
        "name": "agent", "image": "none", "env": env, "command": ["jobset-agent"],
        "restartPolicy": "Always",
        "startupProbe": {
            "httpGet": {"path": "/barrier-is-down", "port": 8081},
            "periodSeconds": 1, "failureThreshold": 3600,
        },
    });
    let mut pod = match strategy {
        Strategy::Recreate => json!({"containers": [worker]}),
        Strategy::Sidecar => json!({
            "initContainers": [restarting_all(agent)],
            "containers": [restarting_all(worker)],
        }),
        Strategy::MainContainer => json!({"containers": [restarting_all(json!({
            "name": "worker", "image": "none", "env": with_agent(env.clone()),
            "command": ["jobset-agent"], "restartPolicy": "Never",
        }))]}),
    };
    pod["restartPolicy"] = "Never".into();
    pod
}
