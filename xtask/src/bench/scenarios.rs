//! What is measured.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    time::Instant,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{
    Mode, Scenario,
    cluster::{Cluster, JOBS, JOBSETS, PODS, within},
    counts::Counts,
    process::Operator,
    view::View,
};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Jobs of one JobSet.
    one: usize,
    /// JobSets with [`JOBS_EACH`] Jobs.
    many: usize,
    /// Jobs of the JobSet that is restarted, suspended and resumed.
    restarted: usize,
    /// JobSets of [`Sizes::one`] Jobs that memory is measured with.
    memory: usize,
    /// Pods that are none of the operator's business.
    unrelated: usize,
}

/// Jobs of each of many JobSets.
const JOBS_EACH: usize = 4;

impl Sizes {
    pub(crate) const WHOLE: Self = Self {
        one: 1000,
        many: 500,
        restarted: 500,
        memory: 10,
        unrelated: 50_000,
    };
    pub(crate) const QUICK: Self = Self {
        one: 50,
        many: 20,
        restarted: 20,
        memory: 4,
        unrelated: 500,
    };
}

/// Figures by name, and requests by verb and resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) values: BTreeMap<&'static str, f64>,
    pub(crate) requests: BTreeMap<String, u64>,
}

impl Taken {
    fn put(&mut self, name: &'static str, value: f64) {
        self.values.insert(name, value);
    }
}

/// What all scenarios share.
pub(crate) struct World {
    cluster: Cluster,
    program: PathBuf,
    mode: Mode,
    sizes: Sizes,
    /// Jobs as the operator makes them, for the loader, by how many there are.
    bodies: HashMap<usize, Vec<Vec<u8>>>,
    namespaces: usize,
}

impl World {
    pub(crate) fn new(cluster: Cluster, program: PathBuf, mode: Mode, sizes: Sizes) -> Self {
        Self {
            cluster,
            program,
            mode,
            sizes,
            bodies: HashMap::new(),
            namespaces: 0,
        }
    }

    async fn namespace(&mut self) -> anyhow::Result<String> {
        self.namespaces += 1;
        let name = format!("bench-{}", self.namespaces);
        self.cluster.make_namespace(&name).await?;
        Ok(name)
    }

    async fn operator(&self) -> anyhow::Result<Operator> {
        Operator::start_and_settle(&self.program, &self.cluster).await
    }

    /// Seconds that the bare loader takes for these Jobs, until a watch has seen the last.
    async fn load(&mut self, jobs: usize) -> anyhow::Result<f64> {
        let namespace = self.namespace().await?;
        let path = within(JOBS, &namespace);
        let view = View::start(&self.cluster, &path).await?;
        let bodies = self.bodies.get(&jobs).context("no Jobs to load")?;
        let begin = Instant::now();
        let (answered, seen) =
            tokio::join!(self.cluster.load(&path, bodies), view.until_there_are(jobs));
        answered?;
        let took = (seen? - begin).as_secs_f64();
        drop(view);
        self.cluster.clear(&namespace).await?;
        Ok(took)
    }

    /// Remembers the Jobs of a namespace, as somebody would have to send them who wants the same.
    async fn remember(&mut self, namespace: &str, jobs: usize) -> anyhow::Result<()> {
        if self.bodies.contains_key(&jobs) {
            return Ok(());
        }
        let list = self.cluster.get(&within(JOBS, namespace)).await?;
        let items = list["items"].as_array().context("no list")?;
        let bodies = items.iter().map(|job| bare(job).to_string().into_bytes());
        self.bodies.insert(jobs, bodies.collect());
        Ok(())
    }
}

/// A Job without what the server has added, and without an owner.
fn bare(job: &Value) -> Value {
    let metadata = &job["metadata"];
    let mut spec = job["spec"].clone();
    let mut labels = metadata["labels"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("selector");
    }
    let template = &mut spec["template"]["metadata"];
    for labels in [&mut labels, &mut template["labels"]] {
        if let Some(labels) = labels.as_object_mut() {
            labels
                .retain(|name, _| !name.contains("controller-uid") && !name.ends_with("job-name"));
        }
    }
    if let Some(template) = template.as_object_mut() {
        template.retain(|_, value| !value.is_null());
    }
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": metadata["name"], "labels": labels, "annotations": metadata["annotations"],
        },
        "spec": spec,
    })
}

