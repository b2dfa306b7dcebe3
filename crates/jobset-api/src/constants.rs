//! Every fixed string of the API: keys, condition types, reasons, messages and event reasons.
//!
//! They are part of the contract with users, dashboards and other controllers: none may change.

/// API group of the resource.
pub const GROUP: &str = "jobset.x-k8s.io";
/// The one version of the API.
pub const VERSION: &str = "v1alpha2";
/// `apiVersion` of every JobSet.
pub const API_VERSION: &str = "jobset.x-k8s.io/v1alpha2";
/// `kind` of every JobSet.
pub const KIND: &str = "JobSet";
/// Resource name in URLs.
pub const PLURAL: &str = "jobsets";
/// Name of the CustomResourceDefinition object.
pub const CRD_NAME: &str = "jobsets.jobset.x-k8s.io";

// --- Labels and annotations on each child Job and on its Pod template -------------------------

/// Name of the JobSet. Also the label of claims and the selector of the headless Service.
pub const JOBSET_NAME_KEY: &str = "jobset.sigs.k8s.io/jobset-name";
/// UID of the JobSet.
pub const JOBSET_UID_KEY: &str = "jobset.sigs.k8s.io/jobset-uid";
/// Name of the replicated job.
pub const REPLICATED_JOB_NAME_KEY: &str = "jobset.sigs.k8s.io/replicatedjob-name";
/// Number of Jobs of the replicated job.
pub const REPLICATED_JOB_REPLICAS_KEY: &str = "jobset.sigs.k8s.io/replicatedjob-replicas";
/// Number of Jobs of the whole JobSet.
pub const GLOBAL_REPLICAS_KEY: &str = "jobset.sigs.k8s.io/global-replicas";
/// Index of the Job in its replicated job, from 0.
pub const JOB_INDEX_KEY: &str = "jobset.sigs.k8s.io/job-index";
/// Index of the Job in the whole JobSet, from 0.
pub const JOB_GLOBAL_INDEX_KEY: &str = "jobset.sigs.k8s.io/job-global-index";
/// Hash of namespace and Job name, see [`crate::names::job_key`].
pub const JOB_KEY: &str = "jobset.sigs.k8s.io/job-key";
/// Name of the group of the replicated job.
pub const GROUP_NAME_KEY: &str = "jobset.sigs.k8s.io/group-name";
/// Number of Jobs of the group.
pub const GROUP_REPLICAS_KEY: &str = "jobset.sigs.k8s.io/group-replicas";
/// Index of the Job in its group, from 0.
pub const JOB_GROUP_INDEX_KEY: &str = "jobset.sigs.k8s.io/job-group-index";
/// `status.restarts` when the Job was created.
pub const RESTART_ATTEMPT_KEY: &str = "jobset.sigs.k8s.io/restart-attempt";
/// Individual restarts of this Job when it was created (gate `RestartJob`).
pub const JOB_RESTART_ATTEMPT_KEY: &str = "jobset.sigs.k8s.io/job-restart-attempt";
/// Network name of the coordinator Pod, when the spec names a coordinator.
pub const COORDINATOR_KEY: &str = "jobset.sigs.k8s.io/coordinator";

/// Every key that the controller writes on Jobs and Pod templates, identically as label and as
/// annotation. A user's value under such a key is overridden, and never copied on resume.
pub const SYSTEM_KEYS: &[&str] = &[
    JOBSET_NAME_KEY,
    JOBSET_UID_KEY,
    REPLICATED_JOB_NAME_KEY,
    REPLICATED_JOB_REPLICAS_KEY,
    GLOBAL_REPLICAS_KEY,
    JOB_INDEX_KEY,
    JOB_GLOBAL_INDEX_KEY,
    JOB_KEY,
    GROUP_NAME_KEY,
    GROUP_REPLICAS_KEY,
    JOB_GROUP_INDEX_KEY,
    RESTART_ATTEMPT_KEY,
    JOB_RESTART_ATTEMPT_KEY,
    COORDINATOR_KEY,
];

// --- Annotations and labels with other homes ---------------------------------------------------

