use serde_json::{Value, json};

use super::*;
use crate::fixtures::{
    JobExt, World, ago, conditions, job, kinds, names, now, reasons as event_reasons, rjob, triples,
};
use crate::model::{Plan, StepKind};

fn child(job: &ChildJob) -> Child<'_> {
    Child { job, role: Some(0) }
}

fn earliest(jobs: &[ChildJob]) -> Option<String> {
    let list: Vec<_> = jobs.iter().map(child).collect();
    by_time(&list).first().map(|c| c.job.name.clone())
}

fn failed(index: usize, hours: i64) -> ChildJob {
    job("a", index).failed("r", "m", ago(hours * 3600))
}

#[test]
fn ff1_no_jobs() {
    assert_eq!(earliest(&[]), None);
}

#[test]
fn ff2_one_job() {
    assert_eq!(earliest(&[failed(0, 1)]).unwrap(), "test-jobset-a-0");
}

#[test]
fn ff3_the_earlier_failure_wins() {
    assert_eq!(
        earliest(&[failed(0, 3), failed(1, 5)]).unwrap(),
        "test-jobset-a-1"
    );
}

#[test]
fn ff4_jobs_without_a_failed_condition() {
    assert_eq!(earliest(&[job("a", 0), job("a", 1).succeeded()]), None);
}

#[test]
fn d12_b_failures_of_the_same_second_are_ordered_by_name() {
    let (a, b) = (failed(3, 1), failed(10, 1));
    assert_eq!(earliest(&[a.clone(), b.clone()]), earliest(&[b, a]));
    let no_time = |index| {
        let mut job = failed(index, 0);
        job.outcome.as_mut().unwrap().time = None;
        job
    };
    assert_eq!(
        earliest(&[failed(0, 9), no_time(1)]).unwrap(),
        "test-jobset-a-1"
    );
}

fn rule(reasons: &[&str], patterns: &[&str], targets: &[&str]) -> Value {
    json!({ "name": "Rule", "action": "FailJobSet", "onJobFailureReasons": reasons,
            "onJobFailureMessagePatterns": patterns, "targetReplicatedJobs": targets })
}

fn applicable(rule: Value, job: &ChildJob) -> bool {
    let policy: FailurePolicy = serde_json::from_value(json!({ "rules": [rule] })).unwrap();
    let mut draft = Draft::default();
    applies(&compile(&policy, &mut draft)[0], job)
}

#[test]
fn ra1_to_ra9_reasons_and_targets() {
    let job = job("a", 0).failed("BackoffLimitExceeded", "m", now());
    let (hit, other) = ("BackoffLimitExceeded", "DeadlineExceeded");
    for (id, reasons, targets, expected) in [
        ("ra1", &[][..], &[][..], true),
        ("ra2", &[hit, other][..], &[], true),
        ("ra3", &[other], &[], false),
        ("ra4", &[], &["a"], true),
        ("ra5", &[hit], &["a"], true),
        ("ra6", &[other], &["a"], false),
        ("ra7", &[], &["b"], false),
        ("ra8", &[hit], &["b"], false),
        ("ra9", &[other], &["b"], false),
    ] {
        assert_eq!(
            applicable(rule(reasons, &[], targets), &job),
            expected,
            "{id}"
        );
    }
}

#[test]
fn ra10_to_ra13_messages() {
    let message = "job failed because of a bug";
    let job = job("a", 0).failed("PodFailurePolicy", message, now());
    let other = ChildJob { ..job.clone() }.failed("PodFailurePolicy", "unrelated", now());
    let begin = "^job failed because.*";
    assert!(applicable(rule(&[], &[begin], &[]), &job), "ra10");
    assert!(!applicable(rule(&[], &[begin], &[]), &other), "ra11");
    assert!(
        applicable(rule(&["PodFailurePolicy"], &[".*bug.*"], &[]), &job),
        "ra12"
    );
    assert!(
        !applicable(rule(&["PodFailurePolicy"], &[".*bug.*"], &[]), &other),
        "ra13"
    );
}

#[test]
fn job_without_role_matches_no_rule() {
    for label in [None, Some(String::new())] {
        let odd = ChildJob {
            replicated_job: label,
            ..failed(0, 1)
        };
        assert!(!applicable(rule(&[], &[], &[]), &odd));
    }
}

