//! Spec and status of a JobSet.
//!
//! Field names follow the JSON names in snake case. What the wire can leave out is an `Option`
//! where absent differs from a zero value (`replicas: 0` stays `0`, absent stays absent), and an
//! empty `Vec` where both mean the same. Decoding ignores fields it does not know, takes `null`
//! for absent, and takes a missing required text as `""`: the schema of the CRD rejects such
//! objects, but one that was stored before must not stop a watch.
//!
//! Comments of types and fields become their descriptions in the CRD.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::{
    constants::DEFAULT_GROUP_NAME,
    template::{ClaimTemplate, JobTemplate},
    text_enum::text_enum,
};

/// Takes `null` for the default value, as the API's own decoders do.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a counter is left out of the JSON.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

const IMMUTABLE: (&str, &str) = ("self == oldSelf", "Value is immutable");
const EXCLUSIVE_ORDERING: (&str, &str) = (
    "!(has(self.startupPolicy) && self.startupPolicy.startupPolicyOrder == 'InOrder' \
     && self.replicatedJobs.exists(x, has(x.dependsOn)))",
    "StartupPolicy and DependsOn APIs are mutually exclusive",
);
const NO_CLAIM_NAMESPACE: (&str, &str) = (
    "self.templates.all(t, !has(t.metadata.namespace) || size(t.metadata.namespace) == 0)",
    "namespace cannot be set for VolumeClaimPolicies templates",
);

/// A CEL rule with its message, as `x-kubernetes-validations` holds it.
fn cel((rule, message): (&str, &str)) -> serde_json::Value {
    json!([{ "rule": rule, "message": message }])
}

/// What a JobSet shall do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(EXCLUSIVE_ORDERING)))]
pub struct JobSetSpec {
    /// The groups of identical Jobs that make up the set. A set without any is legal.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"],
    ))]
    pub replicated_jobs: Vec<ReplicatedJob>,

    /// How the Pods find each other by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = cel(IMMUTABLE)))]
    pub network: Option<Network>,

    /// When the set counts as completed. Absent means: when every Job has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = cel(IMMUTABLE)))]
    pub success_policy: Option<SuccessPolicy>,

    /// What to do when a Job fails. Absent means: the set fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = cel(IMMUTABLE)))]
    pub failure_policy: Option<FailurePolicy>,

    /// In which order the replicated jobs start. Deprecated: use dependsOn of the replicated jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = cel(IMMUTABLE)))]
    pub startup_policy: Option<StartupPolicy>,

    /// Whether all Jobs are suspended. May be changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// The Pod that coordinates the others. Its network name is put on every Job and Pod as label
    /// and annotation jobset.sigs.k8s.io/coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<Coordinator>,

    /// The controller responsible for this JobSet, as a domain-prefixed path. Absent, or the value
    /// jobset.sigs.k8s.io/jobset-controller, means the built-in one; it leaves all others alone.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,

    /// Seconds after the end of the set until it is deleted together with all it owns. 0 means at
    /// once, absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// How many seconds the set may be active before it fails; needs the feature gate
    /// JobSetActiveDeadlineSeconds. The time counts from status.startTime and does not run while
    /// the set is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub active_deadline_seconds: Option<i64>,

    /// Volume claims that are created for the set and shared by its Pods.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(
        length(max = 50),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = cel(IMMUTABLE)),
    )]
    pub volume_claim_policies: Vec<VolumeClaimPolicy>,
}

/// A group of identical Jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "template"]))]
pub struct ReplicatedJob {
    /// Name of the group, unique in the set. The Jobs are named
    /// JOBSET-NAME-INDEX, with indices from 0.
    #[serde(default)]
    pub name: String,

    /// Name of the group of replicated jobs over which group index and group replicas count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = DEFAULT_GROUP_NAME))]
    pub group_name: Option<String>,

    /// Template of the Jobs. Of its metadata, labels and annotations are used.
    #[serde(default)]
    pub template: JobTemplate,

    /// Number of Jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("default" = 1))]
    pub replicas: Option<i32>,

    /// Replicated jobs, listed before this one, that must have reached a state before the Jobs of
    /// this one are created. All must be satisfied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 5),
        extend(
            "x-kubernetes-list-type" = "map",
            "x-kubernetes-list-map-keys" = ["name"],
            "x-kubernetes-validations" = cel(IMMUTABLE),
        ),
    )]
    pub depends_on: Option<Vec<DependsOn>>,
}

impl ReplicatedJob {
    /// Number of Jobs; 1 when not given.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }

    /// Name of the group; empty when the object was stored without the CRD's default.
    pub fn group_name(&self) -> &str {
        self.group_name.as_deref().unwrap_or_default()
    }

    /// What this replicated job waits for; empty when nothing.
    pub fn depends_on(&self) -> &[DependsOn] {
        self.depends_on.as_deref().unwrap_or_default()
    }
}

