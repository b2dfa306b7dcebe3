use serde_json::json;

use super::*;
use crate::fixtures::jobset;

#[test]
fn sp1_any_order_is_not_in_order() {
    let js = jobset(json!({ "startupPolicy": { "startupPolicyOrder": "AnyOrder" } }));
    assert!(!in_order(&js.spec));
}

#[test]
fn sp2_in_order_is_in_order() {
    let js = jobset(json!({ "startupPolicy": { "startupPolicyOrder": "InOrder" } }));
    assert!(in_order(&js.spec));
}

#[test]
fn sp3_no_policy_is_not_in_order() {
    assert!(!in_order(&jobset(json!({})).spec));
}

#[test]
fn ss1_to_ss4_started() {
    let count = |ready, succeeded, failed, active| Count {
        ready,
        succeeded,
        failed,
        active,
        ..Count::default()
    };
    for (id, replicas, numbers, expected) in [
        ("ss1", 1, count(0, 0, 0, 0), false),
        ("ss2", 4, count(4, 0, 0, 0), true),
        ("ss3", 4, count(2, 1, 1, 0), true),
        ("ss4", 4, count(0, 0, 0, 4), false),
    ] {
        assert_eq!(started(replicas, numbers), expected, "{id}");
    }
}
