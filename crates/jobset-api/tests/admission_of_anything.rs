//! Admission of arbitrary JobSets: right, wrong, and of the wrong shape.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use jobset_api::{
    FeatureGates, JobSet, admission,
    defaulting::{default_jobset, default_value},
    features::Feature,
    validation::{
        claim_names, invalid_status, validate_claims, validate_create, validate_update, warnings,
    },
};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Texts as they occur in JobSets, and some that fit nowhere.
fn word() -> impl Strategy<Value = Value> {
    let words = vec![
        "",
        "a",
        "b",
        "c",
        "data",
        "A.b",
        "ä/",
        "a/b",
        "-",
        "Indexed",
        "NonIndexed",
        "Always",
        "Never",
        "OnFailure",
        "Ready",
        "Complete",
        "All",
        "Any",
        "InOrder",
        "AnyOrder",
        "Recreate",
        "InPlaceRestart",
        "FailJobSet",
        "RestartJobSet",
        "RestartJob",
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "FailJob",
        "FailIndex",
        "In",
        "Exists",
        "Retain",
        "1",
        "500m",
        "1.5Gi",
        "-1e99",
        "0-3,5",
        "jobset.sigs.k8s.io/jobset-controller",
    ];
    prop_oneof![
        9 => select(words).prop_map(Value::from),
        1 => (0..300_usize).prop_map(|length| "a".repeat(length).into()),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-1..4_i64).prop_map(Value::from),
        1 => select(vec![i64::from(i32::MIN), i64::from(i32::MAX), 100_001, 65_536]).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ]
}

/// Anything without structure.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        word()
    ]
}

/// The value of a field, in rare cases something else, or absent.
fn field(
    name: &'static str,
    value: BoxedStrategy<Value>,
) -> BoxedStrategy<Option<(String, Value)>> {
    prop_oneof![
        60 => value.prop_map(move |value| Some((name.to_owned(), value))),
        39 => Just(None),
        1 => leaf().prop_map(move |value| Some((name.to_owned(), value))),
    ]
    .boxed()
}

fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| field(name, value))
        .collect();
    fields
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>()))
        .boxed()
}

fn list(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec(item, 0..3)
        .prop_map(Value::from)
        .boxed()
}

fn map(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let key = select(vec![
        "a",
        "cpu",
        "memory",
        "a.io/gpu",
        "a b",
        "jobset.sigs.k8s.io/job-key",
    ]);
    prop::collection::vec((key, value), 0..3)
        .prop_map(|entries| {
            entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect()
        })
        .boxed()
}

fn container() -> BoxedStrategy<Value> {
    let (text, int) = (word().boxed(), number().boxed());
    let named = || ("name", word().boxed());
    let handler = object(vec![
        ("exec", object(vec![("command", list(text.clone()))])),
        ("httpGet", object(vec![("port", leaf().boxed())])),
        ("successThreshold", int.clone()),
    ]);
    let source = object(vec![
        ("fieldRef", object(vec![("fieldPath", text.clone())])),
        ("secretKeyRef", object(vec![("key", text.clone())])),
    ]);
    object(vec![
        named(),
        ("image", text.clone()),
        ("restartPolicy", text.clone()),
        (
            "ports",
            list(object(vec![
                named(),
                ("containerPort", int.clone()),
                ("hostPort", int),
            ])),
        ),
        (
            "env",
            list(object(vec![
                named(),
                ("value", text.clone()),
                ("valueFrom", source),
            ])),
        ),
        (
            "resources",
            object(vec![
                ("requests", map(leaf().boxed())),
                ("limits", map(leaf().boxed())),
            ]),
        ),
        (
            "volumeMounts",
            list(object(vec![named(), ("mountPath", text)])),
        ),
        ("livenessProbe", handler.clone()),
        ("lifecycle", object(vec![("preStop", handler)])),
    ])
}

fn metadata() -> BoxedStrategy<Value> {
    object(vec![
        ("name", word().boxed()),
        ("labels", map(word().boxed())),
        ("annotations", map(word().boxed())),
    ])
}