/// A replicated job that another waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "status"]))]
pub struct DependsOn {
    /// Name of the replicated job that is waited for.
    #[serde(default)]
    pub name: String,

    /// The state it must have reached: Ready (every Job is ready, succeeded or failed) or
    /// Complete (every Job has succeeded).
    #[serde(default)]
    pub status: DependsOnStatus,
}

text_enum! {
    /// State of a replicated job that another waits for.
    pub enum DependsOnStatus {
        /// Every Job is ready, succeeded or failed.
        Ready,
        /// Every Job has succeeded.
        Complete,
    }
}

/// How the Pods find each other by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Whether the Pods can be reached by host name: a headless Service is created and every Pod
    /// gets its subdomain. True unless set otherwise.
    #[serde(
        default,
        rename = "enableDNSHostnames",
        skip_serializing_if = "Option::is_none"
    )]
    pub enable_dns_hostnames: Option<bool>,

    /// Name of the headless Service and subdomain of the Pods. The name of the JobSet unless set
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,

    /// Whether names of Pods resolve before the Pods are ready. True unless set otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_not_ready_addresses: Option<bool>,
}

/// When the set counts as completed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["operator"]))]
pub struct SuccessPolicy {
    /// Whether All targeted Jobs must succeed, or Any one of them.
    #[serde(default)]
    #[schemars(extend("default" = null))]
    pub operator: SuccessPolicyOperator,

    /// The replicated jobs that count. Empty means all.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub target_replicated_jobs: Vec<String>,
}

text_enum! {
    /// How many of the targeted Jobs must succeed.
    #[derive(Default)]
    pub enum SuccessPolicyOperator {
        /// Every one.
        #[default]
        All,
        /// One.
        Any,
    }
}

/// What to do when a Job fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// How many counted restarts the set may make before it fails. 0 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<i32>,

    /// How the Jobs are recreated on a restart of the set: Recreate replaces each Job as soon as
    /// it is gone, BlockingRecreate creates none before all are gone, InPlaceRestart restarts
    /// the containers inside their Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Recreate"))]
    pub restart_strategy: Option<RestartStrategy>,

    /// Rules, of which the first that matches the failed Job decides. Without a match the set is
    /// restarted.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub rules: Vec<FailurePolicyRule>,
}

impl FailurePolicy {
    /// Limit of counted restarts; 0 when not given.
    pub fn max_restarts(&self) -> i32 {
        self.max_restarts.unwrap_or_default()
    }
}

text_enum! {
    /// How the Jobs are recreated on a restart of the set.
    pub enum RestartStrategy {
        /// Each Job is replaced as soon as it is gone.
        Recreate,
        /// No Job is created before all of the previous attempt are gone.
        BlockingRecreate,
        /// Containers restart inside their Pods.
        InPlaceRestart,
    }
}

/// What to do when certain Jobs fail in a certain way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["action", "name"]))]
pub struct FailurePolicyRule {
    /// Name of the rule, unique in the policy. It becomes part of a condition's reason. When not
    /// given it is failurePolicyRule followed by the index of the rule.
    #[serde(default)]
    pub name: String,

    /// What to do.
    #[serde(default)]
    pub action: FailurePolicyAction,

    /// Reasons of the Job's Failed condition that the rule matches. Empty means any.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_job_failure_reasons: Vec<String>,

    /// Regular expressions (RE2), one of which the message of the Job's Failed condition must
    /// contain. Empty means any message.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_job_failure_message_patterns: Vec<String>,

    /// The replicated jobs to which the rule applies. Empty means all.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub target_replicated_jobs: Vec<String>,
}

text_enum! {
    /// What a failure policy rule does.
    pub enum FailurePolicyAction {
        /// The set fails.
        FailJobSet,
        /// All Jobs are recreated, within the limit of restarts.
        RestartJobSet,
        /// All Jobs are recreated, without counting.
        RestartJobSetAndIgnoreMaxRestarts,
        /// The failed Job is recreated, within the limit of restarts (gate `RestartJob`).
        RestartJob,
        /// The failed Job is recreated, without counting (gate `RestartJob`).
        RestartJobAndIgnoreMaxRestarts,
    }
}

/// In which order the replicated jobs start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["startupPolicyOrder"]))]
pub struct StartupPolicy {
    /// AnyOrder starts all at once. InOrder starts each replicated job when the one listed before
    /// it is ready.
    #[serde(default)]
    #[schemars(extend("default" = null))]
    pub startup_policy_order: StartupPolicyOrder,
}

text_enum! {
    /// In which order the replicated jobs start.
    #[derive(Default)]
    pub enum StartupPolicyOrder {
        /// All at once.
        #[default]
        AnyOrder,
        /// Each when the one listed before it is ready.
        InOrder,
    }
}

