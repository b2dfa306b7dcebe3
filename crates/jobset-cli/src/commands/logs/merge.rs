//! Logs as they are now, in the order of the time of their lines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;

use futures::{AsyncBufRead, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::line::{Line, Printer};
use super::parameters;
use super::source::Source;
use crate::args::LogsArgs;
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::style;

/// Connections that are opened at once.
const OPENING: usize = 16;

/// A log that is being read.
struct Open<'a> {
    source: &'a Source,
    log: Pin<Box<dyn AsyncBufRead + Send>>,
    next: Line,
    /// Time of the line before, for lines that have none.
    time: Timestamp,
}

impl Open<'_> {
    /// Reads on; `false` at the end.
    async fn advance(&mut self) -> kube::Result<bool> {
        let Some(raw) = cluster::next_line(&mut self.log).await? else {
            return Ok(false);
        };
        self.next = Line::parse(&raw);
        self.time = self.next.time.unwrap_or(self.time);
        Ok(true)
    }
}

/// Prints all lines. Only one line of each log is held in memory.
pub(super) async fn print(
    at: &Connection,
    sources: &[Source],
    args: &LogsArgs,
    printer: Printer,
) -> anyhow::Result<Exit> {
    let pods = at.api::<Pod>();
    let open = sources.iter().map(|source| {
        let pods = pods.clone();
        async move {
            let log = pods
                .log_stream(&source.pod, &parameters(source, args, false))
                .await?;
            let mut open = Open {
                source,
                log: Box::pin(log),
                next: Line::parse(""),
                time: Timestamp::MIN,
            };
            Ok(open.advance().await?.then_some(open))
        }
    });
    let opened: Vec<kube::Result<Option<Open<'_>>>> = futures::stream::iter(open)
        .buffered(OPENING)
        .collect()
        .await;
    let mut exit = Exit::Completed;
    let mut logs = Vec::new();
    for (source, result) in sources.iter().zip(opened) {
        match result {
            Ok(log) => logs.extend(log),
            Err(error) => {
                complain(source, error);
                exit = Exit::Failed;
            }
        }
    }
    // The earliest first; of the same time, in the order of the sources.
    let mut heap: BinaryHeap<Reverse<(Timestamp, usize)>> = logs
        .iter()
        .enumerate()
        .map(|(place, log)| Reverse((log.time, place)))
        .collect();
    while let Some(Reverse((_, place))) = heap.pop() {
        let log = &mut logs[place];
        if !printer.print(log.source, &log.next)? {
            return Ok(Exit::Completed);
        }
        match log.advance().await {
            Ok(true) => heap.push(Reverse((log.time, place))),
            Ok(false) => {}
            Err(error) => {
                complain(log.source, error);
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

/// One log that cannot be read does not keep the others from being printed.
pub(super) fn complain(source: &Source, error: kube::Error) {
    eprintln!(
        "{} pod {}, container {}: {:#}",
        style::warning("warning:"),
        source.pod,
        source.container,
        cluster::plain(error)
    );
}
