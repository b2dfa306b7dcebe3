//! Measures how long JobSets take to come up, and what restarts cost.

use std::time::Duration;

use jobset_api::{JobSet, JobSetStatus, constants};
use jobset_core::Event;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::figures::JobSetFigures;

/// A creation time has whole seconds. A JobSet that was seen so soon after it has come just now,
/// and the time since then is the better measure.
const SEEN_AT_ONCE: Duration = Duration::from_secs(2);
/// What the reason of an event about a failure policy's action ends with.
const ACTION_SUFFIX: &str = "FailurePolicyAction";
/// What the reason of the condition `RestartingJobSet` begins with where a rule has decided.
const RULE_PREFIX: &str = "FailurePolicy_";

/// How far a JobSet has come for the first time since its creation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Progress {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// Not all its Jobs exist. It was first seen then, at this age.
    Creating(Instant, Duration),
    /// Not all its Jobs are ready.
    Starting(Instant, Duration),
    /// Nothing more to measure.
    Done,
}

impl Progress {
    /// Looks at a JobSet that has `jobs` Jobs and this status.
    pub(crate) fn look(
        &mut self,
        figures: &JobSetFigures,
        jobset: &JobSet,
        status: Option<&JobSetStatus>,
        jobs: usize,
        now: Timestamp,
    ) {
        if *self == Self::Done {
            return;
        }
        let default = JobSetStatus::default();
        let status = status.unwrap_or(&default);
        // Time in suspension or in a restart is not start-up time.
        if jobset.is_suspended() || status.restarts > 0 || !jobset.is_managed_here() {
            *self = Self::Done;
            return;
        }
        let replicas = jobset.spec.replicated_jobs.iter();
        let expected: i64 = replicas
            .map(|job| i64::from(job.replicas.unwrap_or(1)).max(0))
            .sum();
        let created = i64::try_from(jobs).unwrap_or(i64::MAX) >= expected;
        let up = status.replicated_jobs_status.iter();
        let up: i64 = up
            .map(|job| i64::from(job.ready) + i64::from(job.succeeded))
            .sum();
        if *self == Self::Unknown {
            let age = age(jobset, now);
            // What was there before this process is not measured.
            *self = match (created, up >= expected) {
                (false, _) => Self::Creating(Instant::now(), age),
                (true, false) => Self::Starting(Instant::now(), age),
                (true, true) => Self::Done,
            };
            return;
        }
        if let Self::Creating(seen, age) = *self
            && created
        {
            figures.all_created(since(seen, age));
            *self = Self::Starting(seen, age);
        }
        if let Self::Starting(seen, age) = *self
            && up >= expected
        {
            figures.all_ready(since(seen, age));
            *self = Self::Done;
        }
    }
}

fn age(jobset: &JobSet, now: Timestamp) -> Duration {
    let created = jobset.metadata.creation_timestamp.as_ref();
    created.map_or(Duration::ZERO, |created| positive(created.0, now))
}

fn since(seen: Instant, age: Duration) -> Duration {
    let before = if age <= SEEN_AT_ONCE {
        Duration::ZERO
    } else {
        age
    };
    before + seen.elapsed()
}

