//! Small worlds for tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use jobset_api::{Feature, JobSet, JobSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::buckets::Buckets;
use crate::counts::Counts;
use crate::draft::Draft;
use crate::model::{
    Action, ChildJob, JobOutcome, Observed, OutcomeKind, Plan, ServiceState, StepKind,
};
use crate::pods::ChildPod;
use crate::roles::Roles;
use crate::{PlanOptions, Work, create, plan_counted};

/// The moment at which tests happen.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// So many seconds before [`now`].
pub(crate) fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// `default/test-jobset` with this spec.
pub(crate) fn jobset(spec: Value) -> JobSet {
    serde_json::from_value(json!({
        "metadata": { "name": "test-jobset", "namespace": "default", "uid": "jobset-uid" },
        "spec": spec,
    }))
    .unwrap()
}

/// A replicated job with one container.
pub(crate) fn rjob(name: &str, replicas: i32) -> Value {
    json!({ "name": name, "replicas": replicas, "groupName": "default", "template": {
        "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
    }})
}

/// A Job of attempt 0 as the planner would have created it: active, one Pod wanted, none there.
pub(crate) fn job(role: &str, index: usize) -> ChildJob {
    let name = format!("test-jobset-{role}-{index}");
    ChildJob {
        uid: format!("{name}-uid"),
        name,
        namespace: "default".to_owned(),
        resource_version: "1".to_owned(),
        restart_attempt: Some("0".to_owned()),
        job_restart_attempt: Some("0".to_owned()),
        replicated_job: Some(role.to_owned()),
        job_index: Some(index.to_string()),
        parallelism: Some(1),
        completions: Some(1),
        ..ChildJob::default()
    }
}

/// Its builder methods.
pub(crate) trait JobExt: Sized {
    fn ready(self) -> Self;
    fn succeeded(self) -> Self;
    fn failed(self, reason: &str, message: &str, time: Timestamp) -> Self;
    fn attempt(self, attempt: i32) -> Self;
    fn suspended(self) -> Self;
    fn deleting(self) -> Self;
}

impl JobExt for ChildJob {
    fn ready(self) -> Self {
        Self {
            ready: 1,
            active: 1,
            ..self
        }
    }

    fn succeeded(self) -> Self {
        let outcome = JobOutcome {
            kind: OutcomeKind::Complete,
            reason: String::new(),
            message: String::new(),
            time: Some(now()),
        };
        Self {
            succeeded: 1,
            outcome: Some(outcome),
            ..self
        }
    }

    fn failed(self, reason: &str, message: &str, time: Timestamp) -> Self {
        let outcome = JobOutcome {
            kind: OutcomeKind::Failed,
            reason: reason.to_owned(),
            message: message.to_owned(),
            time: Some(time),
        };
        Self {
            outcome: Some(outcome),
            ..self
        }
    }

    fn attempt(self, attempt: i32) -> Self {
        Self {
            restart_attempt: Some(attempt.to_string()),
            ..self
        }
    }

    fn suspended(self) -> Self {
        Self {
            suspend: true,
            ..self
        }
    }

    fn deleting(self) -> Self {
        Self {
            deleting: true,
            ..self
        }
    }
}

/// A JobSet with its surroundings.
pub(crate) struct World {
    pub(crate) jobset: JobSet,
    pub(crate) jobs: Vec<Arc<ChildJob>>,
    pub(crate) service: ServiceState,
    pub(crate) claims: BTreeSet<String>,
    pub(crate) pods: Option<Vec<Arc<ChildPod>>>,
    pub(crate) dead_nodes: Vec<String>,
    pub(crate) options: PlanOptions,
    pub(crate) pod_webhook: bool,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new(spec: Value) -> Self {
        Self {
            jobset: jobset(spec),
            jobs: Vec::new(),
            service: ServiceState::Exists,
            claims: BTreeSet::new(),
            pods: None,
            dead_nodes: Vec::new(),
            options: PlanOptions::default(),
            pod_webhook: true,
            now: now(),
        }
    }

    pub(crate) fn jobs(mut self, jobs: impl IntoIterator<Item = ChildJob>) -> Self {
        self.jobs = jobs.into_iter().map(Arc::new).collect();
        self
    }

