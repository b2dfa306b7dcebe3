//! `jobset tree`: roles, Jobs and Pods below a JobSet.

use crate::args::{OutputKind, ViewArgs};
use crate::exit::Exit;
use crate::view::{self, SetView};
use crate::{cluster, output, style};

/// Shows the tree.
pub(super) async fn main(args: &ViewArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let snapshot = cluster::snapshot(&at, &args.name, false).await?;
    let set = SetView::with_children(&snapshot);
    match args.output {
        OutputKind::Text => {
            let text = view::tree(&set, snapshot.now, style::enabled_on_stdout());
            output::text(&text)?;
        }
        OutputKind::Json => output::json(&set)?,
    }
    Ok(Exit::Completed)
}
