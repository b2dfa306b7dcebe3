//! Suspending and resuming, as people and as queueing systems do it.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::environment::RACK;
use crate::kind::Kind;
use crate::objects::{jobset, role, role_with, with};
use crate::user::PatchKind;
use crate::world::{World, sum};

scenarios! { LIST, alone = false;
    "suspend": "Pods go, Jobs stay, and all of it comes back" => suspend;
    "suspended-order": "a suspended JobSet has all its Jobs; they resume in order" => suspended_order;
    "queue-admission": "created suspended, placed and resumed in one change, sent back, placed elsewhere" => queue_admission;
    "suspended-gates": "scheduling gates and tolerations added on resuming" => suspended_gates;
}

async fn set_suspend(world: &World, suspend: bool) -> anyhow::Result<()> {
    world
        .patch("js", json!({"spec": {"suspend": suspend}}))
        .await
}

async fn until_no_pods(world: &World) -> anyhow::Result<()> {
    world
        .until("there are no Pods", |state| {
            state.names(Kind::Pod).is_empty().then_some(())
        })
        .await
}

async fn suspend(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    world.until_ready("js", 2).await?;
    set_suspend(world, true).await?;
    world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await?;
    let condition = world.until_condition("js", "Suspended", "True").await?;
    check_eq!(condition["reason"], "SuspendedJobs", "reason");
    until_no_pods(world).await?;
    world
        .until_object(Kind::JobSet, "js", "counts its Jobs as suspended", |js| {
            sum(js, "suspended") == 2 && sum(js, "active") == 0
        })
        .await?;
    set_suspend(world, false).await?;
    let condition = world.until_condition("js", "Suspended", "False").await?;
    check_eq!(condition["reason"], "ResumeJobs", "reason");
    world.until_ready("js", 2).await?;
    for job in ["js-w-0", "js-w-1"] {
        check_eq!(
            world.look(|s| s.incarnations(Kind::Job, job).len()),
            1,
            "incarnations of {job}"
        );
        world.finish_job(job, 0).await?;
    }
    world
        .until_condition("js", "Completed", "True")
        .await
        .map(drop)
}

async fn suspended_order(world: &World) -> anyhow::Result<()> {
    let spec = json!({"suspend": true, "startupPolicy": {"startupPolicyOrder": "InOrder"}});
    let roles = vec![role("z", 1), role("a", 1)];
    world.create(&with(jobset("js", roles), &spec)).await?;
    world.until_jobs(&["js-a-0@0!", "js-z-0@0!"]).await?;
    world.until_condition("js", "Suspended", "True").await?;
    set_suspend(world, false).await?;
    world.until_ready("js", 2).await?;
    world.look(|state| {
        let mut first_ready = false;
        for change in state.log.iter().filter(|c| c.kind == Kind::Job) {
            let job = &change.object;
            if job["metadata"]["name"] == "js-z-0" {
                first_ready |= job["status"]["ready"] == 1;
            } else if job["spec"]["suspend"] == false {
                ensure!(first_ready, "resumed before the role before it was ready");
                return Ok(());
            }
        }
        anyhow::bail!("the second role was not seen to resume")
    })
}

/// What a queueing system changes when it has found a place: all in one patch.
fn place(rack: &str, suspend: bool) -> Value {
    let template = "/spec/replicatedJobs/0/template/spec/template";
    let (labels, selector) = if suspend {
        (json!({}), json!({}))
    } else {
        (
            json!({"queue.example.com/workload": rack}),
            json!({RACK: rack}),
        )
    };
    let metadata = json!({"labels": labels, "annotations": {"queue.example.com/flavor": rack}});
    json!([
        {"op": "add", "path": format!("{template}/metadata"), "value": metadata},
        {"op": "add", "path": format!("{template}/spec/nodeSelector"), "value": selector},
        {"op": "add", "path": "/spec/suspend", "value": suspend},
    ])
}

