//! Following one kind of object: list, watch, and again after every mishap.
//!
//! The index is changed first and the JobSets concerned are queued after that, so whoever takes a
//! key from the queue plans with the change that put it there. The first list arrives in the
//! backlog lane. Lists replace the index at their end, in one go: what they do not contain is gone.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::index::{Cache, Concerned, Index, Key};
use crate::queue::Lane;
use crate::stats::Stats;

/// Pause after the first failure in a row; doubles up to the cap.
const PAUSE_BASE: Duration = Duration::from_millis(50);
/// Longest pause between two attempts.
const PAUSE_CAP: Duration = Duration::from_secs(30);
/// After this many failures in a row the watch starts over with a list.
const START_OVER_AFTER: u32 = 8;
/// A failure this long after the last one is the first of a new row.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);
/// Objects of a list that are asked for at once. A page is held in memory as text; Jobs that a
/// queue or a service mesh has annotated reach ten kilobytes and more.
const PAGE: u32 = 100;
/// Longest silence in the middle of a list.
const LIST_STALLED: Duration = Duration::from_mins(1);

/// Is told of each key that a change concerns, after the change is in the index.
pub(crate) type Wake = Arc<dyn Fn(&Key, Lane) + Send + Sync>;

/// What watches that feed the same index share.
pub(crate) struct Watches<I = Index> {
    pub(crate) index: Arc<I>,
    pub(crate) wake: Wake,
    pub(crate) stats: Arc<Stats>,
    pub(crate) shutdown: CancellationToken,
}

impl<I> Clone for Watches<I> {
    fn clone(&self) -> Self {
        Self {
            index: self.index.clone(),
            wake: self.wake.clone(),
            stats: self.stats.clone(),
            shutdown: self.shutdown.clone(),
        }
    }
}

impl<I> Watches<I> {
    /// Keeps the index up to date with the objects of `api` that `config` selects, until shutdown.
    /// `ready` is told when the first list is complete. No error and no panic ends it.
    pub(crate) async fn follow<K>(
        self,
        api: Api<K>,
        config: watcher::Config,
        ready: oneshot::Sender<()>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
        I: Cache<K>,
    {
        let kind = K::kind(&()).into_owned();
        let mut follower = Follower {
            watches: self,
            kind,
            ready: Some(ready),
            failures: 0,
            last_failure: None,
        };
        while !follower.watches.shutdown.is_cancelled() {
            let attempt = AssertUnwindSafe(follower.attempt(api.clone(), config.clone()))
                .catch_unwind()
                .await;
            if attempt.is_err() {
                tracing::error!(kind = follower.kind, "a watch panicked; it starts over");
                follower.watches.stats.panics.add_one();
                follower.count_failure();
                follower.pause().await;
            }
        }
    }
}

struct Follower<I> {
    watches: Watches<I>,
    kind: String,
    ready: Option<oneshot::Sender<()>>,
    /// Failures in a row: without an event of the watch proper between them. A list that succeeds
    /// is no such event, else a watch that is refused again and again would list as often.
    failures: u32,
    last_failure: Option<Instant>,
}

impl<I> Follower<I> {
    /// Lists and watches until the watch has to start over from a list, or until shutdown.
    async fn attempt<K>(&mut self, api: Api<K>, config: watcher::Config)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
        I: Cache<K>,
    {
        let mut stream = pin!(watcher(api, config.page_size(PAGE)));
        let mut listed = Vec::new();
        let mut listing = false;
        let shutdown = self.watches.shutdown.clone();
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LIST_STALLED), if listing => {
                    tracing::warn!(kind = self.kind, "the server stopped in the middle of a list");
                    self.count_failure();
                    return;
                }
            };
            match event {
                Some(Ok(event)) => {
                    listing = matches!(event, Event::Init | Event::InitApply(_));
                    self.handle(event, &mut listed);
                }
                Some(Err(error)) => {
                    listing = false;
                    self.report(&error);
                    self.pause().await;
                    if is_gone(&error) || self.failures.is_multiple_of(START_OVER_AFTER) {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    fn handle<K>(&mut self, event: Event<K>, listed: &mut Vec<K>)
    where
        I: Cache<K>,
    {
        let index = &*self.watches.index;
        let concerned: Concerned = match event {
            Event::Init => {
                listed.clear();
                return;
            }
            Event::InitApply(object) => {
                listed.push(object);
                return;
            }
            Event::InitDone => index.replace(std::mem::take(listed)),
            Event::Apply(object) => {
                self.failures = 0;
                index.apply(object)
            }
            Event::Delete(object) => {
                self.failures = 0;
                index.delete(object)
            }
        };
        let lane = if self.ready.is_some() {
            Lane::Backlog
        } else {
            Lane::Live
        };
        for key in &concerned {
            (self.watches.wake)(key, lane);
        }
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more if the controller is being shut down.
            let _ = ready.send(());
        }
    }

    fn report(&mut self, error: &watcher::Error) {
        self.count_failure();
        let kind = &self.kind;
        // A connection that ends is everyday business; a failure that lasts is not.
        if self.failures.is_power_of_two() && self.failures > 1 {
            tracing::warn!(kind, failures = self.failures, %error, "watch keeps failing");
        } else {
            tracing::debug!(kind, %error, "watch failed");
        }
    }

    fn count_failure(&mut self) {
        self.watches.stats.watch_errors.add_one();
        if self
            .last_failure
            .is_some_and(|last| last.elapsed() > FORGIVEN_AFTER)
        {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(Instant::now());
    }

    async fn pause(&mut self) {
        let doublings = self.failures.saturating_sub(1).min(16);
        let full = PAUSE_BASE.saturating_mul(1 << doublings).min(PAUSE_CAP);
        let pause = full.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.watches.shutdown.cancelled() => {}
        }
    }
}

/// Whether the server has forgotten the revision to go on from. The watcher starts over by itself
/// when that is said in the stream, but not when it is the answer to the watch request.
fn is_gone(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        watcher::Error::WatchError(status) => status.code == 410,
        _ => false,
    }
}
