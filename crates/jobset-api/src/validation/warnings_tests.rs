//! Each warning with the nearest JobSet that does not deserve it, and the examples without any.

use serde_json::{Value, json};

use super::{
    create_tests::{indexed, job, jobs, with},
    *,
};
use crate::{
    defaulting::default_value,
    features::{Feature, FeatureGates},
    resource::JobSet,
};

fn decode(name: &str, spec: &Value) -> JobSet {
    let mut object = json!({"metadata": {"name": name}, "spec": spec});
    default_value(&mut object);
    serde_json::from_value(object).unwrap()
}

/// (what, spec, expected warnings as (path, part of the message)).
type Case = (&'static str, Value, &'static [(&'static str, &'static str)]);

/// The warnings must be the expected ones, in order and no more.
fn check(cases: &[Case]) {
    for (what, spec, expected) in cases {
        let found = warnings(&decode("js", spec), &FeatureGates::default());
        assert_eq!(found.len(), expected.len(), "{what}: {found:#?}");
        for (warning, (path, part)) in found.iter().zip(*expected) {
            assert_eq!(warning.path, *path, "{what}");
            assert!(warning.message.contains(part), "{what}: {warning}");
        }
    }
}

/// A replicated job `name` that waits for others.
fn waiting(name: &str, template: Value, dependencies: &[(&str, &str)]) -> Value {
    let list: Vec<_> = dependencies
        .iter()
        .map(|(name, status)| json!({"name": name, "status": status}))
        .collect();
    with(job(name, template), json!({ "dependsOn": list }))
}

#[test]
fn a_plain_jobset_deserves_none() {
    check(&[
        ("nothing", json!({}), &[]),
        ("one job", jobs(&[job("w", json!({}))]), &[]),
        (
            "leader and workers",
            jobs(&[
                job("leader", indexed(1)),
                waiting("w", indexed(4), &[("leader", "Ready")]),
            ]),
            &[],
        ),
        (
            "restarts",
            with(
                jobs(&[job("w", indexed(4))]),
                json!({"failurePolicy": {"maxRestarts": 3}}),
            ),
            &[],
        ),
    ]);
}

#[test]
fn order_of_start() {
    let sized = |parallelism: i32, completions: i32| json!({"completionMode": "Indexed", "parallelism": parallelism, "completions": completions});
    let pair = |template: Value, status: &str| {
        jobs(&[
            job("a", template),
            waiting("b", indexed(1), &[("a", status)]),
        ])
    };
    let none = |name: &str| with(job(name, sized(0, 1)), json!({"replicas": 0}));
    check(&[
        (
            "InOrder",
            with(
                jobs(&[job("a", indexed(1))]),
                json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}}),
            ),
            &[("spec.startupPolicy.startupPolicyOrder", "deprecated")],
        ),
        (
            "on itself",
            jobs(&[
                job("a", indexed(1)),
                waiting("b", indexed(1), &[("a", "Ready"), ("b", "Ready")]),
            ]),
            &[("spec.replicatedJobs[1].dependsOn[1]", "waits for itself")],
        ),
        (
            "on one that waits for itself",
            jobs(&[
                job("a", indexed(1)),
                waiting("b", indexed(1), &[("b", "Complete")]),
                waiting("c", indexed(1), &[("a", "Ready"), ("b", "Ready")]),
            ]),
            &[
                ("spec.replicatedJobs[1].dependsOn[0]", "waits for itself"),
                ("spec.replicatedJobs[2].dependsOn[1]", "\"b\" never starts"),
            ],
        ),
        (
            "completion of no Pods",
            pair(sized(0, 2), "Complete"),
            &[("spec.replicatedJobs[1].dependsOn[0]", "never completes")],
        ),
        (
            "a Job complete from the start",
            pair(sized(0, 0), "Complete"),
            &[],
        ),
        (
            "readiness of no Pods",
            pair(sized(0, 2), "Ready"),
            &[("spec.replicatedJobs[1].dependsOn[0]", "ready at once")],
        ),
        (
            "on one without Jobs, which is reached at once",
            jobs(&[none("a"), waiting("b", indexed(1), &[("a", "Complete")])]),
            &[],
        ),
        (
            "without Jobs of its own",
            jobs(&[
                job("a", sized(0, 2)),
                with(
                    waiting("b", indexed(1), &[("a", "Complete")]),
                    json!({"replicas": 0}),
                ),
            ]),
            &[],
        ),
        (
            "an error already: a later one",
            jobs(&[
                job("a", indexed(1)),
                waiting("b", indexed(1), &[("c", "Ready")]),
            ]),
            &[],
        ),
    ]);
    // With elastic JobSets the parallelism can be raised later.
    let elastic = FeatureGates::default().with(Feature::ElasticJobSet, true);
    for status in ["Ready", "Complete"] {
        let jobset = decode("js", &pair(sized(0, 2), status));
        assert_eq!(warnings(&jobset, &elastic), []);
    }
}

