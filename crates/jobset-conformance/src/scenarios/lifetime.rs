//! How a JobSet ends.

use anyhow::ensure;
use serde_json::json;

use super::{check_eq, scenarios};
use crate::kind::Kind;
use crate::objects::{jobset, role, with};
use crate::world::{World, is_deleted};

scenarios! { LIST, alone = false;
    "ttl": "goes some time after it has finished, with all it had" => ttl;
    "ttl-later": "the time can be set after the end" => ttl_later;
    "delete": "all it had goes with it" => delete;
    "delete-foreground": "it stays until all it had is gone" => delete_foreground;
    "delete-orphan": "its Jobs stay and run on" => delete_orphan;
    "same-name": "a new JobSet of the same name gets Jobs of its own" => same_name;
}

async fn until_empty(world: &World) -> anyhow::Result<()> {
    world
        .until("nothing is left", |state| {
            let kinds = [Kind::JobSet, Kind::Job, Kind::Pod, Kind::Service];
            let left = kinds.iter().any(|kind| !state.names(*kind).is_empty());
            (!left).then_some(())
        })
        .await
}

async fn ttl(world: &World) -> anyhow::Result<()> {
    let spec = json!({"ttlSecondsAfterFinished": 1});
    world
        .create(&with(jobset("js", vec![role("w", 2)]), &spec))
        .await?;
    world.finish_job("js-w-0", 0).await?;
    world.finish_job("js-w-1", 0).await?;
    until_empty(world).await?;
    world.look(|state| {
        let finished = state.log.iter().any(|change| {
            change.kind == Kind::JobSet
                && change.object["status"]["terminalState"] == "Completed"
                && !is_deleted(&change.object)
        });
        ensure!(finished, "was not seen finished before it went");
        Ok(())
    })
}

async fn ttl_later(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    world.finish_job("js-w-0", 1).await?;
    world.until_condition("js", "Failed", "True").await?;
    world
        .patch("js", json!({"spec": {"ttlSecondsAfterFinished": 0}}))
        .await?;
    until_empty(world).await
}

async fn delete(world: &World) -> anyhow::Result<()> {
    world
        .create(&jobset("js", vec![role("a", 1), role("b", 2)]))
        .await?;
    world.until_ready("js", 3).await?;
    world.user.delete(Kind::JobSet, "js", "background").await?;
    until_empty(world).await
}

async fn delete_foreground(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    world.until_ready("js", 2).await?;
    world.user.delete(Kind::JobSet, "js", "foreground").await?;
    until_empty(world).await?;
    world.look(|state| {
        let waited = state.log.iter().any(|change| {
            change.kind == Kind::JobSet && is_deleted(&change.object) && !change.gone
        });
        ensure!(waited, "did not wait for what it had");
        check_eq!(
            state.incarnations(Kind::Job, "js-w-0").len(),
            1,
            "incarnations of a Job"
        );
        Ok(())
    })
}

async fn delete_orphan(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 1)])).await?;
    world.until_ready("js", 1).await?;
    world.user.delete(Kind::JobSet, "js", "orphan").await?;
    world.until_gone(Kind::JobSet, "js").await?;
    world
        .until_object(Kind::Job, "js-w-0", "has no owner", |job| {
            let owners = job["metadata"]["ownerReferences"].as_array();
            owners.is_none_or(Vec::is_empty)
        })
        .await?;
    world.finish_job("js-w-0", 0).await?;
    world
        .until_object(Kind::Job, "js-w-0", "is done", |job| {
            job["status"]["succeeded"] == 1
        })
        .await
        .map(drop)
}

async fn same_name(world: &World) -> anyhow::Result<()> {
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    world.until_ready("js", 2).await?;
    world.user.delete(Kind::JobSet, "js", "background").await?;
    world.until_gone(Kind::JobSet, "js").await?;
    world.create(&jobset("js", vec![role("w", 2)])).await?;
    world
        .until("the new JobSet has Jobs of its own", |state| {
            let uid = &state.get(Kind::JobSet, "js")?["metadata"]["uid"];
            let own = |job: &&str| {
                state
                    .get(Kind::Job, job)
                    .is_some_and(|job| job["metadata"]["ownerReferences"][0]["uid"] == *uid)
            };
            (["js-w-0", "js-w-1"].iter().all(own)).then_some(())
        })
        .await?;
    world.until_ready("js", 2).await
}
