use proptest::prelude::*;

use super::super::view::{KEY, View, ended, follower, leader, pod, terminating};
use super::*;

/// What the Pod is after mutation.
fn mutated(mut pod: Value, view: &View) -> Value {
    mutate_pod(&mut pod, view).unwrap();
    let once = pod.clone();
    mutate_pod(&mut pod, view).unwrap();
    assert_eq!(once, pod, "not idempotent");
    once
}

fn with_priority(mut pod: Value, priority: i64) -> Value {
    pod["spec"]["priority"] = priority.into();
    pod
}

fn labelled(mut pod: Value, key: &str, value: &str) -> Value {
    pod["metadata"]["labels"][key] = value.into();
    pod
}

fn annotated(mut pod: Value, key: &str, value: Option<&str>) -> Value {
    let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
    match value {
        Some(value) => annotations.insert(key.to_owned(), value.into()),
        None => annotations.remove(key),
    };
    pod
}

fn without_label(mut pod: Value, key: &str) -> Value {
    pod["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove(key);
    pod
}

fn without_owner(mut pod: Value) -> Value {
    pod["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    pod
}

fn view(pods: impl IntoIterator<Item = Value>) -> View {
    View {
        pods: pods.into_iter().collect(),
        nodes: [("node-a", Some("a")), ("node-b", Some("b")), ("bare", None)].into(),
        blind: false,
    }
}

/// Code, reason and message of a refusal.
fn refusal<T: std::fmt::Debug>(verdict: Result<T, Box<Status>>) -> (i32, String, String) {
    let status = verdict.unwrap_err();
    assert_eq!(status.status.as_deref(), Some("Failure"));
    (
        status.code.unwrap(),
        status.reason.unwrap(),
        status.message.unwrap(),
    )
}

#[track_caller]
fn denied(pod: &Value, view: &View, parts: &[&str]) {
    let (code, reason, message) = refusal(validate_pod(pod, view));
    assert_eq!((code, &*reason), (403, "Forbidden"));
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

// --- Mutation ----------------------------------------------------------------------------------

#[test]
fn a_pod_of_no_jobset_is_unchanged() {
    let stranger = annotated(
        with_priority(pod(0, "x", "u"), 5),
        constants::JOBSET_NAME_KEY,
        None,
    );
    assert_eq!(mutated(stranger.clone(), &view([])), stranger);
}

#[test]
fn a_pod_placed_by_node_selector_is_unchanged() {
    for index in [0, 1] {
        let pod = annotated(
            with_priority(pod(index, "x", "u"), 5),
            constants::NODE_SELECTOR_STRATEGY_KEY,
            Some(""),
        );
        assert_eq!(mutated(pod.clone(), &view([])), pod);
        assert_eq!(validate_pod(&pod, &view([])), Ok(()));
    }
}

#[test]
fn a_pod_without_exclusive_placement_or_priority_is_unchanged() {
    let plain = annotated(pod(1, "x", "u"), constants::EXCLUSIVE_TOPOLOGY_KEY, None);
    assert_eq!(mutated(plain.clone(), &view([])), plain);
    assert_eq!(validate_pod(&plain, &view([])), Ok(()));
}

#[test]
fn priority_becomes_a_label() {
    let mut plain = annotated(pod(1, "x", "u"), constants::EXCLUSIVE_TOPOLOGY_KEY, None);
    plain["metadata"].as_object_mut().unwrap().remove("labels");
    let plain = with_priority(plain, 100);
    let mut expected = plain.clone();
    expected["metadata"]["labels"] = json!({constants::PRIORITY_KEY: "100"});
    assert_eq!(mutated(plain, &view([])), expected);
}

#[test]
fn a_leader_gets_affinity_and_anti_affinity() {
    let mut expected = labelled(
        with_priority(pod(0, "x", "u"), 100),
        constants::PRIORITY_KEY,
        "100",
    );
    let key = "jobset.sigs.k8s.io/job-key";
    expected["spec"]["affinity"] = json!({
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchExpressions": [
                {"key": key, "operator": "In", "values": ["job-key"]},
            ]},
            "topologyKey": KEY,
            "namespaceSelector": {},
        }]},
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchExpressions": [
                {"key": key, "operator": "Exists"},
                {"key": key, "operator": "NotIn", "values": ["job-key"]},
                {"key": "jobset.sigs.k8s.io/priority", "operator": "In", "values": ["100"]},
            ]},
            "topologyKey": KEY,
            "namespaceSelector": {},
        }]},
    });
    let leader = with_priority(pod(0, "x", "u"), 100);
    assert_eq!(mutated(leader.clone(), &view([])), expected);
    let mut blind = view([]);
    blind.blind = true;
    assert_eq!(mutated(leader, &blind), expected, "needs no view");
}