/// Which Pod coordinates the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["replicatedJob"]))]
pub struct Coordinator {
    /// The replicated job of the Pod.
    #[serde(default)]
    pub replicated_job: String,

    /// Index of the Job in the replicated job. 0 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = null))]
    pub job_index: Option<i64>,

    /// Completion index of the Pod in the Job. 0 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = null))]
    pub pod_index: Option<i64>,
}

impl Coordinator {
    /// Index of the Job; 0 when not given.
    pub fn job_index(&self) -> i64 {
        self.job_index.unwrap_or_default()
    }

    /// Index of the Pod; 0 when not given.
    pub fn pod_index(&self) -> i64 {
        self.pod_index.unwrap_or_default()
    }
}

/// Volume claims and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(NO_CLAIM_NAMESPACE)))]
pub struct VolumeClaimPolicy {
    /// Templates of the claims. The claim is named TEMPLATE-JOBSET; a container that mounts a
    /// volume of the template's name gets the claim. Of the metadata, name, labels and
    /// annotations are used.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub templates: Vec<ClaimTemplate>,

    /// What becomes of the claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<RetentionPolicy>,
}

/// What becomes of volume claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// What happens to the claims when the JobSet is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Delete"))]
    pub when_deleted: Option<RetentionPolicyType>,
}

text_enum! {
    /// What happens to a claim when its JobSet is deleted.
    pub enum RetentionPolicyType {
        /// It is deleted too.
        Delete,
        /// It stays.
        Retain,
    }
}

/// A value that the schema requires but the object lacks: kept as an empty unknown text.
macro_rules! default_is_unknown {
    ($($name:ident),+) => { $(
        impl Default for $name {
            fn default() -> Self {
                Self::Unknown(String::new())
            }
        }
    )+ };
}
default_is_unknown!(DependsOnStatus, FailurePolicyAction);

/// What a JobSet has done so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSetStatus {
    /// What holds of the set, by type: Completed, Failed, Suspended, RestartingJobSet,
    /// StartupPolicyInProgress, StartupPolicyCompleted.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"],
    ))]
    pub conditions: Vec<Condition>,

    /// How often all Jobs were recreated.
    #[serde(default, deserialize_with = "null_is_default")]
    pub restarts: i32,

    /// How many of the restarts count towards the limit.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_zero"
    )]
    pub restarts_count_towards_max: i32,

    /// Completed or Failed once the set has ended.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub terminal_state: String,

    /// The state of each replicated job.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"],
    ))]
    pub replicated_jobs_status: Vec<ReplicatedJobStatus>,

    /// In-place restarts: Pods whose attempt is at most this one must restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub previous_in_place_restart_attempt: Option<i32>,

    /// In-place restarts: Pods whose attempt is this one may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current_in_place_restart_attempt: Option<i32>,

    /// How often the set has started anew, by a restart or a resumption; absent until the first
    /// run, which is 0. Kept with the feature gate ExecutionAttemptsTracking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub execution_attempts: Option<i32>,

    /// When the set began to be active; absent while it is suspended. Kept with the feature gate
    /// JobSetActiveDeadlineSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// What restart back-off and a budget that refills have to remember. Kept only where annotations
    /// of the set ask for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
}

/// What is remembered for the annotations x.jobset.sigs.k8s.io/restart-backoff and
/// x.jobset.sigs.k8s.io/restart-budget-refill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// When the last restart was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restart_time: Option<Time>,

    /// Restarts, counted or not, of the set and of single Jobs, that had happened when the set was
    /// last healthy for long enough.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_zero"
    )]
    #[schemars(range(min = 0))]
    pub healthy_restarts: i32,

    /// Of those, the ones that had counted towards the maximum and do so no more.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "is_zero"
    )]
    #[schemars(range(min = 0))]
    pub forgiven_restarts: i32,
}

/// The state of one replicated job: how many of its Jobs are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["active", "failed", "name", "ready", "succeeded", "suspended"]))]
pub struct ReplicatedJobStatus {
    /// Name of the replicated job.
    #[serde(default)]
    pub name: String,

    /// Unfinished Jobs of which enough Pods are ready or have succeeded.
    #[serde(default)]
    pub ready: i32,

    /// Jobs that have completed.
    #[serde(default)]
    pub succeeded: i32,

    /// Jobs that have failed.
    #[serde(default)]
    pub failed: i32,

    /// Unfinished Jobs with at least one active Pod.
    #[serde(default)]
    pub active: i32,

    /// Unfinished Jobs that are suspended.
    #[serde(default)]
    pub suspended: i32,

    /// How often each Job was restarted by itself, by index.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub job_restarts: Vec<i32>,

    /// How many of these restarts count towards the limit, by index.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub job_restarts_count_towards_max: Vec<i32>,
}
