//! What the planner answers: a [`Plan`] of [`Step`]s and [`Action`]s, the status to write after
//! them, and the events to send after that.

use std::time::Duration;

use jobset_api::{JobSetStatus, constants};
use serde_json::Value;

use crate::job_body::JobBody;
pub use crate::observed::{ChildJob, JobOutcome, Observed, OutcomeKind, ServiceState};
use crate::settle::Settlement;
use crate::why::Decision;

/// Everything to do for one JobSet at one moment.
///
/// Execute [`Plan::steps`] in order, then write the status, then send the events. If every step
/// succeeded, that is [`Plan::status`] and [`Plan::events`]; if one failed, ask [`Plan::settle`],
/// which leaves out what only the failed steps would have made true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// The whole status to write with the JobSet's resourceVersion as precondition, or `None` if
    /// it would not change. Assumes that all steps succeeded.
    pub status: Option<JobSetStatus>,
    /// Events to send after the status write succeeded, in this order.
    pub events: Vec<Event>,
    /// Plan again after this time even if nothing happens.
    pub requeue_after: Option<Duration>,
    /// Set when this plan's status makes the JobSet Completed or Failed. Count it after the status
    /// write succeeded, never before: a conflict would count it twice.
    pub terminal: Option<Terminal>,
    /// For the log: what is odd about the objects seen, and what was assumed instead.
    pub warnings: Vec<String>,
    /// Something that only a changed object or another try can mend; retry with back-off. The
    /// steps and the status are still to be carried out.
    pub error: Option<String>,
    /// What the failure policy decided, to be told after the status write succeeded, in addition to
    /// the events.
    pub decisions: Vec<Decision>,
    pub(crate) settlement: Settlement,
}

/// A set of actions that are independent of each other and may run concurrently.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What the step is for.
    pub kind: StepKind,
    /// The actions. Attempt all of them, whatever happens to the others.
    pub actions: Vec<Action>,
    /// Whether later steps still run if an action of this one failed. True for steps that later
    /// ones do not build upon: deletion of outdated Jobs, suspension. A failure is reported and
    /// retried in either case.
    pub continue_on_error: bool,
}

/// What a [`Step`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Remove Pods that do not go because their node is dead.
    RemovePods,
    /// Delete what a finished JobSet still runs.
    DeleteActive,
    /// Delete Jobs of an earlier attempt.
    DeletePrevious,
    /// Stop the Pods of a suspended JobSet.
    Suspend,
    /// Create the headless Service.
    Service,
    /// Create claims of the volume claim policies.
    Claims,
    /// Change the size of unfinished Jobs.
    Scale,
    /// Create missing Jobs.
    CreateJobs,
    /// Start suspended Jobs of a running JobSet.
    Resume,
    /// Delete the JobSet itself: its time after finishing is over.
    DeleteJobSet,
}

/// Deletion propagation of the Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// The object stays until everything it owns is gone.
    Foreground,
    /// The object goes at once, what it owns follows.
    Background,
}

impl Propagation {
    /// The value of `propagationPolicy` in a delete request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "Foreground",
            Self::Background => "Background",
        }
    }
}