#[test]
fn waiting_for_the_success_that_ends_the_jobset() {
    let policy = |operator: &str, targets: &[&str], status: &str| {
        with(
            jobs(&[
                job("a", indexed(1)),
                waiting("b", indexed(1), &[("a", status)]),
                waiting("c", indexed(1), &[("b", "Ready")]),
            ]),
            json!({"successPolicy": {"operator": operator, "targetReplicatedJobs": targets}}),
        )
    };
    const NEVER: &[(&str, &str)] = &[
        ("spec.replicatedJobs[1].dependsOn", "success policy"),
        ("spec.replicatedJobs[2].dependsOn", "success policy"),
    ];
    check(&[
        ("any", policy("Any", &[], "Complete"), NEVER),
        ("any of another", policy("Any", &["c"], "Complete"), &[]),
        ("all of the first", policy("All", &["a"], "Complete"), NEVER),
        ("all of two", policy("All", &["a", "b"], "Complete"), &[]),
        ("all", policy("All", &[], "Complete"), &[]),
        ("ready", policy("All", &["a"], "Ready"), &[]),
    ]);
}

#[test]
fn names_and_number() {
    let many = |count: usize| {
        let list: Vec<_> = (0..count)
            .map(|index| job(&format!("w{index}"), indexed(1)))
            .collect();
        jobs(&list)
    };
    check(&[
        ("18 replicated jobs", many(18), &[]),
        (
            "19 replicated jobs",
            many(19),
            &[("spec.replicatedJobs", "Kueue")],
        ),
    ]);
    let found = |length: usize, template: Value| {
        let jobset = decode(&"a".repeat(length), &jobs(&[job("w", template)]));
        warnings(&jobset, &FeatureGates::default())
    };
    // NAME-w-0-0-abcde has 12 characters besides the name.
    assert_eq!(found(51, json!({})), []);
    let [warning] = &found(52, json!({}))[..] else {
        panic!("{:?}", found(52, json!({})))
    };
    assert_eq!(warning.path, "spec.replicatedJobs[0].name");
    assert!(warning.message.contains("by 1 characters"), "{warning}");
    // Errors already: with completions, or with a Job's name that is too long.
    assert_eq!(found(52, indexed(1)), []);
    assert_eq!(found(60, json!({})), []);
    assert_eq!(found(52, json!({"completionMode": "NonIndexed"})), []);
}

#[test]
fn jobs_and_pods() {
    let ttl = |replicas: i32| {
        let job = job("w", json!({"ttlSecondsAfterFinished": 5}));
        jobs(&[with(job, json!({"replicas": replicas}))])
    };
    let grace = |seconds: i32| {
        let pod = json!({"spec": {"terminationGracePeriodSeconds": seconds}});
        jobs(&[job("w", json!({ "template": pod }))])
    };
    check(&[
        (
            "TTL",
            ttl(2),
            &[(
                "spec.replicatedJobs[0].template.spec.ttlSecondsAfterFinished",
                "5 seconds after",
            )],
        ),
        ("TTL of the only Job", ttl(1), &[]),
        (
            "negative grace",
            grace(-1),
            &[(
                "spec.replicatedJobs[0].template.spec.template.spec.terminationGracePeriodSeconds",
                "-1 is taken for 1",
            )],
        ),
        ("no grace", grace(0), &[]),
    ]);
}

