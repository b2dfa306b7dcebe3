//! A random walk of Job, Pods, users, crashes and time; the invariants hold at every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::backoff::{BackoffLimits, BackoffRecord};
use super::conditions;
use super::decide::{Decision, decide};
use super::status;
use super::view::{ContainerEnd, JobView, Phase, PodView};

const LIMITS: BackoffLimits = BackoffLimits {
    base: Duration::from_secs(10),
    cap: Duration::from_mins(6),
};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A pass of the controller that dies after so many of its four stages.
    Pass {
        stages: u8,
    },
    Schedule(usize),
    Run(usize),
    Succeed(usize),
    Fail(usize, i32),
    Restart(usize),
    /// A user deletes a Pod.
    Delete(usize),
    /// The node ends a Pod that is being deleted.
    Reap(usize),
    Suspend(bool),
    Parallelism(i32),
    Sleep(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let pod = 0..8_usize;
    prop_oneof![
        6 => Just(Step::Pass { stages: 4 }),
        1 => (0..4_u8).prop_map(|stages| Step::Pass { stages }),
        3 => pod.clone().prop_map(Step::Schedule),
        3 => pod.clone().prop_map(Step::Run),
        2 => pod.clone().prop_map(Step::Succeed),
        2 => (pod.clone(), 1..4_i32).prop_map(|(pod, code)| Step::Fail(pod, code)),
        1 => pod.clone().prop_map(Step::Restart),
        1 => pod.clone().prop_map(Step::Delete),
        2 => pod.prop_map(Step::Reap),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => (0..5_i32).prop_map(Step::Parallelism),
        2 => (1..500_i64).prop_map(Step::Sleep),
    ]
}

fn spec() -> impl Strategy<Value = Value> {
    let policy = prop_oneof![
        3 => Just(Value::Null),
        1 => Just(json!({"rules": [
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [2]}},
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}},
        ]})),
    ];
    let replacement = prop_oneof![
        Just(Value::Null),
        Just(json!("Failed")),
        Just(json!("TerminatingOrFailed")),
    ];
    (
        any::<bool>(),
        proptest::option::weighted(0.8, 0..6_i32),
        0..5_i32,
        0..8_i32,
        proptest::option::weighted(0.3, 0..3_i32),
        proptest::option::weighted(0.2, 50..2000_i64),
        any::<bool>(),
        policy,
        replacement,
    )
        .prop_map(
            |(indexed, completions, parallelism, backoff, per_index, deadline, in_place, policy, replacement)| {
                let indexed = indexed && completions.is_some();
                let per_index = per_index.filter(|_| indexed);
                let policy_given = !policy.is_null();
                json!({
                    "completionMode": if indexed { "Indexed" } else { "NonIndexed" },
                    "completions": completions,
                    "parallelism": parallelism,
                    "backoffLimit": per_index.is_none().then_some(backoff),
                    "backoffLimitPerIndex": per_index,
                    "activeDeadlineSeconds": deadline,
                    "podFailurePolicy": policy,
                    "podReplacementPolicy": if policy_given { json!("Failed") } else { replacement },
                    "template": {"spec": {
                        "containers": [],
                        "restartPolicy": if in_place { "OnFailure" } else { "Never" },
                    }},
                })
            },
        )
}

struct World {
    job: JobView,
    spec: Value,
    pods: BTreeMap<String, PodView>,
    record: Option<BackoffRecord>,
    now: i64,
    next: u32,
    /// Uids that the counters have to contain in the end.
    succeeded: u32,
    failed: u32,
    writes: u32,
}

