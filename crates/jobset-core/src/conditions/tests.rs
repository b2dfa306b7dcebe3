use serde_json::json;

use super::*;
use crate::fixtures::{World, ago, condition, now, rjob};

fn completed() -> Change {
    Change::normal(
        "Completed",
        "AllJobsCompleted",
        "jobset completed successfully",
    )
}

fn suspended(status: bool) -> Change {
    Change {
        status,
        ..Change::normal("Suspended", "R", "m")
    }
}

#[test]
fn uc1_no_condition_given_is_no_change() {
    // A plan that decides nothing writes nothing.
    let world = World::new(json!({ "suspend": false, "replicatedJobs": [rjob("a", 0)] }));
    let first = world.plan();
    let world = world.with_status(|status| *status = first.status.unwrap());
    assert!(world.plan().is_empty());
}

#[test]
fn uc2_adding_completed_changes() {
    let mut list = Vec::new();
    assert!(upsert(&mut list, &completed(), now()));
    assert_eq!(list[0].type_, "Completed");
    assert_eq!(list[0].last_transition_time, Time(now()));
}

#[test]
fn uc3_adding_suspended_changes() {
    let mut list = Vec::new();
    assert!(upsert(&mut list, &suspended(true), now()));
    assert_eq!(
        (list[0].type_.as_str(), list[0].status.as_str()),
        ("Suspended", "True")
    );
}

#[test]
fn uc4_suspended_turns_false_in_place() {
    let mut list = vec![condition("Suspended", "True", "R", ago(60))];
    assert!(upsert(&mut list, &suspended(false), now()));
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].status, "False");
    assert_eq!(list[0].last_transition_time, Time(now()));
}

#[test]
fn uc5_identical_is_no_change() {
    let mut list = Vec::new();
    upsert(&mut list, &completed(), ago(60));
    let before = list.clone();
    assert!(!upsert(&mut list, &completed(), now()));
    assert_eq!(list, before);
}

#[test]
fn uc6_new_reason_keeps_the_transition_time() {
    let mut list = vec![condition("Completed", "True", "Old", ago(60))];
    assert!(upsert(&mut list, &completed(), now()));
    assert_eq!(list[0].reason, "AllJobsCompleted");
    assert_eq!(list[0].last_transition_time, Time(ago(60)));
}

#[test]
fn false_is_never_added() {
    let mut list = Vec::new();
    assert!(!upsert(&mut list, &suspended(false), now()));
    assert!(list.is_empty());
}

#[test]
fn startup_conditions_exclude_each_other() {
    let mut list = vec![condition("StartupPolicyInProgress", "True", "P", ago(60))];
    assert!(upsert(
        &mut list,
        &crate::startup_policy::completed(),
        now()
    ));
    assert_eq!(list[0].status, "False");
    assert_eq!(list[0].reason, "P", "reason and time of the other one stay");
    assert_eq!(list[0].last_transition_time, Time(ago(60)));
    assert_eq!(list[1].status, "True");
    assert!(upsert(
        &mut list,
        &crate::startup_policy::in_progress(),
        now()
    ));
    assert_eq!(
        (list[0].status.as_str(), list[1].status.as_str()),
        ("True", "False")
    );
}

#[test]
fn times_have_whole_seconds() {
    let mut list = Vec::new();
    let odd = now() + k8s_openapi::jiff::SignedDuration::from_millis(123);
    upsert(&mut list, &completed(), odd);
    assert_eq!(list[0].last_transition_time, Time(now()));
}

#[test]
fn finished_needs_a_true_condition_not_a_terminal_state() {
    let status = |list: Vec<Condition>| JobSetStatus {
        conditions: list,
        terminal_state: "Completed".to_owned(),
        ..JobSetStatus::default()
    };
    assert!(finished(&status(vec![])).is_none());
    assert!(finished(&status(vec![condition("Failed", "False", "R", now())])).is_none());
    let list = vec![
        condition("Suspended", "True", "R", now()),
        condition("Failed", "True", "R", now()),
        condition("Completed", "True", "R", now()),
    ];
    assert_eq!(
        finished(&status(list)).map(|(t, _)| t),
        Some(Terminal::Failed)
    );
}