#[test]
fn a_leader_keeps_the_affinity_it_has() {
    let mut leader = pod(0, "x", "u");
    let own = json!({"topologyKey": "zone", "labelSelector": {}});
    leader["spec"]["affinity"] = json!({
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
        "podAffinity": {REQUIRED: [own]},
        "podAntiAffinity": null,
    });
    let found = mutated(leader, &view([]));
    let affinity = &found["spec"]["affinity"];
    assert!(affinity["nodeAffinity"].is_object());
    assert_eq!(affinity["podAffinity"][REQUIRED][0], own);
    assert_eq!(
        affinity["podAffinity"][REQUIRED].as_array().unwrap().len(),
        2
    );
    let apart = &affinity["podAntiAffinity"][REQUIRED][0]["labelSelector"]["matchExpressions"];
    assert_eq!(apart[2]["values"], json!([""]), "no priority, no label");
}

#[test]
fn a_follower_of_an_unscheduled_leader_gets_the_priority_label_only() {
    let view = view([leader("l", "u", None)]);
    let pod = with_priority(follower(1, "u", None), 100);
    let expected = labelled(pod.clone(), constants::PRIORITY_KEY, "100");
    assert_eq!(mutated(pod, &view), expected);
}

#[test]
fn a_follower_is_bound_to_the_domain_of_its_leader() {
    let view = view([leader("l", "u", Some("node-a"))]);
    let mut pod = with_priority(follower(1, "u", None), 100);
    pod["spec"]["nodeSelector"] = json!({"other": "x", KEY: "elsewhere"});
    let mut expected = labelled(pod.clone(), constants::PRIORITY_KEY, "100");
    expected["spec"]["nodeSelector"] = json!({"other": "x", KEY: "a"});
    assert_eq!(mutated(pod, &view), expected);
    assert_eq!(validate_pod(&expected, &view), Ok(()));
}

#[test]
fn a_pod_without_completion_index_is_a_follower() {
    let view = view([leader("l", "u", Some("node-a"))]);
    let pod = annotated(pod(0, "x", "u"), constants::JOB_COMPLETION_INDEX_KEY, None);
    assert_eq!(
        mutated(pod, &view)["spec"]["nodeSelector"],
        json!({KEY: "a"})
    );
}

#[test]
fn a_missing_node_is_not_found() {
    let view = view([leader("l", "u", Some("gone"))]);
    let status = mutate_pod(&mut follower(1, "u", None), &view).unwrap_err();
    assert_eq!(
        (
            status.code,
            status.reason.as_deref(),
            status.message.as_deref()
        ),
        (
            Some(404),
            Some("NotFound"),
            Some("nodes \"gone\" not found")
        )
    );
    let details = status.details.unwrap();
    assert_eq!(
        (details.kind.as_deref(), details.name.as_deref()),
        (Some("nodes"), Some("gone"))
    );
}

#[test]
fn a_node_without_the_topology_label_is_forbidden() {
    let view = view([leader("l", "u", Some("bare"))]);
    let (code, reason, message) = refusal(mutate_pod(&mut follower(1, "u", None), &view));
    assert_eq!((code, &*reason), (403, "Forbidden"));
    assert!(
        message.contains("bare") && message.contains(KEY),
        "{message}"
    );
}

#[test]
fn without_a_leader_mutation_leaves_the_refusal_to_validation() {
    let pod = follower(1, "u", None);
    assert_eq!(mutated(pod.clone(), &view([])), pod);
    denied(&pod, &view([]), &["follower pod node selector not set"]);
}

#[test]
fn an_incomplete_view_refuses_followers_for_now() {
    let mut view = view([leader("l", "u", Some("node-a"))]);
    view.blind = true;
    let (code, _, message) = refusal(mutate_pod(&mut follower(1, "u", None), &view));
    assert_eq!(code, 403);
    assert!(message.contains("transient"), "{message}");
    denied(&follower(1, "u", Some("a")), &view, &["transient"]);
    assert_eq!(validate_pod(&pod(0, "x", "u"), &view), Ok(()));
}

// --- Validation --------------------------------------------------------------------------------

#[test]
fn a_leader_is_always_admitted() {
    assert_eq!(validate_pod(&pod(0, "x", "u"), &view([])), Ok(()));
}

#[test]
fn a_selector_without_the_topology_is_refused() {
    let view = view([leader("l", "u", Some("node-a"))]);
    let mut pod = follower(1, "u", None);
    pod["spec"]["nodeSelector"] = json!({"other": "x"});
    denied(&pod, &view, &[KEY]);
}

#[test]
fn a_leader_that_is_not_scheduled_refuses_followers_for_now() {
    let view = view([leader("l", "u", None)]);
    denied(
        &follower(1, "u", Some("a")),
        &view,
        &["not scheduled", "transient"],
    );
}