/// A JobSet with one role.
fn jobset(name: &str, jobs: usize) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": {"maxRestarts": 3},
            "replicatedJobs": [{
                "name": "work", "replicas": jobs,
                "template": {"spec": {
                    "parallelism": 1, "completions": 1, "backoffLimit": 0,
                    "template": {"spec": {
                        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                        "containers": [{"name": "main", "image": "example.com/work:1"}],
                    }},
                }},
            }],
        },
    })
}

/// The operator during a scenario: what it uses is what is added from here on.
struct Meter {
    operator: Operator,
    counts: Counts,
    cpu: f64,
    begin: Instant,
}

impl Meter {
    async fn start(operator: Operator) -> anyhow::Result<Self> {
        Ok(Self {
            counts: operator.counts().await?,
            cpu: operator.cpu()?,
            begin: Instant::now(),
            operator,
        })
    }

    fn until(&self, end: Instant) -> f64 {
        (end - self.begin).as_secs_f64()
    }

    /// Waits until the operator has nothing left to do and notes what it has used.
    async fn finish(mut self, taken: &mut Taken) -> anyhow::Result<Operator> {
        self.operator.until_quiet().await?;
        taken.put("cpu_s", self.operator.cpu()? - self.cpu);
        taken.put("peak_mib", self.operator.memory()?.peak);
        let counts = self.operator.counts().await?.since(&self.counts);
        let family = "jobset_controller_operations_total";
        for (name, kind) in [
            ("status_writes", "status_writes"),
            ("conflicts", "conflicts"),
            ("duplicates", "duplicate_creates"),
            ("noop_writes", "noop_writes"),
            ("events_dropped", "events_dropped"),
        ] {
            taken.put(name, counts.sum(family, "kind", kind));
        }
        for (name, code) in [
            ("answers_409", "409"),
            ("answers_422", "422"),
            ("answers_429", "429"),
        ] {
            taken.put(name, counts.answers(code));
        }
        taken.requests = counts.requests();
        Ok(self.operator)
    }
}

/// Measures once. The namespace is empty and the operator stopped before and after.
pub(crate) async fn run(
    world: &mut World,
    scenario: Scenario,
    run: usize,
) -> anyhow::Result<Taken> {
    let mut taken = Taken::default();
    match scenario {
        Scenario::Start => start(world, &mut taken).await?,
        Scenario::Memory => memory(world, &mut taken).await?,
        Scenario::One => {
            let jobs = world.sizes.one;
            compare(world, &mut taken, run, 1, jobs).await?;
        }
        Scenario::Many => {
            let jobsets = world.sizes.many;
            compare(world, &mut taken, run, jobsets, JOBS_EACH).await?;
        }
        Scenario::Restart => restart(world, &mut taken).await?,
        Scenario::Suspend => suspend(world, &mut taken).await?,
    }
    Ok(taken)
}

async fn start(world: &mut World, taken: &mut Taken) -> anyhow::Result<()> {
    let mut operator = Operator::start(&world.program, &world.cluster)?;
    taken.put("ready_s", operator.until_ready().await?.as_secs_f64());
    operator.stop()?;
    let namespace = world.namespace().await?;
    let view = View::start(&world.cluster, &within(JOBS, &namespace)).await?;
    let jobset = jobset("first", 1);
    world
        .cluster
        .post(&within(JOBSETS, &namespace), &jobset)
        .await?;
    let operator = Operator::start(&world.program, &world.cluster)?;
    let first = view.until_there_are(1).await?;
    taken.put("first_job_s", (first - operator.started()).as_secs_f64());
    operator.stop()?;
    world.cluster.clear(&namespace).await
}

/// JobSets of so many Jobs each, and the loader with the same Jobs; first the one, then, in the
/// next run, the other, so that neither has always the better half of the time.
async fn compare(
    world: &mut World,
    taken: &mut Taken,
    run: usize,
    jobsets: usize,
    each: usize,
) -> anyhow::Result<()> {
    let jobs = jobsets * each;
    let loader_first = run % 2 == 1;
    if loader_first {
        let loader = world.load(jobs).await?;
        taken.put("loader_s", loader);
    }
    create(world, taken, jobsets, each).await?;
    if !loader_first {
        let loader = world.load(jobs).await?;
        taken.put("loader_s", loader);
    }
    ratio(taken, "created_s", "created_ratio");
    Ok(())
}

