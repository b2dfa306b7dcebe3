//! The JSON form of a JobSet: what is written, what is kept, what is tolerated.

#![expect(clippy::unwrap_used, reason = "tests")]

use jobset_api::{
    ClaimTemplate, DependsOnStatus, FailurePolicyAction, JobSet, JobSetSpec, JobSetStatus,
    JobTemplate, ReplicatedJob, ReplicatedJobStatus, RestartStrategy, conditions,
};
use k8s_openapi::api::{
    batch::v1::{JobSpec, JobTemplateSpec},
    core::v1::{Container, PodSpec, PodTemplateSpec},
};
use kube::{Resource, core::DeserializeGuard};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every field of the API, each with a value.
fn everything() -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "js", "namespace": "default", "labels": {"a": "b"}},
        "spec": {
            "replicatedJobs": [{
                "name": "driver", "groupName": "g", "replicas": 0,
                "template": {
                    "metadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}, "generateName": "x"},
                    "spec": {
                        "parallelism": 2, "completions": 3, "backoffLimit": 0,
                        "completionMode": "Indexed", "fieldOfTheFuture": {"deep": [1, null]},
                        "template": {
                            "metadata": {"labels": {"pl": "3"}},
                            "spec": {"containers": [{"name": "c", "neverSeen": true}]},
                        },
                    },
                },
                "dependsOn": [{"name": "x", "status": "Complete"}],
            }],
            "network": {
                "enableDNSHostnames": false, "subdomain": "sub", "publishNotReadyAddresses": false,
            },
            "successPolicy": {"operator": "Any", "targetReplicatedJobs": ["driver"]},
            "failurePolicy": {
                "maxRestarts": 0, "restartStrategy": "BlockingRecreate",
                "rules": [{
                    "name": "r", "action": "RestartJobAndIgnoreMaxRestarts",
                    "onJobFailureReasons": ["DeadlineExceeded"],
                    "onJobFailureMessagePatterns": [".*"],
                    "targetReplicatedJobs": ["driver"],
                }],
            },
            "startupPolicy": {"startupPolicyOrder": "InOrder"},
            "suspend": false,
            "coordinator": {"replicatedJob": "driver", "jobIndex": 0, "podIndex": 1},
            "managedBy": "a/b",
            "ttlSecondsAfterFinished": 0,
            "activeDeadlineSeconds": 1,
            "volumeClaimPolicies": [{
                "templates": [{"metadata": {"name": "d"}, "spec": {"new": 1}}],
                "retentionPolicy": {"whenDeleted": "Retain"},
            }],
        },
        "status": {
            "conditions": [{
                "type": "Completed", "status": "True", "reason": "R", "message": "m",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }],
            "restarts": 2,
            "restartsCountTowardsMax": 1,
            "terminalState": "Completed",
            "replicatedJobsStatus": [{
                "name": "driver", "ready": 0, "succeeded": 1, "failed": 2, "active": 3,
                "suspended": 4, "jobRestarts": [1], "jobRestartsCountTowardsMax": [0],
            }],
            "previousInPlaceRestartAttempt": 0,
            "currentInPlaceRestartAttempt": 1,
            "executionAttempts": 0,
            "startTime": "2026-01-02T03:04:05Z",
            "recovery": {
                "lastRestartTime": "2026-01-02T03:04:05Z", "healthyRestarts": 2,
                "forgivenRestarts": 1,
            },
        },
    })
}

fn decode(value: Value) -> JobSet {
    serde_json::from_value(value).unwrap()
}

fn encode(jobset: &JobSet) -> Value {
    serde_json::to_value(jobset).unwrap()
}

#[test]
fn every_field_survives_a_round_trip() {
    assert_eq!(encode(&decode(everything())), everything());
}

#[test]
fn every_field_of_the_schema_is_in_the_round_trip() {
    fn walk(path: &str, schema: &Value, value: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            // The schemas of Kubernetes' types are not those of this crate.
            if path.ends_with("/metadata") || path.ends_with("/observedGeneration") {
                continue;
            }
            assert!(!value[name].is_null(), "{path} is not in the test");
            if name != "template" && name != "templates" {
                walk(&path, property, &value[name]);
                walk(&path, &property["items"], &value[name][0]);
            }
        }
    }
    let crd = jobset_api::crd::crd_value();
    walk(
        "",
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
        &everything(),
    );
}

