//! What the planner sees of the world: the JobSet, its Jobs, and what else exists in its namespace.

use std::collections::BTreeSet;
use std::sync::Arc;

use jobset_api::JobSet;
use jobset_api::constants;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;

use crate::pods::ChildPod;

/// One snapshot of a JobSet and its children.
///
/// Borrowed throughout: planning one event of a JobSet with ten thousand Jobs copies none of them.
/// The order of [`Observed::jobs`] does not influence the plan's meaning; where the order of equals
/// would show (the first failed Job of several that failed in one second), the Job name decides.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The JobSet as read from the API server, defaults already applied (but none relied upon).
    pub jobset: &'a JobSet,
    /// All Jobs whose *controller owner uid* is this JobSet's uid, and no others.
    pub jobs: &'a [Arc<ChildJob>],
    /// Whether a Service with the JobSet's subdomain as its name exists in the namespace, whoever
    /// owns it.
    pub service: ServiceState,
    /// Names of the PersistentVolumeClaims known to exist in the namespace. A name that is missing
    /// here although the claim exists costs one request that is answered "already exists".
    pub claims: &'a BTreeSet<String>,
    /// Pods of this JobSet, at least those of its Jobs; `None` if they are not known (yet), and then
    /// nothing is concluded from that. Needed only where [`crate::wants_pods`] says so.
    pub pods: Option<&'a [Arc<ChildPod>]>,
    /// Of the nodes that [`crate::nodes_in_question`] names, those that are gone or have stopped to
    /// report.
    pub dead_nodes: &'a [String],
    /// Whether new Pods pass through the Pod webhook. Without it, Jobs that need it for exclusive
    /// placement are not started.
    pub pod_webhook: bool,
}

/// Whether the headless Service is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// A Service of the right name exists; it is used as it is, never adopted or changed.
    Exists,
    /// No Service of that name is known.
    Missing,
}

/// Slim view of an owned Job: everything the planner ever needs, about a tenth of the whole object.
///
/// Labels are kept as the strings found, because users can edit them: what a broken label means is
/// the planner's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildJob {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`: the precondition of every change to this Job.
    pub uid: String,
    /// `metadata.resourceVersion` at which this view was taken.
    pub resource_version: String,
    /// Label `jobset.sigs.k8s.io/restart-attempt`: the global attempt the Job belongs to.
    pub restart_attempt: Option<String>,
    /// Label `jobset.sigs.k8s.io/job-restart-attempt`: the individual attempt (gate `RestartJob`).
    pub job_restart_attempt: Option<String>,
    /// Label `jobset.sigs.k8s.io/replicatedjob-name`.
    pub replicated_job: Option<String>,
    /// Label `jobset.sigs.k8s.io/job-index`.
    pub job_index: Option<String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.suspend`, absent = false.
    pub suspend: bool,
    /// Whether the Job has condition `Suspended`: the Job controller has taken note.
    pub marked_suspended: bool,
    /// `spec.parallelism` in Pods.
    pub parallelism: Option<i32>,
    /// `spec.completions` in Pods.
    pub completions: Option<i32>,
    /// Keys of the Pod template's `nodeSelector`: what an earlier admission has left there.
    pub node_selector: Vec<String>,
    /// `status.startTime`. While set, scheduling directives cannot be changed.
    pub start_time: Option<Timestamp>,
    /// `status.active`: pending and running Pods that are not terminating.
    pub active: i32,
    /// `status.ready`: active Pods that are ready.
    pub ready: i32,
    /// `status.succeeded`: Pods that succeeded.
    pub succeeded: i32,
    /// `status.failed`: Pods that failed.
    pub failed: i32,
    /// How the Job ended, if it has.
    pub outcome: Option<JobOutcome>,
    /// From the condition `FailureTarget`: the Job is going to fail once its last Pod has stopped.
    pub failing: Option<JobOutcome>,
}

/// How a Job ended, from the first of its conditions that is `Complete` or `Failed` with status
/// `True`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOutcome {
    /// Complete or Failed.
    pub kind: OutcomeKind,
    /// The condition's reason, empty if it has none.
    pub reason: String,
    /// The condition's message, empty if it has none.
    pub message: String,
    /// The condition's `lastTransitionTime`. Absent sorts before every time.
    pub time: Option<Timestamp>,
}

/// The two ways a Job can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// Condition `Complete`.
    Complete,
    /// Condition `Failed`.
    Failed,
}

impl ChildJob {
    /// Takes the slim view of a Job. Never fails: what is absent stays absent.
    #[must_use]
    pub fn from_job(job: &Job) -> Self {
        let meta = &job.metadata;
        let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).cloned();
        let spec = job.spec.as_ref();
        let status = job.status.as_ref();
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            restart_attempt: label(constants::RESTART_ATTEMPT_KEY),
            job_restart_attempt: label(constants::JOB_RESTART_ATTEMPT_KEY),
            replicated_job: label(constants::REPLICATED_JOB_NAME_KEY),
            job_index: label(constants::JOB_INDEX_KEY),
            deleting: meta.deletion_timestamp.is_some(),
            suspend: spec.and_then(|s| s.suspend).unwrap_or(false),
            marked_suspended: is_true(job, "Suspended"),
            parallelism: spec.and_then(|s| s.parallelism),
            completions: spec.and_then(|s| s.completions),
            node_selector: spec
                .and_then(|s| s.template.spec.as_ref()?.node_selector.as_ref())
                .map(|selector| selector.keys().cloned().collect())
                .unwrap_or_default(),
            start_time: status.and_then(|s| s.start_time.as_ref()).map(|t| t.0),
            active: status.and_then(|s| s.active).unwrap_or(0),
            ready: status.and_then(|s| s.ready).unwrap_or(0),
            succeeded: status.and_then(|s| s.succeeded).unwrap_or(0),
            failed: status.and_then(|s| s.failed).unwrap_or(0),
            outcome: JobOutcome::from_job(job),
            failing: JobOutcome::failing(job),
        }
    }

    /// Whether the Job has ended, and how.
    #[must_use]
    pub fn outcome_kind(&self) -> Option<OutcomeKind> {
        self.outcome.as_ref().map(|o| o.kind)
    }
}

fn is_true(job: &Job, condition: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == condition && c.status == "True")
}

impl JobOutcome {
    /// The outcome of a Job, or `None` while it runs. `FailureTarget`, `SuccessCriteriaMet` and
    /// `Suspended` do not end a Job: they say that its Pods are about to.
    #[must_use]
    pub fn from_job(job: &Job) -> Option<Self> {
        Self::first(job, |type_| match type_ {
            "Complete" => Some(OutcomeKind::Complete),
            "Failed" => Some(OutcomeKind::Failed),
            _ => None,
        })
    }

    /// The failure that a Job is bound for, while its last Pods are being stopped.
    fn failing(job: &Job) -> Option<Self> {
        Self::first(job, |type_| {
            (type_ == "FailureTarget").then_some(OutcomeKind::Failed)
        })
    }

    /// From the first true condition that `kind` knows.
    fn first(job: &Job, kind: impl Fn(&str) -> Option<OutcomeKind>) -> Option<Self> {
        let conditions = job.status.as_ref()?.conditions.as_ref()?;
        conditions
            .iter()
            .filter(|c| c.status == "True")
            .find_map(|c| {
                Some(Self {
                    kind: kind(&c.type_)?,
                    reason: c.reason.clone().unwrap_or_default(),
                    message: c.message.clone().unwrap_or_default(),
                    time: c.last_transition_time.as_ref().map(|t| t.0),
                })
            })
    }
}

#[cfg(test)]
mod tests;