impl World {
    fn new(spec: Value) -> Self {
        let job = serde_json::from_value(json!({
            "metadata": {"name": "j", "namespace": "ns", "uid": "J"}, "spec": spec,
        }))
        .unwrap();
        Self {
            job,
            spec,
            pods: BTreeMap::new(),
            record: None,
            now: 1_700_000_000,
            next: 0,
            succeeded: 0,
            failed: 0,
            writes: 0,
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_second(self.now).unwrap()
    }

    fn views(&self) -> Vec<Arc<PodView>> {
        self.pods.values().cloned().map(Arc::new).collect()
    }

    fn decide(&self) -> Decision {
        decide(&self.job, &self.views(), self.record, LIMITS, self.time())
    }

    fn set(&mut self, key: &str, value: Value) {
        self.spec[key] = value;
        self.job.spec = serde_json::from_value(self.spec.clone()).unwrap();
    }

    fn finished(&self) -> bool {
        conditions::finished_at(&self.job.status).is_some()
    }

    fn pick(&self, position: usize) -> Option<String> {
        self.pods.keys().nth(position).cloned()
    }

    /// Applies `change` to a Pod, and counts its end if that comes now.
    fn change(&mut self, uid: &str, change: impl FnOnce(&mut PodView)) {
        let rules = &self.job.spec;
        let finished = conditions::finished_at(&self.job.status).is_some();
        let limit = rules.indexes();
        let Some(pod) = self.pods.get_mut(uid) else {
            return;
        };
        let before = (pod.phase == Phase::Succeeded, pod.failed(rules));
        change(pod);
        let counts = pod.tracked
            && !finished
            && limit.is_none_or(|n| pod.index.is_some_and(|index| index < n));
        let after = (pod.phase == Phase::Succeeded, pod.failed(rules));
        if counts && before == (false, false) {
            self.succeeded += u32::from(after.0);
            self.failed += u32::from(after.1);
        }
        if pod.deleting() && !pod.tracked && (pod.ended() || !pod.scheduled) {
            self.pods.remove(uid);
        }
    }

    fn end(&mut self, uid: &str, phase: Phase, code: i32) {
        let now = self.time();
        let Some(pod) = self.pods.get(uid) else {
            return;
        };
        if pod.ended() || !pod.scheduled {
            return;
        }
        self.change(uid, |pod| {
            pod.phase = phase;
            pod.ready = false;
            pod.finished_at = Some(now);
            pod.ended = vec![ContainerEnd {
                name: "main".to_owned(),
                exit_code: code,
            }];
        });
    }

    fn delete(&mut self, uid: &str) {
        let now = self.time();
        self.change(uid, |pod| {
            if !pod.deleting() {
                pod.metadata.deletion_timestamp = Some(Time(now));
                pod.finished_at = pod.finished_at.or(Some(now));
            }
        });
    }

    fn create(&mut self, new: super::pod_template::NewPod) {
        let uid = format!("p{:04}", self.next);
        self.next += 1;
        let (index_failures, index_ignored_failures) = new.failures.unwrap_or((0, 0));
        let mut pod = PodView {
            job_uid: Some("J".into()),
            index: new.index,
            index_failures,
            index_ignored_failures,
            tracked: true,
            ..PodView::default()
        };
        pod.metadata.uid = Some(uid.clone());
        pod.metadata.name = Some(uid.clone());
        pod.metadata.creation_timestamp = Some(Time(self.time()));
        self.pods.insert(uid, pod);
    }

    fn pass(&mut self, stages: u8) {
        let mut decision = self.decide();
        assert!(decision.create.is_empty() || decision.delete.is_empty());
        if !decision.create.is_empty() || !decision.delete.is_empty() {
            for pod in &decision.create {
                self.create(*pod);
            }
            if stages < 1 {
                self.record = None;
                return;
            }
            for removal in &decision.delete {
                let uid = removal.pod.uid().to_owned();
                if removal.uncounted {
                    self.change(&uid, |pod| pod.tracked = false);
                }
                self.delete(&uid);
            }
            self.check_active();
            decision = self.decide();
        }
        if stages < 2 {
            self.record = None;
            return;
        }
        if let Some(new) = decision.status {
            self.write(&new);
        }
        if stages < 3 {
            self.record = None;
            return;
        }
        self.record = Some(decision.backoff);
        for pod in decision.release {
            self.change(pod.uid(), |pod| pod.tracked = false);
        }
        if stages < 4 {
            self.record = None;
        }
    }

    fn write(&mut self, new: &k8s_openapi::api::batch::v1::JobStatus) {
        let old = self.job.status.clone();
        let patch = status::patch(&old, new, "1", "J").unwrap();
        let mut value = serde_json::to_value(&old).unwrap();
        merge(&mut value, &patch["status"]);
        self.job.status = serde_json::from_value(value).unwrap();
        assert!(
            !status::changed(&self.job.status, new),
            "the patch does what was decided"
        );
        assert!(
            status::changed(&old, &self.job.status),
            "no write without a change"
        );
        self.writes += 1;

        let new = &self.job.status;
        assert!(
            conditions::finished_at(&old).is_none(),
            "a finished Job is not written"
        );
        assert!(
            new.succeeded.unwrap_or(0) >= old.succeeded.unwrap_or(0),
            "succeeded never falls"
        );
        assert!(
            new.failed.unwrap_or(0) >= old.failed.unwrap_or(0),
            "failed never falls"
        );
        let has = |kind| conditions::find_true(new, kind).is_some();
        assert!(!(has("Complete") && has("Failed")), "only one end");
        assert!(!has("Complete") || has("SuccessCriteriaMet"));
        assert!(!has("Failed") || has("FailureTarget"));
        if self.finished() {
            let running = self
                .pods
                .values()
                .any(|pod| pod.active() || pod.terminating());
            assert!(!running, "the end comes after the last Pod");
        }
    }

    /// Right after a pass has acted: not too many Pods, and no index twice.
    fn check_active(&self) {
        let active: Vec<_> = self.pods.values().filter(|pod| pod.active()).collect();
        let parallelism = usize::try_from(self.job.spec.parallelism()).unwrap();
        assert!(
            active.len() <= parallelism,
            "{} > {parallelism}",
            active.len()
        );
        if self.job.spec.indexes().is_some() {
            let mut indexes: Vec<_> = active.iter().map(|pod| pod.index).collect();
            indexes.sort_unstable();
            indexes.dedup();
            assert_eq!(indexes.len(), active.len(), "each index once");
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Pass { stages } => self.pass(stages),
            Step::Sleep(seconds) => self.now += seconds,
            Step::Suspend(value) if !self.finished() => self.set("suspend", json!(value)),
            Step::Parallelism(value) if !self.finished() => self.set("parallelism", json!(value)),
            Step::Suspend(_) | Step::Parallelism(_) => {}
            Step::Schedule(position)
            | Step::Run(position)
            | Step::Succeed(position)
            | Step::Fail(position, _)
            | Step::Restart(position)
            | Step::Delete(position)
            | Step::Reap(position) => {
                let Some(uid) = self.pick(position) else {
                    return;
                };
                self.apply_to_pod(step, &uid);
            }
        }
    }

    fn apply_to_pod(&mut self, step: Step, uid: &str) {
        match step {
            Step::Schedule(_) => self.change(uid, |pod| pod.scheduled |= !pod.deleting()),
            Step::Run(_) => self.change(uid, |pod| {
                if pod.active() && pod.scheduled {
                    pod.phase = Phase::Running;
                    pod.ready = true;
                }
            }),
            Step::Restart(_) => self.change(uid, |pod| {
                if pod.phase == Phase::Running {
                    pod.restarts += 1;
                }
            }),
            Step::Succeed(_) => self.end(uid, Phase::Succeeded, 0),
            Step::Fail(_, code) => self.end(uid, Phase::Failed, code),
            Step::Delete(_) => self.delete(uid),
            Step::Reap(_) if self.pods[uid].deleting() => self.end(uid, Phase::Failed, 143),
            _ => {}
        }
    }

    /// From here on everything goes well, and nobody meddles.
    fn settle(&mut self) {
        self.set("suspend", json!(false));
        self.set("parallelism", json!(3));
        for _ in 0..60 {
            self.pass(4);
            self.now += 400;
            for uid in self.pods.keys().cloned().collect::<Vec<_>>() {
                self.change(&uid, |pod| pod.scheduled |= !pod.deleting());
                self.end(&uid, Phase::Succeeded, 0);
            }
        }
        self.pass(4);
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let (Some(target), Some(patch)) = (target.as_object_mut(), patch.as_object()) else {
        *target = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold(spec in spec(), steps in proptest::collection::vec(step(), 0..80)) {
        let mut world = World::new(spec);
        for step in steps {
            world.apply(step);
        }
        world.settle();

        prop_assert!(world.finished(), "everything went well, so the Job has ended");
        let idle = world.decide();
        prop_assert!(idle.create.is_empty() && idle.delete.is_empty());
        prop_assert!(idle.status.is_none() && idle.release.is_empty());

        let rules = &world.job.spec;
        let count = |number: Option<i32>| number.unwrap_or(0).unsigned_abs();
        let (succeeded, failed) =
            (count(world.job.status.succeeded), count(world.job.status.failed));
        let plain = rules.indexes().is_none();
        if rules.pod_failure_policy.is_some() {
            prop_assert!(failed <= world.failed);
            prop_assert!(!plain || succeeded == world.succeeded);
        } else if rules.replaces_only_failed() {
            prop_assert_eq!(failed, world.failed);
            prop_assert!(!plain || succeeded == world.succeeded);
        } else if plain {
            // A deleted Pod counts as failed, unless it has succeeded before anybody looked.
            prop_assert_eq!(succeeded + failed, world.succeeded + world.failed);
        } else {
            prop_assert!(failed <= world.failed);
        }
        // Bounded work: a write needs a cause.
        prop_assert!(world.writes <= 160 + 4 * world.next);
    }
}