#[test]
fn absent_stays_absent_and_zero_stays_zero() {
    let absent = json!({"replicatedJobs": [{"name": "a", "template": {}}]});
    let zero = json!({"replicatedJobs": [
        {"name": "a", "template": {}, "replicas": 0, "groupName": "", "dependsOn": []},
    ]});
    for spec in [absent, zero, json!({})] {
        let typed: JobSetSpec = serde_json::from_value(spec.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), spec);
    }
}

#[test]
fn status_writes_its_counters_always_and_the_rest_when_set() {
    let status = JobSetStatus {
        replicated_jobs_status: vec![ReplicatedJobStatus::default()],
        ..JobSetStatus::default()
    };
    assert_eq!(
        serde_json::to_value(status).unwrap(),
        json!({"restarts": 0, "replicatedJobsStatus": [{
            "name": "", "ready": 0, "succeeded": 0, "failed": 0, "active": 0, "suspended": 0,
        }]})
    );
}

#[test]
fn odd_objects_are_read() {
    // No spec, nulls for everything, unknown fields, unknown enumeration values, missing texts.
    assert_eq!(decode(json!({})), JobSet::default());
    let spec = |spec: Value| decode(json!({"metadata": {}, "spec": spec})).spec;
    assert_eq!(
        spec(
            json!({"replicatedJobs": null, "network": null, "successPolicy": null,
                    "volumeClaimPolicies": null, "suspend": null, "future": {"a": 1}})
        ),
        JobSetSpec::default()
    );
    let odd = spec(json!({
        "replicatedJobs": [{"template": "text", "dependsOn": [{"status": "Started"}]}],
        "failurePolicy": {"restartStrategy": "Wait", "rules": [{"name": "x"}]},
        "coordinator": {"jobIndex": 4_000_000_000_i64},
    }));
    let job = &odd.replicated_jobs[0];
    assert_eq!(job.name, "");
    assert_eq!(job.replicas(), 1);
    assert_eq!(
        job.depends_on()[0].status,
        DependsOnStatus::Unknown("Started".into())
    );
    assert_eq!(job.template.parallelism(), None);
    let policy = odd.failure_policy.as_ref().unwrap();
    assert_eq!(
        policy.restart_strategy,
        Some(RestartStrategy::Unknown("Wait".into()))
    );
    assert_eq!(
        policy.rules[0].action,
        FailurePolicyAction::Unknown(String::new())
    );
    assert_eq!(
        serde_json::to_value(&odd).unwrap()["failurePolicy"]["restartStrategy"],
        "Wait"
    );
}

#[test]
fn an_undecodable_object_is_contained_by_a_guard() {
    let list = json!([{"metadata": {"name": "bad"}, "spec": {"suspend": "yes"}}, everything()]);
    let objects: Vec<DeserializeGuard<JobSet>> = serde_json::from_value(list).unwrap();
    assert_eq!(objects[0].meta().name.as_deref(), Some("bad"));
    assert!(objects[0].0.is_err());
    assert_eq!(encode(objects[1].0.as_ref().unwrap()), everything());
}

#[test]
fn template_accessors() {
    let jobset = decode(everything());
    let template = &jobset.spec.replicated_jobs[0].template;
    assert_eq!(template.labels().collect::<Vec<_>>(), [("l", "1")]);
    assert_eq!(template.annotations().collect::<Vec<_>>(), [("a", "2")]);
    assert_eq!(template.annotation("a"), Some("2"));
    assert_eq!(template.pod_labels().collect::<Vec<_>>(), [("pl", "3")]);
    assert_eq!(template.pod_annotations().count(), 0);
    assert_eq!(template.parallelism(), Some(2));
    assert_eq!(template.completions(), Some(3));
    assert_eq!(template.backoff_limit(), Some(0));
    assert!(template.is_indexed());
    assert_eq!(template.pod_spec().unwrap()["containers"][0]["name"], "c");
    let typed = template.typed().unwrap();
    assert_eq!(typed.spec.unwrap().completions, Some(3));
    let claim = &jobset.spec.volume_claim_policies[0].templates[0];
    assert_eq!(claim.name(), "d");
    assert_eq!(ClaimTemplate::default().name(), "");
    for odd in [
        json!(null),
        json!(3),
        json!({"spec": []}),
        json!({"spec": {"completions": "x"}}),
    ] {
        let template = JobTemplate::from(odd);
        assert_eq!(template.completions(), None);
        assert_eq!(template.labels().count(), 0);
        assert_eq!(template.mounted_volume_names().count(), 0);
    }
}

