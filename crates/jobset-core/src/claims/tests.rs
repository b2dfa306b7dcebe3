use serde_json::{Value, json};

use super::*;
use crate::fixtures::{World, jobset, kinds, names, rjob};
use crate::model::StepKind;

fn policies() -> Value {
    json!({
        "volumeClaimPolicies": [
            { "templates": [
                { "metadata": { "name": "one", "labels": { "l": "1" },
                                "annotations": { "a": "2" } },
                  "spec": { "accessModes": ["ReadWriteOnce"], "newField": 1 } },
                { "metadata": { "name": "two" }, "spec": {} },
              ],
              "retentionPolicy": { "whenDeleted": "Delete" } },
            { "templates": [{ "metadata": { "name": "three" }, "spec": {} }],
              "retentionPolicy": { "whenDeleted": "Retain" } },
        ],
        "replicatedJobs": [rjob("a", 1)],
    })
}

fn bodies(world: &World) -> Vec<Value> {
    world
        .plan()
        .actions()
        .filter_map(|action| match action {
            Action::CreateClaim { body, .. } => Some(body.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn vp1_claims_in_order_with_labels_and_owner_by_policy() {
    let world = World::new(policies());
    assert_eq!(
        names(&world.plan(), StepKind::Claims),
        ["one-test-jobset", "two-test-jobset", "three-test-jobset"]
    );
    let bodies = bodies(&world);
    assert_eq!(
        bodies[0],
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "one-test-jobset", "namespace": "default",
                "labels": { "l": "1", "jobset.sigs.k8s.io/jobset-name": "test-jobset" },
                "annotations": { "a": "2" },
                "ownerReferences": [{
                    "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                    "name": "test-jobset", "uid": "jobset-uid",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": { "accessModes": ["ReadWriteOnce"], "newField": 1 },
        })
    );
    assert!(bodies[1]["metadata"].get("ownerReferences").is_some());
    assert!(bodies[2]["metadata"].get("ownerReferences").is_none());
}

#[test]
fn vp2_existing_claim_is_no_error() {
    let mut world = World::new(policies());
    world.claims.insert("one-test-jobset".to_owned());
    assert_eq!(
        names(&world.plan(), StepKind::Claims),
        ["two-test-jobset", "three-test-jobset"]
    );
}

#[test]
fn vp3_failed_creation_is_reported_and_stops_the_jobs() {
    let plan = World::new(policies()).plan();
    assert_eq!(kinds(&plan), [StepKind::Claims, StepKind::CreateJobs]);
    assert!(!plan.steps[0].continue_on_error);
    assert_eq!(
        plan.steps[0].actions[0].failure_event(true),
        Some("PVCCreationFailed")
    );
}

#[test]
fn d18_b_known_claims_are_not_asked_for_again() {
    let mut world = World::new(policies());
    for name in ["one", "two", "three"] {
        world.claims.insert(format!("{name}-test-jobset"));
    }
    assert!(names(&world.plan(), StepKind::Claims).is_empty());
}

#[test]
fn no_retention_policy_means_the_default_which_deletes() {
    let mut spec = policies();
    spec["volumeClaimPolicies"][0]
        .as_object_mut()
        .unwrap()
        .remove("retentionPolicy");
    let bodies = bodies(&World::new(spec));
    assert_eq!(
        bodies[0]["metadata"]["ownerReferences"][0]["name"],
        "test-jobset"
    );
}

#[test]
fn nameless_and_repeated_templates_are_survived() {
    let world = World::new(json!({ "volumeClaimPolicies": [{ "templates": [
        {}, { "metadata": { "name": "x" } }, { "metadata": { "name": "x" } },
    ] }] }));
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::Claims), ["x-test-jobset"]);
    assert_eq!(plan.warnings.len(), 1);
}

fn mounts(containers: Value) -> Vec<String> {
    let jobset = jobset(policies());
    let template = JobTemplate::from(json!({ "spec": { "template": { "spec": containers } } }));
    volumes(&jobset, &template)
        .iter()
        .map(|volume| {
            let name = volume["name"].as_str().unwrap();
            let claim = volume["persistentVolumeClaim"]["claimName"]
                .as_str()
                .unwrap();
            assert_eq!(claim, format!("{name}-test-jobset"));
            name.to_owned()
        })
        .collect()
}

#[test]
fn vv1_both_mounted() {
    let c = json!({ "containers": [{ "volumeMounts": [{ "name": "two" }, { "name": "one" }] }] });
    assert_eq!(mounts(c), ["one", "two"], "template order, not mount order");
}

#[test]
fn vv2_none_mounted() {
    assert!(mounts(json!({ "containers": [{}] })).is_empty());
}

#[test]
fn vv3_one_mounted() {
    let c = json!({ "containers": [{ "volumeMounts": [{ "name": "two" }, { "name": "x" }] }] });
    assert_eq!(mounts(c), ["two"]);
}

#[test]
fn vv4_init_containers_count() {
    let c = json!({
        "initContainers": [{ "volumeMounts": [{ "name": "three" }] }],
        "containers": [{ "volumeMounts": [{ "name": "two" }] },
                       { "volumeMounts": [{ "name": "one" }] }],
    });
    assert_eq!(mounts(c), ["one", "two", "three"]);
}