#[test]
fn an_invalid_pattern_is_skipped_and_the_others_count() {
    let job = failed(0, 1);
    assert!(applicable(rule(&[], &["(", "m"], &[]), &job));
    assert!(
        !applicable(rule(&[], &["("], &[]), &job),
        "none left: matches nothing"
    );
    let policy = json!({ "rules": [rule(&[], &["("], &[])] });
    let plan = world(policy).jobs([job]).plan();
    assert!(
        plan.warnings[0].contains("is skipped"),
        "{:?}",
        plan.warnings
    );
}

fn world(policy: Value) -> World {
    World::new(json!({ "failurePolicy": policy, "replicatedJobs": [rjob("a", 12), rjob("b", 1)] }))
}

/// The rule and Job that decide, from the condition or event of the plan.
fn decision(rules: Value, jobs: impl IntoIterator<Item = ChildJob>) -> Option<(String, String)> {
    let plan = world(json!({ "maxRestarts": 9, "rules": rules }))
        .jobs(jobs)
        .plan();
    let status = plan.status?;
    let c = status
        .conditions
        .iter()
        .find(|c| c.type_ == "RestartingJobSet")?;
    let job = c
        .message
        .split("first failed job: ")
        .nth(1)?
        .trim_end_matches(')');
    Some((c.reason.clone(), job.to_owned()))
}

fn restart(name: &str, reasons: &[&str], targets: &[&str]) -> Value {
    json!({ "name": name, "action": "RestartJobSet", "onJobFailureReasons": reasons,
            "targetReplicatedJobs": targets })
}

fn pick(rule: &str, index: usize) -> (String, String) {
    (rule.to_owned(), format!("test-jobset-a-{index}"))
}

#[test]
fn fr1_no_failed_jobs_no_rules() {
    assert_eq!(decision(json!([]), []), None);
}

#[test]
fn fr2_fr3_nothing_matches_so_the_default_applies() {
    let default = Some(pick("DefaultFailurePolicy", 0));
    assert_eq!(decision(json!([]), [failed(0, 1)]), default, "fr2");
    let rules = json!([restart("R", &["Other"], &[])]);
    assert_eq!(decision(rules, [failed(0, 1)]), default, "fr3");
}

#[test]
fn fr4_to_fr6_the_first_matching_rule_decides() {
    for (id, hit) in [("fr4", 0), ("fr5", 1), ("fr6", 2)] {
        let rules: Vec<Value> = (0..3)
            .map(|i| {
                restart(
                    &format!("R{i}"),
                    if i == hit { &["r"] } else { &["x"] },
                    &[],
                )
            })
            .collect();
        let expected = Some(pick(&format!("FailurePolicy_R{hit}"), 0));
        assert_eq!(decision(rules.into(), [failed(0, 1)]), expected, "{id}");
    }
}

#[test]
fn fr7_fr8_two_jobs_without_a_match() {
    let default = Some(pick("DefaultFailurePolicy", 1));
    let jobs = || [failed(0, 1), failed(1, 2)];
    assert_eq!(decision(json!([]), jobs()), default, "fr7");
    assert_eq!(
        decision(json!([restart("R", &["x"], &[])]), jobs()),
        default,
        "fr8"
    );
}

#[test]
fn fr9_fr10_the_earlier_failure_of_the_matching_rule() {
    let jobs = || [failed(0, 1), failed(1, 2)];
    let both = restart("Both", &[], &[]);
    let expected = Some(pick("FailurePolicy_Both", 1));
    assert_eq!(decision(json!([both]), jobs()), expected, "fr9");
    let none = restart("None", &[], &["elsewhere"]);
    assert_eq!(decision(json!([none, both]), jobs()), expected, "fr10");
}

#[test]
fn an_earlier_rule_beats_an_earlier_failure() {
    let late = job("b", 0).failed("r", "m", ago(1));
    let rules = json!([restart("B", &[], &["b"]), restart("A", &[], &[])]);
    assert_eq!(
        decision(rules, [failed(0, 5), late]),
        Some(("FailurePolicy_B".to_owned(), "test-jobset-b-0".to_owned()))
    );
}

// --- Applying actions --------------------------------------------------------------------------

fn counters(restarts: i32, counted: i32) -> Value {
    json!({ "restarts": restarts, "restartsCountTowardsMax": counted })
}