fn ratio(taken: &mut Taken, time: &str, name: &'static str) {
    if let (Some(time), Some(loader)) = (taken.values.get(time), taken.values.get("loader_s")) {
        taken.put(name, time / loader);
    }
}

async fn create(
    world: &mut World,
    taken: &mut Taken,
    jobsets: usize,
    each: usize,
) -> anyhow::Result<()> {
    let jobs = jobsets * each;
    let namespace = world.namespace().await?;
    let seen_jobs = View::start(&world.cluster, &within(JOBS, &namespace)).await?;
    let path = within(JOBSETS, &namespace);
    let seen_jobsets = View::start(&world.cluster, &path).await?;
    let bodies: Vec<Vec<u8>> = (0..jobsets)
        .map(|n| jobset(&format!("js-{n}"), each).to_string().into_bytes())
        .collect();
    let meter = Meter::start(world.operator().await?).await?;
    let (submitted, created) = tokio::join!(
        world.cluster.load(&path, &bodies),
        seen_jobs.until_there_are(jobs)
    );
    taken.put("submitted_s", submitted?.as_secs_f64());
    taken.put("created_s", meter.until(created?));
    if world.mode == Mode::Full {
        let ready = seen_jobsets
            .until("all Jobs are ready", |jobsets| {
                jobsets
                    .values()
                    .map(super::view::Seen::ready)
                    .sum::<usize>()
                    >= jobs
            })
            .await?;
        taken.put("ready_s", meter.until(ready));
    }
    let operator = meter.finish(taken).await?;
    operator.stop()?;
    if world.mode == Mode::Full && jobsets > 1 {
        warm(world, taken).await?;
    }
    world.remember(&namespace, jobs).await?;
    drop((seen_jobs, seen_jobsets));
    world.cluster.clear(&namespace).await
}

/// A start with everything there already.
async fn warm(world: &World, taken: &mut Taken) -> anyhow::Result<()> {
    let operator = world.operator().await?;
    taken.put("warm_cpu_s", operator.cpu()?);
    let memory = operator.memory()?;
    taken.put("warm_peak_mib", memory.peak);
    taken.put("warm_mib", memory.now);
    operator.stop()
}

/// A settled operator with one JobSet, whose Jobs are all there.
async fn with_jobset(world: &mut World, jobs: usize) -> anyhow::Result<(String, View, Operator)> {
    let namespace = world.namespace().await?;
    let view = View::start(&world.cluster, &within(JOBS, &namespace)).await?;
    let mut operator = world.operator().await?;
    let body = jobset("js", jobs);
    world
        .cluster
        .post(&within(JOBSETS, &namespace), &body)
        .await?;
    view.until_there_are(jobs).await?;
    operator.until_quiet().await?;
    world.remember(&namespace, jobs).await?;
    Ok((namespace, view, operator))
}

async fn restart(world: &mut World, taken: &mut Taken) -> anyhow::Result<()> {
    let jobs = world.sizes.restarted;
    let (namespace, view, operator) = with_jobset(world, jobs).await?;
    let old: HashSet<String> = view.look(|o| o.values().map(|job| job.uid().to_owned()).collect());
    let path = format!("{}/js-work-0/status", within(JOBS, &namespace));
    let now = world
        .cluster
        .get(&format!("{}/js-work-0", within(JOBS, &namespace)))
        .await?;
    let now = &now["metadata"]["creationTimestamp"];
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "bench",
            "lastTransitionTime": now, "lastProbeTime": now,
        })
    };
    let failed = json!({"status": {
        "startTime": now, "failed": 1,
        "conditions": [condition("FailureTarget"), condition("Failed")],
    }});
    let meter = Meter::start(operator).await?;
    world.cluster.merge(&path, &failed).await?;
    let deleted = async {
        view.until("the old Jobs are being deleted", |objects| {
            objects
                .values()
                .all(|job| job.is_deleting() || !old.contains(job.uid()))
        })
        .await
    };
    let created = async {
        view.until("there are new Jobs", |objects| {
            objects
                .values()
                .filter(|job| !old.contains(job.uid()))
                .count()
                >= jobs
        })
        .await
    };
    let (deleted, created) = tokio::try_join!(deleted, created)?;
    taken.put("deleted_s", meter.until(deleted));
    taken.put("recreated_s", meter.until(created));
    meter.finish(taken).await?.stop()?;
    drop(view);
    world.cluster.clear(&namespace).await?;
    let loader = world.load(jobs).await?;
    taken.put("loader_s", loader);
    ratio(taken, "recreated_s", "recreated_ratio");
    Ok(())
}

