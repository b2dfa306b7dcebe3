use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fixtures::{JobExt, World, job, now, rjob};

const A: &str = "replicated-job-A";
const B: &str = "replicated-job-B";
const TOPOLOGY: &str = "alpha.jobset.sigs.k8s.io/exclusive-topology";
const STRATEGY: &str = "alpha.jobset.sigs.k8s.io/node-selector";

fn two_roles() -> Value {
    json!({ "replicatedJobs": [rjob(A, 1), rjob(B, 2)] })
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).unwrap()
}

/// What one Job must carry on itself and on its Pod template.
#[derive(Clone)]
struct Expected {
    role: &'static str,
    index: i64,
    replicas: i64,
    global: (i64, i64),
    group: (&'static str, i64, i64),
    attempts: (&'static str, Option<&'static str>),
    annotations: Vec<(&'static str, &'static str)>,
}

impl Expected {
    fn only(role: &'static str, index: i64, replicas: i64) -> Self {
        Self {
            role,
            index,
            replicas,
            global: (index, replicas),
            group: ("default", index, replicas),
            attempts: ("0", Some("0")),
            annotations: vec![],
        }
    }

    fn name(&self) -> String {
        format!("test-jobset-{}-{}", self.role, self.index)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut map: BTreeMap<String, String> = [
            ("jobset-name", "test-jobset".to_owned()),
            ("jobset-uid", "jobset-uid".to_owned()),
            ("replicatedjob-name", self.role.to_owned()),
            ("restart-attempt", self.attempts.0.to_owned()),
            ("replicatedjob-replicas", self.replicas.to_string()),
            ("global-replicas", self.global.1.to_string()),
            ("job-index", self.index.to_string()),
            (
                "job-key",
                jobset_api::names::job_key("default", &self.name()),
            ),
            ("job-global-index", self.global.0.to_string()),
            ("group-name", self.group.0.to_owned()),
            ("group-replicas", self.group.2.to_string()),
            ("job-group-index", self.group.1.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (format!("jobset.sigs.k8s.io/{key}"), value))
        .collect();
        if let Some(attempt) = self.attempts.1 {
            map.insert(
                "jobset.sigs.k8s.io/job-restart-attempt".into(),
                attempt.into(),
            );
        }
        map
    }

    fn check(&self, (name, body): &(String, Value), suspend: bool) {
        assert_eq!(*name, self.name());
        assert_eq!(body["apiVersion"], "batch/v1");
        assert_eq!(body["kind"], "Job");
        let meta = &body["metadata"];
        assert_eq!(meta["name"], self.name());
        assert_eq!(meta["namespace"], "default");
        assert_eq!(
            meta["ownerReferences"],
            json!([{
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                "name": "test-jobset", "uid": "jobset-uid",
                "controller": true, "blockOwnerDeletion": true,
            }])
        );
        assert_eq!(body["spec"]["suspend"], suspend);
        let mut annotations = self.labels();
        for (key, value) in &self.annotations {
            annotations.insert((*key).to_owned(), (*value).to_owned());
        }
        for meta in [meta, &body["spec"]["template"]["metadata"]] {
            assert_eq!(texts(&meta["labels"]), self.labels());
            assert_eq!(texts(&meta["annotations"]), annotations);
        }
    }
}

fn pod(body: &Value) -> &Value {
    &body["spec"]["template"]["spec"]
}

#[test]
fn cj1_existing_active_job_needs_no_construction() {
    let world = World::new(json!({ "replicatedJobs": [rjob(A, 1)] }))
        .gate()
        .jobs([job(A, 0)]);
    assert!(world.missing().is_empty());
}

#[test]
fn cj2_two_replicas_without_jobs() {
    let jobs = World::new(json!({ "replicatedJobs": [rjob(A, 2)] }))
        .gate()
        .constructed();
    assert_eq!(jobs.len(), 2);
    for (i, job) in jobs.iter().enumerate() {
        Expected::only(A, i as i64, 2).check(job, false);
    }
}

#[test]
fn cj3_user_labels_and_annotations_are_kept_beside_the_system_ones() {
    let mut role = rjob(A, 1);
    role["template"]["metadata"] = json!({
        "name": "dropped", "finalizers": ["dropped"],
        "labels": { "job-label": "1", "jobset.sigs.k8s.io/job-index": "77" },
        "annotations": { "job-annotation": "2" },
    });
    role["template"]["spec"]["template"]["metadata"] = json!({
        "labels": { "pod-label": "3" },
        "annotations": { "pod-annotation": "4", "jobset.sigs.k8s.io/job-index": "77" },
    });
    let jobs = World::new(json!({ "replicatedJobs": [role] }))
        .gate()
        .constructed();
    let body = &jobs[0].1;
    let system = Expected::only(A, 0, 1).labels();
    let plus = |key: &str, value: &str| {
        let mut map = system.clone();
        map.insert(key.into(), value.into());
        map
    };
    assert_eq!(texts(&body["metadata"]["labels"]), plus("job-label", "1"));
    assert_eq!(
        texts(&body["metadata"]["annotations"]),
        plus("job-annotation", "2")
    );
    let pod = &body["spec"]["template"]["metadata"];
    assert_eq!(texts(&pod["labels"]), plus("pod-label", "3"));
    assert_eq!(texts(&pod["annotations"]), plus("pod-annotation", "4"));
    assert_eq!(body["metadata"].get("finalizers"), None);
}

#[test]
fn cj4_to_cj7_a_job_in_any_bucket_takes_its_index() {
    let old = || job(A, 0);
    for (id, restarts, existing) in [
        ("cj4", 0, old()),
        ("cj5", 0, old().succeeded()),
        ("cj6", 0, old().failed("r", "m", now())),
        ("cj7", 1, old()),
    ] {
        let world = World::new(json!({ "replicatedJobs": [rjob(A, 2)] }))
            .gate()
            .status(json!({ "restarts": restarts }))
            .jobs([existing]);
        assert_eq!(world.missing(), ["test-jobset-replicated-job-A-1"], "{id}");
    }
}

#[test]
fn cj8_blocking_recreate_waits_for_all_previous_jobs() {
    let world = World::new(json!({
        "replicatedJobs": [rjob(A, 2)],
        "failurePolicy": { "restartStrategy": "BlockingRecreate", "maxRestarts": 3 },
    }))
    .status(json!({ "restarts": 1 }))
    .jobs([job(A, 0).deleting()]);
    assert!(world.missing().is_empty());
    let world = world.jobs([]);
    assert_eq!(world.missing().len(), 2);
}

#[test]
fn cj9_two_roles_with_global_indices() {
    let jobs = World::new(two_roles())
        .gate()
        .jobs([job(B, 0)])
        .constructed();
    assert_eq!(jobs.len(), 2);
    let a = Expected {
        global: (0, 3),
        group: ("default", 0, 3),
        ..Expected::only(A, 0, 1)
    };
    let b = Expected {
        global: (2, 3),
        group: ("default", 2, 3),
        ..Expected::only(B, 1, 2)
    };
    a.check(&jobs[0], false);
    b.check(&jobs[1], false);
}

/// Roles A and B with one replica each, and what they are expected to carry.
fn pair(a_annotations: Value) -> (Value, Expected, Expected) {
    let mut a = rjob(A, 1);
    a["template"]["metadata"] = json!({ "annotations": a_annotations });
    let spec = json!({ "replicatedJobs": [a, rjob(B, 1)] });
    let a = Expected {
        global: (0, 2),
        group: ("default", 0, 2),
        ..Expected::only(A, 0, 1)
    };
    let b = Expected {
        global: (1, 2),
        group: ("default", 1, 2),
        ..Expected::only(B, 0, 1)
    };
    (spec, a, b)
}

#[test]
fn cj10_exclusive_topology_on_one_role() {
    let (spec, mut a, b) = pair(json!({ TOPOLOGY: "zone" }));
    a.annotations = vec![(TOPOLOGY, "zone")];
    let jobs = World::new(spec).gate().constructed();
    a.check(&jobs[0], false);
    b.check(&jobs[1], false);
    assert_eq!(pod(&jobs[0].1).get("nodeSelector"), None);
}

fn check_node_selector(body: &Value, job: &str) {
    assert_eq!(
        pod(body)["nodeSelector"],
        json!({ "alpha.jobset.sigs.k8s.io/namespaced-job": format!("default_{job}") })
    );
    assert_eq!(
        pod(body)["tolerations"],
        json!([{ "key": "alpha.jobset.sigs.k8s.io/no-schedule", "operator": "Exists",
                 "effect": "NoSchedule" }])
    );
}

#[test]
fn cj11_node_selector_strategy_on_one_role() {
    let (spec, mut a, b) = pair(json!({ TOPOLOGY: "zone", STRATEGY: "true" }));
    a.annotations = vec![(TOPOLOGY, "zone"), (STRATEGY, "true")];
    let jobs = World::new(spec).gate().constructed();
    a.check(&jobs[0], false);
    b.check(&jobs[1], false);
    check_node_selector(&jobs[0].1, "test-jobset-replicated-job-A-0");
    assert_eq!(pod(&jobs[1].1).get("nodeSelector"), None);
    assert_eq!(pod(&jobs[1].1).get("tolerations"), None);
}

#[test]
fn cj12_exclusive_topology_on_the_jobset() {
    let (spec, mut a, mut b) = pair(json!({}));
    a.annotations = vec![(TOPOLOGY, "rack")];
    b.annotations = vec![(TOPOLOGY, "rack")];
    let jobs = World::new(spec)
        .gate()
        .annotated(TOPOLOGY, "rack")
        .constructed();
    a.check(&jobs[0], false);
    b.check(&jobs[1], false);
}

#[test]
fn cj13_node_selector_strategy_on_the_jobset_and_no_group_name() {
    let mut role = rjob(A, 2);
    role.as_object_mut().unwrap().remove("groupName");
    let jobs = World::new(json!({ "replicatedJobs": [role] }))
        .gate()
        .annotated(TOPOLOGY, "rack")
        .annotated(STRATEGY, "true")
        .constructed();
    for (i, job) in jobs.iter().enumerate() {
        let i = i as i64;
        Expected {
            group: ("", i, 2),
            annotations: vec![(TOPOLOGY, "rack"), (STRATEGY, "true")],
            ..Expected::only(A, i, 2)
        }
        .check(job, false);
        check_node_selector(&job.1, &format!("test-jobset-replicated-job-A-{i}"));
    }
}

#[test]
fn cj14_dns_host_names_set_the_subdomain() {
    let jobs = World::new(json!({
        "network": { "enableDNSHostnames": true }, "replicatedJobs": [rjob(A, 1)],
    }))
    .gate()
    .constructed();
    assert_eq!(pod(&jobs[0].1)["subdomain"], "test-jobset");
    let jobs = World::new(json!({
        "network": { "enableDNSHostnames": false }, "replicatedJobs": [rjob(A, 1)],
    }))
    .constructed();
    assert_eq!(pod(&jobs[0].1).get("subdomain"), None);
}

#[test]
fn cj15_suspended_jobset_makes_suspended_jobs() {
    let jobs = World::new(json!({ "suspend": true, "replicatedJobs": [rjob(A, 1)] }))
        .gate()
        .constructed();
    Expected::only(A, 0, 1).check(&jobs[0], true);
}

#[test]
fn cj16_explicitly_not_suspended() {
    let mut role = rjob(A, 1);
    role["template"]["spec"]["suspend"] = json!(true);
    let jobs = World::new(json!({ "suspend": false, "replicatedJobs": [role] }))
        .gate()
        .constructed();
    Expected::only(A, 0, 1).check(&jobs[0], false);
}

#[test]
fn cj17_node_selector_strategy_with_dns() {
    let (mut spec, mut a, _) = pair(json!({ TOPOLOGY: "zone", STRATEGY: "true" }));
    spec["network"] = json!({ "enableDNSHostnames": true, "subdomain": "sub" });
    a.annotations = vec![(TOPOLOGY, "zone"), (STRATEGY, "true")];
    let jobs = World::new(spec).gate().constructed();
    a.check(&jobs[0], false);
    check_node_selector(&jobs[0].1, "test-jobset-replicated-job-A-0");
    assert_eq!(pod(&jobs[0].1)["subdomain"], "sub");
}

#[test]
fn cj18_coordinator() {
    let jobs = World::new(json!({
        "network": { "enableDNSHostnames": true },
        "coordinator": { "replicatedJob": "replicated-job", "jobIndex": 0, "podIndex": 0 },
        "replicatedJobs": [rjob("replicated-job", 1)],
    }))
    .gate()
    .constructed();
    let body = &jobs[0].1;
    for meta in [&body["metadata"], &body["spec"]["template"]["metadata"]] {
        for map in ["labels", "annotations"] {
            assert_eq!(
                meta[map]["jobset.sigs.k8s.io/coordinator"],
                "test-jobset-replicated-job-0-0.test-jobset"
            );
        }
    }
}

#[test]
fn cj19_startup_policy_does_not_change_jobs() {
    let spec = json!({ "replicatedJobs": [rjob(A, 1)] });
    let mut ordered = spec.clone();
    ordered["startupPolicy"] = json!({ "startupPolicyOrder": "InOrder" });
    assert_eq!(
        World::new(spec).constructed(),
        World::new(ordered).constructed()
    );
}

#[test]
fn cj20_claims_become_volumes_of_pods_that_mount_them() {
    let mut role = rjob(A, 1);
    role["template"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "test-volume", "mountPath": "/v" }]);
    let jobs = World::new(json!({
        "volumeClaimPolicies": [{
            "templates": [{ "metadata": { "name": "test-volume" }, "spec": {} }],
            "retentionPolicy": { "whenDeleted": "Retain" },
        }],
        "replicatedJobs": [role],
    }))
    .constructed();
    assert_eq!(
        pod(&jobs[0].1)["volumes"],
        json!([{ "name": "test-volume",
                 "persistentVolumeClaim": { "claimName": "test-volume-test-jobset" } }])
    );
}

