//! The two objects that the controller sees, reduced to what it needs.
//!
//! Both are decoded straight from the watch. A Job keeps its Pod template as JSON text: it is
//! needed only when a Pod is created, must reach the Pod with every field (also those that our
//! types do not know), and text is the smallest form of it. A Pod keeps no spec at all.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobStatus, PodFailurePolicy, SuccessPolicy};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Label and annotation with the completion index of a Pod.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Finalizer that a Pod carries until the Job's status accounts for it.
pub const TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation with the number of counted failures of a Pod's index before this Pod.
pub const INDEX_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation with the number of ignored failures of a Pod's index before this Pod.
pub const INDEX_IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// The value of `spec.managedBy` that means this controller.
const OWN_NAME: &str = "kubernetes.io/job-controller";

/// A Job as the controller sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct JobView {
    /// Name, uid and so on; no annotations, no managed fields.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(default)]
    pub spec: JobRules,
    /// What was last recorded.
    #[serde(default)]
    pub status: JobStatus,
}

/// The part of a Job's spec that the controller reads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobRules {
    parallelism: Option<i32>,
    completions: Option<i32>,
    completion_mode: Option<String>,
    backoff_limit: Option<i32>,
    /// Counted failures that each index may have (indexed Jobs only).
    pub backoff_limit_per_index: Option<i32>,
    /// Failed indexes that fail the Job at once.
    pub max_failed_indexes: Option<i32>,
    /// Seconds the Job may be active.
    pub active_deadline_seconds: Option<i64>,
    /// Seconds after its end at which the Job is deleted.
    pub ttl_seconds_after_finished: Option<i32>,
    suspend: Option<bool>,
    pod_replacement_policy: Option<String>,
    /// What to do about failed Pods by exit code or condition.
    pub pod_failure_policy: Option<PodFailurePolicy>,
    /// When some indexes are enough.
    pub success_policy: Option<SuccessPolicy>,
    managed_by: Option<String>,
    manual_selector: Option<bool>,
    /// The Pod template.
    pub template: PodTemplate,
}

/// A Pod template as JSON text.
#[derive(Debug, Clone)]
pub struct PodTemplate {
    /// The whole template.
    pub json: Arc<str>,
    /// Whether its containers are restarted in place (`restartPolicy: OnFailure`).
    pub restarts_in_place: bool,
}

impl Default for PodTemplate {
    fn default() -> Self {
        Self {
            json: "{}".into(),
            restarts_in_place: false,
        }
    }
}

impl<'de> Deserialize<'de> for PodTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let restart = value.pointer("/spec/restartPolicy").and_then(Value::as_str);
        Ok(Self {
            restarts_in_place: restart == Some("OnFailure"),
            json: value.to_string().into(),
        })
    }
}

impl JobRules {
    /// Pods that may be active at once.
    pub fn parallelism(&self) -> u32 {
        self.parallelism.unwrap_or(1).max(0).unsigned_abs()
    }

    /// Pods that have to succeed; `None` makes the Job a work queue.
    pub fn completions(&self) -> Option<u32> {
        match self.completions {
            Some(count) => Some(count.max(0).unsigned_abs()),
            // As the API's defaulting: without both fields one completion is meant.
            None if self.parallelism.is_none() => Some(1),
            None => None,
        }
    }

    /// Whether each Pod has a completion index of its own; the number of indexes.
    pub fn indexes(&self) -> Option<u32> {
        if self.completion_mode.as_deref() == Some("Indexed") {
            self.completions()
        } else {
            None
        }
    }

    /// Counted Pod failures after which the Job fails.
    pub fn backoff_limit(&self) -> i64 {
        match (self.backoff_limit, self.backoff_limit_per_index) {
            (Some(limit), _) => i64::from(limit),
            (None, Some(_)) => i64::from(i32::MAX),
            (None, None) => 6,
        }
    }

    /// The failure limit per index, which only indexed Jobs have.
    pub fn per_index_limit(&self) -> Option<i32> {
        self.indexes().and(self.backoff_limit_per_index)
    }