async fn queue_admission(world: &World) -> anyhow::Result<()> {
    let object = with(jobset("js", vec![role("w", 2)]), &json!({"suspend": true}));
    world.create(&object).await?;
    world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await?;
    for rack in ["rack-2", "rack-0"] {
        world
            .user
            .patch(Kind::JobSet, "js", PatchKind::Json, &place(rack, false))
            .await?;
        world.until_condition("js", "Suspended", "False").await?;
        for job in ["js-w-0", "js-w-1"] {
            let pods = world.until_running(job).await?;
            let pod = world.look(|s| s.get(Kind::Pod, &pods[0]).cloned());
            let pod = pod.context("no Pod")?;
            let metadata = &pod["metadata"];
            check_eq!(pod["spec"]["nodeSelector"], json!({RACK: rack}), "selector");
            check_eq!(
                metadata["labels"]["queue.example.com/workload"],
                json!(rack),
                "label"
            );
            check_eq!(
                metadata["annotations"]["queue.example.com/flavor"],
                json!(rack),
                "annotation"
            );
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            let nodes = match rack {
                "rack-2" => ["node-4", "node-5"],
                _ => ["node-0", "node-1"],
            };
            ensure!(nodes.contains(&node), "on {node}, which is not in {rack}");
            check_eq!(
                metadata["labels"]["jobset.sigs.k8s.io/jobset-name"],
                "js",
                "the controller's own label"
            );
        }
        world
            .user
            .patch(Kind::JobSet, "js", PatchKind::Json, &place(rack, true))
            .await?;
        world.until_condition("js", "Suspended", "True").await?;
        until_no_pods(world).await?;
        // A Job takes a new template only when it has no start time any more.
        world.until_jobs(&["js-w-0@0!", "js-w-1@0!"]).await?;
    }
    for job in ["js-w-0", "js-w-1"] {
        check_eq!(
            world.look(|s| s.incarnations(Kind::Job, job).len()),
            1,
            "incarnations of {job}"
        );
    }
    Ok(())
}

async fn suspended_gates(world: &World) -> anyhow::Result<()> {
    let more = json!({"template": {"spec": {"template": {"spec": {
        "schedulingGates": [{"name": "example.com/old"}],
    }}}}});
    let object = with(
        jobset("js", vec![role_with("w", 1, &more)]),
        &json!({"suspend": true}),
    );
    world.create(&object).await?;
    world.until_jobs(&["js-w-0@0!"]).await?;
    let spec = "/spec/replicatedJobs/0/template/spec/template/spec";
    let toleration = json!([{"key": "example.com/t", "operator": "Exists"}]);
    let patch = json!([
        {"op": "add", "path": format!("{spec}/schedulingGates"),
         "value": [{"name": "example.com/wait"}]},
        {"op": "add", "path": format!("{spec}/tolerations"), "value": toleration},
        {"op": "add", "path": "/spec/suspend", "value": false},
    ]);
    world
        .user
        .patch(Kind::JobSet, "js", PatchKind::Json, &patch)
        .await?;
    let pod = world
        .until("a Pod waits for its gate", |state| {
            let mut pods = state.all(Kind::Pod);
            let (_, pod) = pods.next()?;
            let gates = pod["spec"]["schedulingGates"].as_array()?;
            (!gates.is_empty()).then(|| pod.clone())
        })
        .await?;
    let gates = pod["spec"]["schedulingGates"].as_array();
    let gates: Vec<&Value> = gates.into_iter().flatten().map(|g| &g["name"]).collect();
    ensure!(
        gates.iter().any(|g| **g == "example.com/wait"),
        "gates {gates:?}"
    );
    let tolerations = pod["spec"]["tolerations"].as_array();
    ensure!(
        tolerations.is_some_and(|t| t.iter().any(|t| t["key"] == "example.com/t")),
        "the toleration is missing: {tolerations:?}"
    );
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let open = json!({"spec": {"schedulingGates": null}});
    world
        .user
        .patch(Kind::Pod, name, PatchKind::Merge, &open)
        .await?;
    world.until_running("js-w-0").await.map(drop)
}
