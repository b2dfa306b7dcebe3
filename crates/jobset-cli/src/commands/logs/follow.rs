//! Logs as they grow, of the Pods there are and of those that come.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::StreamExt as _;
use jobset_api::constants as keys;
use jobset_api::{JobSet, JobSetStatus, conditions};
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

/// What a log has said: a line, or why it cannot be read.
pub(crate) type Said = (Source, Result<Line, kube::Error>);

/// The logs that are being read.
pub(crate) struct Readers {
    at: Connection,
    args: LogsArgs,
    /// As the JobSet was when the reading began: logs are those of that attempt and of later ones.
    status: Option<JobSetStatus>,
    known: HashSet<(String, String, i32)>,
    tasks: JoinSet<()>,
    lines: mpsc::Sender<Said>,
}

impl Readers {
    /// Reads nothing yet; lines come from the receiver. Who does not take them makes the logs wait.
    pub(crate) fn new(
        at: Connection,
        args: LogsArgs,
        status: Option<JobSetStatus>,
    ) -> (Self, mpsc::Receiver<Said>) {
        let (lines, receiver) = mpsc::channel(WAITING);
        let readers = Self {
            at,
            args,
            status,
            known: HashSet::new(),
            tasks: JoinSet::new(),
            lines,
        };
        (readers, receiver)
    }

    /// Begins to read what these Pods of the JobSet have that is not being read yet.
    ///
    /// # Errors
    ///
    /// There would be more logs at once than the arguments permit.
    pub(crate) fn start(&mut self, pods: &[Arc<Pod>]) -> anyhow::Result<()> {
        for source in sources(pods, &self.args, self.status.as_ref()) {
            if self.known.contains(&source.id) {
                continue;
            }
            limit(self.tasks.len() + 1, &self.args)?;
            self.known.insert(source.id.clone());
            let (pods, lines) = (self.at.api::<Pod>(), self.lines.clone());
            let parameters = parameters(&source, &self.args, !source.previous);
            self.tasks.spawn(async move {
                if let Err(error) = read(&pods, &source, &parameters, &lines).await {
                    // Nobody listens any more: nobody wants to know either.
                    let _ = lines.send((source, Err(error))).await;
                }
            });
        }
        Ok(())
    }

    /// How many logs are being read, and how many have been.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.tasks.len(), self.known.len())
    }

    /// Completes when a log has ended. Nothing is lost if the future is dropped.
    pub(crate) async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn read(
    pods: &kube::Api<Pod>,
    source: &Source,
    parameters: &kube::api::LogParams,
    lines: &mpsc::Sender<Said>,
) -> kube::Result<()> {
    let mut log = pin!(pods.log_stream(&source.pod, parameters).await?);
    while let Some(raw) = cluster::next_line(&mut log).await? {
        if lines
            .send((source.clone(), Ok(Line::parse(&raw))))
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
    let status = snapshot.jobset.status.clone();
    let (mut readers, mut lines) = Readers::new(at.clone(), args.clone(), status);
    // Labels alone may be anybody's.
    let ours = |pods: Vec<Pod>| {
        let pods = pods.into_iter().map(Arc::new);
        Snapshot::new(snapshot.jobset.clone(), [], pods, Vec::new(), snapshot.now).pods
    };
    readers.start(&snapshot.pods)?;
    let mut over = false;
    loop {
        tokio::select! {
            Some(said) = lines.recv() => {
                if !say(&printer, said)? {
                    return Ok(Exit::Completed);
                }
            }
            change = pods.next(), if !over => match change.context("the watch ended")? {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => readers.start(&ours(vec![pod]))?,
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
                        readers.start(&ours(left))?;
                    }
                }
                Err(error) => tracing::warn!(%error, "the watch was interrupted"),
            },
            () = readers.ended() => {}
        }
        if over && readers.count().0 == 0 {
            // Nobody sends any more; print what waits.
            while let Ok(said) = lines.try_recv() {
                if !say(&printer, said)? {
                    break;
                }
            }
            return Ok(Exit::Completed);
        }
    }
}

/// Prints a line, or why there is none; `false` if nobody reads any more.
fn say(printer: &Printer, (source, said): Said) -> anyhow::Result<bool> {
    match said {
        Ok(line) => printer.print(&source, &line),
        Err(error) => {
            complain(&source, error);
            Ok(true)
        }
    }
}
