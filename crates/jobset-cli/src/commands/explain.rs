//! `jobset explain`: why a JobSet is as it is.

use crate::args::{ExplainArgs, OutputKind};
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::view::Explanation;
use crate::{output, style};

/// Jobs of which a failed container's log is shown.
const LOGS: usize = 3;

/// Explains a JobSet.
pub(super) async fn main(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.view.connection).await?;
    let explanation = explain(&at, &args.view.name, args.log_lines).await?;
    match args.view.output {
        OutputKind::Text => {
            output::text(&explanation.text(style::enabled_on_stdout()))?;
        }
        OutputKind::Json => output::json(&explanation)?,
    }
    Ok(Exit::Completed)
}

/// Reads everything there is, and the logs of what failed first.
async fn explain(at: &Connection, name: &str, log_lines: u32) -> anyhow::Result<Explanation> {
    let snapshot = cluster::snapshot(at, name, true).await?;
    let mut explanation = Explanation::of(&snapshot);
    cluster::look_up_queues(at, std::slice::from_mut(&mut explanation.set), |_| {
        snapshot.jobset.uid().to_owned()
    })
    .await;
    if log_lines > 0 {
        for index in explanation.logs_wanted(LOGS) {
            let failure = &mut explanation.failures[index];
            cluster::last_lines(at, failure, i64::from(log_lines)).await;
        }
    }
    Ok(explanation)
}
