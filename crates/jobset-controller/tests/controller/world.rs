//! A server, a controller, and hands to play the rest of a cluster.

use std::fmt::Debug;
use std::time::Duration;

use embedded_apiserver::ApiServer;
use jobset_api::{JobSet, constants, defaulting};
use jobset_controller::{Clock, Controller, ControllerOptions, Stats};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::transport::Transport;

/// Simulated time after which a condition that does not come true fails the test.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) transport: Transport,
    client: Client,
    clock: Clock,
    options: ControllerOptions,
    running: Option<Running>,
}

struct Running {
    shutdown: CancellationToken,
    stats: Arc<Stats>,
    task: JoinHandle<()>,
}

impl World {
    /// A server that knows JobSets, and no controller yet.
    pub(crate) async fn without_controller() -> Self {
        let start = Instant::now();
        let epoch = Timestamp::from_second(1_800_000_000).unwrap();
        let now = move || epoch + SignedDuration::try_from(start.elapsed()).unwrap();
        let server = ApiServer::builder().clock(Arc::new(now)).build();
        let client = Client::new(server.router(), "default");
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        crds.create(&PostParams::default(), &jobset_api::crd::crd())
            .await
            .unwrap();
        let clock = Clock::from_fn(now);
        Self {
            server,
            transport: Transport::new(),
            client,
            clock,
            options: ControllerOptions::default(),
            running: None,
        }
    }

    pub(crate) async fn start() -> Self {
        let mut world = Self::without_controller().await;
        world.start_controller();
        world
    }

    /// A world whose controller has these options; clock and seed are the world's.
    pub(crate) async fn start_with(options: ControllerOptions) -> Self {
        let mut world = Self::without_controller().await;
        world.options = options;
        world.start_controller();
        world
    }

    pub(crate) fn start_controller(&mut self) {
        self.start_controller_with_clock(|now| now);
    }