fn lists(counted: i32, restarts: &[i32], towards_max: &[i32]) -> Value {
    json!({ "restarts": counted, "restartsCountTowardsMax": counted, "replicatedJobsStatus": [{
        "name": "a", "ready": 0, "succeeded": 0, "failed": 1, "active": 0, "suspended": 0,
        "jobRestarts": restarts, "jobRestartsCountTowardsMax": towards_max }] })
}

fn by_rule(action: &str, max: i32) -> Value {
    json!({ "maxRestarts": max, "rules": [{ "name": "Rule1", "action": action }] })
}

/// One failed Job of the current attempt.
fn apply(policy: Value, gate: bool, status: Value) -> Plan {
    let attempt = status["restarts"].as_i64().unwrap() as i32;
    let job = ChildJob {
        job_restart_attempt: Some("1".into()),
        ..failed(0, 1).attempt(attempt)
    };
    let mut world = World::new(json!({
        "failurePolicy": policy, "replicatedJobs": [rjob("a", 1)],
    }));
    if gate {
        world = world.gate();
    }
    let plan = world.status(status).jobs([job]).plan();
    assert!(plan.status.is_some(), "every action marks the status dirty");
    assert!(plan.error.is_none());
    assert!(
        plan.steps.is_empty(),
        "a failure decision changes nothing but the status"
    );
    plan
}

fn restarts(plan: &Plan) -> (i32, i32) {
    let status = plan.status.as_ref().unwrap();
    (status.restarts, status.restarts_count_towards_max)
}

fn job_restarts(plan: &Plan) -> (Vec<i32>, Vec<i32>) {
    let entry = &plan.status.as_ref().unwrap().replicated_jobs_status[0];
    (
        entry.job_restarts.clone(),
        entry.job_restarts_count_towards_max.clone(),
    )
}

fn assert_failed(plan: &Plan, reason: &str) {
    assert_eq!(conditions(plan), triples(&[("Failed", "True", reason)]));
    assert_eq!(plan.terminal, Some(Terminal::Failed));
    assert_eq!(plan.status.as_ref().unwrap().terminal_state, "Failed");
    assert_eq!(event_reasons(plan), [reason]);
    assert_eq!(plan.events[0].type_, EventType::Warning);
    assert!(
        plan.events[0]
            .note
            .ends_with(" (first failed job: test-jobset-a-0)")
    );
}

#[test]
fn aa1_fail_jobset() {
    let plan = apply(by_rule("FailJobSet", 5), false, counters(0, 0));
    assert_failed(&plan, "FailJobSetFailurePolicyAction");
    assert_eq!(
        plan.events[0].note,
        "applying FailJobSet failure policy action (first failed job: test-jobset-a-0)"
    );
}

#[test]
fn aa2_restart_jobset_by_default() {
    let plan = apply(json!({ "maxRestarts": 5 }), false, counters(1, 1));
    assert_eq!(restarts(&plan), (2, 2));
    let expected = ("RestartingJobSet", "True", "DefaultFailurePolicy");
    assert_eq!(conditions(&plan), triples(&[expected]));
    assert_eq!(
        event_reasons(&plan),
        ["DefaultFailurePolicy", "RestartJobSetFailurePolicyAction"]
    );
    assert!(plan.events.iter().all(|e| e.type_ == EventType::Warning
        && e.note
            == "applying RestartJobSet failure policy action (first failed job: test-jobset-a-0)"));
    assert_eq!(plan.terminal, None);
}

#[test]
fn aa3_restart_jobset_by_rule() {
    let plan = apply(by_rule("RestartJobSet", 5), false, counters(1, 1));
    assert_eq!(restarts(&plan), (2, 2));
    let expected = ("RestartingJobSet", "True", "FailurePolicy_Rule1");
    assert_eq!(conditions(&plan), triples(&[expected]));
}

#[test]
fn aa4_restart_jobset_over_the_budget() {
    let plan = apply(json!({ "maxRestarts": 2 }), false, counters(2, 2));
    assert_eq!(restarts(&plan), (2, 2));
    assert_failed(&plan, "ReachedMaxRestarts");
}

#[test]
fn aa5_restart_jobset_ignoring_the_budget() {
    let plan = apply(
        by_rule("RestartJobSetAndIgnoreMaxRestarts", 1),
        false,
        counters(1, 1),
    );
    assert_eq!(restarts(&plan), (2, 1));
    let expected = ("RestartingJobSet", "True", "FailurePolicy_Rule1");
    assert_eq!(conditions(&plan), triples(&[expected]));
    assert_eq!(
        event_reasons(&plan)[1],
        "RestartJobSetAndIgnoreMaxRestartsFailurePolicyAction"
    );
}

