//! What is known about the run: a plain state that changes are applied to.
//!
//! No I/O and no clock: the time of a change comes with it.

mod waiting;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use jobset_api::constants as keys;
use jobset_api::{JobSet, JobSetStatus, conditions};
use jobset_controller::admission::TRANSIENT;
use jobset_core::why;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;

use super::watch::{Change, PodCondition, SlimJob, SlimPod};
use crate::view::{self, PodPlace, RoleView, label};

/// Log lines remembered of each Pod.
const REMEMBERED_LINES: usize = 10;

/// Events of one reason that are shown; a thousand Jobs may all meet the same obstacle.
const SHOWN_PER_REASON: usize = 3;

/// Reasons of events about what keeps a JobSet from going on. Other warnings, such as those about
/// failures, are shown by their consequences.
const OBSTACLES: &[&str] = &[
    keys::events::JOB_CREATION_FAILED,
    keys::events::HEADLESS_SERVICE_CREATION_FAILED,
    keys::events::PVC_CREATION_FAILED,
    // Of the Job controller and of the node.
    "FailedCreate",
    "FailedMount",
    "FailedPostStartHook",
    "NotIsolated",
];

/// Namespace and name.
pub(super) type Key = (String, String);

/// The state of the run.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The JobSets of the manifests, in their order.
    pub(super) sets: Vec<Set>,
    pods: HashMap<Key, Pod>,
    /// Pods that run and are not ready, by JobSet and short name.
    unready: BTreeSet<(usize, String)>,
    /// Probes that have failed, by Pod.
    unhealthy: HashMap<Key, waiting::Probe>,
    lines: HashMap<Key, VecDeque<String>>,
    notices: Vec<Notice>,
    said: HashSet<String>,
    /// How many events of a reason were shown.
    obstacles: HashMap<String, usize>,
}

/// Something to tell the user once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) warning: bool,
    pub(super) text: String,
}

/// How a JobSet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Failed,
    /// Somebody deleted it.
    Deleted,
}

/// One JobSet.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) suspended: bool,
    pub(super) roles: Vec<RoleView>,
    pub(super) status: JobSetStatus,
    pub(super) ending: Option<Ending>,
    pub(super) failures: Vec<PodFailure>,
    /// What the failure policy decided, in the words of the controller, oldest first.
    pub(super) decisions: Vec<String>,
    /// Jobs there are now.
    jobs: HashSet<String>,
    /// Time from the start of the run until all Jobs were first there, were first ready or done,
    /// and until the end.
    pub(super) all_created: Option<Duration>,
    pub(super) all_ready: Option<Duration>,
    pub(super) finished: Option<Duration>,
}

/// A container that ended with an error, or a Pod that never ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodFailure {
    pub(super) pod: String,
    pub(super) node: Option<String>,
    pub(super) job: String,
    pub(super) container: String,
    pub(super) attempt: i32,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) last_lines: Vec<String>,
}

/// Where a Pod belongs.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) set: usize,
    /// Place of its role in the JobSet; decides the colour.
    pub(super) role: usize,
    /// `<role>-<job index>-<completion index>`.
    pub(super) short_name: String,
    job: String,
}

impl Model {
    /// A run of these JobSets, as the API has stored them.
    pub(super) fn new(jobsets: &[JobSet]) -> Self {
        let sets = jobsets
            .iter()
            .map(|jobset| Set {
                namespace: jobset.namespace().to_owned(),
                name: jobset.name().to_owned(),
                uid: jobset.uid().to_owned(),
                suspended: false,
                roles: view::roles(jobset),
                status: JobSetStatus::default(),
                ending: None,
                failures: Vec::new(),
                decisions: Vec::new(),
                jobs: HashSet::new(),
                all_created: None,
                all_ready: None,
                finished: None,
            })
            .collect();
        Self {
            sets,
            ..Self::default()
        }
    }

    /// Whether every JobSet has ended.
    pub(super) fn finished(&self) -> bool {
        self.sets.iter().all(|set| set.ending.is_some())
    }