fn job_template() -> BoxedStrategy<Value> {
    let (text, int) = (word().boxed(), number().boxed());
    let toleration = object(vec![
        ("key", text.clone()),
        ("operator", text.clone()),
        ("value", text.clone()),
        ("effect", text.clone()),
        ("tolerationSeconds", int.clone()),
    ]);
    let pod = object(vec![
        ("restartPolicy", text.clone()),
        ("containers", list(container())),
        ("initContainers", list(container())),
        (
            "volumes",
            list(object(vec![
                ("name", text.clone()),
                ("configMap", object(vec![("name", text.clone())])),
                ("emptyDir", object(vec![])),
            ])),
        ),
        ("nodeSelector", map(text.clone())),
        ("tolerations", list(toleration)),
        (
            "schedulingGates",
            list(object(vec![("name", text.clone())])),
        ),
        ("hostname", text.clone()),
        ("terminationGracePeriodSeconds", int.clone()),
    ]);
    let pod_rule = object(vec![
        ("action", text.clone()),
        (
            "onExitCodes",
            object(vec![
                ("operator", text.clone()),
                ("values", list(int.clone())),
            ]),
        ),
        (
            "onPodConditions",
            list(object(vec![("type", text.clone())])),
        ),
    ]);
    let success_rule = object(vec![
        ("succeededIndexes", text.clone()),
        ("succeededCount", int.clone()),
    ]);
    let job = object(vec![
        ("parallelism", int.clone()),
        ("completions", int.clone()),
        ("backoffLimit", int.clone()),
        ("backoffLimitPerIndex", int.clone()),
        ("maxFailedIndexes", int.clone()),
        ("activeDeadlineSeconds", int.clone()),
        ("ttlSecondsAfterFinished", int),
        ("completionMode", text.clone()),
        ("podReplacementPolicy", text),
        ("podFailurePolicy", object(vec![("rules", list(pod_rule))])),
        ("successPolicy", object(vec![("rules", list(success_rule))])),
        (
            "template",
            object(vec![("metadata", metadata()), ("spec", pod)]),
        ),
    ]);
    object(vec![("metadata", metadata()), ("spec", job)])
}

fn jobset() -> BoxedStrategy<Value> {
    let (text, int, flag) = (
        word().boxed(),
        number().boxed(),
        any::<bool>().prop_map(Value::from).boxed(),
    );
    let names = || list(word().boxed());
    let replicated_job = object(vec![
        ("name", text.clone()),
        ("groupName", text.clone()),
        ("replicas", int.clone()),
        ("template", job_template()),
        (
            "dependsOn",
            list(object(vec![
                ("name", text.clone()),
                ("status", text.clone()),
            ])),
        ),
    ]);
    let rule = object(vec![
        ("name", text.clone()),
        ("action", text.clone()),
        ("onJobFailureReasons", names()),
        ("onJobFailureMessagePatterns", names()),
        ("targetReplicatedJobs", names()),
    ]);
    let claim = object(vec![
        ("metadata", metadata()),
        (
            "spec",
            object(vec![("accessModes", names()), ("volumeName", text.clone())]),
        ),
    ]);
    let spec = object(vec![
        ("replicatedJobs", list(replicated_job)),
        (
            "network",
            object(vec![
                ("enableDNSHostnames", flag.clone()),
                ("subdomain", text.clone()),
                ("publishNotReadyAddresses", flag.clone()),
            ]),
        ),
        (
            "successPolicy",
            object(vec![
                ("operator", text.clone()),
                ("targetReplicatedJobs", names()),
            ]),
        ),
        (
            "failurePolicy",
            object(vec![
                ("maxRestarts", int.clone()),
                ("restartStrategy", text.clone()),
                ("rules", list(rule)),
            ]),
        ),
        (
            "startupPolicy",
            object(vec![("startupPolicyOrder", text.clone())]),
        ),
        ("suspend", flag),
        (
            "coordinator",
            object(vec![
                ("replicatedJob", text.clone()),
                ("jobIndex", int.clone()),
                ("podIndex", int.clone()),
            ]),
        ),
        ("managedBy", text.clone()),
        ("ttlSecondsAfterFinished", int),
        (
            "volumeClaimPolicies",
            list(object(vec![
                ("templates", list(claim)),
                ("retentionPolicy", object(vec![("whenDeleted", text)])),
            ])),
        ),
    ]);
    object(vec![("metadata", metadata()), ("spec", spec)])
}

