//! `jobset timeline`: when which Job was in which state.

use std::io;

use crate::args::{TimelineArgs, TimelineFormat};
use crate::exit::Exit;
use crate::timeline::{self, Page};
use crate::{cluster, output, style};

/// Columns where there is no terminal to ask.
const COLUMNS: usize = 100;
/// Jobs of a role and attempt that are drawn unless told otherwise.
const ROWS_OF_TEXT: usize = 20;
const ROWS_OF_PICTURES: usize = 200;

/// Draws the timeline.
pub(super) async fn main(args: &TimelineArgs) -> anyhow::Result<Exit> {
    let at = cluster::connect(&args.connection).await?;
    let snapshot = cluster::snapshot(&at, &args.name, true).await?;
    let timeline = timeline::of_snapshot(&snapshot);
    let most = args.rows.unwrap_or(match args.format {
        TimelineFormat::Text => ROWS_OF_TEXT,
        _ => ROWS_OF_PICTURES,
    });
    match args.format {
        TimelineFormat::Json => output::json(&timeline)?,
        TimelineFormat::Text => {
            let width = terminal_size::terminal_size_of(io::stdout())
                .map_or(COLUMNS, |(width, _)| usize::from(width.0));
            let colored = style::enabled_on_stdout();
            output::text(&timeline::text(&timeline, width, most, colored))?;
        }
        TimelineFormat::Svg => {
            output::text(&timeline::svg(&timeline, most))?;
        }
        TimelineFormat::Html => {
            let mut page = Page::new(&format!("Timeline of JobSet {}", args.name));
            page.timeline(&timeline, most);
            output::text(&page.html())?;
        }
    }
    Ok(Exit::Completed)
}