    /// What has to be said since the last call.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Where a Pod belongs, if it is one of ours.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        // A look-up by reference needs no allocation only for owned pairs; Pods print rarely
        // enough for this not to matter.
        self.pods.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Remembers a log line for the explanation of a failure.
    pub(super) fn log_line(&mut self, namespace: &str, pod: &str, line: &str) {
        let lines = self
            .lines
            .entry((namespace.to_owned(), pod.to_owned()))
            .or_default();
        if lines.len() == REMEMBERED_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// Applies a change that was seen this long after the start of the run.
    pub(super) fn apply(&mut self, change: Change, at: Duration) {
        match change {
            Change::JobSet(jobset) => self.jobset(&jobset, at),
            Change::JobSetGone(jobset) => {
                if let Some(set) = self.set_of(jobset.namespace(), jobset.name())
                    && self.sets[set].ending.is_none()
                {
                    self.sets[set].ending = Some(Ending::Deleted);
                    self.sets[set].finished = Some(at);
                }
            }
            Change::Job(job) => self.job(&job, at),
            Change::JobGone(job) => {
                if let Some(set) = self.set_of_child(&*job) {
                    self.sets[set].jobs.remove(&job.name_any());
                }
            }
            Change::Warning(event) => self.warning(&event),
            Change::Pod(pod) => self.pod_changed(&pod),
            Change::PodGone(pod) => {
                // Its place is still needed for lines that are on their way.
                self.lines.remove(&key(&*pod));
                self.unhealthy.remove(&key(&*pod));
                if let Some(known) = self.pods.get(&key(&*pod)) {
                    self.unready.remove(&(known.set, known.short_name.clone()));
                }
            }
        }
    }

    fn set_of(&self, namespace: &str, name: &str) -> Option<usize> {
        self.sets
            .iter()
            .position(|set| set.namespace == namespace && set.name == name)
    }

    fn set_of_child(&self, child: &impl kube::Resource) -> Option<usize> {
        self.set_of(
            child.meta().namespace.as_deref().unwrap_or_default(),
            label(child, keys::JOBSET_NAME_KEY),
        )
    }

    fn jobset(&mut self, jobset: &JobSet, at: Duration) {
        let Some(index) = self.set_of(jobset.namespace(), jobset.name()) else {
            return;
        };
        let set = &mut self.sets[index];
        if set.uid != jobset.uid() {
            return;
        }
        let before = std::mem::take(&mut set.status);
        set.status = jobset.status.clone().unwrap_or_default();
        set.roles = view::roles(jobset);
        let name = set.name.clone();
        if jobset.is_suspended() != set.suspended {
            set.suspended = jobset.is_suspended();
            self.notices.push(if set.suspended {
                Notice {
                    warning: true,
                    text: format!(
                        "{name} is suspended and starts nothing; resume it from another terminal, with \
                         the PATH of this run's --kubeconfig: jobset resume {name}{} --kubeconfig PATH",
                        in_namespace(&set.namespace)
                    ),
                }
            } else {
                Notice {
                    warning: false,
                    text: format!("{name} is resumed"),
                }
            });
        }
        let set = &mut self.sets[index];
        if set.status.restarts > before.restarts {
            let why = conditions::find(jobset, keys::RESTARTING_JOBSET)
                .map(|condition| condition.message.clone())
                .unwrap_or_default();
            self.notices.push(Notice {
                warning: true,
                text: format!("{name}: restart {}: {why}", set.status.restarts),
            });
        }
        if set.all_ready.is_none()
            && set
                .roles
                .iter()
                .all(|role| role.ready + role.succeeded >= role.replicas)
        {
            set.all_ready = Some(at);
        }
        if set.ending.is_none() && conditions::is_finished(jobset) {
            let completed = conditions::is_true(jobset, keys::COMPLETED);
            set.ending = Some(if completed {
                Ending::Completed
            } else {
                Ending::Failed
            });
            set.finished = Some(at);
        }
    }

    fn job(&mut self, job: &SlimJob, at: Duration) {
        let Some(index) = self.set_of_child(job) else {
            return;
        };
        let set = &mut self.sets[index];
        set.jobs.insert(job.name_any());
        if set.all_created.is_none() && set.jobs.len() >= set.total() {
            set.all_created = Some(at);
        }
    }

    fn pod_changed(&mut self, pod: &SlimPod) {
        let Some(index) = self.set_of_child(pod) else {
            return;
        };
        let key = key(pod);
        let known = self.pods.entry(key.clone()).or_insert_with(|| {
            let set = &self.sets[index];
            let place = PodPlace::of(pod);
            Pod {
                set: index,
                role: set
                    .roles
                    .iter()
                    .position(|known| known.name == place.role)
                    .unwrap_or_default(),
                short_name: place.short_name(),
                job: place.job,
            }
        });
        let short_name = known.short_name.clone();
        let job = known.job.clone();
        let ready =
            |condition: &PodCondition| condition.type_ == "Ready" && condition.status == "True";
        let place = (index, short_name.clone());
        match &pod.status {
            Some(status) if status.phase == "Running" && !status.conditions.iter().any(ready) => {
                self.unready.insert(place);
            }
            _ => {
                self.unready.remove(&place);
            }
        }
        self.trouble(pod, &short_name);
        self.failures(pod, index, &job);
    }

    /// Says what an event tells about an obstacle, once.
    fn warning(&mut self, event: &Event) {
        let (Some(reason), Some(note)) = (&event.reason, &event.note) else {
            return;
        };
        if reason == why::EVENT_REASON {
            self.decided(event, note);
            return;
        }
        if reason == waiting::UNHEALTHY {
            self.probe_failed(event, note);
            return;
        }
        // With exclusive placement Pods wait for each other. What keeps the first of them from
        // being placed is told about that one.
        if reason == "FailedCreate" && note.contains(TRANSIENT) {
            return;
        }
        // Many Pods may meet the same: the note alone decides whether it is new.
        if !OBSTACLES.contains(&reason.as_str()) || !self.said.insert(format!("{reason}: {note}")) {
            return;
        }
        let shown = self.obstacles.entry(reason.clone()).or_default();
        *shown += 1;
        let text = match (*shown).cmp(&SHOWN_PER_REASON) {
            Ordering::Greater => return,
            Ordering::Less => String::new(),
            Ordering::Equal => format!("; further events {reason} are not shown"),
        };
        let regarding = event
            .regarding
            .as_ref()
            .and_then(|about| about.name.as_deref());
        self.notices.push(Notice {
            warning: true,
            text: format!("{}: {reason}: {note}{text}", regarding.unwrap_or_default()),
        });
    }

    /// Remembers a decision, once: a watch that begins anew tells it again.
    fn decided(&mut self, event: &Event, note: &str) {
        let Some(about) = &event.regarding else {
            return;
        };
        let set = self
            .sets
            .iter_mut()
            .find(|set| about.uid.as_deref() == Some(&set.uid));
        if let Some(set) = set
            && !set.decisions.iter().any(|known| known == note)
        {
            set.decisions.push(note.to_owned());
        }
    }

    /// Whether a JobSet has failed by a decision that has not been told yet: the event follows the
    /// status.
    pub(super) fn waits_for_decision(&self) -> bool {
        self.sets.iter().any(|set| {
            let told = format!("attempt {},", set.status.restarts);
            set.ending == Some(Ending::Failed)
                && set.first_failed_job().is_some()
                && !set
                    .decisions
                    .iter()
                    .any(|decision| decision.starts_with(&told))
        })
    }

    /// Says what keeps a Pod from running, once.
    fn trouble(&mut self, pod: &SlimPod, short_name: &str) {
        let Some(status) = &pod.status else {
            return;
        };
        let mut say = |reason: &str, message: &str| {
            let text = format!("{short_name}: {reason}: {message}");
            if self.said.insert(text.clone()) {
                self.notices.push(Notice {
                    warning: true,
                    text,
                });
            }
        };
        for condition in &status.conditions {
            if condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.reason == "Unschedulable"
            {
                say(&condition.reason, &condition.message);
            }
        }
        let containers = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses);
        for container in containers {
            if let Some(waiting) = &container.state.waiting
                && !matches!(
                    waiting.reason.as_str(),
                    "" | "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff"
                )
            {
                say(&waiting.reason, &waiting.message);
            }
        }
    }

