use serde_json::{Value, json};

use super::*;
use crate::counts::Count;
use crate::fixtures::{jobset, rjob};

const READY: &str = "Ready";
const COMPLETE: &str = "Complete";

/// Roles `a` and `b` of so many replicas; does `c`, which depends on these, start?
fn starts(replicas: i32, on: &[(&str, &str)], counts: Vec<Count>) -> bool {
    let mut c = rjob("c", 1);
    let items: Vec<Value> = on
        .iter()
        .map(|(name, status)| json!({ "name": name, "status": status }))
        .collect();
    c["dependsOn"] = items.into();
    let js = jobset(json!({ "replicatedJobs": [rjob("a", replicas), rjob("b", replicas), c] }));
    let roles = Roles::of(&js);
    reached(roles.get(2).unwrap(), &roles, &Counts(counts))
}

fn count(ready: i32, succeeded: i32, failed: i32, active: i32) -> Count {
    Count {
        ready,
        succeeded,
        failed,
        active,
        ..Count::default()
    }
}

#[test]
fn do1_no_dependencies() {
    assert!(starts(2, &[], vec![]));
}

#[test]
fn do2_no_numbers_for_the_dependency() {
    assert!(!starts(2, &[("b", READY)], vec![count(2, 0, 0, 0)]));
    assert!(!starts(2, &[("elsewhere", READY)], vec![count(2, 0, 0, 0)]));
}

#[test]
fn do3_no_numbers_at_all() {
    assert!(!starts(2, &[("a", READY)], vec![]));
}

#[test]
fn do4_to_do6_complete() {
    let on = [("a", COMPLETE), ("b", COMPLETE)];
    let done = count(0, 2, 0, 0);
    let half = count(1, 1, 0, 0);
    assert!(starts(2, &on, vec![done, done]), "do4");
    assert!(!starts(2, &on, vec![done, half]), "do5");
    assert!(!starts(2, &on, vec![half, half]), "do6");
}

#[test]
fn do7_to_do9_ready() {
    let on = [("a", READY), ("b", READY)];
    let there = count(1, 1, 1, 0);
    let short = count(2, 0, 0, 1);
    assert!(starts(3, &on, vec![there, there]), "do7");
    assert!(!starts(3, &on, vec![there, short]), "do8");
    assert!(!starts(3, &on, vec![short, short]), "do9");
}

#[test]
fn zero_replicas_are_reached_at_once() {
    assert!(starts(
        0,
        &[("a", READY), ("b", COMPLETE)],
        vec![count(0, 0, 0, 0); 2]
    ));
}

#[test]
fn unknown_state_is_never_reached() {
    assert!(!starts(1, &[("a", "Sleeping")], vec![count(1, 0, 0, 0); 2]));
}

#[test]
fn dependency_on_itself_never_starts() {
    assert!(!starts(1, &[("c", READY)], vec![count(0, 0, 0, 0); 3]));
}
