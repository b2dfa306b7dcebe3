//! `jobset logs`: the logs of all Pods of a JobSet as one.

mod follow;
mod line;
mod merge;
mod source;

use anyhow::bail;
use kube::api::LogParams;

pub(crate) use self::follow::{Readers, Said};
use self::line::Printer;
pub(crate) use self::line::{Document, Line};
pub(crate) use self::source::Source;
use self::source::sources;
use crate::args::LogsArgs;
use crate::exit::Exit;
use crate::{cluster, engine, view};

/// Prints the logs.
pub(crate) async fn main(args: &LogsArgs) -> anyhow::Result<Exit> {
    let interrupted = engine::interrupted();
    let print = async {
        let at = cluster::connect(&args.connection).await?;
        let snapshot = cluster::snapshot(&at, &args.pods.name, false).await?;
        if let Some(role) = &args.pods.role
            && snapshot.jobset.replicated_job(role).is_none()
        {
            bail!("JobSet {} has no replicated job {role:?}", args.pods.name);
        }
        let printer = Printer::new(args, &snapshot.jobset);
        if args.follow {
            return follow::follow(args, &at, snapshot, printer).await;
        }
        let found = sources(&snapshot.pods, args, snapshot.jobset.status.as_ref());
        limit(found.len(), args)?;
        if found.is_empty() {
            eprintln!(
                "no container of JobSet {} that is asked for has run, or its Pod is gone",
                args.pods.name
            );
        }
        merge::print(&at, &found, args, printer).await
    };
    tokio::select! {
        exit = print => exit,
        result = interrupted => { result?; Ok(Exit::Interrupted) }
    }
}

/// Every container is one connection.
fn limit(containers: usize, args: &LogsArgs) -> anyhow::Result<()> {
    if containers > args.max_containers {
        bail!(
            "these are the logs of {}: choose some with --role, --job or --pod, or permit so many \
             connections with --max-containers",
            view::count(containers as i64, "container")
        );
    }
    Ok(())
}

/// What the API is asked for.
fn parameters(source: &Source, args: &LogsArgs, follow: bool) -> LogParams {
    LogParams {
        container: Some(source.container.clone()),
        follow,
        previous: source.previous,
        since_seconds: args.since.map(|since| {
            i64::try_from(since.as_secs_f64().ceil() as u64)
                .unwrap_or(i64::MAX)
                .max(1)
        }),
        tail_lines: args.tail.map(i64::from),
        // They decide the order, and are cut off again unless they are wanted.
        timestamps: true,
        ..LogParams::default()
    }
}