#[test]
fn failure_policy() {
    const LIMIT: &str = "spec.replicatedJobs[0].template.spec.backoffLimit";
    let policy = |template: Value, restarts: i32, rules: Value| {
        with(
            jobs(&[job("w", template), job("v", json!({"backoffLimit": 0}))]),
            json!({"failurePolicy": {"maxRestarts": restarts, "rules": rules}}),
        )
    };
    let limited = |limit: i32| json!({ "backoffLimit": limit });
    let reason = |reason: &str| {
        json!([{"action": "FailJobSet", "onJobFailureReasons": [reason],
                "targetReplicatedJobs": ["w"]}])
    };
    let fail = json!([{"action": "FailJobSet"}]);
    const NEVER: &[(&str, &str)] = &[(
        "spec.failurePolicy.rules[0].onJobFailureReasons",
        "never applies",
    )];
    check(&[
        ("explicit limit", policy(limited(2), 0, fail.clone()), &[]),
        (
            "limit not given",
            policy(json!({}), 0, fail.clone()),
            &[(LIMIT, "6 times")],
        ),
        (
            "limit not given, but no rule waits for it",
            policy(
                json!({"activeDeadlineSeconds": 5}),
                0,
                reason("DeadlineExceeded"),
            ),
            &[],
        ),
        (
            "limit not given, but failures are handled one by one",
            policy(
                json!({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}),
                0,
                fail.clone(),
            ),
            &[],
        ),
        (
            "no limit",
            policy(limited(i32::MAX), 3, json!([])),
            &[(LIMIT, "never fails")],
        ),
        (
            "no limit, but a deadline",
            policy(
                with(limited(i32::MAX), json!({"activeDeadlineSeconds": 5})),
                3,
                json!([]),
            ),
            &[],
        ),
        (
            "after a rule for everything",
            policy(
                limited(0),
                1,
                json!([{"action": "RestartJobSet"}, {"action": "FailJobSet", "targetReplicatedJobs": ["w"]}]),
            ),
            &[("spec.failurePolicy.rules[1]", "rules[0]")],
        ),
        (
            "restart without restarts",
            policy(limited(0), 0, json!([{"action": "RestartJobSet"}])),
            &[("spec.failurePolicy.rules[0].action", "maxRestarts is 0")],
        ),
        (
            "uncounted restart without restarts",
            policy(
                limited(0),
                0,
                json!([{"action": "RestartJobSetAndIgnoreMaxRestarts"}]),
            ),
            &[],
        ),
        (
            "no deadline",
            policy(limited(0), 0, reason("DeadlineExceeded")),
            NEVER,
        ),
        (
            "a deadline",
            policy(
                with(limited(0), json!({"activeDeadlineSeconds": 9})),
                0,
                reason("DeadlineExceeded"),
            ),
            &[],
        ),
        (
            "no Pod failure policy",
            policy(limited(0), 0, reason("PodFailurePolicy")),
            NEVER,
        ),
        (
            "no limit per index",
            policy(limited(0), 0, reason("FailedIndexes")),
            NEVER,
        ),
        (
            "no limit of failed indexes",
            policy(
                json!({"backoffLimitPerIndex": 1}),
                0,
                reason("MaxFailedIndexesExceeded"),
            ),
            NEVER,
        ),
        (
            "limit per index makes the limit endless",
            policy(
                json!({"backoffLimitPerIndex": 1}),
                0,
                reason("BackoffLimitExceeded"),
            ),
            NEVER,
        ),
        (
            "a foreign Job controller",
            policy(json!({"managedBy": "a.io/b"}), 0, reason("FailedIndexes")),
            &[],
        ),
        (
            "a reason another target can fail with",
            policy(
                json!({"activeDeadlineSeconds": 9}),
                0,
                json!([{"action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]}]),
            ),
            &[],
        ),
    ]);
}

#[test]
fn restart_policies_of_containers() {
    const POD: &str = "spec.replicatedJobs[0].template.spec.template.spec";
    let set = |of_pod: &str, container: Value, policy: Value| {
        let container = with(json!({"name": "c", "image": "i"}), container);
        let pod = json!({"spec": {"restartPolicy": of_pod, "containers": [container]}});
        let job = job("w", json!({"backoffLimit": 0, "template": pod}));
        with(jobs(&[job]), json!({ "failurePolicy": policy }))
    };
    let restarts = || json!({"maxRestarts": 3});
    let own = |policy: &str| json!({ "restartPolicy": policy });
    let rules = |operator: &str, values: Value| {
        let codes = json!({"operator": operator, "values": values});
        json!({"restartPolicy": "Never",
               "restartPolicyRules": [{"action": "Restart", "exitCodes": codes}]})
    };
    let policy: &[(&str, &str)] = &[(&format!("{POD}.containers[0].restartPolicy"), "never fails")];
    let policy_rules: &[(&str, &str)] = &[(
        &format!("{POD}.containers[0].restartPolicyRules"),
        "never fails",
    )];
    let warned = [
        (set("Never", own("Always"), restarts()), policy),
        (set("Never", own("OnFailure"), restarts()), policy),
        (
            set(
                "Never",
                own("OnFailure"),
                json!({"rules": [{"action": "FailJobSet"}]}),
            ),
            policy,
        ),
        (
            set("Never", rules("NotIn", json!([0])), restarts()),
            policy_rules,
        ),
    ];
    for (spec, expected) in &warned {
        let found = warnings(&decode("js", spec), &FeatureGates::default());
        assert_eq!(found.len(), 1, "{spec}: {found:#?}");
        assert_eq!(found[0].path, expected[0].0);
        assert!(found[0].message.contains(expected[0].1), "{}", found[0]);
    }
    let deadline = |mut spec: Value| {
        spec["replicatedJobs"][0]["template"]["spec"]["activeDeadlineSeconds"] = 9.into();
        spec
    };
    check(&[
        ("no restarts", set("Never", own("Never"), restarts()), &[]),
        ("nothing said", set("Never", json!({}), restarts()), &[]),
        (
            "counted by the Job controller",
            set("OnFailure", own("OnFailure"), restarts()),
            &[],
        ),
        (
            "some exit codes",
            set("Never", rules("In", json!([42])), restarts()),
            &[],
        ),
        (
            "all but some exit codes",
            set("Never", rules("NotIn", json!([0, 3])), restarts()),
            &[],
        ),
        (
            "a deadline",
            deadline(set("Never", own("Always"), restarts())),
            &[],
        ),
        (
            "in place, as the strategy wants it",
            set(
                "Never",
                rules("NotIn", json!([0])),
                json!({"maxRestarts": 3, "restartStrategy": "InPlaceRestart"}),
            ),
            &[],
        ),
        (
            "a policy that does nothing",
            set("Never", own("OnFailure"), json!({})),
            &[],
        ),
    ]);
}

#[test]
fn the_examples_have_neither_errors_nor_warnings() {
    let mut checked = 0;
    let mut open = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples"
    ))];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            // An example that needs a gate says so where it says how to run it.
            let gates = text.split_once("--feature-gates ").map_or("", |(_, rest)| {
                rest.split_whitespace().next().unwrap_or_default()
            });
            let gates = FeatureGates::parse(gates).unwrap();
            for document in text.split("\n---\n") {
                let mut object: Value = serde_saphyr::from_str(document).unwrap();
                if object["kind"] != "JobSet" {
                    continue;
                }
                default_value(&mut object);
                let jobset: JobSet = serde_json::from_value(object).unwrap();
                assert_eq!(validate_create(&jobset, &gates), [], "{}", path.display());
                assert_eq!(warnings(&jobset, &gates), [], "{}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked >= 4, "only {checked} examples found");
}