fn restarted_once() -> World {
    World::new(json!({ "replicatedJobs": [rjob(A, 2)] })).status(json!({
        "restarts": 0,
        "replicatedJobsStatus": [{ "name": A, "ready": 0, "succeeded": 0, "failed": 0,
            "active": 0, "suspended": 0, "jobRestarts": [1, 0] }],
    }))
}

#[test]
fn cj21_individual_attempts_are_stamped() {
    let jobs = restarted_once().gate().constructed();
    Expected {
        attempts: ("0", Some("1")),
        ..Expected::only(A, 0, 2)
    }
    .check(&jobs[0], false);
    Expected {
        attempts: ("0", Some("0")),
        ..Expected::only(A, 1, 2)
    }
    .check(&jobs[1], false);
}

#[test]
fn cj22_no_individual_attempts_without_the_gate() {
    for (i, job) in restarted_once().constructed().iter().enumerate() {
        Expected {
            attempts: ("0", None),
            ..Expected::only(A, i as i64, 2)
        }
        .check(job, false);
    }
}

#[test]
fn strategy_flag_counts_only_beside_the_topology_of_its_level() {
    // Topology on the JobSet, flag on the template: the Job has both, its Pods only the topology.
    let (spec, ..) = pair(json!({ STRATEGY: "true" }));
    let jobs = World::new(spec).annotated(TOPOLOGY, "rack").constructed();
    let body = &jobs[0].1;
    assert_eq!(body["metadata"]["annotations"][STRATEGY], "true");
    assert_eq!(
        body["spec"]["template"]["metadata"]["annotations"].get(STRATEGY),
        None
    );
    check_node_selector(body, "test-jobset-replicated-job-A-0");
}