/// Annotation on a JobSet or Job template: one Job per domain of this node label key.
pub const EXCLUSIVE_TOPOLOGY_KEY: &str = "alpha.jobset.sigs.k8s.io/exclusive-topology";
/// Annotation beside [`EXCLUSIVE_TOPOLOGY_KEY`]: place by node selector instead of Pod affinity.
pub const NODE_SELECTOR_STRATEGY_KEY: &str = "alpha.jobset.sigs.k8s.io/node-selector";
/// Node label and Pod node selector of the node-selector strategy; value `<namespace>_<job name>`.
pub const NAMESPACED_JOB_KEY: &str = "alpha.jobset.sigs.k8s.io/namespaced-job";
/// Node taint, tolerated by Pods of the node-selector strategy.
pub const NO_SCHEDULE_TAINT_KEY: &str = "alpha.jobset.sigs.k8s.io/no-schedule";
/// Pod annotation by which the in-place-restart agent reports its attempt.
pub const IN_PLACE_RESTART_ATTEMPT_KEY: &str = "jobset.sigs.k8s.io/in-place-restart-attempt";
/// JobSet annotation by whose presence the agent bypasses its barrier.
pub const DISABLE_IN_PLACE_RESTART_KEY: &str = "jobset.sigs.k8s.io/disable-in-place-restart";
/// Annotation on Jobs and Pods: `status.executionAttempts` when they last began to run (gate
/// `ExecutionAttemptsTracking`).
pub const EXECUTION_ATTEMPT_KEY: &str = "jobset.sigs.k8s.io/execution-attempt";
/// Pod label holding the Pod's priority in decimal.
pub const PRIORITY_KEY: &str = "jobset.sigs.k8s.io/priority";
/// Annotation that Kubernetes' Job controller puts on Pods of Indexed Jobs.
pub const JOB_COMPLETION_INDEX_KEY: &str = "batch.kubernetes.io/job-completion-index";

/// The built-in value of `spec.managedBy`. Absent means the same.
pub const MANAGED_BY_JOBSET_CONTROLLER: &str = "jobset.sigs.k8s.io/jobset-controller";
/// Field manager of the controller's writes, and `reportingController` of its events.
pub const CONTROLLER_NAME: &str = "jobset";
/// Field manager of the in-place-restart agent.
pub const IN_PLACE_RESTART_AGENT: &str = "in-place-restart-agent";

// --- Limits ------------------------------------------------------------------------------------

/// Most replicas of a replicated job whose Jobs may be restarted one by one.
pub const MAX_REPLICAS_FOR_RESTART_JOB: i32 = 1024;
/// Longest value of `spec.managedBy`, in bytes.
pub const MAX_MANAGED_BY_LENGTH: usize = 63;
/// Longest name of a failure policy rule, in bytes.
pub const MAX_RULE_NAME_LENGTH: usize = 128;
/// Group of a replicated job that names none (default of the CRD).
pub const DEFAULT_GROUP_NAME: &str = "default";

// --- Conditions --------------------------------------------------------------------------------

/// Condition: all targeted Jobs succeeded. Final.
pub const COMPLETED: &str = "Completed";
/// Condition: the JobSet failed. Final.
pub const FAILED: &str = "Failed";
/// Condition: the JobSet is suspended.
pub const SUSPENDED: &str = "Suspended";
/// Condition: the Jobs are being recreated.
pub const RESTARTING_JOBSET: &str = "RestartingJobSet";
/// Condition: replicated jobs are being started in order.
pub const STARTUP_POLICY_IN_PROGRESS: &str = "StartupPolicyInProgress";
/// Condition: all replicated jobs have been started in order.
pub const STARTUP_POLICY_COMPLETED: &str = "StartupPolicyCompleted";
/// Condition, an addition to the reference's: Jobs are not started because their exclusive placement
/// needs the Pod webhook, and none runs.
pub const EXCLUSIVE_PLACEMENT_UNAVAILABLE: &str = "ExclusivePlacementUnavailable";

