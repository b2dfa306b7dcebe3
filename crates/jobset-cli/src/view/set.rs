//! A JobSet with its roles: the state in one word, the counts, and the Jobs and Pods below.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jobset_api::constants as keys;
use jobset_api::{JobSet, ReplicatedJob, StartupPolicyOrder, conditions};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;

use super::job::JobView;
use super::pod::{PodPlace, PodView};
use super::queue::QueueState;
use super::snapshot::Snapshot;

/// One JobSet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetView {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// `Pending` (no controller has looked at it), `Suspended`, `Starting`, `Running`, `Restarting`,
    /// `Completed`, `Failed` or `Terminating`.
    pub(crate) state: &'static str,
    /// Of the condition that made the state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    pub(crate) restarts: i32,
    pub(crate) counted_restarts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_restarts: Option<i32>,
    pub(crate) created: Option<Time>,
    pub(crate) finished: Option<Time>,
    /// Another controller that is responsible for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<QueueState>,
    pub(crate) roles: Vec<RoleView>,
}

/// One replicated job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleView {
    pub(crate) name: String,
    pub(crate) replicas: i32,
    pub(crate) ready: i32,
    pub(crate) active: i32,
    pub(crate) succeeded: i32,
    pub(crate) failed: i32,
    pub(crate) suspended: i32,
    /// Jobs that are being deleted.
    pub(crate) terminating: i32,
    /// What it starts after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<String>,
    /// In the order of their indices. Empty in a list of JobSets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) jobs: Vec<JobView>,
}

impl SetView {
    /// What the object alone says.
    pub(crate) fn of(jobset: &JobSet) -> Self {
        let roles = roles(jobset);
        let (state, because) = state(jobset, &roles);
        let status = jobset.status.as_ref();
        let policy = jobset.spec.failure_policy.as_ref();
        let finished = [keys::COMPLETED, keys::FAILED]
            .into_iter()
            .filter(|type_| conditions::is_true(jobset, type_))
            .find_map(|type_| conditions::find(jobset, type_));
        Self {
            namespace: jobset.namespace().to_owned(),
            name: jobset.name().to_owned(),
            state,
            reason: because.map(|c| c.reason.clone()).unwrap_or_default(),
            message: because.map(|c| c.message.clone()).unwrap_or_default(),
            restarts: status.map_or(0, |status| status.restarts),
            counted_restarts: status.map_or(0, |status| status.restarts_count_towards_max),
            max_restarts: policy.map(jobset_api::FailurePolicy::max_restarts),
            created: jobset.metadata.creation_timestamp.clone(),
            finished: finished.map(|condition| condition.last_transition_time.clone()),
            managed_by: jobset
                .spec
                .managed_by
                .clone()
                .filter(|_| !jobset.is_managed_here()),
            queue: QueueState::of(jobset),
            roles,
        }
    }

    /// With its Jobs and Pods.
    pub(crate) fn with_children(snapshot: &Snapshot) -> Self {
        Self::with_children_again(snapshot, &mut PodViews::default())
    }

    /// With its Jobs and Pods, of which those that have not changed since the last time are not looked
    /// at again.
    pub(crate) fn with_children_again(snapshot: &Snapshot, pods: &mut PodViews) -> Self {
        let mut set = Self::of(&snapshot.jobset);
        let mut jobs: BTreeMap<String, (String, JobView)> = BTreeMap::new();
        for job in &snapshot.jobs {
            let view = JobView::of(job);
            let role = super::pod::label(job.as_ref(), keys::REPLICATED_JOB_NAME_KEY).to_owned();
            jobs.insert(view.name.clone(), (role, view));
        }
        for (place, view) in pods.of(snapshot) {
            let (_, job) = jobs.entry(place.job.clone()).or_insert_with(|| {
                let gone = JobView {
                    name: place.job.clone(),
                    index: place.job_index.parse().ok(),
                    state: "Gone",
                    attempt: place.attempt,
                    ..JobView::default()
                };
                (place.role.clone(), gone)
            });
            job.pods.push(view);
        }
        for (name, mut job) in jobs.into_values() {
            job.pods.sort_by(|a, b| a.name.cmp(&b.name));
            // A Job whose labels somebody has removed belongs to no role, but it is there.
            if !set.roles.iter().any(|role| role.name == name) {
                set.roles.push(RoleView {
                    name: name.clone(),
                    ..RoleView::default()
                });
            }
            if let Some(role) = set.roles.iter_mut().find(|role| role.name == name) {
                role.terminating += i32::from(job.terminating_since.is_some());
                role.jobs.push(job);
            }
        }
        for role in &mut set.roles {
            role.jobs.sort_by_key(|job| job.index);
        }
        set
    }

