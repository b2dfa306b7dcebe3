//! What happens when a Job fails.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::objects::{jobset, role, role_with, with};
use crate::world::World;

scenarios! { LIST, alone = false;
    "no-policy": "without a policy the first failed Job fails the JobSet" => no_policy;
    "fail-jobset": "FailJobSet, chosen by role" => fail_jobset;
    "restart-jobset": "RestartJobSet: all Jobs anew, counters, condition, then success" => restart_jobset;
    "max-restarts": "exactly maxRestarts restarts, then failure" => max_restarts;
    "no-restarts": "a policy without restarts fails at once" => no_restarts;
    "ignore-max-restarts": "RestartJobSetAndIgnoreMaxRestarts uses nothing up" => ignore_max_restarts;
    "restart-job": "RestartJob: only the one Job anew" => restart_job;
    "restart-job-max": "RestartJob shares the budget of restarts" => restart_job_max;
    "restart-job-ignore-max": "RestartJobAndIgnoreMaxRestarts uses nothing up" => restart_job_ignore_max;
    "rule-order": "the first rule that fits decides" => rule_order;
    "rule-reason": "a rule for one reason of the Job's failure" => rule_reason;
    "rule-message": "a rule for a pattern in the Job's message" => rule_message;
    "pod-retries": "failures below the Job's backoffLimit are the Job's own matter" => pod_retries;
}

fn policy(max_restarts: u32, rules: Value) -> Value {
    json!({"failurePolicy": {"maxRestarts": max_restarts, "rules": rules}})
}

/// Waits for failure with this reason; the message ends with the name of a Job.
async fn until_failed(world: &World, reason: &str, job: &str) -> anyhow::Result<()> {
    let failed = world.until_condition("js", "Failed", "True").await?;
    check_eq!(failed["reason"], json!(reason), "reason");
    let message = failed["message"].as_str().unwrap_or_default();
    let end = format!("(first failed job: {job})");
    ensure!(
        message.ends_with(&end),
        "{message:?} does not end with {end:?}"
    );
    world
        .until_object(Kind::JobSet, "js", "is Failed for ever", |js| {
            js["status"]["terminalState"] == "Failed"
        })
        .await?;
    world.until_event("js", reason).await.map(drop)
}

/// Waits until both counters of restarts have these values.
async fn until_restarts(world: &World, all: i64, counted: i64) -> anyhow::Result<()> {
    let what = format!("has {all} restarts, {counted} of them counted");
    world
        .until_object(Kind::JobSet, "js", &what, |js| {
            let status = &js["status"];
            status["restarts"] == all
                && status["restartsCountTowardsMax"].as_i64().unwrap_or(0) == counted
        })
        .await
        .map(drop)
}

async fn no_policy(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    world.until_ready("js", 2).await?;
    world.finish_job("js-w-1", 3).await?;
    until_failed(world, "FailedJobs", "js-w-1").await?;
    // What failed stays for whoever wants to know why; the rest is stopped.
    world.until_jobs(&["js-w-1@0"]).await
}

async fn fail_jobset(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "leaderFails", "action": "FailJobSet",
                        "targetReplicatedJobs": ["leader"]}]);
    let roles = vec![role("leader", 1), role("worker", 1)];
    world
        .create(&with(jobset("js", roles), &policy(5, rules)))
        .await?;
    world.until_ready("js", 2).await?;
    world.finish_job("js-worker-0", 1).await?;
    world
        .until_jobs(&["js-leader-0@1", "js-worker-0@1"])
        .await?;
    world.finish_job("js-leader-0", 1).await?;
    until_failed(world, "FailJobSetFailurePolicyAction", "js-leader-0").await
}

async fn restart_jobset(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "again", "action": "RestartJobSet"}]);
    let roles = vec![role("a", 1), role("b", 2)];
    world
        .create(&with(jobset("js", roles), &policy(2, rules)))
        .await?;
    world.until_ready("js", 3).await?;
    // One that has succeeded already runs again too.
    world.finish_job("js-a-0", 0).await?;
    world.finish_job("js-b-1", 1).await?;
    until_restarts(world, 1, 1).await?;
    world
        .until_jobs(&["js-a-0@1", "js-b-0@1", "js-b-1@1"])
        .await?;
    world.until_ready("js", 3).await?;
    let restarting = world
        .until_condition("js", "RestartingJobSet", "False")
        .await?;
    check_eq!(restarting["reason"], "JobsReady", "reason");
    let told = world
        .until_event("js", "RestartJobSetFailurePolicyAction")
        .await?;
    check_eq!(told["type"], "Warning", "type of the event");
    world.until_event("js", "FailurePolicy_again").await?;
    for job in ["js-a-0", "js-b-0", "js-b-1"] {
        check_eq!(
            world.look(|s| s.incarnations(Kind::Job, job).len()),
            2,
            "incarnations of {job}"
        );
        world.finish_job(job, 0).await?;
    }
    world.until_condition("js", "Completed", "True").await?;
    let services = world.look(|s| s.incarnations(Kind::Service, "js").len());
    check_eq!(services, 1, "incarnations of the Service");
    Ok(())
}

