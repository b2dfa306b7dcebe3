//! The examples of recovery as users apply them.
//!
//! The nodes only pretend to run Pods, so that the scenario tells each worker how it ends; what
//! comes of that is the manifest's. That the programs in them work is tested with `jobset run`.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::world::World;

scenarios! { LIST, alone = false;
    "example-maintenance": "maintenance restarts without a budget, a bug fails" => maintenance;
    "example-leader": "a worker is restarted alone, the leader ends everything" => leader;
}

const MAINTENANCE: &str = include_str!("../../../../examples/host-maintenance/jobset.yaml");
const LEADER: &str = include_str!("../../../../examples/leader-fails-all/jobset.yaml");

/// Creates what is in the file; returns the JobSet's name.
async fn create(world: &World, text: &str) -> anyhow::Result<String> {
    let jobset: Value = serde_saphyr::from_str(text)?;
    let name = jobset["metadata"]["name"].as_str();
    let name = name.context("the example has a name")?.to_owned();
    world.create(&jobset).await?;
    Ok(name)
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
