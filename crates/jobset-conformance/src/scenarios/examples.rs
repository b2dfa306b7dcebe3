//! The examples of recovery as users apply them.
//!
//! The nodes only pretend to run Pods, so that the scenario tells each worker how it ends; what
//! comes of that is the manifest's. That the programs in them work is tested with `jobset run`.

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::world::World;

scenarios! { LIST, alone = false;
    "example-maintenance": "maintenance restarts without a budget, a bug fails" => maintenance;
    "example-training": "three failures, each strategy, one claim for all attempts" => training;
    "example-leader": "a worker is restarted alone, the leader ends everything" => leader;
}

const MAINTENANCE: &str = include_str!("../../../../examples/host-maintenance/jobset.yaml");
const LEADER: &str = include_str!("../../../../examples/leader-fails-all/jobset.yaml");

const TRAININGS: [&str; 2] = [
    include_str!("../../../../examples/checkpointed-training/recreate.yaml"),
    include_str!("../../../../examples/checkpointed-training/blocking-recreate.yaml"),
];

/// Where volumes are.
const VOLUMES: &str = "/api/v1/persistentvolumes";

/// Creates what is in the file; returns the JobSet's name.
async fn create(world: &World, text: &str) -> anyhow::Result<String> {
    let jobset: Value = serde_saphyr::from_str(text)?;
    let name = jobset["metadata"]["name"].as_str();
    let name = name.context("the example has a name")?.to_owned();
    world.create(&jobset).await?;
    Ok(name)
}

/// Gives a claim a volume, where claims need one to be of use.
async fn provide(world: &World, claim: &str) -> anyhow::Result<()> {
    world
        .until_object(Kind::Claim, claim, "exists", |_| true)
        .await?;
    if world.environment.name != "real" {
        return Ok(());
    }
    let namespace = world.namespace();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": format!("{namespace}-{claim}")},
        "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"}, "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
        },
    });
    world
        .user
        .send(Method::POST, VOLUMES, "json", &volume)
        .await
        .map(drop)
}

/// Removes the volume again: it belongs to no namespace.
async fn withdraw(world: &World, claim: &str) -> anyhow::Result<()> {
    if world.environment.name != "real" {
        return Ok(());
    }
    let path = format!("{VOLUMES}/{}-{claim}", world.namespace());
    world
        .user
        .send(Method::DELETE, &path, "json", &Value::Null)
        .await
        .map(drop)
}

async fn training(world: &World) -> anyhow::Result<()> {
    for text in TRAININGS {
        let name = create(world, text).await?;
        let claim = format!("checkpoint-{name}");
        provide(world, &claim).await?;
        let result = train(world, &name, &claim).await;
        withdraw(world, &claim).await.and(result)?;
    }
    Ok(())
}

/// The failures are those that the example asks for.
async fn train(world: &World, name: &str, claim: &str) -> anyhow::Result<()> {
    let jobs = ["leader-0", "workers-0", "workers-1"].map(|job| format!("{name}-{job}"));
    let uid = || {
        let of = |claim: &Value| claim["metadata"]["uid"].clone();
        world.look(|state| state.get(Kind::Claim, claim).map(of))
    };
    let first = uid();
    for (failing, restarts) in [(2, 1), (0, 2), (1, 3)] {
        world.until_ready(name, 3).await?;
        world.finish_job(&jobs[failing], 1).await?;
        let anew = jobs.each_ref().map(|job| format!("{job}@{restarts}"));
        world.until_jobs(&anew.each_ref().map(|job| &**job)).await?;
    }
    world.until_ready(name, 3).await?;
    check_eq!(uid(), first, "the claim of all attempts");
    for job in &jobs {
        world.finish_job(job, 0).await?;
    }
    world.until_condition(name, "Completed", "True").await?;
    world
        .until_object(Kind::JobSet, name, "has used up its budget", |jobset| {
            jobset["status"]["restartsCountTowardsMax"] == 3
        })
        .await?;
    world.user.delete(Kind::JobSet, name, "background").await?;
    world.until_gone(Kind::JobSet, name).await
}

async fn until_restarts(world: &World, name: &str, all: i64) -> anyhow::Result<()> {
    let what = format!("has {all} restarts, none of them counted");
    world
        .until_object(Kind::JobSet, name, &what, |jobset| {
            let status = &jobset["status"];
            let counted = status["restartsCountTowardsMax"].as_i64().unwrap_or(0);
            status["restarts"] == all && counted == 0
        })
        .await
        .map(drop)
}

async fn maintenance(world: &World) -> anyhow::Result<()> {
    let name = create(world, MAINTENANCE).await?;
    for restarts in 1..=2 {
        world.until_ready(&name, 3).await?;
        world.finish_job(&format!("{name}-workers-1"), 75).await?;
        until_restarts(world, &name, restarts).await?;
        let jobs = [0, 1, 2].map(|index| format!("{name}-workers-{index}@{restarts}"));
        world.until_jobs(&jobs.each_ref().map(|job| &**job)).await?;
    }
    world.until_ready(&name, 3).await?;
    world.finish_job(&format!("{name}-workers-0"), 0).await?;
    world.finish_job(&format!("{name}-workers-2"), 1).await?;
    let failed = world.until_condition(&name, "Failed", "True").await?;
    check_eq!(failed["reason"], "ReachedMaxRestarts", "reason");
    until_restarts(world, &name, 2).await
}

async fn leader(world: &World) -> anyhow::Result<()> {
    let name = create(world, LEADER).await?;
    let [leader, worker] = ["leader-0", "workers-1"].map(|job| format!("{name}-{job}"));
    world.until_ready(&name, 4).await?;
    let uid = |job: &str| {
        world.look(|state| {
            state
                .get(Kind::Job, job)
                .map(|job| job["metadata"]["uid"].clone())
        })
    };
    let (old_leader, old_worker) = (uid(&leader), uid(&worker));
    world.finish_job(&worker, 1).await?;
    world
        .until_object(Kind::Job, &worker, "is another one", |job| {
            old_worker.as_ref() != Some(&job["metadata"]["uid"])
        })
        .await?;
    world.until_ready(&name, 4).await?;
    check_eq!(uid(&leader), old_leader, "the leader goes on");
    world
        .until_object(Kind::JobSet, &name, "counts the one Job", |jobset| {
            let roles = jobset["status"]["replicatedJobsStatus"].as_array();
            let mut roles = roles.into_iter().flatten();
            roles.any(|role| role["jobRestarts"] == json!([0, 1, 0]))
        })
        .await?;

    world.finish_job(&leader, 1).await?;
    let failed = world.until_condition(&name, "Failed", "True").await?;
    check_eq!(failed["reason"], "FailJobSetFailurePolicyAction", "reason");
    // What failed is kept for whoever asks why; the workers are stopped.
    let kept = format!("{leader}@0");
    world.until_jobs(&[&kept]).await
}