    /// Whether the Job is to have no active Pod.
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Whether a Pod is replaced only once it has failed for good, not while it terminates.
    pub fn replaces_only_failed(&self) -> bool {
        match self.pod_replacement_policy.as_deref() {
            Some(policy) => policy == "Failed",
            // The API's defaulting: a failure policy can only judge Pods that have ended.
            None => self.pod_failure_policy.is_some(),
        }
    }

    /// Whether another controller looks after the Job.
    pub fn managed_elsewhere(&self) -> bool {
        self.managed_by
            .as_deref()
            .is_some_and(|name| name != OWN_NAME)
    }

    /// Whether the user chose the selector and labels.
    pub fn manual_selector(&self) -> bool {
        self.manual_selector.unwrap_or(false)
    }
}

impl JobView {
    /// The Job's name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The Job's namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// The Job's uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether the Job is being deleted.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// What events and logs call the Job.
    pub fn reference(&self) -> ObjectReference {
        self.object_ref(&())
    }
}

/// How far a Pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Not yet running.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// Every container ended well.
    Succeeded,
    /// Some container ended badly.
    Failed,
}

/// How one container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEnd {
    /// The container's name.
    pub name: String,
    /// Its exit code.
    pub exit_code: i32,
}

/// A Pod as the controller sees it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "RawPod")]
pub struct PodView {
    /// Name, uid and so on; no labels, annotations or managed fields.
    pub metadata: ObjectMeta,
    /// Uid of the Job that controls the Pod.
    pub job_uid: Option<Arc<str>>,
    /// Name of the Job that controls the Pod.
    pub job_name: Option<String>,
    /// Completion index.
    pub index: Option<u32>,
    /// Counted failures of the index before this Pod.
    pub index_failures: i32,
    /// Ignored failures of the index before this Pod.
    pub index_ignored_failures: i32,
    /// How far the Pod has come.
    pub phase: Phase,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Whether it has a node.
    pub scheduled: bool,
    /// Restarts of its containers in sum.
    pub restarts: i32,
    /// Whether it still carries the tracking finalizer.
    pub tracked: bool,
    /// Containers that have ended: the main ones, then the init containers.
    pub ended: Vec<ContainerEnd>,
    /// Type and status of its conditions.
    pub conditions: Vec<(String, String)>,
    /// When it ended, as well as can be told.
    pub finished_at: Option<Timestamp>,
}

impl PodView {
    /// The Pod's name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The Pod's namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// The Pod's uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether the Pod is being deleted.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether the Pod has ended.
    pub fn ended(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether the Pod runs or may come to run.
    pub fn active(&self) -> bool {
        !self.ended() && !self.deleting()
    }

    /// Whether the Pod is deleted but may still run.
    ///
    /// A deleted Pod without a node never ran and nobody will end it, so it does not count.
    pub fn terminating(&self) -> bool {
        !self.ended() && self.deleting() && self.scheduled
    }

    /// Whether the Pod counts as failed.
    ///
    /// A deleted Pod counts at once, or it might vanish uncounted, unless the Job replaces only
    /// Pods that have failed; then it counts when it has ended (or if it never had a node).
    pub fn failed(&self, rules: &JobRules) -> bool {
        match self.phase {
            Phase::Failed => true,
            Phase::Succeeded => false,
            Phase::Pending | Phase::Running => {
                self.deleting() && (!rules.replaces_only_failed() || !self.scheduled)
            }
        }
    }
}

fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    ObjectMeta::deserialize(deserializer).map(|mut metadata| {
        metadata.managed_fields = None;
        metadata.annotations = None;
        metadata.labels = None;
        metadata
    })
}