    /// All Jobs, and those of them that are ready or have succeeded.
    pub(crate) fn ready(&self) -> (i32, i32) {
        let sum = |pick: fn(&RoleView) -> i32| self.roles.iter().map(pick).sum();
        (
            sum(|role| role.ready + role.succeeded),
            sum(|role| role.replicas),
        )
    }
}

/// What was made of Pods before: of thousands only a few change at a time.
#[derive(Debug, Default)]
pub(crate) struct PodViews {
    known: HashMap<String, (Arc<Pod>, PodPlace, PodView)>,
    /// How many were made so far.
    #[cfg(test)]
    pub(crate) made: usize,
}

impl PodViews {
    /// The Pods of a snapshot, in its order. Only these are remembered.
    fn of(&mut self, snapshot: &Snapshot) -> Vec<(PodPlace, PodView)> {
        let mut before = std::mem::take(&mut self.known);
        let mut all = Vec::with_capacity(snapshot.pods.len());
        for pod in &snapshot.pods {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let known = before
                .remove(&name)
                .filter(|(known, ..)| Arc::ptr_eq(known, pod));
            let known = known.unwrap_or_else(|| {
                #[cfg(test)]
                {
                    self.made += 1;
                }
                let view = PodView::of(pod, snapshot.now);
                (Arc::clone(pod), PodPlace::of(pod.as_ref()), view)
            });
            all.push((known.1.clone(), known.2.clone()));
            self.known.insert(name, known);
        }
        all
    }
}

/// The replicated jobs with the counts of the status.
pub(crate) fn roles(jobset: &JobSet) -> Vec<RoleView> {
    let counts: BTreeMap<&str, _> = jobset
        .status
        .iter()
        .flat_map(|status| &status.replicated_jobs_status)
        .map(|counts| (counts.name.as_str(), counts))
        .collect();
    let in_order = jobset
        .spec
        .startup_policy
        .as_ref()
        .is_some_and(|policy| policy.startup_policy_order == StartupPolicyOrder::InOrder);
    let mut before: Option<&ReplicatedJob> = None;
    let mut roles = Vec::new();
    for role in &jobset.spec.replicated_jobs {
        let counts = counts.get(role.name.as_str());
        let mut after: Vec<String> = role
            .depends_on()
            .iter()
            .map(|on| format!("{} ({})", on.name, on.status))
            .collect();
        if let Some(before) = before.filter(|_| in_order) {
            after.push(format!("{} (Ready)", before.name));
        }
        before = Some(role);
        roles.push(RoleView {
            name: role.name.clone(),
            replicas: role.replicas(),
            ready: counts.map_or(0, |c| c.ready),
            active: counts.map_or(0, |c| c.active),
            succeeded: counts.map_or(0, |c| c.succeeded),
            failed: counts.map_or(0, |c| c.failed),
            suspended: counts.map_or(0, |c| c.suspended),
            after,
            ..RoleView::default()
        });
    }
    roles
}