async fn max_restarts(world: &World) -> anyhow::Result<()> {
    let spec = json!({"failurePolicy": {"maxRestarts": 2}});
    world
        .create(&with(jobset("js", vec![role("w", 2)]), &spec))
        .await?;
    for attempt in 0..3 {
        let jobs = [format!("js-w-0@{attempt}"), format!("js-w-1@{attempt}")];
        world.until_jobs(&[&jobs[0], &jobs[1]]).await?;
        until_restarts(world, attempt, attempt).await?;
        world.finish_job("js-w-0", 1).await?;
    }
    until_failed(world, "ReachedMaxRestarts", "js-w-0").await?;
    until_restarts(world, 2, 2).await?;
    world.until_event("js", "DefaultFailurePolicy").await?;
    world.until_jobs(&["js-w-0@2"]).await
}

async fn no_restarts(world: &World) -> anyhow::Result<()> {
    let spec = json!({"failurePolicy": {}});
    world
        .create(&with(jobset("js", vec![role("w", 1)]), &spec))
        .await?;
    world.finish_job("js-w-0", 1).await?;
    until_failed(world, "ReachedMaxRestarts", "js-w-0").await
}

async fn ignore_max_restarts(world: &World) -> anyhow::Result<()> {
    let rules = json!([
        {"name": "cheap", "action": "RestartJobSetAndIgnoreMaxRestarts",
         "targetReplicatedJobs": ["a"]},
    ]);
    let roles = vec![role("a", 1), role("b", 1)];
    world
        .create(&with(jobset("js", roles), &policy(1, rules)))
        .await?;
    for attempt in 1..=3 {
        world.finish_job("js-a-0", 1).await?;
        let jobs = [format!("js-a-0@{attempt}"), format!("js-b-0@{attempt}")];
        world.until_jobs(&[&jobs[0], &jobs[1]]).await?;
        until_restarts(world, attempt, 0).await?;
    }
    world.finish_job("js-b-0", 1).await?;
    until_restarts(world, 4, 1).await?;
    world.until_jobs(&["js-a-0@4", "js-b-0@4"]).await?;
    world.finish_job("js-b-0", 1).await?;
    until_failed(world, "ReachedMaxRestarts", "js-b-0").await
}

/// The restarts of single Jobs in a role.
fn job_restarts(jobset: &Value, role: &str, field: &str) -> Value {
    let roles = jobset["status"]["replicatedJobsStatus"].as_array();
    let mut roles = roles.into_iter().flatten();
    let role = roles.find(|r| r["name"] == role);
    role.map_or(Value::Null, |r| r[field].clone())
}

async fn restart_job(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "one", "action": "RestartJob"}]);
    world
        .create(&with(jobset("js", vec![role("w", 3)]), &policy(2, rules)))
        .await?;
    world.until_ready("js", 3).await?;
    world.finish_job("js-w-1", 1).await?;
    let job = world
        .until_object(Kind::Job, "js-w-1", "is of the second attempt", |job| {
            job["metadata"]["labels"]["jobset.sigs.k8s.io/job-restart-attempt"] == "1"
        })
        .await?;
    check_eq!(
        job["metadata"]["labels"]["jobset.sigs.k8s.io/restart-attempt"],
        "0",
        "attempt of the JobSet"
    );
    world.until_ready("js", 3).await?;
    world.look(|state| {
        for (job, lives) in [("js-w-0", 1), ("js-w-1", 2), ("js-w-2", 1)] {
            check_eq!(state.incarnations(Kind::Job, job).len(), lives, "{job}");
        }
        let jobset = state.get(Kind::JobSet, "js").cloned().unwrap_or_default();
        for field in ["jobRestarts", "jobRestartsCountTowardsMax"] {
            check_eq!(
                job_restarts(&jobset, "w", field),
                json!([0, 1, 0]),
                "{field}"
            );
        }
        check_eq!(jobset["status"]["restarts"], json!(0), "restarts of all");
        Ok(())
    })?;
    world
        .until_event("js", "RestartJobFailurePolicyAction")
        .await?;
    for job in ["js-w-0", "js-w-1", "js-w-2"] {
        world.finish_job(job, 0).await?;
    }
    world
        .until_condition("js", "Completed", "True")
        .await
        .map(drop)
}

