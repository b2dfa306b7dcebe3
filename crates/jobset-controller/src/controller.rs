//! The running controller: watches, workers, shutdown.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jobset_api::constants;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::concurrency::Limiter;
use crate::events::{self, Reporter};
use crate::executor::Executor;
use crate::index::{Index, Key};
use crate::options::ControllerOptions;
use crate::placement::{Placement, Repairs};
use crate::queue::Queue;
use crate::reconcile::Reconciler;
use crate::requests::{self, Requests};
use crate::short_names::{Feed, Publisher};
use crate::stats::Stats;
use crate::watch::Watches;
use crate::watched::{WatchedJob, WatchedJobSet, WatchedName, WatchedPod};

/// Share of a processor that one JobSet's bursts of child events may take, as time between two
/// looks per child looked at.
const SPACING_PER_CHILD: Duration = Duration::from_micros(50);
/// Longest time between two looks at a huge JobSet in a burst.
const LONGEST_SPACING: Duration = Duration::from_millis(250);

/// Why a controller stopped without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task ended that must not; a defect of this program.
    #[error("a task of the controller failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// The JobSet controller. Create it with [`Controller::new`], then await [`Controller::run`].
pub struct Controller {
    client: Client,
    /// For lists and watches.
    reading: Client,
    options: ControllerOptions,
    stats: Arc<Stats>,
    /// Work begins when it resolves.
    gate: BoxFuture<'static, ()>,
    placement: Option<Placement>,
}

impl Controller {
    /// A controller that works through `client`, whatever its transport. A client that repeats
    /// refused requests by itself should have that turned off (`Config::default_retry = false`):
    /// the controller paces and repeats its requests itself.
    pub fn new(client: Client, options: ControllerOptions) -> Self {
        Self {
            reading: client.clone(),
            client,
            options,
            stats: Arc::default(),
            gate: std::future::ready(()).boxed(),
            placement: None,
        }
    }

    /// Lists and watches through this client instead, and does everything else through the other.
    #[must_use]
    pub fn reading_through(mut self, client: Client) -> Self {
        self.reading = client;
        self
    }

    /// Fills and keeps the caches at once, but begins to work only when `gate` resolves: a replica
    /// that waits for leadership can then take over without reading everything first.
    #[must_use]
    pub fn gated(mut self, gate: impl Future<Output = ()> + Send + 'static) -> Self {
        self.gate = gate.boxed();
        self
    }

    /// Shares this view of Pods and nodes, instead of having one of its own: for a process in which
    /// admission needs it as well.
    #[must_use]
    pub fn with_placement(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// What the controller has done so far; stays valid while it runs and after.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// Runs until `shutdown`: then reconciles under way are finished (for at most the grace
    /// period), outstanding events are sent, and this returns. Dropping the future stops everything
    /// at once.
    ///
    /// # Errors
    /// Only for a defect of this program; errors of the API server are retried for ever.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self {
            client,
            reading,
            options,
            stats,
            gate,
            placement,
        } = self;
        let placement = placement.unwrap_or_else(|| Placement::new(reading.clone(), &options));
        let queue = Arc::new(Queue::counted(options.seed, stats.queue().clone()));
        let index = Arc::new(Index::new(options.planning()));
        let requests = Arc::new(Requests::new(
            client,
            stats.clone(),
            options.request_timeout,
        ));
        let reporter = Reporter {
            controller: options.reporting_controller.clone(),
            instance: options.reporting_instance.clone(),
        };
        let (recorder, event_worker) = events::recorder(
            requests.clone(),
            stats.clone(),
            reporter,
            options.clock.clone(),
        );
        let event_worker = AbortOnDropHandle::new(tokio::spawn(event_worker.run()));

        let names = options.short_names.then(|| Feed::new(options.seed));
        let watches = Watches {
            index: index.clone(),
            wake: {
                let (queue, names) = (queue.clone(), names.clone());
                Arc::new(move |key, lane| {
                    queue.add(key, lane);
                    if let Some(names) = &names {
                        names.wake(key, lane);
                    }
                })
            },
            stats: stats.clone(),
            shutdown: shutdown.clone(),
        };
        let reading = requests::for_reading(reading, stats.clone(), options.request_timeout);
        let (mut tasks, complete) = start_watches(&reading, options.namespace.as_deref(), &watches);

        let names = names.map(|feed| {
            let namespace = options.namespace.as_deref();
            let known = feed.follow(&reading, namespace, &stats, &shutdown, &mut tasks);
            (feed, known)
        });

        let limiter = Limiter::new(options.max_in_flight);
        let repairs = Repairs {
            placement: placement.clone(),
            queue: Arc::new(Queue::counted(options.seed, stats.repair_queue().clone())),
            requests: requests.clone(),
            limiter: limiter.clone(),
            stats: stats.clone(),
            clock: options.clock.clone(),
        };
        let names = names.map(|(feed, known)| {
            let publisher = Publisher {
                feed,
                index: index.clone(),
                requests: requests.clone(),
                limiter: limiter.clone(),
                recorder: recorder.clone(),
                stats: stats.clone(),
                told: Arc::default(),
            };
            (publisher, known)
        });
        let executor = Executor {
            requests: requests.clone(),
            limiter,
            per_jobset: options.max_in_flight,
            index: index.clone(),
            queue: queue.clone(),
            stats: stats.clone(),
            start_time_matters: AtomicBool::new(false),
        };
        let reconciler = Arc::new(Reconciler {
            index,
            queue: queue.clone(),
            requests,
            executor,
            recorder,
            stats: stats.clone(),
            planning: options.planning(),
            pod_webhook: options.pod_webhook,
            clock: options.clock.clone(),
            status_interval: options.status_interval,
            confirmation_timeout: options.confirmation_timeout,
            placement_wanted: placement.wanted(),
            memory: Mutex::new(HashMap::new()),
        });

