//! In which order Jobs start, and when a JobSet has succeeded.

use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::mirror::State;
use crate::objects::{jobset, role, role_with, with};
use crate::world::{World, condition};

scenarios! { LIST, alone = false;
    "in-order": "a role starts when the one before it is ready" => in_order;
    "in-order-restart": "after a restart the order holds again" => in_order_restart;
    "depends-on-ready": "a role starts when another one is ready" => depends_on_ready;
    "depends-on-complete": "a role starts when another one has succeeded" => depends_on_complete;
    "success-all": "done when all Jobs are; kubectl wait sees it" => success_all;
    "success-any": "done when one Job is; the others are stopped" => success_any;
    "success-target": "done when the Jobs of one role are" => success_target;
}

/// Whether a Job was ready, or done, when a watch first showed another one.
fn was_before(state: &State, first: &str, second: &str, wanted: fn(&Value) -> bool) -> bool {
    let mut latest = &Value::Null;
    for change in state.log.iter().filter(|c| c.kind == Kind::Job) {
        let name = &change.object["metadata"]["name"];
        if name == first {
            latest = &change.object;
        } else if name == second {
            return wanted(latest);
        }
    }
    false
}

fn ready(job: &Value) -> bool {
    job["status"]["ready"] == 1
}

fn complete(job: &Value) -> bool {
    condition(job, "Complete").is_some_and(|c| c["status"] == "True")
}

async fn in_order(world: &World) -> anyhow::Result<()> {
    let spec = json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}});
    let roles = vec![role("z", 1), role("b", 1), role("a", 1)];
    world.create(&with(jobset("js", roles), &spec)).await?;
    world.until_ready("js", 3).await?;
    let done = world
        .until_condition("js", "StartupPolicyCompleted", "True")
        .await?;
    check_eq!(done["reason"], "InOrderStartupPolicyCompleted", "reason");
    world
        .until_condition("js", "StartupPolicyInProgress", "False")
        .await?;
    world.look(|state| {
        for (first, second) in [("js-z-0", "js-b-0"), ("js-b-0", "js-a-0")] {
            check_eq!(
                was_before(state, first, second, ready),
                true,
                "{first} is ready before {second} starts"
            );
        }
        Ok(())
    })
}

async fn in_order_restart(world: &World) -> anyhow::Result<()> {
    let spec = json!({
        "startupPolicy": {"startupPolicyOrder": "InOrder"}, "failurePolicy": {"maxRestarts": 1},
    });
    let roles = vec![role("z", 1), role("a", 1)];
    world.create(&with(jobset("js", roles), &spec)).await?;
    world.until_ready("js", 2).await?;
    world.finish_job("js-a-0", 1).await?;
    world.until_jobs(&["js-a-0@1", "js-z-0@1"]).await?;
    world.until_ready("js", 2).await?;
    let (mut first, mut in_order) = (Value::Null, false);
    world.look(|state| {
        for change in state.log.iter().filter(|c| c.kind == Kind::Job) {
            let metadata = &change.object["metadata"];
            if metadata["labels"]["jobset.sigs.k8s.io/restart-attempt"] != "1" {
                continue;
            }
            if metadata["name"] == "js-z-0" {
                first = (*change.object).clone();
            } else if metadata["name"] == "js-a-0" {
                in_order = ready(&first);
                break;
            }
        }
    });
    check_eq!(
        in_order,
        true,
        "the first role is ready before the second one"
    );
    Ok(())
}

async fn depends_on_ready(world: &World) -> anyhow::Result<()> {
    let needs = json!({"dependsOn": [{"name": "driver", "status": "Ready"}]});
    let roles = vec![role("driver", 1), role_with("worker", 2, &needs)];
    world.create(&jobset("js", roles)).await?;
    world.until_ready("js", 3).await?;
    world.look(|state| {
        for worker in ["js-worker-0", "js-worker-1"] {
            check_eq!(
                was_before(state, "js-driver-0", worker, ready),
                true,
                "the driver is ready before {worker}"
            );
        }
        Ok(())
    })
}

async fn depends_on_complete(world: &World) -> anyhow::Result<()> {
    let needs = json!({"dependsOn": [{"name": "prepare", "status": "Complete"}]});
    let roles = vec![role("prepare", 1), role_with("train", 1, &needs)];
    world.create(&jobset("js", roles)).await?;
    world.until_ready("js", 1).await?;
    world.until_controller_has_looked().await?;
    world
        .until_jobs(&["js-prepare-0@0", "sentinel-s-0@0"])
        .await?;
    world.finish_job("js-prepare-0", 0).await?;
    world.finish_job("js-train-0", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    check_eq!(
        world.look(|s| was_before(s, "js-prepare-0", "js-train-0", complete)),
        true,
        "the first is done before the second"
    );
    Ok(())
}

async fn success_all(world: &World) -> anyhow::Result<()> {
    world
        .create(&jobset("js", vec![role("a", 1), role("b", 2)]))
        .await?;
    world.until_ready("js", 3).await?;
    for job in ["js-a-0", "js-b-0", "js-b-1"] {
        world.finish_job(job, 0).await?;
    }
    if let Some(kubectl) = &world.user.kubectl {
        let namespace = format!("--namespace={}", world.namespace());
        let arguments = [
            "wait",
            &namespace,
            "--for=condition=Completed",
            "--timeout=2m",
            "jobset/js",
        ];
        kubectl.run(&arguments, None).await?;
    }
    let done = world.until_condition("js", "Completed", "True").await?;
    check_eq!(done["reason"], "AllJobsCompleted", "reason");
    check_eq!(done["message"], "jobset completed successfully", "message");
    let jobset = world
        .until_object(Kind::JobSet, "js", "has a state", |js| {
            js["status"]["terminalState"] == "Completed"
        })
        .await?;
    let count = |name: &str, succeeded| {
        json!({"name": name, "ready": 0, "succeeded": succeeded, "failed": 0, "active": 0,
               "suspended": 0})
    };
    check_eq!(
        jobset["status"]["replicatedJobsStatus"],
        json!([count("b", 2), count("a", 1)]),
        "counts"
    );
    check_eq!(jobset["status"]["restarts"], json!(0), "restarts");
    world.until_event("js", "AllJobsCompleted").await.map(drop)
}

async fn success_any(world: &World) -> anyhow::Result<()> {
    let spec = json!({"successPolicy": {"operator": "Any"}});
    world
        .create(&with(jobset("js", vec![role("w", 3)]), &spec))
        .await?;
    world.until_ready("js", 3).await?;
    world.finish_job("js-w-1", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    world.until_jobs(&["js-w-1@0"]).await
}

async fn success_target(world: &World) -> anyhow::Result<()> {
    let spec = json!({"successPolicy": {"operator": "All", "targetReplicatedJobs": ["driver"]}});
    let roles = vec![role("driver", 1), role("worker", 2)];
    world.create(&with(jobset("js", roles), &spec)).await?;
    world.until_ready("js", 3).await?;
    world.finish_job("js-worker-0", 0).await?;
    world
        .until_object(Kind::Job, "js-worker-0", "is done", complete)
        .await?;
    world.until_controller_has_looked().await?;
    let early = world.look(|s| {
        s.get(Kind::JobSet, "js")
            .is_none_or(|js| condition(js, "Completed").is_some())
    });
    check_eq!(early, false, "done too early");
    world.finish_job("js-driver-0", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    world
        .user
        .delete(Kind::JobSet, "sentinel", "background")
        .await?;
    world.until_jobs(&["js-driver-0@0", "js-worker-0@0"]).await
}
