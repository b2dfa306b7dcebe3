//! Writing the status: when, and how little.
//!
//! One merge patch of `jobsets/status` that carries the resourceVersion and uid of the JobSet it
//! was planned from. The resourceVersion makes counters exactly-once: a plan from a stale JobSet
//! loses the write, never counts twice. The patch names only what changes, so that fields this
//! program does not know survive.

use std::time::Duration;

use jobset_api::{JobSet, JobSetStatus};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// What to do about a planned status now.
#[derive(Debug, PartialEq)]
pub(crate) enum Decision {
    /// It is what is stored.
    Nothing,
    /// Only counts changed and the last write is too recent: come back after this time.
    Later(Duration),
    /// Send this merge patch.
    Write(Value),
}

/// Longest time that other JobSets' work goes first.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the pace of writing depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// When the status was last written.
    pub(crate) last_write: Option<Instant>,
    /// Since when there has been something to write.
    pub(crate) wanted_since: Instant,
    /// Whether other JobSets wait for a worker.
    pub(crate) busy: bool,
    pub(crate) now: Instant,
    /// Shortest time between two writes of mere counts.
    pub(crate) interval: Duration,
}

/// Decides about `planned` for `jobset`.
///
/// During start-up every child changes the counts several times. Such changes are collected for
/// the interval, and while other JobSets wait they come after what those need, for some seconds:
/// Jobs first, then numbers about them. Everything else (conditions, restarts, terminal state) is
/// written at once. Nothing waits for the stored counts: plans use the computed ones.
pub(crate) fn decide(jobset: &JobSet, planned: &JobSetStatus, pace: Pace) -> Decision {
    let Some(status) = difference(&value(jobset.status.as_ref()), &value(Some(planned))) else {
        return Decision::Nothing;
    };
    if only_counts_differ(jobset.status.as_ref(), planned) {
        let since = |then: Instant| pace.now.saturating_duration_since(then);
        let wait = pace.last_write.map_or(Duration::ZERO, |last| {
            pace.interval.saturating_sub(since(last))
        });
        if !wait.is_zero() {
            return Decision::Later(wait);
        }
        if pace.busy && since(pace.wanted_since) < PATIENCE {
            return Decision::Later(pace.interval);
        }
    }
    let mut metadata = Map::new();
    metadata.insert("uid".to_owned(), jobset.uid().into());
    if let Some(revision) = &jobset.metadata.resource_version {
        metadata.insert("resourceVersion".to_owned(), revision.as_str().into());
    }
    Decision::Write(json!({"metadata": metadata, "status": status}))
}

/// Whether the two differ in nothing but numbers of Jobs per state. The first status is about
/// nothing else either if it says nothing but such numbers.
fn only_counts_differ(stored: Option<&JobSetStatus>, planned: &JobSetStatus) -> bool {
    let Some(stored) = stored else {
        let mut rest = planned.clone();
        let roles = std::mem::take(&mut rest.replicated_jobs_status);
        let restarted = |counts: &i32| *counts != 0;
        return rest == JobSetStatus::default()
            && !roles.iter().any(|role| {
                role.job_restarts.iter().any(restarted)
                    || role.job_restarts_count_towards_max.iter().any(restarted)
            });
    };
    let (old, new) = (
        &stored.replicated_jobs_status,
        &planned.replicated_jobs_status,
    );
    let same_rest = |planned: &JobSetStatus| {
        let mut without_counts = planned.clone();
        without_counts.replicated_jobs_status.clone_from(old);
        without_counts == *stored
    };
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            old.name == new.name
                && old.job_restarts == new.job_restarts
                && old.job_restarts_count_towards_max == new.job_restarts_count_towards_max
        })
        && same_rest(planned)
}

fn value(status: Option<&JobSetStatus>) -> Value {
    // A status is made of strings, numbers, lists and string maps: it always serialises.
    status
        .and_then(|status| serde_json::to_value(status).ok())
        .unwrap_or_else(|| json!({}))
}

