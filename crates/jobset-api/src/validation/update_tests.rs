//! Each line of the acceptance list for changes, as tables; the first column is the line.
//!
//! | lines about | test |
//! |---|---|
//! | suspension, `managedBy`, what may change when, the gate being off | `without_gates` |
//! | scaling with the gate `ElasticJobSet` | `elastic` |
//! | adding, removing, renaming and reordering replicated jobs | `without_gates`, `added_removed_and_reordered_replicated_jobs` |
//! | a queueing system that admits and evicts, each in one update | `a_queue_admits_and_evicts_in_one_update_each` |

use serde_json::{Value, json};

use super::*;
use crate::{
    features::{Feature, FeatureGates},
    resource::JobSet,
};

const TEMPLATE: &str = "/spec/replicatedJobs/0/template/spec";
const JOBS: &str = "spec.replicatedJobs";

fn base() -> Value {
    json!({
        "metadata": {"name": "js"},
        "spec": {"replicatedJobs": [
            {"name": "a", "groupName": "default", "replicas": 1, "template": {"spec": {
                "completionMode": "Indexed", "parallelism": 2, "completions": 2,
                "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
            }}},
            {"name": "b", "groupName": "default", "replicas": 2, "template": {"spec": {
                "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
            }}},
        ]},
    })
}

/// `value` with these pointers set, missing objects on the way included.
fn set(mut value: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, new) in changes {
        let mut target = &mut value;
        for part in pointer.split('/').skip(1) {
            target = match part.parse::<usize>() {
                Ok(index) => &mut target[index],
                Err(_) => &mut target[part],
            };
        }
        *target = new.clone();
    }
    value
}

fn template(path: &str) -> String {
    format!("{TEMPLATE}/{path}")
}

fn validate(old: &Value, new: &Value, gates: FeatureGates) -> Vec<FieldError> {
    let decode = |value: &Value| -> JobSet { serde_json::from_value(value.clone()).unwrap() };
    validate_update(&decode(old), &decode(new), &gates)
}

/// (what, changes of the old, changes of the new object beyond the old, expected errors).
type Case<'a> = (
    &'a str,
    &'a [(&'a str, Value)],
    &'a [(&'a str, Value)],
    &'a [(&'a str, ErrorKind, &'a str)],
);

fn check(gates: FeatureGates, cases: &[Case<'_>]) {
    for (what, old, new, expected) in cases {
        let old = set(base(), old);
        let new = set(old.clone(), new);
        let errors = validate(&old, &new, gates);
        let found: Vec<_> = errors.iter().map(|e| (e.path.as_str(), e.kind)).collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|&(path, kind, _)| (path, kind))
            .collect();
        assert_eq!(found, wanted, "{what}: {errors:#?}");
        for (error, (_, _, part)) in errors.iter().zip(*expected) {
            assert!(error.detail.contains(part), "{what}: {part:?} in {error}");
        }
    }
}

const IMMUTABLE: (&str, ErrorKind, &str) = (JOBS, ErrorKind::Invalid, "field is immutable");

