//! Short names on a cluster: keeps the `EndpointSlices` that publish them. Opt-in.
//!
//! ```text
//!  API server ──watch Pods, EndpointSlices──► cache ──JobSet──► queue ──► plan() ──► writes
//!                                                                 ▲
//!                                  changes of JobSets ────────────┘
//! ```
//!
//! What is published is decided by [`jobset_core::short_names`]. The watches are this module's own:
//! where the option is off there are none, and nothing is kept or written. Of Pods only those count
//! that a name can lead to, and of slices only those with the controller's own label.
//!
//! A JobSet that starts a thousand Pods must not cost a thousand writes, so looks at the same JobSet
//! are apart by a time that grows with the number of its Pods; what happens meanwhile is written
//! together. The answer to an own write is in the cache before the next look, and every write names
//! the uid and the resourceVersion that it was planned from. Slices have names that follow from the
//! JobSet, so a creation whose answer was lost is found again instead of being repeated.

mod cache;
mod watched;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use jobset_api::constants::events::SHORT_NAME_COLLISION;
use jobset_api::{constants, names};
use jobset_core::short_names::{self, Change, Collision, NameSlice, NamedPod};
use kube::Client;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::cache::Cache;
use self::watched::{WatchedPod, WatchedSlice};
use crate::concurrency::Limiter;
use crate::controller::api;
use crate::events::{self, Recorder};
use crate::index::{Index, Key};
use crate::lock::lock;
use crate::queue::{Lane, Queue};
use crate::requests::{PatchKind, RequestError, Requests, Resource};
use crate::stats::Stats;
use crate::watch::Watches;

/// JobSets worked on at the same time.
const WORKERS: usize = 4;
/// Least time between two looks at a JobSet, however small it is.
const SPACING: Duration = Duration::from_millis(100);
/// What each Pod adds to that.
const SPACING_PER_POD: Duration = Duration::from_millis(1);
/// Longest time between two looks at a JobSet whose Pods change all the time.
const LONGEST_SPACING: Duration = Duration::from_secs(1);

/// What watches write into, and what they wake. See the module documentation.
#[derive(Clone)]
pub(crate) struct Feed {
    cache: Arc<Cache>,
    queue: Arc<Queue<Key>>,
}

/// Keeps the slices. Runs where the controller runs: on one replica.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) feed: Feed,
    pub(crate) index: Arc<Index>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) recorder: Recorder,
    pub(crate) stats: Arc<Stats>,
    /// Collisions that users have been told of.
    pub(crate) told: Arc<Mutex<HashMap<Key, Collision>>>,
}

impl Feed {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            cache: Arc::default(),
            queue: Arc::new(Queue::counted(seed, Arc::default())),
        }
    }

    /// Something happened to a JobSet.
    pub(crate) fn wake(&self, jobset: &Key, lane: Lane) {
        self.queue.add(jobset, lane);
    }

    /// Starts the watches. The future resolves when both have completed their first list.
    pub(crate) fn follow(
        &self,
        client: &Client,
        namespace: Option<&str>,
        stats: &Arc<Stats>,
        shutdown: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> impl Future<Output = Result<(), oneshot::error::RecvError>> + Send + use<> {
        let watches = Watches {
            index: self.cache.clone(),
            wake: {
                let queue = self.queue.clone();
                Arc::new(move |jobset: &Key, lane| queue.add(jobset, lane))
            },
            stats: stats.clone(),
            shutdown: shutdown.clone(),
        };
        let of_jobsets = watcher::Config::default().labels(constants::JOBSET_NAME_KEY);
        let own = format!(
            "{}={}",
            short_names::MANAGED_BY_KEY,
            short_names::MANAGED_BY
        );
        let own = watcher::Config::default().labels(&own);
        let (pods_ready, pods) = oneshot::channel();
        let (slices_ready, slices) = oneshot::channel();
        let pods_api = api::<WatchedPod>(client, namespace);
        tasks.spawn(watches.clone().follow(pods_api, of_jobsets, pods_ready));
        let slices_api = api::<WatchedSlice>(client, namespace);
        tasks.spawn(watches.follow(slices_api, own, slices_ready));
        async move {
            pods.await?;
            slices.await
        }
    }

    /// Ends the work, as soon as what is under way is done.
    pub(crate) fn close(&self) {
        self.queue.close();
    }
}

impl Publisher {
    /// Starts the workers. They begin when `complete` resolves, since from half a cache names would
    /// be taken away, and end when the feed is closed. Nobody else waits: where EndpointSlices may not
    /// be read, JobSets run all the same.
    pub(crate) fn start(
        &self,
        complete: impl Future<Output = Result<(), oneshot::error::RecvError>> + Send + 'static,
        shutdown: CancellationToken,
        workers: &mut JoinSet<()>,
    ) {
        let publisher = self.clone();
        workers.spawn(async move {
            tokio::select! {
                complete = complete => if complete.is_err() { return },
                () = shutdown.cancelled() => return,
            }
            tracing::info!("short names are published");
            let work = (0..WORKERS).map(|_| publisher.work());
            futures::future::join_all(work).await;
        });
    }

    async fn work(&self) {
        let queue = &self.feed.queue;
        while let Some(jobset) = queue.next().await {
            let look = AssertUnwindSafe(self.publish(&jobset)).catch_unwind().await;
            let (well, pods) = look.unwrap_or_else(|_| {
                self.stats.panics.add_one();
                tracing::error!(jobset = %jobset, "publishing short names panicked");
                (false, 0)
            });
            if well {
                queue.forget(&jobset);
            } else {
                self.stats.name_errors.add_one();
                queue.retry(&jobset);
            }
            queue.done(&jobset, spacing(pods));
        }
    }

