//! A controller that starts while there is something already: after an upgrade, a crash, or in
//! the place of another implementation. These scenarios stop the controller.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::Method;
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::objects::{job_key, jobset, role, with};
use crate::world::World;

scenarios! { LIST, alone = true;
    "drop-in": "a half-created JobSet of another controller is completed, nothing is recreated" => drop_in;
    "drop-in-restart": "a restart that another controller has begun is finished" => drop_in_restart;
    "future-fields": "fields of a newer version stay as they are" => future_fields;
    "crash": "killed while it creates Jobs: each exists once" => crash;
    "away": "what fails while it is away is counted once" => away;
}

/// The JobSet in the making, `attempt` restarts on.
async fn begin(world: &World, restarts: u32) -> anyhow::Result<Value> {
    let spec = json!({"failurePolicy": {"maxRestarts": 3}});
    world
        .create(&with(jobset("js", vec![role("a", 1), role("b", 3)]), &spec))
        .await?;
    let object = world
        .until_object(Kind::JobSet, "js", "exists", |_| true)
        .await?;
    let count = |name: &str, active: u32| {
        json!({"name": name, "ready": 0, "succeeded": 0, "failed": 0, "active": active,
               "suspended": 0})
    };
    let mut status = json!({
        "restarts": restarts,
        "replicatedJobsStatus": [count("b", 2), count("a", 1)],
    });
    if restarts > 0 {
        status["restartsCountTowardsMax"] = json!(restarts);
        status["conditions"] = json!([{
            "type": "RestartingJobSet", "status": "True", "reason": "DefaultFailurePolicy",
            "message": "applying RestartJobSet failure policy action (first failed job: js-a-0)",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
    }
    let path = format!("{}/js/status", Kind::JobSet.path(world.namespace()));
    let patch = json!({"status": status});
    world
        .user
        .send(Method::PATCH, &path, "merge-patch+json", &patch)
        .await?;
    service(world, &object).await?;
    Ok(object)
}

fn owner(jobset: &Value) -> Value {
    json!([{
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "js",
        "uid": jobset["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }])
}

async fn service(world: &World, jobset: &Value) -> anyhow::Result<()> {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "js", "ownerReferences": owner(jobset)},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": true,
                 "selector": {"jobset.sigs.k8s.io/jobset-name": "js"}},
    });
    world.user.create(Kind::Service, &object).await
}

/// A Job exactly as a controller without optional features labels it.
async fn job(
    world: &World,
    jobset: &Value,
    role: usize,
    index: u32,
    attempt: u32,
) -> anyhow::Result<()> {
    let spec = &jobset["spec"]["replicatedJobs"][role];
    let name = spec["name"].as_str().context("a role without a name")?;
    let job = format!("js-{name}-{index}");
    let key = job_key(world.namespace(), &job);
    // The first role has one Job.
    let global = index + u32::from(role > 0);
    let keys = json!({
        "jobset.sigs.k8s.io/jobset-name": "js",
        "jobset.sigs.k8s.io/jobset-uid": jobset["metadata"]["uid"],
        "jobset.sigs.k8s.io/replicatedjob-name": name,
        "jobset.sigs.k8s.io/replicatedjob-replicas": spec["replicas"].to_string(),
        "jobset.sigs.k8s.io/global-replicas": "4",
        "jobset.sigs.k8s.io/job-index": index.to_string(),
        "jobset.sigs.k8s.io/job-global-index": global.to_string(),
        "jobset.sigs.k8s.io/job-key": key,
        "jobset.sigs.k8s.io/group-name": "default",
        "jobset.sigs.k8s.io/group-replicas": "4",
        "jobset.sigs.k8s.io/job-group-index": global.to_string(),
        "jobset.sigs.k8s.io/restart-attempt": attempt.to_string(),
    });
    let mut template = spec["template"]["spec"].clone();
    template["suspend"] = json!(false);
    template["template"]["metadata"] = json!({"labels": keys, "annotations": keys});
    template["template"]["spec"]["subdomain"] = json!("js");
    let object = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": job, "labels": keys, "annotations": keys,
                     "ownerReferences": owner(jobset)},
        "spec": template,
    });
    world.user.create(Kind::Job, &object).await
}

async fn drop_in(world: &World) -> anyhow::Result<()> {
    let mut operator = world.environment.operator.lock().await;
    operator.stop().await?;
    let object = begin(world, 0).await?;
    for (role, index) in [(0, 0), (1, 0), (1, 2)] {
        job(world, &object, role, index, 0).await?;
    }
    world.until_running("js-b-0").await?;
    operator.start()?;
    drop(operator);
    world.until_ready("js", 4).await?;
    for job in ["js-a-0", "js-b-0", "js-b-1", "js-b-2"] {
        world.finish_job(job, 0).await?;
    }
    world.until_condition("js", "Completed", "True").await?;
    world.look(|state| {
        for job in ["js-a-0", "js-b-0", "js-b-1", "js-b-2"] {
            check_eq!(
                state.incarnations(Kind::Job, job).len(),
                1,
                "lives of {job}"
            );
        }
        check_eq!(state.names(Kind::Job).len(), 4, "Jobs");
        check_eq!(
            state.incarnations(Kind::Service, "js").len(),
            1,
            "lives of the Service"
        );
        let status = state.get(Kind::JobSet, "js").map(|js| &js["status"]);
        check_eq!(status.map(|s| &s["restarts"]), Some(&json!(0)), "restarts");
        Ok(())
    })
}

