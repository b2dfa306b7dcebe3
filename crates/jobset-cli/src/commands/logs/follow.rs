//! Logs as they grow, of the Pods there are and of those that come.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::StreamExt as _;
use jobset_api::constants as keys;
use jobset_api::{JobSet, conditions};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::line::{Line, Printer};
use super::merge::complain;
use super::source::{Source, sources};
use super::{limit, parameters};
use crate::args::LogsArgs;
use crate::cluster::{self, Connection};
use crate::exit::Exit;
use crate::view::Snapshot;

/// Lines that may wait to be printed; whoever prints more has to wait.
const WAITING: usize = 1024;

/// The logs that are being read.
struct Readers<'a> {
    at: &'a Connection,
    args: &'a LogsArgs,
    first: Snapshot,
    known: HashSet<(String, String, i32)>,
    tasks: JoinSet<()>,
    lines: mpsc::Sender<(Source, Line)>,
}

impl Readers<'_> {
    /// Begins to read what these Pods have that is not being read yet.
    fn start(&mut self, pods: impl IntoIterator<Item = Arc<Pod>>) -> anyhow::Result<()> {
        // Those of the attempt at which we came, and of later ones.
        let status = self.first.jobset.status.as_ref();
        let jobset = self.first.jobset.clone();
        let ours = Snapshot::new(jobset, [], pods, Vec::new(), self.first.now);
        for source in sources(&ours.pods, self.args, status) {
            if !self.known.insert(source.id.clone()) {
                continue;
            }
            limit(self.tasks.len() + 1, self.args)?;
            let (pods, lines) = (self.at.api::<Pod>(), self.lines.clone());
            let parameters = parameters(&source, self.args, !source.previous);
            self.tasks.spawn(async move {
                if let Err(error) = read(&pods, &source, &parameters, &lines).await {
                    complain(&source, error);
                }
            });
        }
        Ok(())
    }
}

async fn read(
    pods: &kube::Api<Pod>,
    source: &Source,
    parameters: &kube::api::LogParams,
    lines: &mpsc::Sender<(Source, Line)>,
) -> kube::Result<()> {
    let mut log = pin!(pods.log_stream(&source.pod, parameters).await?);
    while let Some(raw) = cluster::next_line(&mut log).await? {
        if lines
            .send((source.clone(), Line::parse(&raw)))
            .await
            .is_err()
        {
            break;
        }
    }
    Ok(())
}

/// Prints until the JobSet has finished or is gone, and its logs have ended.
pub(super) async fn follow(
    args: &LogsArgs,
    at: &Connection,
    snapshot: Snapshot,
    printer: Printer,
) -> anyhow::Result<Exit> {
    let (sender, mut lines) = mpsc::channel(WAITING);
    let selector = format!("{}={}", keys::JOBSET_NAME_KEY, args.pods.name);
    let mut pods = watcher(
        at.api::<Pod>(),
        watcher::Config::default().labels(&selector),
    )
    .default_backoff()
    .boxed();
    let mut states = watcher::watch_object(at.api::<JobSet>(), &args.pods.name)
        .default_backoff()
        .boxed();
    let uid = snapshot.jobset.uid().to_owned();
    let mut readers = Readers {
        at,
        args,
        known: HashSet::new(),
        tasks: JoinSet::new(),
        lines: sender,
        first: snapshot,
    };
    let there = std::mem::take(&mut readers.first.pods);
    readers.start(there)?;
    let mut over = false;
    loop {
        tokio::select! {
            Some((source, line)) = lines.recv() => {
                if !printer.print(&source, &line)? {
                    return Ok(Exit::Completed);
                }
            }
            change = pods.next(), if !over => match change.context("the watch ended")? {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => readers.start([Arc::new(pod)])?,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the watch was interrupted"),
            },
            state = states.next(), if !over => match state.context("the watch ended")? {
                Ok(jobset) => {
                    let same = jobset.filter(|jobset| jobset.uid() == uid);
                    if same.is_none_or(|jobset| conditions::is_finished(&jobset)) {
                        over = true;
                        // Of Pods that have come and ended since, the watch may not have told yet.
                        let left = cluster::all(at.api::<Pod>(), &kube::api::ListParams::default().labels(&selector), |_| {}).await?;
                        readers.start(left.into_iter().map(Arc::new))?;
                    }
                }
                Err(error) => tracing::warn!(%error, "the watch was interrupted"),
            },
            Some(_) = readers.tasks.join_next(), if !readers.tasks.is_empty() => {}
            else => return Ok(Exit::Completed),
        }
        if over && readers.tasks.is_empty() {
            // Nobody sends any more; print what waits.
            while let Ok((source, line)) = lines.try_recv() {
                if !printer.print(&source, &line)? {
                    break;
                }
            }
            return Ok(Exit::Completed);
        }
    }
}
