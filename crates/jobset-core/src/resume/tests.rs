use serde_json::{Value, json};

use crate::fixtures::{
    JobExt, World, ago, condition, conditions, job, kinds, names, now, rjob, triples,
};
use crate::model::{Action, ChildJob, Plan, StepKind};

fn role(pod_spec: Value, pod_meta: Value) -> Value {
    json!({ "name": "a", "replicas": 1, "template": { "spec": { "template": {
        "metadata": pod_meta, "spec": pod_spec } } } })
}

fn patches(plan: &Plan) -> Vec<(Value, bool)> {
    plan.actions()
        .filter_map(|action| match action {
            Action::ResumeJob {
                patch,
                clear_start_time,
                ..
            } => Some((patch.clone(), *clear_start_time)),
            _ => None,
        })
        .collect()
}

fn patch(role: Value) -> Value {
    let world = World::new(json!({ "replicatedJobs": [role] })).jobs([job("a", 0).suspended()]);
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::Resume]);
    patches(&plan).remove(0).0
}

fn pod(patch: &Value) -> &Value {
    &patch["spec"]["template"]["spec"]
}

#[test]
fn patch_names_the_uid_and_resumes() {
    let patch = patch(rjob("a", 1));
    assert_eq!(patch["metadata"], json!({ "uid": "test-jobset-a-0-uid" }));
    assert_eq!(patch["spec"]["suspend"], false);
    assert!(patch["spec"]["template"].get("metadata").is_none());
}

#[test]
fn d1_b_tolerations_are_exactly_those_of_the_template() {
    let tolerations = json!([
        { "key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30 },
        { "key": "b" },
        { "key": "a" },
    ]);
    for _ in 0..3 {
        let patch = patch(role(json!({ "tolerations": tolerations }), json!({})));
        assert_eq!(
            pod(&patch)["tolerations"],
            tolerations,
            "one copy each, in order"
        );
    }
}

#[test]
fn d2_b_node_selector_is_exactly_that_of_the_template_and_keeps_controller_keys() {
    let selector = role(json!({ "nodeSelector": { "flavor": "b" } }), json!({}));
    assert_eq!(
        pod(&patch(selector.clone()))["nodeSelector"],
        json!({ "flavor": "b" }),
        "no directive: it would lose the selector of a Job that had none"
    );
    let before = ChildJob {
        node_selector: vec!["flavor".into(), "rack".into()],
        ..job("a", 0).suspended()
    };
    let world = World::new(json!({ "replicatedJobs": [selector] }))
        .annotated("alpha.jobset.sigs.k8s.io/exclusive-topology", "zone")
        .annotated("alpha.jobset.sigs.k8s.io/node-selector", "true")
        .jobs([before]);
    let patch = patches(&world.plan()).remove(0).0;
    assert_eq!(
        pod(&patch)["nodeSelector"],
        json!({
            "flavor": "b", "rack": null,
            "alpha.jobset.sigs.k8s.io/namespaced-job": "default_test-jobset-a-0",
        })
    );
    assert_eq!(pod(&patch)["tolerations"].as_array().unwrap().len(), 1);
}

#[test]
fn d3_b_removed_scheduling_gate_is_absent_after_resumption() {
    let gated = role(
        json!({ "schedulingGates": [{ "name": "wait" }] }),
        json!({}),
    );
    assert_eq!(
        pod(&patch(gated))["schedulingGates"],
        json!([{ "$patch": "replace" }, { "name": "wait" }])
    );
    assert_eq!(
        pod(&patch(role(json!({}), json!({}))))["schedulingGates"],
        json!([{ "$patch": "replace" }])
    );
}

#[test]
fn b_template_keys_never_override_system_keys_on_resume() {
    let patch = patch(role(
        json!({}),
        json!({
            "labels": { "mine": "1", "jobset.sigs.k8s.io/job-index": "9", "job-name": "x" },
            "annotations": { "note": "2", "jobset.sigs.k8s.io/restart-attempt": "9",
                             "alpha.jobset.sigs.k8s.io/exclusive-topology": "x" },
        }),
    ));
    assert_eq!(
        patch["spec"]["template"]["metadata"],
        json!({ "labels": { "mine": "1" }, "annotations": { "note": "2" } })
    );
}

#[test]
fn start_time_is_cleared_first_if_set() {
    let started = ChildJob {
        start_time: Some(ago(60)),
        ..job("a", 0).suspended()
    };
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 2)] }))
        .jobs([started, job("a", 1).suspended()]);
    let clear: Vec<bool> = patches(&world.plan())
        .into_iter()
        .map(|(_, clear)| clear)
        .collect();
    assert_eq!(clear, [true, false]);
    assert_eq!(
        Action::clear_start_time_patch("u"),
        json!({ "metadata": { "uid": "u" }, "status": { "startTime": null } })
    );
}