#[test]
fn aa6_restart_job() {
    let plan = apply(by_rule("RestartJob", 5), true, lists(0, &[0], &[0]));
    assert_eq!(job_restarts(&plan), (vec![1], vec![1]));
    assert_eq!(restarts(&plan), (0, 0));
    assert!(conditions(&plan).is_empty());
    assert_eq!(event_reasons(&plan), ["RestartJobFailurePolicyAction"]);
}

#[test]
fn aa7_restart_job_over_the_shared_budget() {
    let plan = apply(by_rule("RestartJob", 2), true, lists(1, &[1], &[1]));
    assert_failed(&plan, "ReachedMaxRestarts");
    assert_eq!(job_restarts(&plan), (vec![1], vec![1]));
}

#[test]
fn aa8_restart_jobset_over_the_shared_budget() {
    let plan = apply(by_rule("RestartJobSet", 2), true, lists(1, &[1], &[1]));
    assert_failed(&plan, "ReachedMaxRestarts");
    assert_eq!(restarts(&plan), (1, 1));
}

#[test]
fn aa9_restart_job_ignoring_the_budget() {
    let plan = apply(
        by_rule("RestartJobAndIgnoreMaxRestarts", 1),
        true,
        lists(0, &[1], &[0]),
    );
    assert_eq!(job_restarts(&plan), (vec![2], vec![0]));
}

#[test]
fn no_policy_fails_at_the_first_failure() {
    let plan = apply(Value::Null, false, counters(0, 0));
    assert_failed(&plan, "FailedJobs");
    assert_eq!(
        plan.events[0].note,
        "jobset failed due to one or more job failures (first failed job: test-jobset-a-0)"
    );
}

#[test]
fn policy_without_rules_and_budget_reaches_its_limit_at_once() {
    assert_failed(
        &apply(json!({}), false, counters(0, 0)),
        "ReachedMaxRestarts",
    );
    assert_failed(
        &apply(json!({ "maxRestarts": -3 }), false, counters(0, 0)),
        "ReachedMaxRestarts",
    );
}

#[test]
fn failing_closes_the_restarting_condition() {
    let world = world(json!({ "maxRestarts": 0 }))
        .jobs([failed(0, 1)])
        .with_status(|status| {
            let c = crate::fixtures::condition("RestartingJobSet", "True", "R", ago(9));
            status.conditions.push(c);
        });
    let plan = world.plan();
    assert_eq!(
        conditions(&plan),
        triples(&[
            ("RestartingJobSet", "False", "JobSetFailed"),
            ("Failed", "True", "ReachedMaxRestarts"),
        ])
    );
    assert_eq!(event_reasons(&plan), ["ReachedMaxRestarts", "JobSetFailed"]);
}

#[test]
fn repeated_restart_by_the_same_job_and_rule_repeats_only_the_action_event() {
    let world = world(json!({ "maxRestarts": 9 })).jobs([failed(0, 1)]);
    let first = world.plan().status.unwrap();
    let world = world
        .with_status(|status| *status = first)
        .jobs([failed(0, 1).attempt(1)]);
    let plan = world.plan();
    assert_eq!(event_reasons(&plan), ["RestartJobSetFailurePolicyAction"]);
    assert_eq!(restarts(&plan), (2, 2));
}

#[test]
fn failure_beats_success() {
    let spec = json!({ "successPolicy": { "operator": "Any" }, "replicatedJobs": [rjob("a", 2)] });
    let plan = World::new(spec)
        .jobs([failed(0, 1), job("a", 1).succeeded()])
        .plan();
    assert_eq!(plan.terminal, Some(Terminal::Failed));
}

