use serde_json::{Value, json};

use crate::fixtures::{World, kinds, rjob};
use crate::model::{Action, Plan, ServiceState, StepKind};

fn world(network: Value) -> World {
    let mut world = World::new(json!({ "network": network, "replicatedJobs": [rjob("a", 1)] }));
    world.service = ServiceState::Missing;
    world
}

fn service(plan: &Plan) -> Option<(String, Value)> {
    plan.actions().find_map(|action| match action {
        Action::CreateService { name, body } => Some((name.clone(), body.clone())),
        _ => None,
    })
}

fn on() -> Value {
    json!({ "enableDNSHostnames": true })
}

#[test]
fn sv1_existing_service_is_used() {
    let mut world = world(on());
    world.service = ServiceState::Exists;
    assert!(service(&world.plan()).is_none());
}

#[test]
fn sv2_no_service_unless_host_names_are_wanted() {
    // Absent means the default, which is yes: without webhooks nobody writes it.
    assert!(service(&world(Value::Null).plan()).is_some());
    assert!(service(&world(json!({})).plan()).is_some());
    assert!(service(&world(json!({ "enableDNSHostnames": false })).plan()).is_none());
}

#[test]
fn sv3_failed_creation_is_reported_and_stops_the_jobs() {
    let plan = world(on()).plan();
    assert_eq!(kinds(&plan), [StepKind::Service, StepKind::CreateJobs]);
    assert!(!plan.steps[0].continue_on_error);
    assert_eq!(
        plan.steps[0].actions[0].failure_event(true),
        Some("HeadlessServiceCreationFailed")
    );
    // The executor puts the cause into the note unchanged.
    assert_eq!(crate::note::summary(["example error"]), "example error");
}

#[test]
fn sv4_named_after_the_jobset_and_publishing_not_ready_addresses() {
    let (name, body) = service(&world(on()).plan()).unwrap();
    assert_eq!(name, "test-jobset");
    assert_eq!(
        body,
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "test-jobset", "namespace": "default",
                "ownerReferences": [{
                    "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                    "name": "test-jobset", "uid": "jobset-uid",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "clusterIP": "None",
                "selector": { "jobset.sigs.k8s.io/jobset-name": "test-jobset" },
                "publishNotReadyAddresses": true,
            },
        })
    );
}

#[test]
fn sv5_named_after_the_subdomain() {
    let (name, body) =
        service(&world(json!({ "enableDNSHostnames": true, "subdomain": "sub" })).plan()).unwrap();
    assert_eq!(
        (name.as_str(), &body["metadata"]["name"]),
        ("sub", &json!("sub"))
    );
}

#[test]
fn sv6_sv7_publish_not_ready_addresses_is_copied() {
    for (id, value) in [("sv6", false), ("sv7", true)] {
        let network = json!({ "enableDNSHostnames": true, "publishNotReadyAddresses": value });
        let (_, body) = service(&world(network).plan()).unwrap();
        assert_eq!(body["spec"]["publishNotReadyAddresses"], value, "{id}");
    }
}

#[test]
fn service_is_created_while_suspended() {
    let mut world = world(on());
    world.jobset.spec.suspend = Some(true);
    assert!(service(&world.plan()).is_some());
}