    fn failures(&mut self, pod: &SlimPod, index: usize, job: &str) {
        let Some(status) = &pod.status else {
            return;
        };
        let attempt = label(pod, keys::RESTART_ATTEMPT_KEY)
            .parse()
            .unwrap_or_default();
        let name = pod.name_any();
        let node = &pod.spec.node_name;
        let mut found: Vec<(String, PodFailure)> = Vec::new();
        let containers = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses);
        for container in containers {
            let runs = [
                (
                    &container.last_state.terminated,
                    container.restart_count - 1,
                ),
                (&container.state.terminated, container.restart_count),
            ];
            for (terminated, run) in runs {
                if let Some(terminated) = terminated
                    && terminated.exit_code != 0
                {
                    found.push((
                        format!("{name}/{}/{run}", container.name),
                        PodFailure {
                            pod: name.clone(),
                            node: node.clone(),
                            job: job.to_owned(),
                            container: container.name.clone(),
                            attempt,
                            exit_code: Some(terminated.exit_code),
                            signal: terminated
                                .signal
                                .filter(|signal| *signal != 0)
                                .or((terminated.exit_code > 128)
                                    .then_some(terminated.exit_code - 128)),
                            reason: terminated.reason.clone(),
                            message: terminated.message.clone(),
                            last_lines: Vec::new(),
                        },
                    ));
                }
            }
        }
        if found.is_empty() && status.phase == "Failed" {
            found.push((
                name.clone(),
                PodFailure {
                    pod: name.clone(),
                    node: node.clone(),
                    job: job.to_owned(),
                    container: String::new(),
                    attempt,
                    exit_code: None,
                    signal: None,
                    reason: status.reason.clone().unwrap_or_default(),
                    message: status.message.clone().unwrap_or_default(),
                    last_lines: Vec::new(),
                },
            ));
        }
        // What is stopped on purpose has not failed by itself.
        let stopped = pod.metadata.deletion_timestamp.is_some();
        for (id, mut failure) in found {
            if !stopped && self.said.insert(format!("failure {id}")) {
                failure.last_lines = self
                    .lines
                    .get(&key(pod))
                    .map(|lines| lines.iter().cloned().collect())
                    .unwrap_or_default();
                self.sets[index].failures.push(failure);
            }
        }
    }
}

