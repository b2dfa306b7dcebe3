//! Failing, recovering, and changing while it runs.

use std::time::Duration;

use jobset_api::{Feature, FeatureGates};
use jobset_controller::ControllerOptions;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::world::{World, jobset};

fn gates(features: &[Feature]) -> ControllerOptions {
    let gates = features
        .iter()
        .fold(FeatureGates::default(), |gates, feature| {
            gates.with(*feature, true)
        });
    ControllerOptions {
        gates,
        ..ControllerOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn elastic_jobs_follow_their_template() {
    let mut world = World::start_with(gates(&[Feature::ElasticJobSet])).await;
    let sized = |pods: i32| {
        let mut jobset = jobset("js", &[("w", 2)], json!({}));
        let spec = &mut jobset["spec"]["replicatedJobs"][0]["template"]["spec"];
        spec["completionMode"] = "Indexed".into();
        spec["parallelism"] = pods.into();
        spec["completions"] = pods.into();
        jobset
    };
    world.create(sized(2)).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.run_job("js-w-0").await;
    world
        .patch_jobset(
            "js",
            json!({"spec": {"replicatedJobs": sized(5)["spec"]["replicatedJobs"]}}),
        )
        .await;
    world
        .until("both Jobs have five Pods", || async {
            let jobs = world.list_jobs().await;
            jobs.iter()
                .all(|job| {
                    let spec = job.spec.as_ref().unwrap();
                    (spec.parallelism, spec.completions) == (Some(5), Some(5))
                })
                .then_some(())
        })
        .await;
    world.assert_quiet().await;
    assert_eq!(world.stats().noop_writes(), 0);
    world.stop_controller().await;
}

/// The spec with what a queueing system writes into it when it admits the JobSet to `flavor`.
fn admitted(flavor: &str, suspend: bool) -> Value {
    let mut jobset = jobset("js", &[("w", 2)], json!({}));
    let pod = &mut jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"];
    pod["spec"]["nodeSelector"] = json!({ flavor: "yes" });
    pod["spec"]["tolerations"] = json!([
        {"key": flavor, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ]);
    pod["spec"]["schedulingGates"] = json!([{"name": format!("example.com/{flavor}")}]);
    pod["metadata"] = json!({"labels": {"flavor": flavor}});
    json!({"spec": {
        "suspend": suspend,
        "replicatedJobs": jobset["spec"]["replicatedJobs"],
    }})
}

#[tokio::test(start_paused = true)]
async fn i9_resume_leaves_no_residue_of_an_earlier_admission() {
    let world = World::start().await;
    world
        .create(jobset("js", &[("w", 2)], json!({"suspend": true})))
        .await;
    world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await;
    for flavor in ["a", "b"] {
        world.patch_jobset("js", admitted(flavor, false)).await;
        world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
        for job in world.list_jobs().await {
            let template = job.spec.unwrap().template;
            let labels = template.metadata.unwrap().labels.unwrap();
            assert_eq!(labels["flavor"], flavor);
            let pod = serde_json::to_value(template.spec.unwrap()).unwrap();
            let expected = admitted(flavor, false);
            let expected = &expected["spec"]["replicatedJobs"][0]["template"]["spec"]["template"];
            for field in ["nodeSelector", "tolerations", "schedulingGates"] {
                assert_eq!(pod[field], expected["spec"][field], "{field}");
            }
        }
        // It runs, and is evicted.
        world.run_job("js-w-0").await;
        world
            .patch_jobset("js", json!({"spec": {"suspend": true}}))
            .await;
        world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await;
        world
            .set_job_status("js-w-0", json!({"active": 0, "ready": 0}))
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn resources_of_the_template_reach_the_jobs_on_resumption() {
    let features = [Feature::MutablePodResourcesForSuspendedJobSets];
    let mut world = World::start_with(gates(&features)).await;
    let with = |cpu: &str, suspend: bool| {
        let mut jobset = jobset("js", &[("w", 1)], json!({"suspend": suspend}));
        let pod = &mut jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
        pod["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        pod["containers"][0]["env"] = json!([{"name": "KEPT", "value": "1"}]);
        jobset
    };
    world.create(with("1", true)).await;
    world.until_jobs(&["js-w-0@0!"]).await;
    world
        .patch_jobset("js", json!({"spec": with("2", false)["spec"]}))
        .await;
    world.until_jobs(&["js-w-0@0"]).await;
    let job = world.jobs().get("js-w-0").await.unwrap();
    let pod = serde_json::to_value(job.spec.unwrap().template.spec.unwrap()).unwrap();
    assert_eq!(
        pod["containers"][0]["resources"]["requests"],
        json!({"cpu": "2"})
    );
    assert_eq!(pod["containers"][0]["env"][0]["name"], "KEPT");
    world.stop_controller().await;
}

#[tokio::test(start_paused = true)]
async fn executions_are_counted_once_each() {
    let mut world = World::start_with(gates(&[Feature::ExecutionAttemptsTracking])).await;
    let spec = json!({"suspend": true, "failurePolicy": {"maxRestarts": 3}});
    world.create(jobset("js", &[("w", 1)], spec)).await;
    world.until_jobs(&["js-w-0@0!"]).await;
    world.until_condition("js", "Suspended", "True").await;
    let attempts = async || world.jobset("js").await.status.unwrap().execution_attempts;
    let carried = async || {
        let job = world.jobs().get("js-w-0").await.unwrap();
        let template = job.spec.unwrap().template.metadata.unwrap();
        let key = "jobset.sigs.k8s.io/execution-attempt";
        let on = |map: Option<std::collections::BTreeMap<String, String>>| map?.get(key).cloned();
        assert_eq!(
            on(job.metadata.annotations),
            on(template.annotations.clone())
        );
        on(template.annotations)
    };
    assert_eq!((attempts().await, carried().await), (None, None));
    let suspend = async |on: bool| {
        world
            .patch_jobset("js", json!({"spec": {"suspend": on}}))
            .await;
        let name = if on { "js-w-0@0!" } else { "js-w-0@0" };
        world.until_jobs(&[name]).await;
        let status = if on { "True" } else { "False" };
        world.until_condition("js", "Suspended", status).await;
    };
    for n in 0..3 {
        suspend(false).await;
        assert_eq!(attempts().await, Some(n));
        assert_eq!(carried().await, Some(n.to_string()));
        if n < 2 {
            suspend(true).await;
        }
    }
    world.fail_job("js-w-0").await;
    world.until_jobs(&["js-w-0@1"]).await;
    assert_eq!(attempts().await, Some(3));
    assert_eq!(carried().await.as_deref(), Some("3"));
    world.assert_quiet().await;
    world.stop_controller().await;
}

#[tokio::test(start_paused = true)]
async fn a_lean_suspended_jobset_has_no_children_until_it_is_resumed() {
    let mut world = World::start_with(ControllerOptions {
        lean_suspend: true,
        ..ControllerOptions::default()
    })
    .await;
    world
        .create(jobset("js", &[("w", 2)], json!({"suspend": true})))
        .await;
    world.until_condition("js", "Suspended", "True").await;
    world.assert_quiet().await;
    world.until_jobs(&[]).await;
    assert!(world.services().get_opt("js").await.unwrap().is_none());
    world
        .patch_jobset("js", json!({"spec": {"suspend": false}}))
        .await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    world.until_condition("js", "Suspended", "False").await;
    assert!(world.services().get_opt("js").await.unwrap().is_some());
    world.stop_controller().await;
}

#[tokio::test(start_paused = true)]
async fn a_doomed_job_is_decided_about_at_once_if_so_configured() {
    let doom = json!({"active": 1, "startTime": "2027-01-15T08:00:00Z", "conditions": [{
        "type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded",
        "message": "m", "lastTransitionTime": "2027-01-15T08:00:00Z",
    }]});
    for fast in [false, true] {
        let mut world = World::start_with(ControllerOptions {
            fast_failure_detection: fast,
            ..ControllerOptions::default()
        })
        .await;
        let spec = json!({"failurePolicy": {"maxRestarts": 1}});
        world.create(jobset("js", &[("w", 1)], spec)).await;
        world.until_jobs(&["js-w-0@0"]).await;
        world.set_job_status("js-w-0", doom.clone()).await;
        if fast {
            world.until_jobs(&["js-w-0@1"]).await;
        }
        world.assert_quiet().await;
        assert_eq!(
            world.jobset("js").await.status.unwrap().restarts,
            i32::from(fast)
        );
        world.stop_controller().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_waits_as_its_annotation_says() {
    let mut world = World::start().await;
    let mut js = jobset(
        "js",
        &[("w", 1)],
        json!({"failurePolicy": {"maxRestarts": 3}}),
    );
    js["metadata"]["annotations"] =
        json!({"x.jobset.sigs.k8s.io/restart-backoff": "initial=30s,factor=2,max=10m"});
    world.create(js).await;
    world.until_jobs(&["js-w-0@0"]).await;
    for (attempt, wait) in [(1, 30), (2, 60)] {
        let start = tokio::time::Instant::now();
        world.fail_job("js-w-0").await;
        world.until_jobs(&[&format!("js-w-0@{attempt}")]).await;
        let waited = start.elapsed().as_secs();
        assert!((wait - 1..wait + 3).contains(&waited), "{waited}");
    }
    world.assert_quiet().await;
    world.stop_controller().await;
    let reasons = world.event_reasons().await;
    assert!(
        reasons.contains(&"RestartDelayed".to_owned()),
        "{reasons:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_jobset() {
    let mut world = World::start_with(gates(&[Feature::JobSetActiveDeadlineSeconds])).await;
    let spec = json!({"activeDeadlineSeconds": 60});
    world.create(jobset("js", &[("w", 1)], spec)).await;
    world.until_jobs(&["js-w-0@0"]).await;
    world.run_job("js-w-0").await;
    world.until_condition("js", "Failed", "True").await;
    world.until_jobs(&[]).await;
    world.assert_quiet().await;
    world.stop_controller().await;
    let reasons = world.event_reasons().await;
    assert!(
        reasons.contains(&"DeadlineExceeded".to_owned()),
        "{reasons:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn jobsets_managed_elsewhere_are_cleaned_up_if_so_configured() {
    for clean_up in [false, true] {
        let world = World::start_with(ControllerOptions {
            clean_up_managed_elsewhere: clean_up,
            ..ControllerOptions::default()
        })
        .await;
        let spec = json!({"managedBy": "example.com/other", "ttlSecondsAfterFinished": 10});
        world.create(jobset("js", &[("w", 1)], spec)).await;
        let done = json!({"status": {"restarts": 0, "conditions": [{
            "type": "Completed", "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        }]}});
        world
            .jobsets()
            .patch_status("js", &PatchParams::default(), &Patch::Merge(&done))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.collect_garbage().await;
        let there = world.jobsets().get_opt("js").await.unwrap().is_some();
        assert_eq!(there, !clean_up);
    }
}

/// A restart waits for the Pods of the Jobs before; on a dead node nobody says that they ended.
#[tokio::test(start_paused = true)]
async fn pods_that_do_not_go_are_removed_from_dead_nodes_only() {
    let mut world = World::start().await;
    let mut js = jobset("js", &[("w", 3)], json!({}));
    js["metadata"]["annotations"] = json!({"x.jobset.sigs.k8s.io/force-delete-pods": "after=60s"});
    world.create(js).await;
    world
        .until_jobs(&["js-w-0@0", "js-w-1@0", "js-w-2@0"])
        .await;
    // The first node is not there at all.
    let nodes: Api<Node> = Api::all(world.pods().into_client());
    for (name, ready) in [("silent", "Unknown"), ("alive", "True")] {
        let node = json!({
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        });
        let node: Node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({"status": node.status});
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }
    let mut pods = Vec::new();
    for (index, node) in ["gone", "silent", "alive"].into_iter().enumerate() {
        let pod = put_pod(&world, &format!("js-w-{index}"), None).await;
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
            "target": {"kind": "Node", "name": node},
        });
        let bound: Result<Value, _> = world
            .pods()
            .create_subresource("binding", &pod, &PostParams::default(), &binding)
            .await;
        bound.unwrap();
        pods.push(pod);
    }
    let start = tokio::time::Instant::now();
    for pod in &pods {
        let deleted = world.pods().delete(pod, &DeleteParams::default()).await;
        assert!(deleted.unwrap().is_left(), "{pod} waits for its node");
    }
    let left = async || {
        let left = world.pods().list(&ListParams::default()).await.unwrap();
        left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    world
        .until("Pods of dead nodes are gone", || async {
            (left().await == pods[2..]).then_some(())
        })
        .await;
    // Their grace period, and what the annotation says.
    let waited = start.elapsed().as_secs();
    assert!((89..130).contains(&waited), "{waited}");
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(left().await, pods[2..], "its node lives");
    world.stop_controller().await;
}

/// A Pod of this Job, as the Job controller and the agent would leave it.
async fn put_pod(world: &World, job: &str, attempt: Option<i32>) -> String {
    let owner = world.jobs().get(job).await.unwrap().metadata.uid.unwrap();
    let name = format!("{job}-pod");
    let mut pod = json!({
        "metadata": {
            "name": name,
            "labels": {"jobset.sigs.k8s.io/jobset-name": "js",
                       "batch.kubernetes.io/controller-uid": owner},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job,
                                 "uid": owner, "controller": true}],
        },
        "spec": {"containers": [{"name": "main", "image": "i"}]},
    });
    if let Some(attempt) = attempt {
        let key = "jobset.sigs.k8s.io/in-place-restart-attempt";
        pod["metadata"]["annotations"] = json!({ key: attempt.to_string() });
    }
    let pod: Pod = serde_json::from_value(pod).unwrap();
    world
        .pods()
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
    name
}

#[tokio::test(start_paused = true)]
async fn in_place_attempts_follow_the_pods() {
    let mut world = World::start_with(gates(&[Feature::InPlaceRestart])).await;
    let mut js = jobset(
        "js",
        &[("w", 2)],
        json!({"failurePolicy": {"maxRestarts": 3, "restartStrategy": "InPlaceRestart"}}),
    );
    let spec = &mut js["spec"]["replicatedJobs"][0]["template"]["spec"];
    (spec["parallelism"], spec["completions"]) = (1.into(), 1.into());
    world.create(js).await;
    world.until_jobs(&["js-w-0@0", "js-w-1@0"]).await;
    let attempts = async || {
        let status = world.jobset("js").await.status?;
        Some((
            status.current_in_place_restart_attempt?,
            status.previous_in_place_restart_attempt,
        ))
    };
    let until = async |expected: (i32, Option<i32>)| {
        world
            .until(expected, || async {
                (attempts().await == Some(expected)).then_some(())
            })
            .await;
    };
    let first = put_pod(&world, "js-w-0", Some(0)).await;
    put_pod(&world, "js-w-1", Some(0)).await;
    until((0, None)).await;
    let report = async |name: &str, attempt: &str| {
        let key = "jobset.sigs.k8s.io/in-place-restart-attempt";
        let patch = json!({"metadata": {"annotations": { key: attempt }}});
        world
            .pods()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    };
    report(&first, "1").await;
    until((0, Some(0))).await;
    report("js-w-1-pod", "1").await;
    until((1, Some(0))).await;
    world.stop_controller().await;
}

#[tokio::test(start_paused = true)]
async fn a_decision_names_the_container_that_failed() {
    let mut world = World::start().await;
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    world.create(jobset("js", &[("w", 1)], spec)).await;
    world.until_jobs(&["js-w-0@0"]).await;
    let pod = put_pod(&world, "js-w-0", None).await;
    let status = json!({"status": {"phase": "Failed", "containerStatuses": [{
        "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 137, "finishedAt": "2027-01-15T08:00:00Z"}},
    }]}});
    world
        .pods()
        .patch_status(&pod, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    world.fail_job("js-w-0").await;
    world.until_jobs(&["js-w-0@1"]).await;
    world.stop_controller().await;
    let notes = world.event_notes("FailurePolicyDecision").await;
    assert_eq!(
        notes,
        [
            "attempt 0, rule: none matched, action: RestartJobSet, first failed job: js-w-0, pod \
          js-w-0-pod, container main, exit code 137, signal SIGKILL (BackoffLimitExceeded: Job has \
          reached the specified backoff limit)"
        ]
    );
}