    pub(crate) fn pods(mut self, pods: impl IntoIterator<Item = ChildPod>) -> Self {
        self.pods = Some(pods.into_iter().map(Arc::new).collect());
        self
    }

    pub(crate) fn status(mut self, status: Value) -> Self {
        self.jobset.status = Some(serde_json::from_value(status).unwrap());
        self
    }

    pub(crate) fn with_status(mut self, change: impl FnOnce(&mut JobSetStatus)) -> Self {
        change(self.jobset.status.get_or_insert_default());
        self
    }

    pub(crate) fn gate(mut self) -> Self {
        self.options.gates = self.options.gates.with(Feature::RestartJob, true);
        self
    }

    pub(crate) fn annotated(mut self, key: &str, value: &str) -> Self {
        let annotations = self.jobset.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            jobset: &self.jobset,
            jobs: &self.jobs,
            service: self.service,
            claims: &self.claims,
            pods: self.pods.as_deref(),
            dead_nodes: &self.dead_nodes,
            pod_webhook: self.pod_webhook,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        plan_counted(&self.observed(), &self.options, self.now).0
    }

    pub(crate) fn work(&self) -> Work {
        plan_counted(&self.observed(), &self.options, self.now).1
    }

    /// The Jobs that are missing, whatever the policies would say first.
    pub(crate) fn constructed(&self) -> Vec<(String, Value)> {
        let observed = self.observed();
        let status = self.jobset.status.clone().unwrap_or_default();
        let individual = self.options.enabled(Feature::RestartJob);
        let mut draft = Draft::new(status.clone(), self.options, self.now);
        let roles = Roles::of(&self.jobset);
        let buckets = Buckets::sort(&observed, &roles, &status, individual, &mut draft);
        let counts = Counts::of(&buckets, &roles, &mut draft);
        let withheld = crate::pod_webhook::Withheld::of(&observed, &roles);
        create::plan(
            &observed, &roles, &counts, &buckets, &withheld, individual, &mut draft,
        );
        let (plan, _) = draft.finish();
        created(&plan)
    }

    /// Names of the Jobs that are missing.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.constructed()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    /// Names by bucket: previous, active, successful, failed.
    pub(crate) fn buckets(&self) -> [Vec<String>; 4] {
        let status = self.jobset.status.clone().unwrap_or_default();
        let individual = self.options.enabled(Feature::RestartJob);
        let mut draft = Draft::new(status.clone(), self.options, self.now);
        let roles = Roles::of(&self.jobset);
        let b = Buckets::sort(&self.observed(), &roles, &status, individual, &mut draft);
        [b.previous, b.active, b.successful, b.failed]
            .map(|list| list.iter().map(|child| child.job.name.clone()).collect())
    }
}

/// The Jobs that a plan creates.
pub(crate) fn created(plan: &Plan) -> Vec<(String, Value)> {
    plan.actions()
        .filter_map(|action| match action {
            Action::CreateJob { name, body } => Some((name.clone(), body.build())),
            _ => None,
        })
        .collect()
}

/// Names of the objects of all actions of this kind.
pub(crate) fn names(plan: &Plan, kind: StepKind) -> Vec<&str> {
    let steps = plan.steps.iter().filter(|step| step.kind == kind);
    steps
        .flat_map(|step| &step.actions)
        .map(Action::name)
        .collect()
}

/// The kinds of a plan's steps, in order.
pub(crate) fn kinds(plan: &Plan) -> Vec<StepKind> {
    plan.steps.iter().map(|step| step.kind).collect()
}

/// A condition with a time.
pub(crate) fn condition(type_: &str, status: &str, reason: &str, time: Timestamp) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        last_transition_time: Time(time),
        observed_generation: None,
    }
}

/// `(type, status, reason)` of every condition that the plan writes.
pub(crate) fn conditions(plan: &Plan) -> Vec<(String, String, String)> {
    let status = plan.status.clone().unwrap_or_default();
    status
        .conditions
        .into_iter()
        .map(|c| (c.type_, c.status, c.reason))
        .collect()
}

/// Conditions as [`conditions`] returns them.
pub(crate) fn triples(list: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    list.iter()
        .map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned()))
        .collect()
}

/// Reasons of a plan's events, in order.
pub(crate) fn reasons(plan: &Plan) -> Vec<&str> {
    plan.events
        .iter()
        .map(|event| event.reason.as_str())
        .collect()
}