fn state<'a>(jobset: &'a JobSet, roles: &[RoleView]) -> (&'static str, Option<&'a Condition>) {
    let when_true = |type_: &str| conditions::find(jobset, type_).filter(|c| c.status == "True");
    if jobset.metadata.deletion_timestamp.is_some() {
        return ("Terminating", None);
    }
    for (type_, word) in [(keys::COMPLETED, "Completed"), (keys::FAILED, "Failed")] {
        if let Some(condition) = when_true(type_) {
            return (word, Some(condition));
        }
    }
    if jobset.is_suspended() {
        return ("Suspended", when_true(keys::SUSPENDED));
    }
    if let Some(condition) = when_true(keys::RESTARTING_JOBSET) {
        return ("Restarting", Some(condition));
    }
    if jobset.status.is_none() {
        return ("Pending", None);
    }
    let up = |role: &RoleView| role.ready + role.succeeded >= role.replicas;
    if roles.iter().all(up) {
        return ("Running", None);
    }
    let because = when_true(keys::EXCLUSIVE_PLACEMENT_UNAVAILABLE)
        .or_else(|| when_true(keys::STARTUP_POLICY_IN_PROGRESS));
    ("Starting", because)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;

    fn status(conditions: &[(&str, &str)], ready: [i32; 2]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status)| {
                json!({"type": type_, "status": status, "reason": "R", "message": "m",
                    "lastTransitionTime": "2026-01-01T00:05:00Z"})
            })
            .collect();
        let counts = |name, ready| {
            json!({"name": name, "ready": ready, "active": 0,
            "succeeded": 0, "failed": 0, "suspended": 0})
        };
        json!({"restarts": 0, "conditions": conditions,
            "replicatedJobsStatus": [counts("leader", ready[0]), counts("workers", ready[1])]})
    }

    #[test]
    fn the_state_is_one_word() {
        let word = |status: Value| SetView::of(&testing::jobset(&status)).state;
        assert_eq!(word(Value::Null), "Pending");
        assert_eq!(word(status(&[], [1, 0])), "Starting");
        assert_eq!(word(status(&[], [1, 2])), "Running");
        let restarting = status(&[("RestartingJobSet", "True")], [1, 2]);
        assert_eq!(word(restarting), "Restarting");
        let over = status(&[("RestartingJobSet", "False"), ("Failed", "True")], [0, 0]);
        assert_eq!(word(over), "Failed");
        assert_eq!(word(status(&[("Completed", "True")], [0, 0])), "Completed");
        let mut set = testing::jobset(&status(&[], [1, 2]));
        set.spec.suspend = Some(true);
        assert_eq!(SetView::of(&set).state, "Suspended");
        set.metadata.deletion_timestamp = Some(Time(testing::now()));
        assert_eq!(SetView::of(&set).state, "Terminating");
    }

    #[test]
    fn jobs_and_pods_are_sorted_into_their_roles() {
        let mut leaving = testing::job("workers", 1, &json!({}));
        leaving.metadata.deletion_timestamp = Some(Time(testing::now()));
        let snapshot = testing::snapshot(
            testing::jobset(&status(&[], [1, 0])),
            vec![leaving, testing::job("workers", 0, &json!({"active": 1}))],
            vec![
                testing::pod("workers", 0, 1, &json!({"phase": "Running"})),
                testing::pod("workers", 0, 0, &json!({"phase": "Running"})),
                testing::pod("leader", 0, 0, &json!({"phase": "Running"})),
            ],
            vec![],
        );
        let set = SetView::with_children(&snapshot);
        assert_eq!(set.ready(), (1, 3));
        let [leader, workers] = set.roles.as_slice() else {
            panic!("{set:?}");
        };
        assert_eq!(leader.jobs[0].state, "Gone", "only its Pod is left");
        assert_eq!(workers.after, ["leader (Ready)"]);
        assert_eq!(workers.terminating, 1);
        let brief: Vec<_> = workers
            .jobs
            .iter()
            .map(|job| (job.index, job.state))
            .collect();
        assert_eq!(brief, [(Some(0), "Starting"), (Some(1), "Terminating")]);
        let pods: Vec<_> = workers.jobs[0]
            .pods
            .iter()
            .map(|pod| pod.name.as_str())
            .collect();
        assert_eq!(pods, ["js-workers-0-0-abcde", "js-workers-0-1-abcde"]);
    }
}