/// Condition reasons. Each effective write of a condition sends one event with the same reason
/// and message.
pub mod reasons {
    /// [`COMPLETED`](super::COMPLETED) = True.
    pub const ALL_JOBS_COMPLETED: &str = "AllJobsCompleted";
    /// [`FAILED`](super::FAILED) = True, without a failure policy.
    pub const FAILED_JOBS: &str = "FailedJobs";
    /// [`FAILED`](super::FAILED) = True, the restart budget is used up.
    pub const REACHED_MAX_RESTARTS: &str = "ReachedMaxRestarts";
    /// [`FAILED`](super::FAILED) = True, by a rule with action `FailJobSet`.
    pub const FAIL_JOBSET_ACTION: &str = "FailJobSetFailurePolicyAction";
    /// [`SUSPENDED`](super::SUSPENDED) = True.
    pub const SUSPENDED_JOBS: &str = "SuspendedJobs";
    /// [`SUSPENDED`](super::SUSPENDED) = False.
    pub const RESUME_JOBS: &str = "ResumeJobs";
    /// [`RESTARTING_JOBSET`](super::RESTARTING_JOBSET) = True, when no rule matched.
    pub const DEFAULT_FAILURE_POLICY: &str = "DefaultFailurePolicy";
    /// [`RESTARTING_JOBSET`](super::RESTARTING_JOBSET) = False, the new Jobs are ready.
    pub const JOBS_READY: &str = "JobsReady";
    /// [`RESTARTING_JOBSET`](super::RESTARTING_JOBSET) = False, the JobSet failed.
    pub const JOBSET_FAILED: &str = "JobSetFailed";
    /// [`RESTARTING_JOBSET`](super::RESTARTING_JOBSET) = False, the JobSet completed.
    pub const JOBSET_COMPLETED: &str = "JobSetCompleted";
    /// [`RESTARTING_JOBSET`](super::RESTARTING_JOBSET) = False, the JobSet was suspended.
    pub const JOBSET_SUSPENDED: &str = "JobSetSuspended";
    /// [`STARTUP_POLICY_IN_PROGRESS`](super::STARTUP_POLICY_IN_PROGRESS) = True.
    pub const STARTUP_POLICY_IN_PROGRESS: &str = "InOrderStartupPolicyInProgress";
    /// [`STARTUP_POLICY_COMPLETED`](super::STARTUP_POLICY_COMPLETED) = True.
    pub const STARTUP_POLICY_COMPLETED: &str = "InOrderStartupPolicyCompleted";
    /// [`EXCLUSIVE_PLACEMENT_UNAVAILABLE`](super::EXCLUSIVE_PLACEMENT_UNAVAILABLE) = True.
    pub const POD_WEBHOOK_DISABLED: &str = "PodWebhookDisabled";
    /// [`EXCLUSIVE_PLACEMENT_UNAVAILABLE`](super::EXCLUSIVE_PLACEMENT_UNAVAILABLE) = False.
    pub const EXCLUSIVE_PLACEMENT_AVAILABLE: &str = "ExclusivePlacementAvailable";

    /// Of [`FAILED`](super::FAILED): the JobSet was active for longer than its deadline.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// Reason of [`RESTARTING_JOBSET`](super::RESTARTING_JOBSET) = True when the named rule
    /// matched.
    pub fn failure_policy_rule(rule_name: &str) -> String {
        format!("FailurePolicy_{rule_name}")
    }
}

/// Condition messages.
pub mod messages {
    use crate::types::FailurePolicyAction;

    /// With [`ALL_JOBS_COMPLETED`](super::reasons::ALL_JOBS_COMPLETED) and
    /// [`JOBSET_COMPLETED`](super::reasons::JOBSET_COMPLETED).
    pub const JOBSET_COMPLETED: &str = "jobset completed successfully";
    /// With [`FAILED_JOBS`](super::reasons::FAILED_JOBS); takes the suffix.
    pub const FAILED_JOBS: &str = "jobset failed due to one or more job failures";
    /// With [`REACHED_MAX_RESTARTS`](super::reasons::REACHED_MAX_RESTARTS); takes the suffix
    /// except for in-place restarts.
    pub const REACHED_MAX_RESTARTS: &str = "jobset failed due to reaching max number of restarts";
    /// With [`DEADLINE_EXCEEDED`](super::reasons::DEADLINE_EXCEEDED).
    pub const DEADLINE_EXCEEDED: &str = "jobset was active longer than its deadline";
    /// With [`SUSPENDED_JOBS`](super::reasons::SUSPENDED_JOBS) and
    /// [`JOBSET_SUSPENDED`](super::reasons::JOBSET_SUSPENDED).
    pub const JOBSET_SUSPENDED: &str = "jobset is suspended";
    /// With [`RESUME_JOBS`](super::reasons::RESUME_JOBS).
    pub const JOBSET_RESUMED: &str = "jobset is resumed";
    /// With [`JOBS_READY`](super::reasons::JOBS_READY).
    pub const JOBS_READY: &str = "all jobs are ready";
    /// With [`JOBSET_FAILED`](super::reasons::JOBSET_FAILED).
    pub const JOBSET_FAILED: &str = "jobset failed";
    /// With [`STARTUP_POLICY_IN_PROGRESS`](super::reasons::STARTUP_POLICY_IN_PROGRESS).
    pub const STARTUP_POLICY_IN_PROGRESS: &str = "in order startup policy is in progress";
    /// With [`STARTUP_POLICY_COMPLETED`](super::reasons::STARTUP_POLICY_COMPLETED).
    pub const STARTUP_POLICY_COMPLETED: &str = "in order startup policy has completed";
    /// With [`POD_WEBHOOK_DISABLED`](super::reasons::POD_WEBHOOK_DISABLED).
    pub const POD_WEBHOOK_DISABLED: &str = "exclusive placement by Pod affinity needs the Pod \
         webhook, which is turned off on this cluster: jobs that ask for it are not started; use \
         the annotation alpha.jobset.sigs.k8s.io/node-selector or turn the webhook on";
    /// With [`EXCLUSIVE_PLACEMENT_AVAILABLE`](super::reasons::EXCLUSIVE_PLACEMENT_AVAILABLE).
    pub const EXCLUSIVE_PLACEMENT_AVAILABLE: &str = "the Pod webhook is turned on";
    /// Of the Pod condition `DisruptionTarget` with reason
    /// [`EXCLUSIVE_PLACEMENT_VIOLATION`](super::EXCLUSIVE_PLACEMENT_VIOLATION).
    pub const EXCLUSIVE_PLACEMENT_VIOLATION: &str =
        "Pod violated JobSet exclusive placement policy";