async fn suspend(world: &mut World, taken: &mut Taken) -> anyhow::Result<()> {
    let jobs = world.sizes.restarted;
    let (namespace, view, operator) = with_jobset(world, jobs).await?;
    let path = format!("{}/js", within(JOBSETS, &namespace));
    let meter = Meter::start(operator).await?;
    let begin = Instant::now();
    world
        .cluster
        .merge(&path, &json!({"spec": {"suspend": true}}))
        .await?;
    let suspended = view
        .until("all Jobs are suspended", |objects| {
            objects.values().all(super::view::Seen::is_suspended)
        })
        .await?;
    taken.put("suspended_s", (suspended - begin).as_secs_f64());
    let begin = Instant::now();
    world
        .cluster
        .merge(&path, &json!({"spec": {"suspend": false}}))
        .await?;
    let resumed = view
        .until("no Job is suspended", |objects| {
            !objects.values().any(super::view::Seen::is_suspended)
        })
        .await?;
    taken.put("resumed_s", (resumed - begin).as_secs_f64());
    meter.finish(taken).await?.stop()?;
    drop(view);
    world.cluster.clear(&namespace).await?;
    let loader = world.load(jobs).await?;
    taken.put("loader_s", loader);
    ratio(taken, "suspended_s", "suspended_ratio");
    ratio(taken, "resumed_s", "resumed_ratio");
    Ok(())
}

async fn memory(world: &mut World, taken: &mut Taken) -> anyhow::Result<()> {
    let operator = world.operator().await?;
    let idle = operator.memory()?;
    taken.put("idle_mib", idle.now);
    taken.put("idle_peak_mib", idle.peak);

    let namespace = world.namespace().await?;
    let Sizes {
        one,
        memory,
        unrelated,
        ..
    } = world.sizes;
    let view = View::start(&world.cluster, &within(JOBS, &namespace)).await?;
    let bodies: Vec<Vec<u8>> = (0..memory)
        .map(|n| jobset(&format!("js-{n}"), one).to_string().into_bytes())
        .collect();
    world
        .cluster
        .load(&within(JOBSETS, &namespace), &bodies)
        .await?;
    view.until_there_are(memory * one).await?;
    drop(view);
    let mut operator = operator;
    operator.until_quiet().await?;
    let loaded = operator.memory()?;
    taken.put("loaded_mib", loaded.now);
    taken.put("loaded_peak_mib", loaded.peak);
    operator.stop()?;
    let operator = world.operator().await?;
    taken.put("loaded_restart_peak_mib", operator.memory()?.peak);
    taken.put("loaded_restart_cpu_s", operator.cpu()?);
    operator.stop()?;
    world.cluster.clear(&namespace).await?;

    let namespace = world.namespace().await?;
    let pods: Vec<Vec<u8>> = (0..unrelated)
        .map(|n| pod(n).to_string().into_bytes())
        .collect();
    world.cluster.load(&within(PODS, &namespace), &pods).await?;
    let operator = world.operator().await?;
    let among = operator.memory()?;
    taken.put("unrelated_mib", among.now);
    taken.put("unrelated_peak_mib", among.peak);
    taken.put("unrelated_growth_mib", among.peak - idle.peak);
    operator.stop()
}

/// A Pod that nobody schedules.
fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "labels": {"app": "unrelated"}},
        "spec": {
            "schedulerName": "nobody", "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "example.com/unrelated:1"}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_added_is_left_out() {
        let uid = "batch.kubernetes.io/controller-uid";
        let job = json!({
            "metadata": {
                "name": "a", "uid": "1", "ownerReferences": [{}], "labels": {uid: "1", "b": "2"},
                "annotations": {"c": "3"},
            },
            "spec": {
                "selector": {},
                "template": {"metadata": {"creationTimestamp": null, "labels": {uid: "1", "b": "2"}}},
            },
            "status": {"active": 1},
        });
        assert_eq!(
            bare(&job),
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": "a", "labels": {"b": "2"}, "annotations": {"c": "3"}},
                "spec": {"template": {"metadata": {"labels": {"b": "2"}}}},
            })
        );
    }
}