#[test]
fn without_gates() {
    let suspended: &[(&str, Value)] = &[("/spec/suspend", json!(true))];
    let annotation = template("template/metadata/annotations/k");
    let label = template("template/metadata/labels/k");
    let selector = template("template/spec/nodeSelector/k");
    let tolerations = template("template/spec/tolerations");
    let gates = template("template/spec/schedulingGates");
    let image = template("template/spec/containers/0/image");
    let parallelism = template("parallelism");
    let completions = template("completions");
    check(
        FeatureGates::default(),
        &[
            ("no change", &[], &[], &[]),
            ("resumed", suspended, &[("/spec/suspend", Value::Null)], &[]),
            (
                "label of the JobSet",
                &[],
                &[("/metadata/labels/k", json!("v"))],
                &[],
            ),
            (
                "TTL",
                &[],
                &[("/spec/ttlSecondsAfterFinished", json!(3))],
                &[],
            ),
            (
                "coordinator",
                &[],
                &[("/spec/coordinator", json!({"replicatedJob": "a"}))],
                &[],
            ),
            (
                "managedBy added",
                &[],
                &[("/spec/managedBy", json!("a.io/b"))],
                &[("spec.managedBy", ErrorKind::Invalid, "field is immutable")],
            ),
            (
                "managedBy changed",
                &[("/spec/managedBy", json!("a.io/b"))],
                &[("/spec/managedBy", json!("a.io/c"))],
                &[("spec.managedBy", ErrorKind::Invalid, "field is immutable")],
            ),
            (
                "annotation while suspended",
                suspended,
                &[(&annotation, json!("v"))],
                &[],
            ),
            (
                "annotation while resuming",
                suspended,
                &[(&annotation, json!("v")), ("/spec/suspend", json!(false))],
                &[],
            ),
            (
                "annotation while becoming suspended",
                &[],
                &[(&annotation, json!("v")), ("/spec/suspend", json!(true))],
                &[],
            ),
            (
                "annotation while running",
                &[],
                &[(&annotation, json!("v"))],
                &[IMMUTABLE],
            ),
            (
                "all that may change while suspended",
                suspended,
                &[
                    (&annotation, json!("v")),
                    (&label, json!("v")),
                    (&selector, json!("v")),
                    (&tolerations, json!([{"operator": "Exists"}])),
                    (&gates, json!([{"name": "g"}])),
                ],
                &[],
            ),
            (
                "what was added while suspended may be removed again",
                &[
                    ("/spec/suspend", json!(true)),
                    (&gates, json!([{"name": "g"}])),
                    (&annotation, json!("v")),
                ],
                &[
                    (&gates, Value::Null),
                    (&template("template/metadata"), Value::Null),
                ],
                &[],
            ),
            (
                "gates while suspended",
                suspended,
                &[(&gates, json!([{"name": "g"}]))],
                &[],
            ),
            (
                "gates while running",
                &[],
                &[(&gates, json!([{"name": "g"}]))],
                &[IMMUTABLE],
            ),
            (
                "image while suspended",
                suspended,
                &[(&image, json!("j"))],
                &[IMMUTABLE],
            ),
            (
                "renamed while suspended",
                suspended,
                &[("/spec/replicatedJobs/0/name", json!("x"))],
                &[IMMUTABLE],
            ),
            (
                "replicas",
                &[],
                &[("/spec/replicatedJobs/0/replicas", json!(3))],
                &[IMMUTABLE],
            ),
            (
                "scaled with the gate off",
                &[],
                &[(&parallelism, json!(8)), (&completions, json!(8))],
                &[IMMUTABLE],
            ),
            (
                "empty instead of absent",
                &[],
                &[(&tolerations, json!([]))],
                &[],
            ),
        ],
    );
}

