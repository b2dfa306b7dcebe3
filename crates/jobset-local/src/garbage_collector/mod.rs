//! The garbage collector: what becomes of objects whose owners are deleted.
//!
//! * *Background* — an object all of whose owners are gone (by uid) is deleted.
//! * *Foreground* — an object with the finalizer `foregroundDeletion` goes after its dependents,
//!   or rather after those that ask for it with `blockOwnerDeletion`.
//! * *Orphan* — the dependents of an object with the finalizer `orphan` forget it before it goes.
//!
//! It watches the metadata of every kind that is served, also of kinds that appear later. An
//! owner counts as absent only if its deletion was seen or the API server says so when asked.
//!
//! [`graph`] and [`judge`] are pure; [`kinds`] and [`worker`] talk to the API server.

pub mod graph;
pub mod judge;
pub mod kinds;
pub mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::kinds::{Kind, Kinds, Meta};
use self::worker::Worker;
use crate::shell::pump::pump;
use crate::shell::queue::{KeyedQueue, run_workers};

/// A change of what is served that nobody tells of is found after this time.
const DISCOVERY_PERIOD: Duration = Duration::from_mins(1);
/// Wait for more changes before asking what is served.
const DISCOVERY_DELAY: Duration = Duration::from_millis(10);

/// How the garbage collector runs.
#[derive(Debug, Clone)]
pub struct GarbageCollectorOptions {
    /// Objects worked on at the same time.
    pub workers: usize,
}

impl Default for GarbageCollectorOptions {
    fn default() -> Self {
        Self { workers: 16 }
    }
}

/// Runs the garbage collector until `shutdown`.
pub async fn run(
    client: kube::Client,
    options: GarbageCollectorOptions,
    shutdown: CancellationToken,
) {
    let worker = Worker {
        client,
        graph: Arc::default(),
        kinds: Arc::default(),
        queue: KeyedQueue::new(),
        rediscover: Arc::default(),
    };
    let complete = CancellationToken::new();
    let work = {
        let (worker, complete, stop) = (worker.clone(), complete.clone(), shutdown.clone());
        async move {
            // Without all dependents known, an owner would seem to have none.
            tokio::select! {
                () = stop.cancelled() => return,
                () = complete.cancelled() => {}
            }
            let queue = worker.queue.clone();
            run_workers(queue, options.workers, stop, move |uid| {
                let worker = worker.clone();
                async move { worker.look(uid).await }
            })
            .await;
        }
    };
    tokio::join!(work, watch_all(worker, complete, shutdown));
}

/// A running watch of one kind.
struct Watch {
    stop: CancellationToken,
    complete: CancellationToken,
}

/// Watches whatever is served; `complete` tells when all that was there at first is known.
async fn watch_all(worker: Worker, complete: CancellationToken, shutdown: CancellationToken) {
    let mut watches: HashMap<Arc<Kind>, Watch> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let found = tokio::select! {
            () = shutdown.cancelled() => break,
            found = Kinds::discover(&worker.client) => found,
        };
        let period = match found {
            Ok(kinds) => {
                watches.retain(|kind, watch| {
                    let served = kinds.contains(kind);
                    if !served {
                        watch.stop.cancel();
                        let mut graph = lock(&worker.graph);
                        for uid in graph.drop_kind(kind) {
                            worker.queue.add(uid);
                        }
                    }
                    served
                });
                for kind in kinds.iter() {
                    watches.entry(Arc::clone(kind)).or_insert_with(|| {
                        let watch = Watch {
                            stop: shutdown.child_token(),
                            complete: CancellationToken::new(),
                        };
                        let (stop, known) = (watch.stop.clone(), watch.complete.clone());
                        tasks.spawn(watch_kind(worker.clone(), Arc::clone(kind), stop, known));
                        watch
                    });
                }
                // Known before the first one is seen; other kinds are learnt.
                if let Some(pods) = kinds.get("", "Pod") {
                    let job = ("batch".to_owned(), "Job".to_owned());
                    lock(&worker.graph).relate(job, pods);
                }
                *lock(&worker.kinds) = kinds;
                if !complete.is_cancelled() {
                    let all = watches.values().map(|watch| watch.complete.cancelled());
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        _ = futures::future::join_all(all) => complete.cancel(),
                        // Some kind cannot be listed: look again at what is served.
                        () = tokio::time::sleep(DISCOVERY_PERIOD) => continue,
                    }
                }
                DISCOVERY_PERIOD
            }
            Err(error) => {
                tracing::debug!(%error, "discovery failed");
                Duration::from_millis(200)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = worker.rediscover.notified() => tokio::time::sleep(DISCOVERY_DELAY).await,
            () = tokio::time::sleep(period) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn watch_kind(
    worker: Worker,
    kind: Arc<Kind>,
    stop: CancellationToken,
    complete: CancellationToken,
) {
    let api: Api<Meta> = Api::all_with(worker.client.clone(), &kind.resource);
    let rediscover: Option<Arc<Notify>> =
        kind.defines_kinds().then(|| Arc::clone(&worker.rediscover));
    pump(api, watcher::Config::default(), stop, move |event| {
        let done = matches!(event, Event::InitDone);
        let about_an_object = !done && !matches!(event, Event::Init);
        if let Some(rediscover) = rediscover.as_ref().filter(|_| about_an_object) {
            rediscover.notify_one();
        }
        let touched = lock(&worker.graph).observe(&kind, event);
        for uid in touched {
            worker.queue.add(uid);
        }
        if done {
            complete.cancel();
        }
    })
    .await;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
