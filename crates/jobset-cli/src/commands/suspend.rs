//! `jobset suspend` and `jobset resume`.

use jobset_api::{JobSet, conditions};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::args::NamesArgs;
use crate::exit::Exit;
use crate::view::QueueState;
use crate::{cluster, output, style};

/// Sets `spec.suspend` of every JobSet that is named; one that cannot be changed does not keep the
/// others from it.
pub(super) async fn main(args: &NamesArgs, suspend: bool) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let mut exit = Exit::Completed;
    for name in &args.names {
        match change(&at, name, suspend).await {
            Ok(said) => {
                output::text(&format!("JobSet {name} {said}\n"))?;
            }
            Err(error) => {
                eprintln!("{} {error:#}", style::error("error:"));
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

async fn change(
    at: &cluster::Connection,
    name: &str,
    suspend: bool,
) -> anyhow::Result<&'static str> {
    let jobset = cluster::jobset(at, name).await?;
    if conditions::is_finished(&jobset) {
        anyhow::bail!("JobSet {name} has finished; only a new one would run again");
    }
    if jobset.is_suspended() == suspend {
        return Ok(if suspend {
            "is suspended already"
        } else {
            "is not suspended"
        });
    }
    if let Some(queue) = QueueState::of(&jobset) {
        eprintln!(
            "{} JobSet {name} is in the queue {}: Kueue may change this again",
            style::warning("warning:"),
            queue.queue
        );
    }
    let api: Api<JobSet> = at.api();
    let patch = json!({"metadata": {"uid": jobset.uid()}, "spec": {"suspend": suspend}});
    let params = PatchParams {
        field_manager: Some(cluster::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &params, &Patch::Merge(&patch))
        .await
        .map_err(cluster::plain)?;
    Ok(if suspend { "suspended" } else { "resumed" })
}