/// Kueue stops the workload and puts the templates back, or starts it with what the chosen flavor
/// of a resource wants, and does either with a single update.
#[test]
fn a_queue_admits_and_evicts_in_one_update_each() {
    let waiting = set(base(), &[("/spec/suspend", json!(true))]);
    let gate = json!([{"name": "kueue.x-k8s.io/topology"}]);
    let admission: Vec<(String, Value)> = [
        ("template/metadata/labels/kueue.x-k8s.io~podset", json!("a")),
        (
            "template/metadata/annotations/kueue.x-k8s.io~workload",
            json!("w"),
        ),
        (
            "template/spec/nodeSelector/cloud.example.com~flavor",
            json!("spot"),
        ),
        (
            "template/spec/tolerations",
            json!([{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]),
        ),
        ("template/spec/schedulingGates", gate),
    ]
    .into_iter()
    .map(|(path, value)| (template(path), value))
    .collect();
    let changes: Vec<(&str, Value)> = admission
        .iter()
        .map(|(path, value)| (path.as_str(), value.clone()))
        .chain([("/spec/suspend", json!(false))])
        .collect();
    // A slash separates the parts of a pointer here, so keys are written with a tilde.
    let text = set(waiting.clone(), &changes).to_string().replace('~', "/");
    let running: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(validate(&waiting, &running, FeatureGates::default()), []);
    assert_eq!(validate(&running, &waiting, FeatureGates::default()), []);
    // Neither works without the suspension.
    let still = set(running.clone(), &[("/spec/suspend", json!(false))]);
    let restored = set(waiting.clone(), &[("/spec/suspend", json!(false))]);
    assert_eq!(
        validate(&still, &restored, FeatureGates::default()).len(),
        1
    );
}

#[test]
fn elastic() {
    let gates = FeatureGates::default().with(Feature::ElasticJobSet, true);
    let parallelism = template("parallelism");
    let completions = template("completions");
    let to = |p: i32, c: i32| {
        [
            (parallelism.as_str(), json!(p)),
            (completions.as_str(), json!(c)),
        ]
    };
    let ended = |type_: &str| {
        json!([{"type": type_, "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    };
    let spec = "spec.replicatedJobs[0].template.spec";
    let parallelism_path = "spec.replicatedJobs[0].template.spec.parallelism";
    let completions_path = "spec.replicatedJobs[0].template.spec.completions";
    let not_indexed = "/spec/replicatedJobs/1/template/spec/parallelism";
    check(
        gates,
        &[
            ("2 to 8", &[], &to(8, 8), &[]),
            (
                "parallelism 0",
                &[],
                &to(0, 2),
                &[
                    (
                        parallelism_path,
                        ErrorKind::Invalid,
                        "greater than or equal to 1",
                    ),
                    (completions_path, ErrorKind::Invalid, "equal to parallelism"),
                ],
            ),
            (
                "completions 0",
                &[],
                &to(2, 0),
                &[
                    (
                        completions_path,
                        ErrorKind::Invalid,
                        "greater than or equal to 1",
                    ),
                    (completions_path, ErrorKind::Invalid, "equal to parallelism"),
                ],
            ),
            (
                "unequal",
                &[],
                &to(4, 5),
                &[(completions_path, ErrorKind::Invalid, "equal to parallelism")],
            ),
            (
                "after completion",
                &[("/status/conditions", ended("Completed"))],
                &to(8, 8),
                &[(spec, ErrorKind::Forbidden, "ended")],
            ),
            (
                "after failure",
                &[("/status/conditions", ended("Failed"))],
                &to(8, 8),
                &[(spec, ErrorKind::Forbidden, "ended")],
            ),
            (
                "scaled, with other replicas",
                &[],
                &[
                    (&parallelism, json!(8)),
                    (&completions, json!(8)),
                    ("/spec/replicatedJobs/0/replicas", json!(3)),
                ],
                &[IMMUTABLE],
            ),
            ("not Indexed", &[], &[(not_indexed, json!(8))], &[IMMUTABLE]),
        ],
    );
}

#[test]
fn added_removed_and_reordered_replicated_jobs() {
    let gates = FeatureGates::default().with(Feature::ElasticJobSet, true);
    let old = set(base(), &[("/spec/suspend", json!(true))]);
    let jobs = |value: &Value| value["spec"]["replicatedJobs"].as_array().unwrap().clone();
    let with_jobs = |jobs: Vec<Value>| {
        let mut new = old.clone();
        new["spec"]["replicatedJobs"] = jobs.into();
        new
    };
    let mut added = jobs(&old);
    added.push(json!({"name": "c", "template": {}}));
    let removed = jobs(&old)[..1].to_vec();
    let mut reordered = jobs(&old);
    reordered.reverse();
    reordered[0]["template"]["spec"]["parallelism"] = 5.into();
    for new in [added, removed, reordered] {
        let errors = validate(&old, &with_jobs(new), gates);
        let found: Vec<_> = errors
            .iter()
            .map(|e| (e.path.as_str(), e.detail.as_str()))
            .collect();
        assert_eq!(found, [(JOBS, "field is immutable")]);
    }
}

#[test]
fn changes_while_suspended_must_be_acceptable_for_jobs() {
    let suspended: &[(&str, Value)] = &[("/spec/suspend", json!(true))];
    let pod = template("template/spec");
    let metadata = template("template/metadata");
    let selector = format!("{pod}/nodeSelector");
    let tolerations = format!("{pod}/tolerations");
    let gates = format!("{pod}/schedulingGates");
    let labels = format!("{metadata}/labels");
    let annotations = format!("{metadata}/annotations");
    let bad = json!({"a b": "c"});
    let old_bad: &[(&str, Value)] = &[("/spec/suspend", json!(true)), (&labels, bad.clone())];
    check(
        FeatureGates::default(),
        &[
            (
                "good",
                suspended,
                &[
                    (&selector, json!({"example.com/zone": "a"})),
                    (&tolerations, json!([{"key": "k", "operator": "Exists"}])),
                    (&gates, json!([{"name": "example.com/gate"}])),
                    (&labels, json!({"a": "b"})),
                    (&annotations, json!({"A.example.com/a": "b c"})),
                ],
                &[],
            ),
            (
                "bad",
                suspended,
                &[
                    (&selector, bad.clone()),
                    (&tolerations, json!([{"key": "k", "operator": "Equals"}])),
                    (&gates, json!([{"name": "a"}, {"name": "a"}])),
                    (&labels, json!({"a": "b c"})),
                    (&annotations, bad.clone()),
                ],
                &[
                    (
                        "spec.replicatedJobs[0].template.spec.template.metadata.labels",
                        ErrorKind::Invalid,
                        "valid label",
                    ),
                    (
                        "spec.replicatedJobs[0].template.spec.template.metadata.annotations",
                        ErrorKind::Invalid,
                        "qualified name",
                    ),
                    (
                        "spec.replicatedJobs[0].template.spec.template.spec.nodeSelector",
                        ErrorKind::Invalid,
                        "qualified name",
                    ),
                    (
                        "spec.replicatedJobs[0].template.spec.template.spec.tolerations[0].operator",
                        ErrorKind::Invalid,
                        "must be one of",
                    ),
                    (
                        "spec.replicatedJobs[0].template.spec.template.spec.schedulingGates[1].name",
                        ErrorKind::Invalid,
                        "unique",
                    ),
                ],
            ),
            (
                "what was stored is not held against other changes",
                old_bad,
                &[(&gates, json!([{"name": "a"}]))],
                &[],
            ),
        ],
    );
}

#[test]
fn resources_may_change_while_suspended_with_their_gate() {
    let gates = FeatureGates::default().with(Feature::MutablePodResourcesForSuspendedJobSets, true);
    let suspended = |value: Value| set(value, &[("/spec/suspend", true.into())]);
    let resources = |amount: &str| {
        let change = json!({"requests": {"cpu": amount}, "limits": {"cpu": "4"}});
        set(
            suspended(base()),
            &[(&template("template/spec/containers/0/resources"), change)],
        )
    };
    let old = suspended(base());
    for (old, new) in [
        (&old, &resources("1")),
        (&resources("1"), &resources("2")),
        (&resources("1"), &old),
    ] {
        assert!(validate(old, new, gates).is_empty());
        // Not without the gate, and not while it runs.
        assert_eq!(validate(old, new, FeatureGates::default()).len(), 1);
        let running = |value: &Value| set(value.clone(), &[("/spec/suspend", false.into())]);
        assert_eq!(validate(&running(old), &running(new), gates).len(), 1);
    }
    // Still a quantity, and within the limit.
    let errors = validate(&old, &resources("5"), gates);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0]
            .path
            .ends_with("containers[0].resources.requests.cpu")
    );
    // Nothing but requests and limits: neither claims nor other containers.
    for (path, change) in [
        (
            "template/spec/containers/0/resources",
            json!({"claims": [{"name": "c"}]}),
        ),
        ("template/spec/containers/0/image", "other".into()),
        ("template/spec/containers/0/name", "other".into()),
    ] {
        let new = set(old.clone(), &[(&template(path), change)]);
        assert!(!validate(&old, &new, gates).is_empty(), "{path}");
    }
}