        // A plan made from half a cache would create what exists and delete what is needed.
        let ready = tokio::select! {
            ready = complete => ready.is_ok(),
            () = shutdown.cancelled() => false,
        };
        if ready {
            tracing::info!("caches are complete");
        }
        let ready = ready
            && tokio::select! {
                () = gate => true,
                () = shutdown.cancelled() => false,
            };
        stats.work().set_workers(options.workers.max(1));
        let mut workers = JoinSet::new();
        if ready {
            tracing::info!("{} workers start", options.workers.max(1));
            for _ in 0..options.workers.max(1) {
                workers.spawn(work(reconciler.clone(), queue.clone(), stats.clone()));
            }
        }
        drop(reconciler);
        if ready {
            repairs.start(&mut workers);
        }
        let feed = names.map(|(publisher, known)| {
            let feed = publisher.feed.clone();
            if ready {
                publisher.start(known, shutdown.clone(), &mut workers);
            }
            feed
        });

        shutdown.cancelled().await;
        queue.close();
        if let Some(feed) = feed {
            feed.close();
        }
        repairs.stop();
        let finished = tokio::time::timeout(options.shutdown_grace, join(&mut workers)).await;
        workers.shutdown().await;
        tasks.shutdown().await;
        // Every recorder is dropped now, so the event worker sends the rest and ends.
        event_worker.await?;
        match finished {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!("some reconciles did not end in time and were cut off");
                Ok(())
            }
        }
    }
}

/// Starts the watches. The future resolves when each has completed its first list, but for the one
/// of Pods, which begins only when some JobSet needs it.
fn start_watches(
    client: &Client,
    namespace: Option<&str>,
    watches: &Watches,
) -> (
    JoinSet<()>,
    impl Future<Output = Result<(), oneshot::error::RecvError>> + use<>,
) {
    let mut tasks = JoinSet::new();
    let (jobsets, jobsets_ready) = oneshot::channel();
    let (jobs, jobs_ready) = oneshot::channel();
    let (services, services_ready) = oneshot::channel();
    let (claims, claims_ready) = oneshot::channel();
    tasks.spawn(watches.clone().follow::<WatchedJobSet>(
        api(client, namespace),
        watcher::Config::default(),
        jobsets,
    ));
    tasks.spawn(watches.clone().follow::<WatchedJob>(
        api(client, namespace),
        watcher::Config::default(),
        jobs,
    ));
    tasks.spawn(watches.clone().follow::<WatchedName<Service>>(
        api(client, namespace),
        watcher::Config::default(),
        services,
    ));
    tasks.spawn(
        watches
            .clone()
            .follow::<WatchedName<PersistentVolumeClaim>>(
                api(client, namespace),
                watcher::Config::default(),
                claims,
            ),
    );
    tasks.spawn(follow_pods(watches.clone(), api(client, namespace)));
    let complete = async move {
        jobsets_ready.await?;
        jobs_ready.await?;
        services_ready.await?;
        claims_ready.await
    };
    (tasks, complete)
}

/// Follows the Pods of JobSets from the moment on at which some JobSet needs that.
async fn follow_pods(watches: Watches, api: Api<WatchedPod>) {
    tokio::select! {
        () = watches.index.pods_are_wanted() => {}
        () = watches.shutdown.cancelled() => return,
    }
    tracing::info!("a JobSet needs its Pods to be watched");
    let of_jobsets = watcher::Config::default().labels(constants::JOBSET_NAME_KEY);
    // The JobSets that wait for the first list are woken by it.
    let (ready, _) = oneshot::channel();
    watches.follow(api, of_jobsets, ready).await;
}

/// Objects of this kind, in one namespace or in all.
pub(crate) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Takes one key after the other until the queue is closed. A panic in a reconcile is an error of
/// that JobSet alone.
async fn work(reconciler: Arc<Reconciler>, queue: Arc<Queue<Key>>, stats: Arc<Stats>) {
    while let Some(key) = queue.next().await {
        stats.reconciles.add_one();
        let (work, started) = (stats.work(), Instant::now());
        work.begin();
        let outcome = AssertUnwindSafe(reconciler.reconcile(&key))
            .catch_unwind()
            .await;
        work.end(started.elapsed());
        let spacing = match outcome {
            Ok(outcome) => {
                if outcome.retry {
                    work.error.add_one();
                    let delay = queue.retry(&key);
                    tracing::debug!(jobset = %key, ?delay, "to be retried");
                } else {
                    match outcome.again {
                        None => work.success.add_one(),
                        Some(Duration::ZERO) => work.requeue.add_one(),
                        Some(_) => work.requeue_after.add_one(),
                    }
                    queue.forget(&key);
                }
                if let Some(again) = outcome.again {
                    queue.after(&key, again);
                }
                spacing(outcome.children)
            }
            Err(_) => {
                stats.panics.add_one();
                stats.reconcile_errors.add_one();
                work.panics.add_one();
                work.error.add_one();
                let delay = queue.retry(&key);
                tracing::error!(jobset = %key, ?delay, "reconcile panicked; to be retried");
                Duration::ZERO
            }
        };
        queue.done(&key, spacing);
    }
}

/// Least time between two starts on a JobSet with so many children.
fn spacing(children: usize) -> Duration {
    let children = u32::try_from(children).unwrap_or(u32::MAX);
    SPACING_PER_CHILD
        .saturating_mul(children)
        .min(LONGEST_SPACING)
}

async fn join(workers: &mut JoinSet<()>) -> Result<(), Error> {
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    Ok(())
}