    /// The controller's clock is `distort` of the world's.
    pub(crate) fn start_controller_with_clock(
        &mut self,
        distort: impl FnMut(Timestamp) -> Timestamp + Send + 'static,
    ) {
        let (clock, distort) = (self.clock.clone(), Mutex::new(distort));
        let options = ControllerOptions {
            clock: Clock::from_fn(move || {
                let mut distort = distort.lock().unwrap_or_else(PoisonError::into_inner);
                distort(clock.now())
            }),
            request_timeout: Duration::from_secs(5),
            seed: 42,
            ..self.options.clone()
        };
        let client = self.transport.client(self.server.router());
        let controller = Controller::new(client, options);
        let stats = controller.stats();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move { controller.run(token).await.unwrap() });
        self.running = Some(Running {
            shutdown,
            stats,
            task,
        });
    }

    /// The controller stops in the middle of whatever it does.
    pub(crate) async fn kill_controller(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            let _ = running.task.await;
        }
    }

    /// The controller is asked to end, and does.
    pub(crate) async fn stop_controller(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown.cancel();
            running.task.await.unwrap();
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.running.as_ref().unwrap().stats
    }

    pub(crate) fn jobsets(&self) -> Api<JobSet> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn jobs(&self) -> Api<Job> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn services(&self) -> Api<Service> {
        Api::default_namespaced(self.client.clone())
    }

    /// Creates the JobSet as the admission webhook would let it pass.
    pub(crate) async fn create(&self, mut jobset: Value) {
        defaulting::default_value(&mut jobset);
        let jobset: JobSet = serde_json::from_value(jobset).unwrap();
        self.jobsets()
            .create(&PostParams::default(), &jobset)
            .await
            .unwrap();
    }

    pub(crate) async fn jobset(&self, name: &str) -> JobSet {
        self.jobsets().get(name).await.unwrap()
    }

    pub(crate) async fn patch_jobset(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.jobsets()
            .patch(name, &params, &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub(crate) async fn delete_jobset(&self, name: &str) {
        self.jobsets()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Reasons of all events so far, sorted, repeated as often as they occurred.
    pub(crate) async fn event_reasons(&self) -> Vec<String> {
        let api: Api<Event> = Api::default_namespaced(self.client.clone());
        let events = api.list(&ListParams::default()).await.unwrap();
        let mut reasons: Vec<String> = events
            .into_iter()
            .flat_map(|event| {
                let count = event.series.as_ref().map_or(1, |series| series.count);
                vec![event.reason.unwrap_or_default(); usize::try_from(count).unwrap()]
            })
            .collect();
        reasons.sort();
        reasons
    }

    /// Notes of all events with this reason.
    pub(crate) async fn event_notes(&self, reason: &str) -> Vec<String> {
        let api: Api<Event> = Api::default_namespaced(self.client.clone());
        let events = api.list(&ListParams::default()).await.unwrap();
        let events = events.into_iter();
        events
            .filter(|event| event.reason.as_deref() == Some(reason))
            .filter_map(|event| event.note)
            .collect()
    }

    pub(crate) async fn list_jobs(&self) -> Vec<Job> {
        self.jobs()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
    }

    /// What the Job controller and kubelets would do in the end: this status.
    pub(crate) async fn set_job_status(&self, name: &str, status: Value) {
        let patch = json!({"status": status});
        let params = PatchParams::default();
        self.jobs()
            .patch_status(name, &params, &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    pub(crate) async fn run_job(&self, name: &str) {
        self.set_job_status(
            name,
            json!({"active": 1, "ready": 1, "startTime": self.now()}),
        )
        .await;
    }

    pub(crate) async fn complete_job(&self, name: &str) {
        self.finish_job(name, "Complete", json!({"succeeded": 1}))
            .await;
    }

    pub(crate) async fn fail_job(&self, name: &str) {
        self.finish_job(name, "Failed", json!({"failed": 1})).await;
    }

    async fn finish_job(&self, name: &str, condition: &str, mut status: Value) {
        status["active"] = json!(0);
        status["ready"] = json!(0);
        status["startTime"] = self.now();
        status["conditions"] = json!([{
            "type": condition, "status": "True", "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
            "lastTransitionTime": self.now(), "lastProbeTime": self.now(),
        }]);
        if condition == "Complete" {
            status["completionTime"] = self.now();
        }
        self.set_job_status(name, status).await;
    }

    fn now(&self) -> Value {
        json!(self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// What the garbage collector would do: lets Jobs go that wait for their Pods, and deletes
    /// those whose owner is gone.
    pub(crate) async fn collect_garbage(&self) {
        let jobsets = self.jobsets().list(&ListParams::default()).await.unwrap();
        for jobset in &jobsets {
            if jobset.metadata.deletion_timestamp.is_some() {
                let patch = json!({"metadata": {"finalizers": null}});
                let name = jobset.name_any();
                let _ = self
                    .jobsets()
                    .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await;
            }
        }
        for job in self.list_jobs().await {
            let name = job.name_any();
            if job.metadata.deletion_timestamp.is_some() {
                let patch = json!({"metadata": {"finalizers": null}});
                let _ = self
                    .jobs()
                    .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await;
                continue;
            }
            let orphan = job.owner_references().iter().any(|owner| {
                owner.kind == constants::KIND
                    && !jobsets.iter().any(|jobset| jobset.uid() == owner.uid)
            });
            if orphan {
                let _ = self.jobs().delete(&name, &DeleteParams::background()).await;
            }
        }
    }

    /// Waits until `look` gives something, collecting garbage meanwhile.
    pub(crate) async fn until<T, F>(&self, what: impl Debug, mut look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let start = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if start.elapsed() > PATIENCE {
                let jobs: Vec<_> = self.list_jobs().await.iter().map(describe).collect();
                let jobsets = self.jobsets().list(&ListParams::default()).await.unwrap();
                let states: Vec<_> = jobsets.iter().map(|jobset| &jobset.status).collect();
                panic!("{what:?} does not come true: jobs {jobs:?}, jobsets {states:#?}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause + pause / 4).min(Duration::from_millis(250));
            self.collect_garbage().await;
        }
    }

    /// Waits until exactly these Jobs exist, each as "name@attempt", none being deleted.
    pub(crate) async fn until_jobs(&self, expected: &[&str]) {
        self.until(expected, || async {
            let jobs = self.list_jobs().await;
            let mut names: Vec<_> = jobs.iter().map(describe).collect();
            names.sort();
            let settled = jobs
                .iter()
                .all(|job| job.metadata.deletion_timestamp.is_none());
            (settled && names == expected).then_some(())
        })
        .await;
    }

    /// Waits until the JobSet has this condition with this status.
    pub(crate) async fn until_condition(&self, name: &str, type_: &str, status: &str) {
        self.until((name, type_, status), || async {
            let jobset = self.jobsets().get_opt(name).await.unwrap()?;
            let conditions = jobset.status?.conditions;
            conditions
                .iter()
                .any(|c| c.type_ == type_ && c.status == status)
                .then_some(())
        })
        .await;
    }

    /// I1: nothing more is written once everything has settled.
    pub(crate) async fn assert_quiet(&self) {
        // Counts of repeated events are brought up to date once a minute.
        tokio::time::sleep(Duration::from_mins(2)).await;
        let before = self.transport.writes();
        tokio::time::sleep(Duration::from_mins(10)).await;
        let writes: Vec<_> = self
            .transport
            .calls()
            .into_iter()
            .filter(crate::transport::Call::is_write)
            .skip(before)
            .collect();
        assert!(writes.is_empty(), "{writes:?}");
        let mut noop_writes = self.server.stats().noop_writes;
        // Those are made by this test, which may say the same about a Job twice.
        noop_writes.remove(&("patch".to_owned(), "jobs/status".to_owned()));
        assert!(noop_writes.is_empty(), "{noop_writes:?}");
    }
}

/// "name@attempt", with "!" when suspended.
fn describe(job: &Job) -> String {
    let attempt = job
        .labels()
        .get(constants::RESTART_ATTEMPT_KEY)
        .map_or("?", String::as_str);
    let suspended = job
        .spec
        .as_ref()
        .and_then(|spec| spec.suspend)
        .unwrap_or(false);
    format!(
        "{}@{attempt}{}",
        job.name_any(),
        if suspended { "!" } else { "" }
    )
}

/// A JobSet with the given replicated jobs, as (name, replicas), and further fields of its spec.
pub(crate) fn jobset(name: &str, roles: &[(&str, i32)], spec: Value) -> Value {
    let roles: Vec<Value> = roles
        .iter()
        .map(|(role, replicas)| {
            json!({
                "name": role,
                "replicas": replicas,
                "template": {"spec": {"template": {"spec": {
                    "containers": [{"name": "main", "image": "busybox", "command": ["true"]}],
                }}}},
            })
        })
        .collect();
    let mut jobset = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": roles},
    });
    for (key, value) in spec.as_object().unwrap() {
        jobset["spec"][key] = value.clone();
    }
    jobset
}
