//! Reading the JobSet again and again, as often as the cluster can bear.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::cluster::{self, Connection};
use crate::view::{Failure, Happening, SetView, happenings};

/// The pause after a reading is this many times as long as the reading took: thousands of Jobs are not
/// asked for each second.
const REST: u32 = 4;
/// Lines that are read of a log.
const LINES: i64 = 200;
/// Events that are kept.
const EVENTS: usize = 200;

/// What was read at once.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) set: SetView,
    /// The newest events, oldest first.
    pub(super) told: Vec<Happening>,
    pub(super) now: Timestamp,
    /// Of the Pod that is chosen.
    pub(super) log: Option<Log>,
}

/// The end of a Pod's log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) pod: String,
    /// Lines, or why there are none.
    pub(super) lines: Result<Vec<String>, String>,
}

/// Reads the JobSet, and the log of a Pod.
pub(super) async fn read(
    at: &Connection,
    name: &str,
    pod: Option<String>,
) -> anyhow::Result<Reading> {
    let snapshot = cluster::snapshot(at, name, true).await?;
    let mut told = happenings(snapshot.events(), &snapshot.jobset);
    told.drain(..told.len().saturating_sub(EVENTS));
    let log = match pod {
        Some(pod) => {
            let container = snapshot
                .pods
                .iter()
                .find(|one| one.metadata.name.as_deref() == Some(&pod))
                .and_then(|one| Some(one.spec.as_ref()?.containers.first()?.name.clone()));
            Some(log(at, pod, container).await)
        }
        None => None,
    };
    Ok(Reading {
        set: SetView::with_children(&snapshot),
        told,
        now: snapshot.now,
        log,
    })
}

async fn log(at: &Connection, pod: String, container: Option<String>) -> Log {
    let Some(container) = container else {
        let lines = Err("the Pod is gone".to_owned());
        return Log { pod, lines };
    };
    // The last words of a container are asked for as those of one that failed.
    let mut asked = Failure {
        pod: pod.clone(),
        container: Some(container),
        ..Failure::default()
    };
    cluster::last_lines(at, &mut asked, LINES).await;
    let lines = asked
        .last_lines
        .ok_or_else(|| asked.no_log.unwrap_or_default());
    Log { pod, lines }
}

/// Readings, one after the other.
pub(super) struct Follower {
    readings: mpsc::Receiver<anyhow::Result<Reading>>,
    chosen: watch::Sender<Option<String>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins to read, not more often than the interval says.
    pub(super) fn start(at: Connection, name: String, interval: Duration) -> Self {
        let (sender, readings) = mpsc::channel(1);
        let (chosen, mut choice) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut took = Duration::ZERO;
            loop {
                let rest = interval.max(took * REST);
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    // Who chooses another Pod wants to see it now.
                    Ok(()) = choice.changed() => {}
                }
                let pod = choice.borrow_and_update().clone();
                let began = Instant::now();
                let reading = read(&at, &name, pod).await;
                took = began.elapsed();
                if sender.send(reading).await.is_err() {
                    return;
                }
            }
        });
        Self {
            readings,
            chosen,
            task,
        }
    }

    /// The Pod whose log is to be read.
    pub(super) fn choose(&self, pod: Option<String>) {
        self.chosen.send_if_modified(|chosen| {
            let changed = *chosen != pod;
            *chosen = pod;
            changed
        });
    }

    /// The next reading.
    pub(super) async fn next(&mut self) -> anyhow::Result<Reading> {
        match self.readings.recv().await {
            Some(reading) => reading,
            // The task ends only with this.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}