    /// Looks at one JobSet and writes what is to be written. False if that has to be repeated; and
    /// how many Pods it has.
    async fn publish(&self, key: &Key) -> (bool, usize) {
        let jobset = self.index.jobset(key);
        let service = jobset.as_deref().map(names::subdomain);
        let known = self.feed.cache.snapshot(key, service.unwrap_or_default());
        let orphans = known
            .slices
            .iter()
            .filter(|slice| slice.jobset_uid.is_none());
        // Their JobSet was deleted and left them behind: nobody else would keep them true.
        let mut changes: Vec<Change> = orphans.map(|slice| orphaned(slice)).collect();
        if let Some(jobset) = &jobset {
            let pods = || known.pods.iter().map(|pod| &**pod);
            let slices: Vec<&NameSlice> = known.slices.iter().map(|slice| &**slice).collect();
            let others: Vec<&NameSlice> = known.others.iter().map(|slice| &**slice).collect();
            changes.splice(0..0, short_names::plan(jobset, pods(), &slices));
            self.tell(key, jobset, short_names::collision(jobset, pods(), &others));
        } else {
            lock(&self.told).remove(key);
        }
        let mut well = true;
        for change in changes {
            if let Err(error) = self.write(&key.namespace, change).await {
                well = false;
                if error.is_conflict() || error.is_already_exists() {
                    tracing::debug!(jobset = %key, "a slice has changed meanwhile; planning anew");
                } else {
                    tracing::warn!(jobset = %key, %error, "short names not published");
                }
            }
        }
        (well, known.pods.len())
    }

    async fn write(&self, namespace: &str, change: Change) -> Result<(), RequestError> {
        let gone = |error: &RequestError| error.is_not_found() || error.is_other_incarnation();
        match change {
            Change::Create { name, body } => {
                let created = self
                    .send(self.requests.create(SLICES, namespace, &body))
                    .await;
                if let Err(error) = &created
                    && error.is_already_exists()
                {
                    // Ours, if an answer was lost or the label is gone that it is found by. The next
                    // plan knows.
                    let found: WatchedSlice = self.requests.get(SLICES, namespace, &name).await?;
                    self.feed.cache.found(found);
                }
                self.feed.cache.wrote(created?);
            }
            Change::Update { name, patch } => {
                let patched = self.send(self.patch(namespace, &name, &patch)).await;
                match patched {
                    Ok(written) => self.feed.cache.wrote(written),
                    Err(error) => {
                        if gone(&error) {
                            self.feed.cache.gone(namespace, &name, uid(&patch));
                        }
                        return Err(error);
                    }
                }
            }
            Change::Delete { name, uid } => {
                let delete = self
                    .requests
                    .delete(SLICES, namespace, &name, &uid, "Background");
                match self.send(delete).await {
                    Err(error) if !gone(&error) => return Err(error),
                    _ => self.feed.cache.gone(namespace, &name, &uid),
                }
            }
        }
        self.stats.name_writes.add_one();
        Ok(())
    }

    fn patch<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        patch: &'a Value,
    ) -> impl Future<Output = Result<WatchedSlice, RequestError>> + 'a {
        self.requests
            .patch(SLICES, namespace, name, false, PatchKind::Merge, patch)
    }

    /// Sends a write when the server can take one.
    async fn send<T>(
        &self,
        request: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let permit = self.limiter.acquire().await;
        let answer = request.await;
        match &answer {
            Err(error) if error.is_overload() => permit.overloaded(error.retry_after()),
            _ => permit.succeeded(),
        }
        answer
    }

    /// Tells of a collision, once as long as it is the same.
    fn tell(&self, key: &Key, jobset: &jobset_api::JobSet, collision: Option<Collision>) {
        let mut told = lock(&self.told);
        let Some(collision) = collision else {
            told.remove(key);
            return;
        };
        let note = format!(
            "short name {}.{} is also of JobSet {}: it leads to the Pods of both",
            collision.hostname, collision.service, collision.jobset
        );
        if told.insert(key.clone(), collision.clone()) == Some(collision) {
            return;
        }
        tracing::warn!(jobset = %key, "{note}");
        let about = events::about(jobset, jobset.metadata.resource_version.clone());
        let warning = jobset_core::EventType::Warning;
        self.recorder
            .publish(about, warning, SHORT_NAME_COLLISION, &note);
    }
}

const SLICES: Resource = Resource::EndpointSlices;

fn uid(patch: &Value) -> &str {
    patch
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn orphaned(slice: &NameSlice) -> Change {
    Change::Delete {
        name: slice.name.clone(),
        uid: slice.uid.clone(),
    }
}

/// Least time between two looks at a JobSet with so many Pods.
fn spacing(pods: usize) -> Duration {
    let pods = u32::try_from(pods).unwrap_or(u32::MAX);
    SPACING
        .saturating_add(SPACING_PER_POD.saturating_mul(pods))
        .min(LONGEST_SPACING)
}

/// What is known of a JobSet's names.
pub(crate) struct Snapshot {
    /// Pods that say they are its, in no order.
    pods: Vec<Arc<NamedPod>>,
    /// Slices that are its, by name of their owner.
    slices: Vec<Arc<NameSlice>>,
    /// Slices of others for the same Service.
    others: Vec<Arc<NameSlice>>,
}

#[cfg(test)]
mod tests;
