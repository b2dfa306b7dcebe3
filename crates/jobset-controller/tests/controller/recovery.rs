//! Failing, recovering, and changing while it runs.

use jobset_api::{Feature, FeatureGates};
use jobset_controller::ControllerOptions;
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