/// Time from one moment to another; none if it runs backwards, as clocks may.
fn positive(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Counts what a successful write of this status has told: restarts, and the time they cost.
pub(crate) fn written(
    figures: &JobSetFigures,
    jobset: &JobSet,
    status: &JobSetStatus,
    events: &[Event],
) {
    for action in events
        .iter()
        .filter_map(|event| event.reason.strip_suffix(ACTION_SUFFIX))
    {
        figures.restarted(&rule(jobset, status, action), action);
    }
    let restarting = |status: &JobSetStatus| {
        let of_type = |c: &&_| is(c, constants::RESTARTING_JOBSET);
        let condition = status.conditions.iter().find(of_type)?;
        Some((condition.status == "True", condition.last_transition_time.0))
    };
    if let Some((true, failed)) = jobset.status.as_ref().and_then(restarting)
        && let Some((false, ready)) = restarting(status)
    {
        figures.add_lost(positive(failed, ready));
    }
}

fn is(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition, type_: &str) -> bool {
    condition.type_ == type_
}

/// The rule that has decided on `action`; empty if that cannot be told.
fn rule(jobset: &JobSet, status: &JobSetStatus, action: &str) -> String {
    if action.starts_with("RestartJobSet") {
        let condition = status
            .conditions
            .iter()
            .find(|c| is(c, constants::RESTARTING_JOBSET));
        let reason = condition.map(|condition| &*condition.reason);
        return match reason {
            Some(reason) => reason
                .strip_prefix(RULE_PREFIX)
                .unwrap_or(reason)
                .to_owned(),
            None => String::new(),
        };
    }
    let policy = jobset.spec.failure_policy.iter();
    let mut candidates = policy
        .flat_map(|policy| &policy.rules)
        .filter(|rule| rule.action.to_string() == action);
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => only.name.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn jobset(spec: Value, status: Value) -> JobSet {
        serde_json::from_value(json!({
            "metadata": {"name": "js", "namespace": "ns", "uid": "u",
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn two_jobs() -> Value {
        json!({"replicatedJobs": [{"name": "w", "replicas": 2, "template": {}}]})
    }

    fn at(seconds: i64) -> Timestamp {
        let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        created + Duration::from_secs(seconds.unsigned_abs())
    }

    fn up(ready: i32) -> JobSetStatus {
        serde_json::from_value(json!({
            "replicatedJobsStatus": [{"name": "w", "ready": ready, "succeeded": 0, "failed": 0,
                                      "active": 0, "suspended": 0}],
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_jobset_is_measured_from_when_it_was_seen() {
        let figures = JobSetFigures::default();
        let jobset = jobset(two_jobs(), Value::Null);
        let mut progress = Progress::default();
        progress.look(&figures, &jobset, None, 0, at(1));
        tokio::time::advance(Duration::from_millis(300)).await;
        progress.look(&figures, &jobset, None, 2, at(1));
        tokio::time::advance(Duration::from_millis(700)).await;
        progress.look(&figures, &jobset, Some(&up(1)), 2, at(2));
        assert_eq!(figures.ready().count, 0);
        progress.look(&figures, &jobset, Some(&up(2)), 2, at(2));
        progress.look(&figures, &jobset, Some(&up(2)), 2, at(2));
        assert_eq!((figures.created().count, figures.created().sum), (1, 0.3));
        assert_eq!((figures.ready().count, figures.ready().sum), (1, 1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_jobset_is_measured_from_its_creation_if_it_was_not_up_before() {
        let figures = JobSetFigures::default();
        let jobset = jobset(two_jobs(), Value::Null);
        let mut progress = Progress::default();
        progress.look(&figures, &jobset, None, 2, at(100));
        progress.look(&figures, &jobset, Some(&up(2)), 2, at(100));
        assert_eq!(figures.created().count, 0);
        assert_eq!((figures.ready().count, figures.ready().sum), (1, 100.0));
        let mut up_before = Progress::default();
        up_before.look(&figures, &jobset, Some(&up(2)), 2, at(100));
        assert_eq!(up_before, Progress::Done);
    }

    #[tokio::test(start_paused = true)]
    async fn suspended_and_restarted_jobsets_are_not_measured() {
        let figures = JobSetFigures::default();
        let mut spec = two_jobs();
        spec["suspend"] = true.into();
        let mut progress = Progress::default();
        progress.look(&figures, &jobset(spec, Value::Null), None, 0, at(1));
        assert_eq!(progress, Progress::Done);
        let restarted = JobSetStatus {
            restarts: 1,
            ..up(0)
        };
        let mut progress = Progress::default();
        progress.look(
            &figures,
            &jobset(two_jobs(), Value::Null),
            Some(&restarted),
            2,
            at(1),
        );
        assert_eq!(progress, Progress::Done);
    }

    fn restarting(status: &str, time: &str, reason: &str) -> Value {
        json!({"conditions": [{"type": "RestartingJobSet", "status": status, "reason": reason,
                               "message": "", "lastTransitionTime": time}]})
    }

    fn event(reason: &str) -> Event {
        Event {
            type_: jobset_core::EventType::Warning,
            reason: reason.to_owned(),
            note: String::new(),
        }
    }

    #[test]
    fn restarts_are_counted_by_rule_and_action_and_their_time_when_they_are_over() {
        let figures = JobSetFigures::default();
        let during = restarting("True", "2026-01-01T00:00:10Z", "FailurePolicy_preempted");
        let status: JobSetStatus = serde_json::from_value(during.clone()).unwrap();
        written(
            &figures,
            &jobset(two_jobs(), Value::Null),
            &status,
            &[
                event("FailurePolicy_preempted"),
                event("RestartJobSetAndIgnoreMaxRestartsFailurePolicyAction"),
            ],
        );
        assert!(figures.lost().abs() < 1e-9);
        let after = restarting("False", "2026-01-01T00:00:52Z", "JobsReady");
        let after: JobSetStatus = serde_json::from_value(after).unwrap();
        written(
            &figures,
            &jobset(two_jobs(), during),
            &after,
            &[event("JobsReady")],
        );
        assert!((figures.lost() - 42.0).abs() < 1e-9);
        let expected = (
            "preempted".to_owned(),
            "RestartJobSetAndIgnoreMaxRestarts".to_owned(),
        );
        assert_eq!(
            figures.restarts().into_iter().collect::<Vec<_>>(),
            [(expected, 1)]
        );
    }

    #[test]
    fn the_rule_of_a_single_jobs_restart_is_told_where_it_is_the_only_one() {
        let rules = |list: Value| {
            let mut spec = two_jobs();
            spec["failurePolicy"] = json!({"rules": list});
            jobset(spec, Value::Null)
        };
        let status = JobSetStatus::default();
        let one = rules(json!([{"name": "a", "action": "RestartJob"},
                               {"name": "b", "action": "FailJobSet"}]));
        assert_eq!(rule(&one, &status, "RestartJob"), "a");
        let two = rules(json!([{"name": "a", "action": "RestartJob"},
                               {"name": "b", "action": "RestartJob"}]));
        assert_eq!(rule(&two, &status, "RestartJob"), "");
    }
}
