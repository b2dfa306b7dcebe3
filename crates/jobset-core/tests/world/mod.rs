//! A world of one JobSet: an API server's truth, a controller's lagging caches, and Jobs whose
//! Pods start, become ready, succeed, fail and go away when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobset_api::{Feature, JobSet, RestartStrategy, conditions};
use jobset_core::why::Decision;
use jobset_core::{
    Action, ChildJob, JobOutcome, Observed, OutcomeKind, Plan, PlanOptions, ServiceState, Terminal,
    note, plan,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// A Job of the world.
#[derive(Clone, Debug)]
pub(crate) struct SimJob {
    pub(crate) view: ChildJob,
    /// Pods that exist, terminating ones included.
    pub(crate) pods: i32,
}

/// What happens to a Job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tick {
    Start,
    Ready,
    Succeed,
    Fail,
    /// The Job is bound to fail; its Pods are being stopped.
    Doom,
    /// Pods of a suspended, doomed or terminating Job end; a terminating Job goes,
    /// a doomed one has failed.
    Quiesce,
}

/// What goes wrong during one reconcile.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The n-th action (modulo their number) is answered with an error ...
    pub(crate) action: Option<usize>,
    /// ... although it was carried out.
    pub(crate) reply_lost: bool,
    /// The controller dies before it writes the status.
    pub(crate) crash: bool,
}

pub(crate) struct World {
    pub(crate) jobset: JobSet,
    pub(crate) jobs: BTreeMap<String, SimJob>,
    pub(crate) options: PlanOptions,
    service: bool,
    claims: BTreeSet<String>,
    now: Timestamp,
    revision: u64,
    uids: u64,

    cached_jobset: JobSet,
    cached_jobs: Vec<Arc<ChildJob>>,
    /// The controller has written Jobs that its cache does not show yet.
    expecting: bool,
    /// The stored counts are of the present attempt.
    counts_of_attempt: bool,
    /// A user has deleted Jobs.
    pub(crate) disturbed: bool,
    pub(crate) terminal: Vec<Terminal>,
}

impl World {
    pub(crate) fn new(spec: Value, options: PlanOptions) -> Self {
        Self::annotated(spec, Value::Null, options)
    }