fn was_suspended(world: World) -> World {
    world.with_status(|status| {
        status
            .conditions
            .push(condition("Suspended", "True", "SuspendedJobs", now()));
    })
}

#[test]
fn in_order_resumes_role_by_role_and_stays_suspended_until_the_last() {
    let spec = || {
        json!({
            "startupPolicy": { "startupPolicyOrder": "InOrder" },
            "replicatedJobs": [rjob("a", 1), rjob("b", 1)],
        })
    };
    let world =
        was_suspended(World::new(spec())).jobs([job("a", 0).suspended(), job("b", 0).suspended()]);
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::Resume), ["test-jobset-a-0"]);
    let progress = (
        "StartupPolicyInProgress",
        "True",
        "InOrderStartupPolicyInProgress",
    );
    assert_eq!(
        conditions(&plan),
        triples(&[("Suspended", "True", "SuspendedJobs"), progress])
    );

    let world = was_suspended(World::new(spec())).jobs([job("a", 0).ready(), job("b", 0).ready()]);
    assert!(conditions(&world.plan()).contains(&(
        "Suspended".to_owned(),
        "False".to_owned(),
        "ResumeJobs".to_owned()
    )));
}

#[test]
fn dependants_stay_suspended_though_the_condition_turns() {
    let mut b = rjob("b", 1);
    b["dependsOn"] = json!([{ "name": "a", "status": "Ready" }]);
    let world = was_suspended(World::new(json!({ "replicatedJobs": [rjob("a", 1), b] })))
        .jobs([job("a", 0).suspended(), job("b", 0).suspended()]);
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::Resume), ["test-jobset-a-0"]);
    assert_eq!(
        conditions(&plan),
        triples(&[("Suspended", "False", "ResumeJobs")])
    );
}

#[test]
fn terminating_and_finished_jobs_are_not_resumed() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 3)] })).jobs([
        job("a", 0).suspended().deleting(),
        job("a", 1).suspended().succeeded(),
        job("a", 2),
    ]);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn i9_job_with_pods_of_the_admission_before_is_not_resumed_yet() {
    let running = ChildJob {
        active: 1,
        ..job("a", 0).suspended()
    };
    let spec = json!({ "replicatedJobs": [rjob("a", 2)] });
    let world = was_suspended(World::new(spec)).jobs([running, job("a", 1).suspended()]);
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::Resume), ["test-jobset-a-1"]);
    assert_eq!(
        conditions(&plan),
        triples(&[("Suspended", "True", "SuspendedJobs")]),
        "not resumed before all are"
    );
}

#[test]
fn the_plan_says_whether_the_job_controller_has_taken_note() {
    let marked = ChildJob {
        marked_suspended: true,
        ..job("a", 0).suspended()
    };
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 2)] }))
        .jobs([marked, job("a", 1).suspended()]);
    let plan = world.plan();
    let noted: Vec<bool> = plan
        .actions()
        .filter_map(|action| match action {
            Action::ResumeJob { marked, .. } => Some(*marked),
            _ => None,
        })
        .collect();
    assert_eq!(noted, [true, false]);
}

#[test]
fn resources_are_replaced_with_their_gate_only() {
    let mut role = rjob("a", 1);
    role["template"]["spec"]["template"]["spec"] = json!({
        "containers": [
            { "name": "c", "image": "i", "resources": { "limits": { "cpu": "2" },
                                                        "claims": [{ "name": "x" }] } },
            { "name": "d", "image": "i" },
        ],
        "initContainers": [{ "name": "e", "resources": { "requests": { "cpu": "1" } } }],
    });
    let mut world = World::new(json!({ "replicatedJobs": [role] })).jobs([job("a", 0).suspended()]);
    let plain = patches(&world.plan()).remove(0).0;
    assert!(pod(&plain).get("containers").is_none());
    let gate = jobset_api::Feature::MutablePodResourcesForSuspendedJobSets;
    world.options.gates = world.options.gates.with(gate, true);
    let plan = world.plan();
    let action = plan.actions().next().unwrap();
    let event = Some("FailedResourcePropagation");
    assert_eq!(action.failure_event(true), event);
    assert_eq!(
        action.failure_event(false),
        None,
        "a server that does not answer refuses nothing"
    );
    let patch = patches(&plan).remove(0).0;
    let none = json!({ "$patch": "replace" });
    assert_eq!(
        pod(&patch)["containers"],
        json!([
            { "name": "c", "resources": { "requests": none,
                                          "limits": { "$patch": "replace", "cpu": "2" } } },
            { "name": "d", "resources": { "requests": none, "limits": none } },
        ])
    );
    assert_eq!(
        pod(&patch)["initContainers"],
        json!([{ "name": "e", "resources": { "requests": { "$patch": "replace", "cpu": "1" },
                                             "limits": none } }])
    );
}