/// The option that names a namespace, where it has to be named.
fn in_namespace(namespace: &str) -> String {
    match namespace {
        "default" => String::new(),
        other => format!(" -n {other}"),
    }
}

fn key(object: &impl kube::Resource) -> Key {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

impl Set {
    /// Jobs it has when complete.
    pub(super) fn total(&self) -> usize {
        self.roles
            .iter()
            .map(|role| usize::try_from(role.replicas).unwrap_or_default())
            .sum()
    }

    /// Reason and message of the final condition.
    pub(super) fn verdict(&self) -> (String, String) {
        let wanted = match self.ending {
            Some(Ending::Completed) => keys::COMPLETED,
            Some(Ending::Failed) => keys::FAILED,
            Some(Ending::Deleted) => {
                return ("Deleted".to_owned(), "the JobSet was deleted".to_owned());
            }
            None => return (String::new(), String::new()),
        };
        self.status
            .conditions
            .iter()
            .find(|condition| condition.type_ == wanted)
            .map(|condition| (condition.reason.clone(), condition.message.clone()))
            .unwrap_or_default()
    }

    /// The Job that the failure policy acted upon last, as the condition's message names it.
    pub(super) fn first_failed_job(&self) -> Option<String> {
        keys::messages::first_failed_job(&self.verdict().1).map(str::to_owned)
    }

    /// The failure that explains the end: the first one of the first failed Job in the last
    /// attempt.
    pub(super) fn first_failure(&self) -> Option<&PodFailure> {
        if self.ending != Some(Ending::Failed) {
            return None;
        }
        let job = self.first_failed_job();
        let last_attempt = self.status.restarts;
        let of_job = |failure: &&PodFailure| job.as_deref().is_none_or(|job| failure.job == job);
        self.failures
            .iter()
            .filter(of_job)
            .find(|failure| failure.attempt == last_attempt)
            .or_else(|| self.failures.iter().find(of_job))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn jobset(status: Value) -> JobSet {
        serde_json::from_value(json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
            "metadata": {"name": "js", "namespace": "default", "uid": "u"},
            "spec": {"replicatedJobs": [
                {"name": "leader", "template": {"spec": {"template": {"spec": {}}}}},
                {"name": "workers", "replicas": 2, "template": {"spec": {"template": {"spec": {}}}}},
            ]},
            "status": status,
        }))
        .unwrap()
    }

    fn pod(status: Value) -> Change {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "js-workers-1-0-abcde", "namespace": "default", "uid": "p",
                "labels": {
                    "jobset.sigs.k8s.io/jobset-name": "js",
                    "jobset.sigs.k8s.io/replicatedjob-name": "workers",
                    "jobset.sigs.k8s.io/job-index": "1",
                    "jobset.sigs.k8s.io/restart-attempt": "0",
                    "batch.kubernetes.io/job-name": "js-workers-1",
                },
                "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
            },
            "spec": {"nodeName": "node-0"},
            "status": status,
        });
        Change::Pod(Box::new(serde_json::from_value(pod).unwrap()))
    }

    #[test]
    fn a_failure_is_explained_by_the_first_failed_pod_of_the_first_failed_job() {
        let mut model = Model::new(&[jobset(json!({}))]);
        model.apply(pod(json!({"phase": "Running"})), Duration::ZERO);
        for line in 0..30 {
            model.log_line("default", "js-workers-1-0-abcde", &format!("line {line}"));
        }
        let terminated = json!({"phase": "Failed", "containerStatuses": [
            {"name": "main", "restartCount": 0, "state": {"terminated": {"exitCode": 137, "reason": "Error"}}},
        ]});
        model.apply(pod(terminated.clone()), Duration::ZERO);
        model.apply(pod(terminated), Duration::ZERO);
        assert_eq!(model.sets[0].failures.len(), 1, "a failure is counted once");
        assert!(!model.finished());
        let failed = jobset(json!({"restarts": 0, "conditions": [{
            "type": "Failed", "status": "True", "reason": "FailedJobs",
            "message": "jobset failed due to one or more job failures (first failed job: js-workers-1)",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}));
        model.apply(Change::JobSet(Box::new(failed)), Duration::from_secs(3));
        assert!(model.finished() && model.waits_for_decision());
        for _ in 0..2 {
            let event = json!({
                "metadata": {"name": "e"}, "eventTime": null, "type": "Warning",
                "reason": "FailurePolicyDecision", "note": "attempt 0, rule: none matched",
                "regarding": {"kind": "JobSet", "name": "js", "uid": "u"},
            });
            let event = serde_json::from_value(event).unwrap();
            model.apply(Change::Warning(Box::new(event)), Duration::ZERO);
        }
        assert!(!model.waits_for_decision());
        assert_eq!(model.sets[0].decisions.len(), 1, "a decision is told once");
        let failure = model.sets[0].first_failure().unwrap();
        assert_eq!(failure.exit_code, Some(137));
        assert_eq!(failure.signal, Some(9));
        assert_eq!(failure.node.as_deref(), Some("node-0"));
        assert_eq!(failure.last_lines.len(), REMEMBERED_LINES);
        assert_eq!(failure.last_lines.last().unwrap(), "line 29");
        assert_eq!(
            model
                .pod("default", "js-workers-1-0-abcde")
                .unwrap()
                .short_name,
            "workers-1-0"
        );
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_said_once() {
        let mut model = Model::new(&[jobset(json!({}))]);
        let waiting = json!({"phase": "Pending", "containerStatuses": [
            {"name": "main", "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "configmap \"x\" not found"}}},
        ]});
        model.apply(pod(waiting.clone()), Duration::ZERO);
        model.apply(pod(waiting), Duration::ZERO);
        let notices = model.take_notices();
        assert_eq!(notices.len(), 1);
        assert!(notices[0].text.contains("configmap \"x\" not found"));
    }

    #[test]
    fn obstacles_are_said_and_not_repeated() {
        let mut model = Model::new(&[jobset(json!({}))]);
        let mut tell = |reason: &str, note: &str| {
            let event = json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
                "eventTime": null, "reason": reason, "note": note, "type": "Warning",
                "regarding": {"kind": "JobSet", "name": "js"},
            });
            let event = serde_json::from_value(event).unwrap();
            model.apply(Change::Warning(Box::new(event)), Duration::ZERO);
            let texts: Vec<String> = model.take_notices().into_iter().map(|n| n.text).collect();
            texts.join("|")
        };
        assert_eq!(tell("JobCreationFailed", "no"), "js: JobCreationFailed: no");
        assert_eq!(tell("JobCreationFailed", "no"), "");
        assert_eq!(tell("BackOff", "not an obstacle"), "");
        assert_eq!(tell("FailedCreate", &format!("no leader; {TRANSIENT}")), "");
        assert_eq!(
            tell("FailedCreate", "no quota"),
            "js: FailedCreate: no quota"
        );
        assert_eq!(tell("JobCreationFailed", "2"), "js: JobCreationFailed: 2");
        assert!(tell("JobCreationFailed", "3").ends_with("are not shown"));
        assert_eq!(tell("JobCreationFailed", "4"), "");
        assert_eq!(tell("FailedMount", "x"), "js: FailedMount: x");
    }

    #[test]
    fn restarts_and_suspension_are_announced() {
        let mut model = Model::new(&[jobset(json!({}))]);
        let mut suspended = jobset(json!({}));
        suspended.spec.suspend = Some(true);
        model.apply(Change::JobSet(Box::new(suspended)), Duration::ZERO);
        assert!(
            model.take_notices()[0]
                .text
                .contains("jobset resume js --kubeconfig PATH")
        );
        model.apply(
            Change::JobSet(Box::new(jobset(json!({"restarts": 1})))),
            Duration::ZERO,
        );
        let texts: Vec<String> = model.take_notices().into_iter().map(|n| n.text).collect();
        assert_eq!(texts[0], "js is resumed");
        assert!(texts[1].starts_with("js: restart 1"), "{texts:?}");
    }

    #[test]
    fn a_deleted_jobset_ends_the_run() {
        let mut model = Model::new(&[jobset(json!({}))]);
        model.apply(
            Change::JobSetGone(Box::new(jobset(json!({})))),
            Duration::ZERO,
        );
        assert_eq!(model.sets[0].ending, Some(Ending::Deleted));
        assert_eq!(model.sets[0].verdict().0, "Deleted");
    }
}
