//! What viewers share: for each view one set of watches, from the first viewer until some seconds after
//! the last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::parts::{LINK, Link, to_json};
use super::source;
use super::store::{Delta, Parts, Store};
use crate::args::ConnectionArgs;
use crate::cluster::{self, Connection};
use crate::view::Snapshot;

/// Pauses between attempts to reach a cluster that does not answer.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the cluster is found.
#[derive(Clone)]
pub(crate) enum Way {
    /// As the command line says. It is looked up again when the cluster does not answer any more: it may
    /// have come back elsewhere.
    Arguments(ConnectionArgs),
    /// In this process.
    Client(Client),
}

impl Way {
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        match self {
            Self::Arguments(args) => cluster::connect(args).await,
            Self::Client(client) => Ok(Connection {
                client: client.clone(),
                namespace: client.default_namespace().to_owned(),
            }),
        }
    }
}

/// How often views are told, and how long they stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Many changes within this time are told as one.
    pub(super) coalesce: Duration,
    /// How long a view is kept up to date after its last viewer has gone: reloading costs nothing.
    pub(super) linger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            coalesce: Duration::from_millis(250),
            linger: Duration::from_secs(10),
        }
    }
}

/// A view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// All JobSets.
    List,
    /// One with all that belongs to it.
    Set { namespace: String, name: String },
}

/// All views that somebody looks at.
pub(super) struct Hub {
    way: Way,
    /// The only namespace, unless it is all of them.
    pub(super) scope: Option<String>,
    pub(super) pace: Pace,
    current: Mutex<Connection>,
    feeds: Mutex<HashMap<Key, Arc<Feed>>>,
    stop: CancellationToken,
}

impl Hub {
    pub(super) fn new(
        way: Way,
        at: Connection,
        scope: Option<String>,
        pace: Pace,
        stop: CancellationToken,
    ) -> Self {
        Self {
            way,
            scope,
            pace,
            current: Mutex::new(at),
            feeds: Mutex::default(),
            stop,
        }
    }

    /// The cluster as it was last reached, with a namespace to look into.
    pub(super) fn connection(&self, namespace: Option<&str>) -> Connection {
        let mut at = lock(&self.current).clone();
        if let Some(namespace) = namespace {
            namespace.clone_into(&mut at.namespace);
        }
        at
    }

    /// Looks at a view; the first viewer makes it.
    pub(super) fn view(self: &Arc<Self>, key: Key) -> Viewer {
        let mut feeds = lock(&self.feeds);
        let feed = feeds.entry(key.clone()).or_insert_with(|| {
            let feed = Arc::new(Feed::new());
            tokio::spawn(Arc::clone(self).keep(key, Arc::clone(&feed)));
            feed
        });
        Viewer {
            changes: feed.version.subscribe(),
            feed: Arc::clone(feed),
            known: None,
        }
    }

    /// How many views are kept up to date.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        lock(&self.feeds).len()
    }

    /// Keeps a view up to date as long as somebody looks at it.
    async fn keep(self: Arc<Self>, key: Key, feed: Arc<Feed>) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.follow(&key, &feed) => {}
            () = self.unwatched(&key, &feed) => {}
        }
    }

    /// Completes some time after the last viewer has gone. The view is forgotten then.
    async fn unwatched(&self, key: &Key, feed: &Feed) {
        loop {
            feed.version.closed().await;
            sleep(self.pace.linger).await;
            // Viewers come under the same lock.
            let mut feeds = lock(&self.feeds);
            if feed.version.receiver_count() == 0 {
                feeds.remove(key);
                return;
            }
        }
    }

    /// Follows, and begins anew when the cluster has failed to answer and answers again.
    async fn follow(&self, key: &Key, feed: &Feed) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let error = match key {
                Key::List => source::list(self, feed, &mut pause).await,
                Key::Set { namespace, name } => {
                    source::set(self, feed, namespace, name, &mut pause).await
                }
            };
            feed.lose(&error);
            loop {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                match self.reconnect().await {
                    Ok(()) => break,
                    Err(error) => feed.lose(&error),
                }
            }
        }
    }

    async fn reconnect(&self) -> anyhow::Result<()> {
        let at = self.way.connect().await?;
        let answer = timeout(PATIENCE, cluster::probe(&at, self.scope.as_deref())).await;
        answer.map_err(|_| anyhow::anyhow!("the cluster does not answer"))??;
        *lock(&self.current) = at;
        Ok(())
    }
}

/// A view that is kept up to date.
pub(super) struct Feed {
    store: Mutex<Store>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    /// Whether the cluster answers.
    answered: AtomicBool,
    version: watch::Sender<u64>,
}

impl Feed {
    fn new() -> Self {
        Self {
            store: Mutex::new(Store::new()),
            snapshot: Mutex::default(),
            answered: AtomicBool::new(false),
            version: watch::Sender::new(0),
        }
    }

    /// Everything as it is now.
    pub(super) fn update(&self, mut parts: Parts, snapshot: Option<Arc<Snapshot>>) {
        parts.insert(LINK.to_owned(), to_json(&Link::Live));
        *lock(&self.snapshot) = snapshot;
        self.answered.store(true, Ordering::Relaxed);
        let mut store = lock(&self.store);
        store.replace(parts);
        self.version.send_replace(store.version());
    }

    /// What was shown is not there any more, or never was; the page may go on showing it as such.
    pub(super) fn vanish(&self, why: String) {
        *lock(&self.snapshot) = None;
        self.answered.store(true, Ordering::Relaxed);
        self.say(&Link::Gone(why));
    }

    /// The cluster does not answer; what was known stands.
    fn lose(&self, error: &anyhow::Error) {
        self.answered.store(false, Ordering::Relaxed);
        self.say(&Link::Lost(format!("{error:#}")));
    }

    fn say(&self, link: &Link) {
        let mut store = lock(&self.store);
        if store.set(LINK, to_json(link)) {
            self.version.send_replace(store.version());
        }
    }
}

/// Somebody who looks at a view.
pub(super) struct Viewer {
    feed: Arc<Feed>,
    changes: watch::Receiver<u64>,
    known: Option<u64>,
}

impl Viewer {
    /// What has changed since the last time, as soon as there is something. Nothing is lost if the future
    /// is dropped.
    pub(super) async fn next(&mut self) -> Delta {
        loop {
            self.changes.borrow_and_update();
            let delta = lock(&self.feed.store).since(self.known);
            if let Some(delta) = delta {
                self.known = Some(delta.version);
                return delta;
            }
            // The feed that is held here has the sender: it does not end before.
            let _ = self.changes.changed().await;
        }
    }

    /// Completes when something has changed since the last time. Nothing is lost if the future is dropped.
    pub(super) async fn changed(&mut self) {
        let _ = self.changes.changed().await;
    }

    /// Whether the cluster answers.
    pub(super) fn is_answered(&self) -> bool {
        self.feed.answered.load(Ordering::Relaxed)
    }

    /// What the view was made of, if it is one of a JobSet that is there.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        lock(&self.feed.snapshot).clone()
    }
}

/// What panics while it holds a lock leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