#[test]
fn unknown_template_fields_reach_the_job() {
    let mut role = rjob(A, 1);
    role["template"]["spec"]["fieldOfTomorrow"] = json!({ "deep": [1, { "x": null }] });
    role["template"]["spec"]["template"]["spec"]["podFieldOfTomorrow"] = json!("yes");
    role["template"]["spec"]["template"]["spec"]["containers"][0]["alsoNew"] = json!(1.5);
    let jobs = World::new(json!({ "replicatedJobs": [role] })).constructed();
    let body = &jobs[0].1;
    assert_eq!(
        body["spec"]["fieldOfTomorrow"],
        json!({ "deep": [1, { "x": null }] })
    );
    assert_eq!(pod(body)["podFieldOfTomorrow"], "yes");
    assert_eq!(pod(body)["containers"][0]["alsoNew"], 1.5);
}

#[test]
fn existing_selectors_and_tolerations_are_extended() {
    let (mut spec, ..) = pair(json!({ TOPOLOGY: "zone", STRATEGY: "true" }));
    let own = &mut spec["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    own["nodeSelector"] = json!({ "disk": "ssd" });
    own["tolerations"] = json!([{ "key": "own" }]);
    let jobs = World::new(spec).constructed();
    let pod = pod(&jobs[0].1);
    assert_eq!(pod["nodeSelector"].as_object().unwrap().len(), 2);
    assert_eq!(pod["tolerations"][0], json!({ "key": "own" }));
    assert_eq!(pod["tolerations"].as_array().unwrap().len(), 2);
}

#[test]
fn shapeless_templates_do_not_panic() {
    for template in [
        json!(null),
        json!([]),
        json!("x"),
        json!({ "spec": { "template": 3 } }),
    ] {
        let world = World::new(json!({
            "replicatedJobs": [{ "name": A, "template": template }],
        }));
        assert_eq!(world.constructed().len(), 1);
    }
}