async fn restart_job_max(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "one", "action": "RestartJob", "targetReplicatedJobs": ["w"]}]);
    let roles = vec![role("w", 2), role("x", 1)];
    world
        .create(&with(jobset("js", roles), &policy(2, rules)))
        .await?;
    world.until_ready("js", 3).await?;
    world.finish_job("js-w-0", 1).await?;
    world
        .until("the first Job is new", |s| {
            (s.incarnations(Kind::Job, "js-w-0").len() == 2).then_some(())
        })
        .await?;
    world.until_ready("js", 3).await?;
    world.finish_job("js-x-0", 1).await?;
    world
        .until_jobs(&["js-w-0@1", "js-w-1@1", "js-x-0@1"])
        .await?;
    world.finish_job("js-w-1", 1).await?;
    until_failed(world, "ReachedMaxRestarts", "js-w-1").await
}

async fn restart_job_ignore_max(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "one", "action": "RestartJobAndIgnoreMaxRestarts"}]);
    world
        .create(&with(jobset("js", vec![role("w", 2)]), &policy(0, rules)))
        .await?;
    for lives in 1..=3 {
        world
            .until("the Job is new", |s| {
                (s.incarnations(Kind::Job, "js-w-0").len() == lives).then_some(())
            })
            .await?;
        if lives < 3 {
            world.finish_job("js-w-0", 1).await?;
        }
    }
    let jobset = world
        .until_object(Kind::JobSet, "js", "has counted", |js| {
            job_restarts(js, "w", "jobRestarts") == json!([2, 0])
        })
        .await?;
    let counted = job_restarts(&jobset, "w", "jobRestartsCountTowardsMax");
    check_eq!(counted, Value::Null, "counted restarts");
    Ok(())
}

async fn rule_order(world: &World) -> anyhow::Result<()> {
    let rules = json!([
        {"name": "never", "action": "FailJobSet", "targetReplicatedJobs": ["b"]},
        {"name": "free", "action": "RestartJobSetAndIgnoreMaxRestarts"},
        {"name": "late", "action": "FailJobSet"},
    ]);
    let roles = vec![role("a", 1), role("b", 1)];
    world
        .create(&with(jobset("js", roles), &policy(0, rules)))
        .await?;
    world.until_ready("js", 2).await?;
    world.finish_job("js-a-0", 1).await?;
    until_restarts(world, 1, 0).await?;
    world
        .until_event("js", "FailurePolicy_free")
        .await
        .map(drop)
}

async fn rule_reason(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "fatal", "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"]}]);
    let more = json!({"template": {"spec": {
        "podFailurePolicy": {"rules": [{
            "action": "FailJob",
            "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]},
        }]},
    }}});
    let roles = vec![role_with("w", 1, &more)];
    world
        .create(&with(jobset("js", roles), &policy(3, rules)))
        .await?;
    world.finish_job("js-w-0", 1).await?;
    world.until_jobs(&["js-w-0@1"]).await?;
    world.finish_job("js-w-0", 42).await?;
    until_failed(world, "FailJobSetFailurePolicyAction", "js-w-0").await
}

async fn rule_message(world: &World) -> anyhow::Result<()> {
    let rules = json!([{"name": "fatal", "action": "FailJobSet",
                        "onJobFailureMessagePatterns": ["exit code 4\\d .*rule at index 0"]}]);
    let more = json!({"template": {"spec": {
        "podFailurePolicy": {"rules": [{
            "action": "FailJob",
            "onExitCodes": {"containerName": "main", "operator": "In", "values": [42, 50]},
        }]},
    }}});
    let roles = vec![role_with("w", 1, &more)];
    world
        .create(&with(jobset("js", roles), &policy(3, rules)))
        .await?;
    world.finish_job("js-w-0", 50).await?;
    world.until_jobs(&["js-w-0@1"]).await?;
    world.finish_job("js-w-0", 42).await?;
    until_failed(world, "FailJobSetFailurePolicyAction", "js-w-0").await
}

async fn pod_retries(world: &World) -> anyhow::Result<()> {
    let more = json!({"template": {"spec": {"backoffLimit": 1}}});
    world
        .create(&jobset("js", vec![role_with("w", 1, &more)]))
        .await?;
    let first = world.until_running("js-w-0").await?;
    world.finish_job("js-w-0", 1).await?;
    world.until_gone_or_ended(&first[0]).await?;
    world.finish_job("js-w-0", 0).await?;
    world.until_condition("js", "Completed", "True").await?;
    until_restarts(world, 0, 0).await
}