    /// A world whose JobSet has these annotations.
    pub(crate) fn annotated(spec: Value, annotations: Value, options: PlanOptions) -> Self {
        let jobset: JobSet = serde_json::from_value(serde_json::json!({
            "metadata": { "name": "js", "namespace": "ns", "uid": "js-uid",
                          "resourceVersion": "1", "annotations": annotations },
            "spec": spec,
        }))
        .unwrap();
        Self {
            cached_jobset: jobset.clone(),
            jobset,
            jobs: BTreeMap::new(),
            options,
            service: false,
            claims: BTreeSet::new(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            revision: 1,
            uids: 0,
            cached_jobs: Vec::new(),
            expecting: false,
            counts_of_attempt: true,
            disturbed: false,
            terminal: Vec::new(),
        }
    }

    pub(crate) fn sync_jobset(&mut self) {
        self.cached_jobset = self.jobset.clone();
    }

    pub(crate) fn sync_jobs(&mut self) {
        self.cached_jobs = self
            .jobs
            .values()
            .map(|job| Arc::new(job.view.clone()))
            .collect();
        self.expecting = false;
    }

    pub(crate) fn set_suspend(&mut self, suspend: bool) {
        self.jobset.spec.suspend = Some(suspend);
        self.bump();
    }

    fn bump(&mut self) {
        self.revision += 1;
        self.jobset.metadata.resource_version = Some(self.revision.to_string());
    }

    pub(crate) fn delete_by_user(&mut self, nth: usize) {
        if let Some(job) = self.nth(nth) {
            job.view.deleting = true;
            self.disturbed = true;
        }
    }

    fn nth(&mut self, nth: usize) -> Option<&mut SimJob> {
        let count = self.jobs.len();
        (count > 0)
            .then(|| self.jobs.values_mut().nth(nth % count))
            .flatten()
    }

    pub(crate) fn tick(&mut self, nth: usize, tick: Tick) {
        self.now += SignedDuration::from_millis(400);
        let now = self.now;
        let Some(job) = self.nth(nth) else { return };
        let view = &mut job.view;
        let runs = !view.suspend && !view.deleting && view.outcome.is_none();
        let ends = |kind| {
            Some(JobOutcome {
                kind,
                reason: "BackoffLimitExceeded".to_owned(),
                message: "Job has reached the specified backoff limit".to_owned(),
                time: Timestamp::from_second(now.as_second()).ok(),
            })
        };
        match tick {
            Tick::Start if runs && job.pods == 0 => {
                job.pods = view.parallelism.unwrap_or(1);
                view.active = job.pods;
                view.start_time = Some(now);
            }
            Tick::Doom if runs && view.active > 0 => view.failing = ends(OutcomeKind::Failed),
            Tick::Ready if runs => view.ready = view.active,
            Tick::Succeed | Tick::Fail if runs && view.active > 0 => {
                let succeeded = matches!(tick, Tick::Succeed) && view.failing.is_none();
                view.outcome = ends(if succeeded {
                    OutcomeKind::Complete
                } else {
                    OutcomeKind::Failed
                });
                view.succeeded = if succeeded { view.active } else { 0 };
                (view.active, view.ready, job.pods) = (0, 0, 0);
            }
            Tick::Quiesce if view.failing.is_some() && view.outcome.is_none() && !view.deleting => {
                view.outcome = view.failing.clone();
                (view.active, view.ready, job.pods) = (0, 0, 0);
            }
            Tick::Quiesce if view.suspend || view.deleting => {
                (view.active, view.ready, job.pods) = (0, 0, 0);
                if view.deleting {
                    let name = view.name.clone();
                    self.jobs.remove(&name);
                }
            }
            _ => {}
        }
        self.check();
    }

    /// What the controller would do now, from its caches.
    pub(crate) fn plan(&self) -> Plan {
        let observed = Observed {
            jobset: &self.cached_jobset,
            jobs: &self.cached_jobs,
            service: if self.service {
                ServiceState::Exists
            } else {
                ServiceState::Missing
            },
            claims: &self.claims,
            pods: None,
            dead_nodes: &[],
            pod_webhook: true,
        };
        let first = plan(&observed, &self.options, self.now);
        assert_eq!(
            first,
            plan(&observed, &self.options, self.now),
            "deterministic"
        );
        first
    }

    /// One reconcile with its faults. A controller waits until its own writes are in its cache.
    pub(crate) fn reconcile(&mut self, faults: Faults) -> Plan {
        if self.expecting {
            self.sync_jobs();
        }
        let plan = self.plan();
        let count = plan.actions().count();
        let broken = faults.action.filter(|_| count > 0).map(|n| n % count);
        let mut results = vec![false; plan.steps.len()];
        let mut nth = 0;
        for (i, step) in plan.steps.iter().enumerate() {
            let mut good = true;
            for action in &step.actions {
                let fails = broken == Some(nth);
                nth += 1;
                if !fails || faults.reply_lost {
                    self.apply(action);
                }
                good &= !fails;
            }
            results[i] = good;
            if !good && !step.continue_on_error {
                break;
            }
        }
        if !faults.crash {
            let settled = plan.settle(|i| results[i]);
            for event in &settled.events {
                assert!(event.note.len() <= note::MAX_BYTES);
            }
            self.write_status(settled.status, settled.terminal, &plan.decisions);
        }
        plan
    }

    fn write_status(
        &mut self,
        status: Option<jobset_api::JobSetStatus>,
        terminal: Option<Terminal>,
        decisions: &[Decision],
    ) {
        let Some(new) = status else { return };
        if self.cached_jobset.metadata.resource_version != self.jobset.metadata.resource_version {
            return; // conflict
        }
        let old = self.jobset.status.clone().unwrap_or_default();
        // I3: counters only grow, by one decision at a time.
        assert!((0..=1).contains(&(new.restarts - old.restarts)), "I3");
        assert!(
            new.restarts_count_towards_max >= old.restarts_count_towards_max,
            "I3"
        );
        let singles = |status: &jobset_api::JobSetStatus| -> i32 {
            let entries = status.replicated_jobs_status.iter();
            entries.flat_map(|e| &e.job_restarts).sum()
        };
        assert!(singles(&new) >= singles(&old), "I3");
        let restarts = (new.restarts - old.restarts) + (singles(&new) - singles(&old));
        let decided = decisions.iter().filter(|d| d.action.starts_with("Restart"));
        assert_eq!(restarts as usize, decided.count(), "I3: once per decision");
        // Executions: once per restart of the whole set and per resumption.
        if self
            .options
            .gates
            .enabled(Feature::ExecutionAttemptsTracking)
            && let Some(before) = old.execution_attempts
        {
            let suspended = |status: &jobset_api::JobSetStatus| {
                let mut conditions = status.conditions.iter();
                conditions.any(|c| c.type_ == "Suspended" && c.status == "True")
            };
            let resumed = i32::from(suspended(&old) && !suspended(&new));
            let after = new.execution_attempts.unwrap();
            assert_eq!(
                after - before,
                (new.restarts - old.restarts) + resumed,
                "executions"
            );
        }
        if new.restarts > old.restarts || singles(&new) > singles(&old) {
            // The failed Job was there when the controller looked, though it may be gone by now.
            let fast = self.options.fast_failure_detection;
            let failed = |job: &Arc<ChildJob>| {
                job.outcome_kind() == Some(OutcomeKind::Failed) || (fast && job.failing.is_some())
            };
            assert!(
                self.cached_jobs.iter().any(failed),
                "I3: a restart without a failed Job"
            );
        }
        // I4: final is final.
        if !old.terminal_state.is_empty() {
            assert_eq!(new.terminal_state, old.terminal_state, "I4");
            assert!(terminal.is_none(), "I4: counted twice");
        }
        // I13: within an attempt, `succeeded` never falls. The write that decides a restart still
        // holds the counts of the attempt before, so the comparison starts with the one after it.
        // After the end, a Job that succeeds while it is being deleted may go.
        let same_attempt = new.restarts == old.restarts && singles(&new) == singles(&old);
        let running = old.terminal_state.is_empty() && !self.disturbed;
        if same_attempt && self.counts_of_attempt && running {
            for entry in &old.replicated_jobs_status {
                let after = new
                    .replicated_jobs_status
                    .iter()
                    .find(|e| e.name == entry.name);
                assert!(
                    after.is_some_and(|e| e.succeeded >= entry.succeeded),
                    "I13: {entry:?}"
                );
            }
        }
        self.counts_of_attempt = same_attempt;
        self.terminal.extend(terminal);
        self.jobset.status = Some(new);
        self.bump();
        self.check();
    }

    fn attempt(job: &SimJob) -> i64 {
        job.view
            .restart_attempt
            .as_deref()
            .unwrap()
            .parse()
            .unwrap()
    }

    fn apply(&mut self, action: &Action) {
        self.expecting = true;
        match action {
            Action::CreateJob { name, body } => {
                assert!(
                    !conditions::is_finished(&self.cached_jobset),
                    "I4: created after the end"
                );
                // I2: the cache shows all own writes, so no name can be taken.
                assert!(!self.jobs.contains_key(name), "I2: {name} exists");
                let mut job: Job = serde_json::from_value(body.build()).unwrap();
                self.uids += 1;
                job.metadata.uid = Some(format!("uid-{}", self.uids));
                let view = ChildJob::from_job(&job);
                assert_eq!(*name, view.name);
                let (role, index) = (view.replicated_job.as_ref(), view.job_index.as_ref());
                assert_eq!(
                    *name,
                    format!("js-{}-{}", role.unwrap(), index.unwrap()),
                    "I2"
                );
                self.jobs.insert(name.clone(), SimJob { view, pods: 0 });
            }
            Action::DeleteJob { name, uid, .. } => {
                if let Some(job) = self.jobs.get_mut(name).filter(|job| job.view.uid == *uid) {
                    job.view.deleting = true;
                }
            }
            Action::SuspendJob { name, uid } => {
                if let Some(job) = self.jobs.get_mut(name).filter(|job| job.view.uid == *uid) {
                    job.view.suspend = true;
                }
            }
            Action::ResumeJob {
                name,
                uid,
                clear_start_time,
                patch,
                ..
            } => {
                assert_eq!(patch["metadata"]["uid"], uid.as_str());
                assert_eq!(patch["spec"]["suspend"], false);
                if let Some(job) = self.jobs.get_mut(name).filter(|job| job.view.uid == *uid) {
                    assert_eq!(*clear_start_time, job.view.start_time.is_some());
                    job.view.suspend = false;
                    job.view.start_time = None;
                }
            }
            Action::ScaleJob { name, uid, pods } => {
                if let Some(job) = self.jobs.get_mut(name).filter(|job| job.view.uid == *uid) {
                    job.view.parallelism = Some(*pods);
                    job.view.completions = Some(*pods);
                }
            }
            Action::CreateService { .. } => self.service = true,
            Action::CreateClaim { name, .. } => {
                assert!(self.claims.insert(name.clone()), "asked for twice: {name}");
            }
            Action::RemovePod { .. } => panic!("no Pods are watched"),
            Action::DeleteJobSet { .. } => panic!("no time to live was set"),
        }
        self.check();
    }

    /// What must hold after every change of the truth.
    fn check(&self) {
        let policy = self.jobset.spec.failure_policy.as_ref();
        // I3: the budget.
        if let Some(status) = &self.jobset.status {
            let entries = status.replicated_jobs_status.iter();
            let singles: i32 = entries
                .flat_map(|e| &e.job_restarts_count_towards_max)
                .sum();
            let counted = status.restarts_count_towards_max + singles;
            let forgiven = status.recovery.as_ref().map_or(0, |r| r.forgiven_restarts);
            let max = policy.map_or(0, |p| p.max_restarts().max(0)) + forgiven;
            assert!(counted <= max, "I3: {counted} of {max}");
            // I4: never both.
            let both = conditions::is_true(&self.jobset, "Completed")
                && conditions::is_true(&self.jobset, "Failed");
            assert!(!both, "I4");
            for entry in &status.replicated_jobs_status {
                let role = self.jobset.replicated_job(&entry.name).unwrap();
                let unfinished = entry.active.max(entry.ready).max(entry.suspended);
                let all = entry.succeeded + entry.failed + unfinished;
                assert!(all <= role.replicas(), "I13: {entry:?}");
            }
        }
        // I7: Pods of one attempt only.
        if policy.and_then(|p| p.restart_strategy.as_ref())
            == Some(&RestartStrategy::BlockingRecreate)
        {
            let with_pods = self.jobs.values().filter(|job| job.pods > 0);
            let attempts: BTreeSet<i64> = with_pods.map(Self::attempt).collect();
            assert!(attempts.len() <= 1, "I7: {attempts:?}");
        }
    }

    /// Faults stop and Jobs run to success. Returns how many rounds it took until nothing was left
    /// to do.
    pub(crate) fn settle(&mut self) -> usize {
        let mut quiet = 0;
        for round in 0..300 {
            self.sync_jobset();
            self.sync_jobs();
            let plan = self.reconcile(Faults::default());
            // Where there is nothing to do but wait, the time is over.
            let idle = plan.steps.is_empty() && plan.status.is_none();
            if let Some(wait) = plan.requeue_after.filter(|_| idle) {
                self.now += SignedDuration::try_from(wait).unwrap() + SignedDuration::from_secs(1);
            }
            let before: Vec<_> = self.jobs.values().map(|job| job.view.clone()).collect();
            for tick in [Tick::Quiesce, Tick::Start, Tick::Ready, Tick::Succeed] {
                for nth in (0..self.jobs.len()).rev() {
                    self.tick(nth, tick);
                }
                if matches!(tick, Tick::Ready) && round % 2 == 0 {
                    break;
                }
            }
            let after: Vec<_> = self.jobs.values().map(|job| job.view.clone()).collect();
            // Jobs end in every other round only, so that readiness is seen on the way.
            quiet = if plan.is_empty() && before == after {
                quiet + 1
            } else {
                0
            };
            if quiet == 2 {
                return round;
            }
        }
        panic!("not stable after 300 rounds: {:#?}", self.plan());
    }
}
