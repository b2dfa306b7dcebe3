//! How Jobs are replaced.

use anyhow::ensure;
use serde_json::json;

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::mirror::State;
use crate::objects::{jobset, role, with};
use crate::user::PatchKind;
use crate::world::World;

scenarios! { LIST, alone = false;
    "recreate": "a Job comes back although another one is still going" => recreate;
    "blocking-recreate": "no Job comes back before all old ones are gone" => blocking_recreate;
}

/// Keeps a Job's object, whoever deletes it.
async fn hold(world: &World, job: &str) -> anyhow::Result<()> {
    let patch = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    world
        .user
        .patch(Kind::Job, job, PatchKind::Merge, &patch)
        .await
}

/// Lets it go.
async fn release(world: &World, job: &str) -> anyhow::Result<()> {
    world
        .until_object(Kind::Job, job, "is held by nobody else", |job| {
            job["metadata"]["finalizers"] == json!(["example.com/hold"])
        })
        .await?;
    let patch = json!({"metadata": {"finalizers": null}});
    world
        .user
        .patch(Kind::Job, job, PatchKind::Merge, &patch)
        .await
}

async fn prepare(world: &World, strategy: &str) -> anyhow::Result<()> {
    let spec = json!({"failurePolicy": {"maxRestarts": 1, "restartStrategy": strategy}});
    world
        .create(&with(jobset("js", vec![role("w", 3)]), &spec))
        .await?;
    world.until_ready("js", 3).await?;
    hold(world, "js-w-2").await?;
    world.finish_job("js-w-0", 1).await
}

async fn recreate(world: &World) -> anyhow::Result<()> {
    prepare(world, "Recreate").await?;
    world
        .until_jobs(&["js-w-0@1", "js-w-1@1", "js-w-2@0x"])
        .await?;
    release(world, "js-w-2").await?;
    world
        .until_jobs(&["js-w-0@1", "js-w-1@1", "js-w-2@1"])
        .await
}

async fn blocking_recreate(world: &World) -> anyhow::Result<()> {
    prepare(world, "BlockingRecreate").await?;
    world.until_gone(Kind::Job, "js-w-0").await?;
    world.until_gone(Kind::Job, "js-w-1").await?;
    world.until_controller_has_looked().await?;
    world.until_jobs(&["js-w-2@0x", "sentinel-s-0@0"]).await?;
    release(world, "js-w-2").await?;
    world
        .until_jobs(&["js-w-0@1", "js-w-1@1", "js-w-2@1", "sentinel-s-0@0"])
        .await?;
    world.look(|state| {
        ensure!(
            !overlap(state),
            "a new Job was there together with an old one"
        );
        check_eq!(
            state.incarnations(Kind::Job, "js-w-2").len(),
            2,
            "incarnations"
        );
        Ok(())
    })
}

/// Whether Jobs of both attempts were there at once.
fn overlap(state: &State) -> bool {
    let mut old = 3;
    for change in state.log.iter().filter(|c| c.kind == Kind::Job) {
        match change.object["metadata"]["labels"]["jobset.sigs.k8s.io/restart-attempt"].as_str() {
            Some("0") if change.gone => old -= 1,
            Some("1") if old > 0 => return true,
            _ => {}
        }
    }
    false
}