/// One request to the API server, in the JobSet's namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create a Job. "Already exists" is success if the Job there has this JobSet's uid as its
    /// controller owner, and a name clash to report otherwise.
    CreateJob {
        /// Name of the Job.
        name: String,
        /// The object.
        body: JobBody,
    },
    /// Delete a Job. "Not found" is success, and so is a uid mismatch: that Job is gone.
    DeleteJob {
        /// Name of the Job.
        name: String,
        /// Precondition: exactly this incarnation.
        uid: String,
        /// How.
        propagation: Propagation,
    },
    /// Set `spec.suspend` with [`Action::suspend_patch`] as merge patch.
    SuspendJob {
        /// Name of the Job.
        name: String,
        /// Precondition: exactly this incarnation (part of the patch).
        uid: String,
    },
    /// Start a suspended Job with the scheduling directives of the present template.
    ResumeJob {
        /// Name of the Job.
        name: String,
        /// Precondition: exactly this incarnation (part of the patch).
        uid: String,
        /// `status.startTime` is set. API servers before Kubernetes 1.36 then refuse new scheduling
        /// directives (422) until it is set to null with [`Action::clear_start_time_patch`] on the
        /// `status` subresource.
        clear_start_time: bool,
        /// The Job has condition `Suspended`. Without it, later API servers refuse new scheduling
        /// directives (422); that passes by itself.
        marked: bool,
        /// The patch carries resources of containers, which the server may refuse to change.
        resources: bool,
        /// Strategic merge patch of the Job.
        patch: Value,
    },
    /// Set `spec.parallelism` and `spec.completions` with [`Action::scale_patch`] as merge patch.
    ScaleJob {
        /// Name of the Job.
        name: String,
        /// Precondition: exactly this incarnation (part of the patch).
        uid: String,
        /// Pods that the Job shall have.
        pods: i32,
    },
    /// Create the headless Service.
    CreateService {
        /// Name of the Service.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// Create a PersistentVolumeClaim. "Already exists" is success, whoever owns it; remember the
    /// name in [`Observed::claims`].
    CreateClaim {
        /// Name of the claim.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// Delete a Pod at once, with a grace period of zero. "Not found" is success, and so is a uid
    /// mismatch.
    RemovePod {
        /// Name of the Pod.
        name: String,
        /// Precondition: exactly this incarnation.
        uid: String,
    },
    /// Delete the JobSet itself.
    DeleteJobSet {
        /// Name of the JobSet.
        name: String,
        /// Precondition: exactly this incarnation.
        uid: String,
        /// How.
        propagation: Propagation,
    },
}

impl Action {
    /// Name of the object that the action is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::CreateJob { name, .. }
            | Self::DeleteJob { name, .. }
            | Self::SuspendJob { name, .. }
            | Self::ResumeJob { name, .. }
            | Self::ScaleJob { name, .. }
            | Self::CreateService { name, .. }
            | Self::CreateClaim { name, .. }
            | Self::RemovePod { name, .. }
            | Self::DeleteJobSet { name, .. } => name,
        }
    }

    /// Reason of the Warning event that reports a failure of this action at once, if the API has
    /// one. Collect the failures of one step into one event, see [`crate::note::summary`].
    /// `refused` says that the server would not do it, rather than that it could not be reached.
    #[must_use]
    pub fn failure_event(&self, refused: bool) -> Option<&'static str> {
        match self {
            Self::CreateJob { .. } => Some(constants::events::JOB_CREATION_FAILED),
            Self::CreateService { .. } => Some(constants::events::HEADLESS_SERVICE_CREATION_FAILED),
            Self::CreateClaim { .. } => Some(constants::events::PVC_CREATION_FAILED),
            Self::ResumeJob {
                resources: true, ..
            } if refused => Some(constants::events::FAILED_RESOURCE_PROPAGATION),
            Self::DeleteJob { .. }
            | Self::SuspendJob { .. }
            | Self::ResumeJob { .. }
            | Self::ScaleJob { .. }
            | Self::RemovePod { .. }
            | Self::DeleteJobSet { .. } => None,
        }
    }

    /// JSON merge patch that suspends the Job with this uid.
    #[must_use]
    pub fn suspend_patch(uid: &str) -> Value {
        serde_json::json!({ "metadata": { "uid": uid }, "spec": { "suspend": true } })
    }

    /// JSON merge patch that gives the Job with this uid so many Pods.
    #[must_use]
    pub fn scale_patch(uid: &str, pods: i32) -> Value {
        serde_json::json!({
            "metadata": { "uid": uid },
            "spec": { "parallelism": pods, "completions": pods },
        })
    }

    /// JSON merge patch of the `status` subresource that clears the start time of the Job with
    /// this uid.
    #[must_use]
    pub fn clear_start_time_patch(uid: &str) -> Value {
        serde_json::json!({ "metadata": { "uid": uid }, "status": { "startTime": null } })
    }
}

/// An event about the JobSet (events.k8s.io/v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Normal or Warning.
    pub type_: EventType,
    /// Machine-readable reason.
    pub reason: String,
    /// Text for people, at most [`crate::note::MAX_BYTES`] long, never a format string.
    pub note: String,
}

/// Event types of the Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Things go as they should.
    Normal,
    /// Things go wrong, or are restarted.
    Warning,
}

impl EventType {
    /// The value of the event's `type` field.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The final state that a plan puts a JobSet into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// Condition `Completed`.
    Completed,
    /// Condition `Failed`.
    Failed,
}

impl Terminal {
    /// The value of `status.terminalState`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => constants::COMPLETED,
            Self::Failed => constants::FAILED,
        }
    }
}

impl Plan {
    /// Whether there is nothing to do, write, send or wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self.status.is_none()
            && self.events.is_empty()
            && self.requeue_after.is_none()
    }

    /// All actions of all steps, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.steps.iter().flat_map(|s| &s.actions)
    }
}