/// The RFC 7396 patch that makes `new` of `old`; `None` if they are equal.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (key, new) in new {
        let change = match old.get(key) {
            Some(old) => difference(old, new),
            None => Some(new.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobset_api::ReplicatedJobStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    fn counts(ready: i32) -> JobSetStatus {
        JobSetStatus {
            replicated_jobs_status: vec![ReplicatedJobStatus {
                name: "w".into(),
                ready,
                ..ReplicatedJobStatus::default()
            }],
            ..JobSetStatus::default()
        }
    }

    fn jobset(status: Option<JobSetStatus>) -> JobSet {
        let mut jobset: JobSet = serde_json::from_value(json!({
            "metadata": {"name": "js", "uid": "u1", "resourceVersion": "5"},
        }))
        .unwrap();
        jobset.status = status;
        jobset
    }

    fn condition() -> Condition {
        Condition {
            type_: "Completed".into(),
            status: "True".into(),
            reason: "AllJobsCompleted".into(),
            message: String::new(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }
    }

    fn quiet(last_write: Option<Instant>, now: Instant, interval: Duration) -> Pace {
        Pace {
            last_write,
            wanted_since: now,
            busy: false,
            now,
            interval,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_let_the_work_of_others_go_first_for_a_while() {
        let busy = Pace {
            busy: true,
            ..quiet(None, Instant::now(), INTERVAL)
        };
        for stored in [None, Some(counts(1))] {
            let stored = jobset(stored);
            assert_eq!(decide(&stored, &counts(2), busy), Decision::Later(INTERVAL));
            let now = busy.now + PATIENCE;
            let decision = decide(&stored, &counts(2), Pace { now, ..busy });
            assert!(matches!(decision, Decision::Write(_)), "{decision:?}");
        }
        let mut restarted = counts(2);
        restarted.restarts = 1;
        let mut job_restarted = counts(2);
        job_restarted.replicated_jobs_status[0].job_restarts = vec![0, 1];
        let mut completed = counts(2);
        completed.conditions.push(condition());
        for planned in [restarted, job_restarted, completed] {
            let decision = decide(&jobset(None), &planned, busy);
            assert!(matches!(decision, Decision::Write(_)), "{decision:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn counts_are_written_at_most_once_per_interval() {
        let stored = jobset(Some(counts(1)));
        let last = Instant::now();
        tokio::time::advance(Duration::from_millis(200)).await;
        let at = Instant::now();
        assert_eq!(
            decide(&stored, &counts(2), quiet(Some(last), at, INTERVAL)),
            Decision::Later(Duration::from_millis(300))
        );
        tokio::time::advance(Duration::from_millis(300)).await;
        let at = Instant::now();
        assert!(matches!(
            decide(&stored, &counts(2), quiet(Some(last), at, INTERVAL)),
            Decision::Write(_)
        ));
        assert!(matches!(
            decide(&stored, &counts(2), quiet(Some(at), at, Duration::ZERO)),
            Decision::Write(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn everything_but_counts_is_written_at_once() {
        let now = Instant::now();
        let stored = jobset(Some(counts(1)));
        let mut restarted = counts(2);
        restarted.restarts = 1;
        let mut completed = counts(2);
        completed.conditions.push(condition());
        let mut job_restarted = counts(2);
        job_restarted.replicated_jobs_status[0].job_restarts = vec![1];
        let mut renamed = counts(1);
        renamed.replicated_jobs_status[0].name = "v".into();
        for planned in [restarted, completed, job_restarted, renamed] {
            assert!(matches!(
                decide(&stored, &planned, quiet(Some(now), now, INTERVAL)),
                Decision::Write(_)
            ));
        }
        assert!(
            matches!(
                decide(&jobset(None), &counts(0), quiet(None, now, INTERVAL)),
                Decision::Write(_)
            ),
            "the first status"
        );
        assert_eq!(
            decide(&stored, &counts(1), quiet(None, now, INTERVAL)),
            Decision::Nothing
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_patch_is_minimal_and_guarded() {
        let mut stored = counts(1);
        stored.conditions.push(condition());
        stored.terminal_state = "Completed".into();
        let Decision::Write(patch) = decide(
            &jobset(Some(stored)),
            &counts(1),
            quiet(None, Instant::now(), INTERVAL),
        ) else {
            panic!("not written");
        };
        assert_eq!(
            patch,
            json!({
                "metadata": {"uid": "u1", "resourceVersion": "5"},
                "status": {"conditions": null, "terminalState": null},
            })
        );
    }

    fn json_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        proptest::collection::btree_map("[a-d]", value, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let target = target.as_object_mut().unwrap();
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_new(old in json_object(), new in json_object()) {
            match difference(&old, &new) {
                None => prop_assert_eq!(old, new),
                Some(patch) => {
                    let mut patched = old;
                    merge(&mut patched, &patch);
                    prop_assert_eq!(patched, new);
                }
            }
        }
    }
}