async fn drop_in_restart(world: &World) -> anyhow::Result<()> {
    let mut operator = world.environment.operator.lock().await;
    operator.stop().await?;
    let object = begin(world, 1).await?;
    // Two of the new attempt, one left over from the old one, one not there yet.
    for (role, index, attempt) in [(0, 0, 1), (1, 0, 1), (1, 1, 0)] {
        job(world, &object, role, index, attempt).await?;
    }
    world.until_running("js-b-1").await?;
    operator.start()?;
    drop(operator);
    world
        .until_jobs(&["js-a-0@1", "js-b-0@1", "js-b-1@1", "js-b-2@1"])
        .await?;
    world.until_ready("js", 4).await?;
    let condition = world
        .until_condition("js", "RestartingJobSet", "False")
        .await?;
    check_eq!(condition["reason"], "JobsReady", "reason");
    world.look(|state| {
        for (job, lives) in [("js-a-0", 1), ("js-b-0", 1), ("js-b-1", 2), ("js-b-2", 1)] {
            check_eq!(
                state.incarnations(Kind::Job, job).len(),
                lives,
                "lives of {job}"
            );
        }
        let status = state.get(Kind::JobSet, "js").map(|js| &js["status"]);
        check_eq!(status.map(|s| &s["restarts"]), Some(&json!(1)), "restarts");
        Ok(())
    })
}

const DEFINITION: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobsets.jobset.x-k8s.io";

/// Adds fields to the definition, or takes them away again.
async fn change_definition(world: &World, future: bool) -> anyhow::Result<()> {
    let root = "/spec/versions/0/schema/openAPIV3Schema/properties";
    let field = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let change = |part: &str| {
        let path = format!("{root}/{part}/properties/future");
        if future {
            json!({"op": "add", "path": path, "value": field})
        } else {
            json!({"op": "remove", "path": path})
        }
    };
    let patch = json!([change("spec"), change("status")]);
    world
        .user
        .send(Method::PATCH, DEFINITION, "json-patch+json", &patch)
        .await
        .map(drop)
}

async fn future_fields(world: &World) -> anyhow::Result<()> {
    change_definition(world, true).await?;
    let result = live_with_future_fields(world).await;
    change_definition(world, false).await?;
    result
}

async fn live_with_future_fields(world: &World) -> anyhow::Result<()> {
    let future = json!({"level": 7, "parts": [{"name": "x"}]});
    let spec = json!({"failurePolicy": {"maxRestarts": 1}, "future": future});
    let mut object = with(jobset("js", vec![role("w", 1)]), &spec);
    jobset_api::defaulting::default_value(&mut object);
    let collection = Kind::JobSet.path(world.namespace());
    // The new definition takes a moment to be in force.
    let path = format!("{collection}?dryRun=All");
    let mut patience = 300;
    while {
        let tried = world
            .user
            .send(Method::POST, &path, "json", &object)
            .await?;
        tried["spec"]["future"].is_null()
    } {
        patience -= 1;
        ensure!(patience > 0, "the new definition is not in force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world
        .user
        .send(Method::POST, &collection, "json", &object)
        .await?;
    let patch = json!({"status": {"future": future}});
    let path = format!("{collection}/js/status");
    world
        .user
        .send(Method::PATCH, &path, "merge-patch+json", &patch)
        .await?;
    world.finish_job("js-w-0", 1).await?;
    world.until_jobs(&["js-w-0@1"]).await?;
    world.finish_job("js-w-0", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    let path = format!("{collection}/js");
    let object = world
        .user
        .send(Method::GET, &path, "json", &Value::Null)
        .await?;
    for part in ["spec", "status"] {
        check_eq!(
            object[part]["future"],
            future,
            "field of the future in {part}"
        );
    }
    Ok(())
}

async fn crash(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 60)])).await?;
    world
        .until("some Jobs exist", |state| {
            (!state.names(Kind::Job).is_empty()).then_some(())
        })
        .await?;
    let mut operator = world.environment.operator.lock().await;
    operator.kill().await?;
    operator.start()?;
    drop(operator);
    world.until_ready("js", 60).await?;
    world.look(|state| {
        check_eq!(state.names(Kind::Job).len(), 60, "Jobs");
        for (name, _) in state.all(Kind::Job) {
            check_eq!(
                state.incarnations(Kind::Job, name).len(),
                1,
                "lives of {name}"
            );
        }
        let complaint = state
            .all(Kind::Event)
            .find(|(_, event)| event["reason"] == "JobCreationFailed");
        if let Some((_, event)) = complaint {
            bail!("complained: {}", event["note"]);
        }
        Ok(())
    })
}

async fn away(world: &World) -> anyhow::Result<()> {
    let spec = json!({"failurePolicy": {"maxRestarts": 2}});
    world
        .create(&with(jobset("js", vec![role("w", 3)]), &spec))
        .await?;
    world.until_ready("js", 3).await?;
    let mut operator = world.environment.operator.lock().await;
    operator.stop().await?;
    for job in ["js-w-0", "js-w-2"] {
        world.finish_job(job, 1).await?;
        world
            .until_object(Kind::Job, job, "has failed", |job| {
                crate::world::condition(job, "Failed").is_some_and(|c| c["status"] == "True")
            })
            .await?;
    }
    operator.start()?;
    drop(operator);
    world
        .until_jobs(&["js-w-0@1", "js-w-1@1", "js-w-2@1"])
        .await?;
    world.until_ready("js", 3).await?;
    let status = world.look(|s| s.get(Kind::JobSet, "js").map(|js| js["status"].clone()));
    let status = status.context("no JobSet")?;
    check_eq!(status["restarts"], json!(1), "restarts");
    check_eq!(
        status["restartsCountTowardsMax"],
        json!(1),
        "counted restarts"
    );
    Ok(())
}