#[test]
fn an_old_failed_leader_and_a_new_scheduled_one_admit_a_follower() {
    let view = view([
        ended(leader("old", "u", Some("node-b")), "Failed"),
        leader("new", "u", Some("node-a")),
    ]);
    let pod = annotated(
        follower(1, "u", Some("a")),
        constants::JOB_COMPLETION_INDEX_KEY,
        None,
    );
    assert_eq!(validate_pod(&pod, &view), Ok(()));
}

#[test]
fn a_leader_replaced_between_the_calls_refuses_for_now() {
    let before = view([leader("old", "u", Some("node-a"))]);
    let pod = mutated(follower(1, "u", None), &before);
    let after = view([
        terminating(leader("old", "u", Some("node-a"))),
        leader("new", "u", Some("node-b")),
    ]);
    denied(&pod, &after, &["transient", "in b now"]);
    let pod = mutated(follower(1, "u", None), &after);
    assert_eq!(validate_pod(&pod, &after), Ok(()));
}

// --- The leader --------------------------------------------------------------------------------

#[test]
fn the_leaders_name_follows_from_labels() {
    let pod = follower(1, "u", None);
    assert_eq!(leader::prefix(&pod).unwrap(), "js-rjob-0-0");
    for key in [
        constants::JOBSET_NAME_KEY,
        constants::REPLICATED_JOB_NAME_KEY,
        constants::JOB_INDEX_KEY,
    ] {
        let error = leader::prefix(&without_label(pod.clone(), key)).unwrap_err();
        assert!(error.contains(key), "{error}");
        let bound = without_label(follower(1, "u", Some("a")), key);
        denied(&bound, &view([leader("l", "u", Some("node-a"))]), &[key]);
    }
    // In this order.
    let none = without_label(
        without_label(pod, constants::JOB_INDEX_KEY),
        constants::JOBSET_NAME_KEY,
    );
    let error = leader::prefix(&none).unwrap_err();
    assert!(error.contains(constants::JOBSET_NAME_KEY), "{error}");
}

#[test]
fn owners_must_be_the_same() {
    let lead = |uid| leader("l", uid, Some("node-a"));
    let bound = follower(1, "u", Some("a"));
    assert_eq!(validate_pod(&bound, &view([lead("u")])), Ok(()));
    denied(&bound, &view([lead("v")]), &["follower", "is u", "is v"]);
    denied(
        &without_owner(bound.clone()),
        &view([lead("u")]),
        &["follower pod has no"],
    );
    denied(
        &bound,
        &view([without_owner(lead("u"))]),
        &["leader pod \"js-rjob-0-0-l\" has no"],
    );
}

#[test]
fn exactly_one_active_leader_is_needed() {
    let lead = |suffix| leader(suffix, "u", Some("node-a"));
    let found = |pods: Vec<Value>| leader::find(&follower(1, "u", None), &view(pods));
    let name = |pods| match found(pods) {
        Ok(Leader::Active(pod)) => pod.name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(vec![lead("a")]), "js-rjob-0-0-a");
    for (pods, count) in [
        (vec![], "got 0"),
        (vec![lead("a"), lead("b")], "got 2"),
        (vec![terminating(lead("a"))], "got 0"),
        (vec![ended(lead("a"), "Failed")], "got 0"),
        (
            vec![leader("a", "x", None), leader("b", "y", None)],
            "got 2",
        ),
    ] {
        let error = found(pods).unwrap_err();
        for part in ["expected 1 leader pod", "(js-rjob-0-0)", count, "transient"] {
            assert!(error.contains(part), "{error}");
        }
    }
    for other in [
        ended(lead("a"), "Failed"),
        ended(lead("a"), "Succeeded"),
        terminating(lead("a")),
        // An earlier incarnation of the Job that has not been collected yet.
        leader("a", "earlier", Some("node-b")),
        annotated(lead("a"), constants::EXCLUSIVE_TOPOLOGY_KEY, None),
    ] {
        assert_eq!(name(vec![other, lead("b")]), "js-rjob-0-0-b");
    }
}

#[test]
fn a_follower_of_an_earlier_incarnation_is_refused() {
    let view = view([leader("l", "new", Some("node-a"))]);
    let pod = follower(1, "old", None);
    assert_eq!(mutated(pod.clone(), &view), pod, "bound to nothing");
    denied(&follower(1, "old", Some("a")), &view, &["old", "new"]);
}