#[derive(Deserialize)]
struct RawPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: RawPodSpec,
    #[serde(default)]
    status: RawPodStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawPodSpec {
    node_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawPodStatus {
    phase: Option<String>,
    conditions: Option<Vec<RawCondition>>,
    container_statuses: Option<Vec<RawContainerStatus>>,
    init_container_statuses: Option<Vec<RawContainerStatus>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawCondition {
    r#type: String,
    status: String,
    last_transition_time: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawContainerStatus {
    name: String,
    restart_count: i32,
    state: Option<RawContainerState>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawContainerState {
    terminated: Option<RawTerminated>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawTerminated {
    exit_code: i32,
    finished_at: Option<Time>,
}

/// When the Pod ended: the last container's end, else when it stopped being ready, else when its
/// deletion was asked for, else its creation.
fn finish_time(metadata: &ObjectMeta, status: &RawPodStatus) -> Option<Timestamp> {
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let ends: Option<Vec<Timestamp>> = containers
        .iter()
        .map(|c| {
            c.state
                .as_ref()?
                .terminated
                .as_ref()?
                .finished_at
                .as_ref()
                .map(|t| t.0)
        })
        .collect();
    if let Some(last) = ends.and_then(|ends| ends.into_iter().max()) {
        return Some(last);
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unready = conditions
        .iter()
        .find(|c| c.r#type == "Ready" && c.status == "False");
    if let Some(time) = unready.and_then(|c| c.last_transition_time.as_ref()) {
        return Some(time.0);
    }
    if let Some(time) = &metadata.deletion_timestamp {
        let grace = metadata.deletion_grace_period_seconds.unwrap_or(0).max(0);
        let asked = time.0.as_second().saturating_sub(grace);
        return Timestamp::from_second(asked).ok();
    }
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

impl From<RawPod> for PodView {
    fn from(raw: RawPod) -> Self {
        let RawPod {
            mut metadata,
            spec,
            status,
        } = raw;
        let annotations = metadata.annotations.take().unwrap_or_default();
        let labels = metadata.labels.take().unwrap_or_default();
        metadata.managed_fields = None;
        let number = |key: &str| annotations.get(key).and_then(|text| text.parse().ok());
        let owner = metadata.owner_references.as_ref().and_then(|owners| {
            owners.iter().find(|owner| {
                owner.controller == Some(true)
                    && owner.kind == "Job"
                    && owner.api_version.starts_with("batch/")
            })
        });
        let all = || {
            let main = status.container_statuses.iter().flatten();
            main.chain(status.init_container_statuses.iter().flatten())
        };
        let conditions = status.conditions.as_deref().unwrap_or_default();
        Self {
            job_uid: owner.map(|owner| owner.uid.as_str().into()),
            job_name: owner.map(|owner| owner.name.clone()),
            index: annotations
                .get(COMPLETION_INDEX)
                .or_else(|| labels.get(COMPLETION_INDEX))
                .and_then(|text| text.parse().ok()),
            index_failures: number(INDEX_FAILURE_COUNT).unwrap_or(0),
            index_ignored_failures: number(INDEX_IGNORED_FAILURE_COUNT).unwrap_or(0),
            phase: match status.phase.as_deref() {
                Some("Succeeded") => Phase::Succeeded,
                Some("Failed") => Phase::Failed,
                Some("Running") => Phase::Running,
                _ => Phase::Pending,
            },
            ready: conditions
                .iter()
                .any(|c| c.r#type == "Ready" && c.status == "True"),
            scheduled: spec.node_name.is_some_and(|name| !name.is_empty()),
            restarts: all().fold(0_i32, |sum, c| sum.saturating_add(c.restart_count.max(0))),
            tracked: metadata
                .finalizers
                .as_ref()
                .is_some_and(|all| all.iter().any(|name| name == TRACKING_FINALIZER)),
            ended: all()
                .filter_map(|c| {
                    let exit_code = c.state.as_ref()?.terminated.as_ref()?.exit_code;
                    Some(ContainerEnd {
                        name: c.name.clone(),
                        exit_code,
                    })
                })
                .collect(),
            finished_at: finish_time(&metadata, &status),
            conditions: conditions
                .iter()
                .map(|c| (c.r#type.clone(), c.status.clone()))
                .collect(),
            metadata,
        }
    }
}

macro_rules! namespaced_resource {
    ($view:ty, $group:literal, $version:literal, $kind:literal, $plural:literal) => {
        impl Resource for $view {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                $version.into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

namespaced_resource!(JobView, "batch", "v1", "Job", "jobs");
namespaced_resource!(PodView, "", "v1", "Pod", "pods");