#[test]
fn typed_templates_go_in() {
    let container = Container {
        name: "c".into(),
        ..Container::default()
    };
    let pod = PodSpec {
        containers: vec![container],
        ..PodSpec::default()
    };
    let spec = JobSpec {
        parallelism: Some(2),
        template: PodTemplateSpec {
            spec: Some(pod),
            ..PodTemplateSpec::default()
        },
        ..JobSpec::default()
    };
    let template = JobTemplateSpec {
        spec: Some(spec),
        ..JobTemplateSpec::default()
    };
    let job = ReplicatedJob {
        template: template.clone().into(),
        ..ReplicatedJob::default()
    };
    assert_eq!(job.template.typed().unwrap(), template);
    assert_eq!(job.template.parallelism(), Some(2));
}

#[test]
fn resource_and_helpers() {
    assert_eq!(
        JobSet::url_path(&(), Some("ns")),
        "/apis/jobset.x-k8s.io/v1alpha2/namespaces/ns/jobsets"
    );
    let mut jobset = decode(everything());
    assert!(conditions::is_finished(&jobset));
    assert!(!jobset.is_suspended());
    assert!(!jobset.is_managed_here());
    jobset.spec.managed_by = Some("jobset.sigs.k8s.io/jobset-controller".into());
    assert!(jobset.is_managed_here());
    jobset.spec.managed_by = None;
    assert!(jobset.is_managed_here());
    assert_eq!(jobset.replicated_job("driver").unwrap().replicas(), 0);
    jobset.metadata.uid = Some("u".into());
    assert_eq!(
        serde_json::to_value(jobset.owner_reference()).unwrap(),
        json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "js", "uid": "u",
               "controller": true, "blockOwnerDeletion": true})
    );
}

#[test]
fn null_counts_as_absent_at_the_top_too() {
    let object = json!({"metadata": null, "spec": null, "status": null});
    let jobset: JobSet = serde_json::from_value(object).unwrap();
    assert_eq!(jobset, JobSet::default());
}

/// Arbitrary JSON with keys and texts that mean something to a JobSet.
fn json_value() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "replicatedJobs",
        "name",
        "template",
        "spec",
        "metadata",
        "replicas",
        "dependsOn",
        "failurePolicy",
        "rules",
        "network",
        "subdomain",
        "volumeClaimPolicies",
        "templates",
        "containers",
        "volumeMounts",
        "volumes",
        "coordinator",
        "replicatedJob",
        "jobIndex",
        "completions",
        "parallelism",
        "completionMode",
        "suspend",
        "managedBy",
        "labels",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(vec!["", "a", "A.b", "Indexed", "InPlaceRestart", "ä/"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|entries| entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the JSON: nothing panics, defaulting is idempotent and only adds, and what can be
    /// decoded can be validated.
    #[test]
    fn nothing_panics(spec in json_value(), other in json_value()) {
        use jobset_api::{FeatureGates, defaulting, features::Feature, validation};
        let original = json!({"metadata": {"name": "js"}, "spec": spec});
        let mut value = original.clone();
        defaulting::default_value(&mut value);
        let once = value.clone();
        defaulting::default_value(&mut value);
        prop_assert_eq!(&value, &once);
        let gates = FeatureGates::default()
            .with(Feature::InPlaceRestart, true)
            .with(Feature::ElasticJobSet, true);
        let old: Result<JobSet, _> = serde_json::from_value(json!({"spec": other}));
        if let Ok(jobset) = serde_json::from_value::<JobSet>(value) {
            let errors = validation::validate_create(&jobset, &gates);
            validation::invalid_message("js", &errors);
            prop_assert_eq!(validation::validate_update(&jobset, &jobset, &gates), []);
            if let Ok(old) = old {
                validation::validate_update(&old, &jobset, &gates);
            }
        }
    }
}