#[test]
fn b_simultaneous_individual_failures_are_decided_in_one_write() {
    let policy = json!({ "maxRestarts": 3, "rules": [{ "name": "R", "action": "RestartJob" }] });
    let at = |index: usize| failed(index, index as i64);
    let plan = world(policy.clone())
        .gate()
        .jobs([at(1), at(2), at(3)])
        .plan();
    let entry = &plan.status.as_ref().unwrap().replicated_jobs_status[1];
    assert_eq!(entry.job_restarts, [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(plan.events.len(), 3);
    assert!(
        plan.events[0].note.ends_with("test-jobset-a-3)"),
        "earliest first"
    );

    // The fourth goes over the budget: exactly three are counted.
    let plan = world(policy)
        .gate()
        .jobs([at(1), at(2), at(3), at(4)])
        .plan();
    assert_eq!(plan.terminal, Some(Terminal::Failed));
    let entry = &plan.status.as_ref().unwrap().replicated_jobs_status[1];
    assert_eq!(entry.job_restarts_count_towards_max.iter().sum::<i32>(), 3);
    assert_eq!(event_reasons(&plan).last(), Some(&"ReachedMaxRestarts"));
}

#[test]
fn a_fatal_rule_listed_last_comes_after_the_individual_restarts() {
    let policy = json!({ "maxRestarts": 9, "rules": [
        { "name": "One", "action": "RestartJob", "targetReplicatedJobs": ["a"] },
        { "name": "All", "action": "FailJobSet" },
    ] });
    let late = job("b", 0).failed("r", "m", ago(7200));
    let plan = world(policy).gate().jobs([failed(0, 1), late]).plan();
    assert_eq!(
        event_reasons(&plan),
        [
            "RestartJobFailurePolicyAction",
            "FailJobSetFailurePolicyAction"
        ]
    );
    assert_eq!(plan.terminal, Some(Terminal::Failed));
}

#[test]
fn d11_b_individual_restart_of_a_job_without_label_happens_once() {
    let policy = by_rule("RestartJob", 5);
    let old = ChildJob {
        job_restart_attempt: None,
        ..failed(0, 1)
    };
    let world = world(policy).gate().jobs([old]);
    let plan = world.plan();
    let world = world.with_status(|status| *status = plan.status.unwrap());
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::DeletePrevious), ["test-jobset-a-0"]);
    let counters: i32 = plan
        .status
        .iter()
        .chain(world.jobset.status.iter())
        .flat_map(|s| &s.replicated_jobs_status)
        .flat_map(|s| &s.job_restarts)
        .max()
        .copied()
        .unwrap();
    assert_eq!(counters, 1);
}

#[test]
fn b_individual_action_without_the_gate_restarts_the_jobset() {
    let plan = apply(by_rule("RestartJob", 5), false, counters(0, 0));
    assert_eq!(restarts(&plan), (1, 1));
    assert!(plan.warnings[0].contains("feature gate RestartJob is disabled"));
    assert!(plan.error.is_none());
}

#[test]
fn individual_action_on_a_job_with_a_broken_index_restarts_the_jobset() {
    for index in [None, Some("-1"), Some("12"), Some("x")] {
        let odd = ChildJob {
            job_index: index.map(str::to_owned),
            ..failed(0, 1)
        };
        let plan = world(by_rule("RestartJob", 5)).gate().jobs([odd]).plan();
        assert_eq!(restarts(&plan), (1, 1), "{index:?}");
    }
}

#[test]
fn unknown_action_takes_the_default() {
    let plan = apply(by_rule("Dance", 5), false, counters(0, 0));
    assert_eq!(restarts(&plan), (1, 1));
    assert!(plan.warnings[0].contains("Dance"));
}

#[test]
fn restart_deletes_every_old_job_and_recreates_index_by_index() {
    let world = world(json!({ "maxRestarts": 1 }))
        .status(counters(1, 1))
        .jobs([
            failed(0, 1),
            job("a", 1).ready(),
            job("a", 2).succeeded(),
            job("a", 3).deleting(),
            job("b", 0).attempt(1),
        ]);
    let plan = world.plan();
    assert_eq!(
        kinds(&plan),
        [StepKind::DeletePrevious, StepKind::CreateJobs]
    );
    assert_eq!(
        names(&plan, StepKind::DeletePrevious),
        ["test-jobset-a-0", "test-jobset-a-1", "test-jobset-a-2"]
    );
    assert!(plan.actions().all(|action| match action {
        crate::Action::DeleteJob {
            name,
            uid,
            propagation,
        } => *uid == format!("{name}-uid") && *propagation == crate::Propagation::Foreground,
        _ => true,
    }));
    let created = names(&plan, StepKind::CreateJobs);
    assert_eq!(created.len(), 8);
    assert_eq!(created[0], "test-jobset-a-4");
}