    /// Message of the conditions and events that tell of an applied failure policy action,
    /// before the suffix.
    pub fn applying_action(action: &FailurePolicyAction) -> String {
        format!("applying {action} failure policy action")
    }

    /// Appends the suffix that names the Job whose failure came first.
    pub fn with_first_failed_job(message: &str, job_name: &str) -> String {
        format!("{message} (first failed job: {job_name})")
    }

    /// The Job that a message names as the first failed one.
    pub fn first_failed_job(message: &str) -> Option<&str> {
        let (_, tail) = message.rsplit_once(" (first failed job: ")?;
        tail.strip_suffix(')')
    }
}

/// Pod condition type set before a misplaced follower Pod is deleted.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// Reason of that Pod condition.
pub const EXCLUSIVE_PLACEMENT_VIOLATION: &str = "ExclusivePlacementViolation";

// --- Events without a condition ----------------------------------------------------------------

/// Reasons of events that no condition carries. All are of type `Warning`.
pub mod events {
    use crate::types::FailurePolicyAction;

    /// `action` of every event the controller sends.
    pub const ACTION: &str = "Reconciling";
    /// Longest `note` that the API accepts, in bytes. Longer ones must be cut.
    pub const MAX_NOTE_LENGTH: usize = 1024;

    /// After the status write: all Jobs restart, counted.
    pub const RESTART_JOBSET: &str = "RestartJobSetFailurePolicyAction";
    /// After the status write: all Jobs restart, not counted.
    pub const RESTART_JOBSET_AND_IGNORE_MAX_RESTARTS: &str =
        "RestartJobSetAndIgnoreMaxRestartsFailurePolicyAction";
    /// After the status write: one Job restarts, counted.
    pub const RESTART_JOB: &str = "RestartJobFailurePolicyAction";
    /// After the status write: one Job restarts, not counted.
    pub const RESTART_JOB_AND_IGNORE_MAX_RESTARTS: &str =
        "RestartJobAndIgnoreMaxRestartsFailurePolicyAction";
    /// At once: one or more Jobs could not be created.
    pub const JOB_CREATION_FAILED: &str = "JobCreationFailed";
    /// At once: the headless Service could not be created.
    pub const HEADLESS_SERVICE_CREATION_FAILED: &str = "HeadlessServiceCreationFailed";
    /// At once: a claim could not be created.
    pub const PVC_CREATION_FAILED: &str = "PVCCreationFailed";

    /// At once, our own: two JobSets with the same Service have the same short name of Pods.
    pub const SHORT_NAME_COLLISION: &str = "ShortNameCollision";

    /// At once: a resumed Job was refused the resources of its template.
    pub const FAILED_RESOURCE_PROPAGATION: &str = "FailedResourcePropagation";

    /// Reason of the event that tells of an applied failure policy action.
    pub fn failure_policy_action(action: &FailurePolicyAction) -> String {
        format!("{action}FailurePolicyAction")
    }
}

/// Reasons of a Job's `Failed` condition that `onJobFailureReasons` may name.
pub const JOB_FAILURE_REASONS: &[&str] = &[
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
];