/// Replaces the value that comes at this place in a walk over all values.
fn replace(value: &mut Value, place: &mut usize, new: &Value) {
    if *place == 0 {
        *value = new.clone();
    }
    // Beyond zero it wraps to a number that the walk never reaches.
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, new)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|item| replace(item, place, new)),
        _ => {}
    }
}

/// A JobSet that passes, with one value replaced.
fn nearly_good() -> impl Strategy<Value = Value> {
    let texts = [
        include_str!("../../../examples/coordinator.yaml"),
        include_str!("../../../examples/failjobset-action.yaml"),
    ];
    let good: Vec<Value> = texts
        .iter()
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    (select(good), 0..150_usize, leaf()).prop_map(|(mut value, mut place, new)| {
        replace(&mut value, &mut place, &new);
        value
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Nothing panics; defaulting twice is defaulting once, on JSON and on the type, with the same
    /// result; an object is no forbidden change of itself; the type loses nothing of it.
    #[test]
    fn admission_of_anything(
        value in prop_oneof![jobset(), nearly_good()],
        other in prop_oneof![jobset(), nearly_good()],
        lookup in 0..3, bits in 0..8) {
        let gates = [Feature::InPlaceRestart, Feature::ElasticJobSet, Feature::RestartJob]
            .into_iter()
            .enumerate()
            .fold(FeatureGates::default(), |gates, (bit, feature)| {
                gates.with(feature, bits >> bit & 1 == 1)
            });
        let mut defaulted = value.clone();
        default_value(&mut defaulted);
        let mut again = defaulted.clone();
        default_value(&mut again);
        prop_assert_eq!(&again, &defaulted);
        let verdict = admission::admit_create(&defaulted, &gates, |_| Ok(None));
        admission::create_warnings(&defaulted, &gates);
        let _ = admission::admit_update(&value, &other, &gates);

        let Ok(mut typed) = serde_json::from_value::<JobSet>(value) else {
            prop_assert!(verdict.is_err());
            return Ok(());
        };
        validate_create(&typed, &gates);
        warnings(&typed, &gates);
        default_jobset(&mut typed);
        let mut again = typed.clone();
        default_jobset(&mut again);
        prop_assert_eq!(&again, &typed);

        let jobset: JobSet = serde_json::from_value(defaulted).unwrap();
        let errors = validate_create(&jobset, &gates);
        prop_assert!(verdict.is_err() || errors.is_empty());
        invalid_status(jobset.name(), &errors);
        warnings(&jobset, &gates);
        let unchanged = validate_update(&jobset, &jobset, &gates);
        // The schema forbids two replicated jobs of one name.
        let mut names = HashSet::new();
        if jobset.spec.replicated_jobs.iter().all(|job| names.insert(&job.name)) {
            prop_assert_eq!(unchanged, []);
        }
        if let Ok(other) = serde_json::from_value::<JobSet>(other) {
            validate_update(&other, &jobset, &gates);
            validate_update(&jobset, &other, &gates);
        }
        let claims = claim_names(&jobset);
        validate_claims(&jobset, |name| {
            assert!(claims.iter().any(|claim| claim == name));
            match lookup {
                0 => Ok(None),
                1 => Ok(Some(json!({"spec": {"volumeName": name}}))),
                _ => Err("unreachable".to_owned()),
            }
        });
        // What create, get and update make of an object is the object.
        let written = serde_json::to_value(&jobset).unwrap();
        prop_assert_eq!(serde_json::from_value::<JobSet>(written).unwrap(), jobset);
    }
}
