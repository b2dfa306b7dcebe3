//! Exclusive placement on a cluster: the view of Pods and nodes that admission decides by, and
//! the repair of what got into the wrong domain.
//!
//! ```text
//!  API server ──watch Pods, nodes──► cache ──► Placement: PlacementView ──► admission (every replica)
//!                                      │
//!                                      └─Job─► queue ──► repair() ──► condition, delete (leader only)
//! ```
//!
//! The watches are started by the first need: the first Pod with exclusive placement that comes to
//! admission, which is how replicas learn of it that reconcile nothing, or the first JobSet with
//! exclusive placement that the controller sees. A cluster without such JobSets pays nothing. Until
//! both lists are complete followers are refused for the time being, so a view of a part of the
//! cluster never decides anything. The first leader of all starts the watches as well, and its
//! followers are refused until it has a node in any case, so this costs next to nothing.
//!
//! The repair knows a Job by the uid in its Pods' owner references, which nobody edits, rather than
//! by the label `job-key`. Every change of one of its Pods, and of the labels of a node that a
//! leader is on, leads to a look at the Job.
//!
//! A deletion names the Pod's uid, and the condition that precedes it also its resourceVersion, so
//! what has changed since it was judged, for example by finishing, is judged again instead.

mod cache;
mod repair;
mod watched;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobset_api::constants;
use jobset_core::placement::{NodeTopology, PlacedPod, PlacementView};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::cache::Cache;
use self::watched::{WatchedNode, WatchedPod};
use crate::index::Key;
use crate::lock::lock;
use crate::options::ControllerOptions;
use crate::queue::{Lane, Queue};
use crate::requests;
use crate::stats::Stats;
use crate::watch::Watches;

pub(crate) use self::repair::Repairs;

/// The Pods with exclusive placement and the labels of nodes, kept up to date by watches that the
/// first need for them starts.
///
/// Cheap to clone; clones are the same view. The watches end when the last clone is dropped.
#[derive(Clone)]
pub struct Placement {
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    _task: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    cache: Arc<Cache>,
    wanted: Arc<Notify>,
    complete: AtomicBool,
    /// Where the repair waits for Jobs to look at, while there is one.
    repairs: Mutex<Option<Arc<Queue<Key>>>>,
}

impl Placement {
    /// A view of what `client` can see, or of the namespace that `options` names. Needs a tokio
    /// runtime; sends no request before it is needed.
    pub fn new(client: Client, options: &ControllerOptions) -> Self {
        let shared = Arc::new(Shared {
            cache: Arc::default(),
            wanted: Arc::default(),
            complete: AtomicBool::new(false),
            repairs: Mutex::default(),
        });
        let stats = Arc::<Stats>::default();
        let run = run(
            shared.clone(),
            client,
            options.namespace.clone(),
            options.request_timeout,
            stats.clone(),
        );
        Self {
            shared,
            stats,
            _task: Arc::new(AbortOnDropHandle::new(tokio::spawn(run))),
        }
    }

    /// What the watches have done so far.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// To be notified when there is a need for the view.
    pub(crate) fn wanted(&self) -> Arc<Notify> {
        self.shared.wanted.clone()
    }
}

impl PlacementView for Placement {
    fn ready(&self) -> bool {
        let complete = self.shared.complete.load(Ordering::Acquire);
        if !complete {
            self.shared.wanted.notify_one();
        }
        complete
    }

    fn pods_named(&self, namespace: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        self.shared.cache.pods_named(namespace, prefix)
    }

    fn topology(&self, node: &str, key: &str) -> NodeTopology {
        self.shared.cache.topology(node, key)
    }
}

/// Waits for a need, then follows Pods and nodes for ever.
async fn run(
    shared: Arc<Shared>,
    client: Client,
    namespace: Option<String>,
    time_limit: Duration,
    stats: Arc<Stats>,
) {
    shared.wanted.notified().await;
    tracing::info!("exclusive placement is used: Pods of JobSets and nodes are watched");
    let client = requests::for_reading(client, stats.clone(), time_limit);
    let watches = Watches {
        index: shared.cache.clone(),
        wake: {
            let shared = shared.clone();
            Arc::new(move |job, lane| shared.wake(job, lane))
        },
        stats,
        // They end with the task.
        shutdown: CancellationToken::new(),
    };
    let pods: Api<WatchedPod> = match &namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let of_jobsets = watcher::Config::default().labels(constants::JOBSET_NAME_KEY);
    let nodes: Api<WatchedNode> = Api::all(client);
    let (pods_ready, pods_complete) = oneshot::channel();
    let (nodes_ready, nodes_complete) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(watches.clone().follow(pods, of_jobsets, pods_ready));
    tasks.spawn(watches.follow(nodes, watcher::Config::default(), nodes_ready));
    if pods_complete.await.is_ok() && nodes_complete.await.is_ok() {
        shared.complete.store(true, Ordering::Release);
        shared.wake_all();
    }
    while tasks.join_next().await.is_some() {}
}

impl Shared {
    fn wake(&self, job: &Key, lane: Lane) {
        // What is reported before the cache is complete is looked at when it is.
        if self.complete.load(Ordering::Acquire)
            && let Some(queue) = &*lock(&self.repairs)
        {
            queue.add(job, lane);
        }
    }

    fn wake_all(&self) {
        for job in self.cache.jobs() {
            self.wake(&job, Lane::Backlog);
        }
    }

    /// From now on Jobs to look at go to `queue`, beginning with all of them.
    fn attach(&self, queue: Arc<Queue<Key>>) {
        *lock(&self.repairs) = Some(queue);
        self.wake_all();
    }

    fn detach(&self) {
        *lock(&self.repairs) = None;
    }
}
