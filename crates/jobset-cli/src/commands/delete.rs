//! `jobset delete`: JobSets with all that they own.

use std::time::Instant;

use anyhow::Context as _;
use jobset_api::JobSet;
use kube::Api;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::runtime::wait::{await_condition, conditions};

use crate::args::DeleteArgs;
use crate::exit::Exit;
use crate::{cluster, engine, output, style};

/// Deletes, and waits unless told not to.
pub(super) async fn main(args: &DeleteArgs) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    tokio::select! {
        exit = delete(args) => exit,
        result = interrupted => { result?; Ok(Exit::Interrupted) }
    }
}

async fn delete(args: &DeleteArgs) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let at = cluster::connect(&args.names.connection).await?;
    let api: Api<JobSet> = at.api();
    let mut exit = Exit::Completed;
    let mut deleted = Vec::new();
    for name in &args.names.names {
        let result = async {
            let jobset = cluster::jobset(&at, name).await?;
            // The object goes when its children have gone, so that waiting for it is enough.
            let params = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Foreground),
                preconditions: Some(Preconditions {
                    uid: jobset.metadata.uid.clone(),
                    ..Preconditions::default()
                }),
                ..DeleteParams::default()
            };
            api.delete(name, &params).await.map_err(cluster::plain)?;
            Ok::<_, anyhow::Error>(jobset.uid().to_owned())
        };
        match result.await {
            Ok(uid) => deleted.push((name, uid)),
            Err(error) => {
                eprintln!("{} {error:#}", style::error("error:"));
                exit = Exit::Failed;
            }
        }
    }
    for (name, uid) in deleted {
        if args.no_wait {
            output::text(&format!("JobSet {name} is being deleted\n"))?;
            continue;
        }
        let gone = await_condition(api.clone(), name, conditions::is_deleted(&uid));
        let left = args
            .timeout
            .map(|limit| limit.saturating_sub(started.elapsed()));
        let waited = match left {
            Some(left) => tokio::time::timeout(left, gone).await,
            None => Ok(gone.await),
        };
        let Ok(result) = waited else {
            eprintln!(
                "{} JobSet {name} is still being deleted",
                style::error("given up:")
            );
            return Ok(Exit::TimedOut);
        };
        result.context("cannot watch the deletion")?;
        output::text(&format!("JobSet {name} deleted\n"))?;
    }
    Ok(exit)
}