#[test]
fn a_leader_that_has_succeeded_lets_followers_place_themselves() {
    let done = view([ended(leader("l", "u", Some("node-a")), "Succeeded")]);
    let pod = mutated(follower(1, "u", None), &done);
    let lead = mutated(leader("l", "u", None), &done);
    assert_eq!(pod["spec"]["affinity"], lead["spec"]["affinity"]);
    assert_eq!(pod["spec"]["nodeSelector"], Value::Null);
    assert_eq!(validate_pod(&pod, &done), Ok(()));
    // What was mutated while the leader was still there has no terms, and tries again.
    denied(&follower(1, "u", Some("a")), &done, &["transient"]);
    // Nor do such terms, written by a user, open the door while there is a leader.
    let back = view([leader("l", "u", Some("node-a"))]);
    denied(&pod, &back, &[KEY]);
    // Another incarnation's leader says nothing.
    let other = view([ended(leader("l", "v", Some("node-a")), "Succeeded")]);
    denied(&follower(1, "u", Some("a")), &other, &["got 0"]);
}

// --- Anything ----------------------------------------------------------------------------------

#[test]
fn wrong_shapes_are_refused() {
    for (path, wrong) in [
        ("/spec/priority", json!("high")),
        ("/spec/priority", json!(1.5)),
        ("/metadata/labels", json!(["a"])),
        ("/spec/affinity", json!("x")),
        ("/spec/affinity", json!({"podAffinity": 3})),
        ("/spec/affinity", json!({"podAffinity": {REQUIRED: {}}})),
    ] {
        let mut pod = with_priority(pod(0, "x", "u"), 1);
        pod["spec"]["affinity"] = Value::Null;
        *pod.pointer_mut(path).unwrap() = wrong.clone();
        let (code, reason, message) = refusal(mutate_pod(&mut pod, &view([])));
        assert_eq!((code, &*reason), (400, "BadRequest"), "{path} {wrong}");
        assert!(message.contains("must be"), "{message}");
    }
}

/// Any JSON, with the keys that placement looks for.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("0")),
        Just(json!("u")),
        ".{0,4}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("labels"),
        Just("annotations"),
        Just("ownerReferences"),
        Just("controller"),
        Just("uid"),
        Just("affinity"),
        Just("podAffinity"),
        Just("podAntiAffinity"),
        Just(REQUIRED),
        Just("nodeSelector"),
        Just("priority"),
        Just(constants::JOBSET_NAME_KEY),
        Just(constants::EXCLUSIVE_TOPOLOGY_KEY),
        Just(constants::JOB_COMPLETION_INDEX_KEY),
        Just(constants::NODE_SELECTOR_STRATEGY_KEY),
        Just(KEY),
    ];
    leaf.prop_recursive(5, 32, 5, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => proptest::collection::vec((key.clone(), inner), 0..5).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

/// A Pod with some parts replaced by anything.
fn damaged() -> impl Strategy<Value = Value> {
    const PATHS: [&str; 9] = [
        "/metadata",
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/ownerReferences",
        "/metadata/ownerReferences/0",
        "/metadata/name",
        "/spec",
        "/spec/affinity",
        "/spec/nodeSelector",
    ];
    let damage = proptest::collection::vec((0..PATHS.len(), anything()), 0..3);
    (0..3_usize, any::<Option<i32>>(), damage).prop_map(|(index, priority, damage)| {
        let mut pod = pod(index, "x", "u");
        pod["spec"]["priority"] = priority.into();
        pod["spec"]["affinity"] = Value::Null;
        pod["spec"]["nodeSelector"] = Value::Null;
        for (path, value) in damage {
            if let Some(place) = pod.pointer_mut(PATHS[path]) {
                *place = value;
            }
        }
        pod
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever arrives: no panic; what is added is added once; nothing else changes.
    #[test]
    fn any_object_is_answered(
        pod in prop_oneof![anything(), damaged()],
        node in prop_oneof![Just(None), Just(Some("node-a")), Just(Some("bare"))],
        blind in any::<bool>(),
    ) {
        let mut view = view([leader("l", "u", node)]);
        view.blind = blind;
        let _ = validate_pod(&pod, &view);
        let mut once = pod.clone();
        if mutate_pod(&mut once, &view).is_ok() {
            let mut twice = once.clone();
            prop_assert_eq!(mutate_pod(&mut twice, &view), Ok(()));
            prop_assert_eq!(&twice, &once);
            if annotation(&pod, constants::EXCLUSIVE_TOPOLOGY_KEY).is_none() {
                let labels = once["metadata"]["labels"].clone();
                if pod["spec"]["priority"].is_null() {
                    prop_assert_eq!(&once, &pod);
                }
                if once != pod {
                    // The label, and nothing beside it.
                    once["metadata"]["labels"] = pod["metadata"]["labels"].clone();
                    let mut before = pod.clone();
                    before["metadata"]["labels"] = pod["metadata"]["labels"].clone();
                    prop_assert_eq!(&once, &before);
                    prop_assert!(labels[constants::PRIORITY_KEY].is_string());
                }
                prop_assert_eq!(validate_pod(&pod, &view), Ok(()));
            }
        }
    }
}
