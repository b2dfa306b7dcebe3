use jobset_api::{Feature, FeatureGates};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{World, created, rjob};

fn with(mut value: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(more);
    value
}

fn all_jobs(rendered: &Rendered<'_>) -> Vec<(String, Value)> {
    rendered.roles.iter().flat_map(RenderedRole::jobs).collect()
}

/// Everything that a JobSet can have.
fn rich() -> Value {
    let mut first = rjob("a", 2);
    first["template"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/d"}]);
    first["template"]["metadata"] = json!({"annotations": {
        "alpha.jobset.sigs.k8s.io/exclusive-topology": "rack",
        "alpha.jobset.sigs.k8s.io/node-selector": "true",
    }});
    json!({
        "replicatedJobs": [first, rjob("b", 3), with(rjob("c", 0), json!({"groupName": "g"}))],
        "network": {"enableDNSHostnames": true, "subdomain": "sub"},
        "coordinator": {"replicatedJob": "a"},
        "volumeClaimPolicies": [{"templates": [{"metadata": {"name": "data"}, "spec": {}}],
            "retentionPolicy": {"whenDeleted": "Delete"}}],
    })
}

#[test]
fn it_is_what_the_plans_create() {
    let status = json!({"restarts": 2, "replicatedJobsStatus": [{"name": "b", "jobRestarts": [0, 4, 0],
        "ready": 0, "succeeded": 0, "failed": 0, "active": 0, "suspended": 0}]});
    for suspend in [false, true] {
        for gate in [false, true] {
            let spec = with(rich(), json!({ "suspend": suspend }));
            let mut world = World::new(spec).status(status.clone());
            world.service = ServiceState::Missing;
            world.options.gates = FeatureGates::default().with(Feature::RestartJob, gate);
            // As admission leaves it.
            jobset_api::defaulting::default_jobset(&mut world.jobset);
            let rendered = render(&world.jobset, &world.options.gates);
            let plan = world.plan();
            assert_eq!(all_jobs(&rendered), created(&plan), "{suspend} {gate}");
            let others: Vec<&Value> = plan
                .actions()
                .filter_map(|action| match action {
                    Action::CreateService { body, .. } | Action::CreateClaim { body, .. } => {
                        Some(body)
                    }
                    _ => None,
                })
                .collect();
            let mut expected: Vec<&Value> = rendered.service.iter().collect();
            expected.extend(&rendered.claims);
            assert_eq!(others, expected);
            assert_eq!(others.len(), 2);
        }
    }
}

#[test]
fn what_waits_is_there_all_the_same_and_says_for_what() {
    let on = |list: Value| json!({ "dependsOn": list });
    let roles = json!([
        rjob("a", 1),
        with(rjob("b", 1), on(json!([{"name": "a", "status": "Ready"}]))),
        with(
            rjob("c", 1),
            on(json!([{"name": "a", "status": "Complete"}, {"name": "b", "status": "Odd"}]))
        ),
    ]);
    let world = World::new(json!({ "replicatedJobs": roles }));
    let waits = |world: &World| -> Vec<Vec<String>> {
        let rendered = render(&world.jobset, &world.options.gates);
        let text = |wait: &Wait<'_>| format!("{wait:?}");
        rendered
            .roles
            .iter()
            .map(|role| role.waits.iter().map(text).collect())
            .collect()
    };
    assert_eq!(
        waits(&world),
        [
            vec![],
            vec!["Ready(\"a\")"],
            vec!["Complete(\"a\")", "Never(\"b\")"]
        ]
    );
    assert_eq!(created(&world.plan()).len(), 1);
    assert_eq!(
        all_jobs(&render(&world.jobset, &world.options.gates)).len(),
        3
    );

    let ordered = |suspend: bool| {
        World::new(
            json!({"replicatedJobs": [rjob("a", 1), rjob("b", 1), rjob("c", 1)],
            "suspend": suspend, "startupPolicy": {"startupPolicyOrder": "InOrder"}}),
        )
    };
    assert_eq!(
        waits(&ordered(false)),
        [vec![], vec!["Started(\"a\")"], vec!["Started(\"b\")"]]
    );
    // Suspended Jobs are created all together.
    assert_eq!(waits(&ordered(true)), [vec![""; 0], vec![], vec![]]);
}

#[test]
fn a_file_has_no_uid() {
    let mut world = World::new(rich());
    world.jobset.metadata.uid = None;
    let rendered = render(&world.jobset, &world.options.gates);
    let jobs = all_jobs(&rendered);
    assert_eq!(jobs.len(), 5);
    let all = jobs.iter().map(|(_, body)| body).chain(&rendered.claims);
    for body in all.chain(&rendered.service) {
        let text = body.to_string();
        assert!(!text.contains("ownerReferences"), "{text}");
        assert!(!text.contains("jobset-uid"), "{text}");
        assert!(text.contains("test-jobset"), "{text}");
    }
}

#[test]
fn jobs_are_built_when_asked_for() {
    let world = World::new(json!({"replicatedJobs": [rjob("a", i32::MAX), rjob("b", -1)]}));
    let rendered = render(&world.jobset, &world.options.gates);
    let last = i64::from(i32::MAX) - 1;
    let (name, _) = rendered.roles[0].job(last).unwrap();
    assert_eq!(name, format!("test-jobset-a-{last}"));
    assert_eq!(rendered.roles[0].job(last + 1), None);
    assert_eq!(rendered.roles[0].job(-1), None);
    assert_eq!(rendered.roles[1].jobs().count(), 0);
}
