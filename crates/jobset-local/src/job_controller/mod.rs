//! The batch/v1 Job controller.
//!
//! ```text
//! watches ─► cache ─► queue ─► decide ─► create/delete Pods ─► decide ─► status ─► finalizers
//!            (by uid)  (by Job)  (pure)                          (pure)    (patch)
//! ```
//!
//! Behaviour, conditions, reasons and messages are those of Kubernetes; what differs is how
//! ended Pods are counted exactly once ([`counting`]) and that nothing waits artificially.
//!
//! Pure: [`decide`], and one file per policy: [`indexes`], [`backoff`], [`deadline`],
//! [`pod_failure_policy`], [`success_policy`], [`suspend`], [`selection`], [`counting`],
//! [`conditions`], [`status`], [`pod_template`]. Shell: [`view`], [`cache`], [`writes`],
//! [`sync`], [`ttl`].
//!
//! Invariants:
//! * never more active Pods than `parallelism` by an own action, never two active Pods of one
//!   index kept;
//! * `succeeded` never falls unless an elastic Job gives up indexes;
//! * a terminal condition is written only when no Pod may still run, and is never taken back;
//! * nothing is written that would change nothing.

pub mod backoff;
pub mod cache;
pub mod conditions;
pub mod counting;
pub mod deadline;
pub mod decide;
pub mod indexes;
pub mod pod_failure_policy;
pub mod pod_template;
pub mod selection;
pub mod status;
pub mod success_policy;
pub mod suspend;
pub mod sync;
pub mod ttl;
pub mod view;
pub mod writes;

#[cfg(test)]
mod decide_table_tests;
#[cfg(test)]
mod decide_walk_tests;

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;

use self::backoff::BackoffLimits;
use self::cache::{Cache, JobUid};
use self::sync::Context;
use self::ttl::TtlController;
use self::view::{JobView, PodView};
use crate::shell::clock::Clock;
use crate::shell::events::Recorder;
use crate::shell::mirror::Change;
use crate::shell::pump::pump;
use crate::shell::queue::{KeyedQueue, run_workers};

/// How the Job controller runs.
#[derive(Debug, Clone)]
pub struct JobControllerOptions {
    /// Jobs worked on at the same time.
    pub workers: usize,
    /// Delay before a failed Pod is replaced, doubled with each further failure in a row.
    /// Kubernetes' value is ten seconds.
    pub pod_failure_backoff: Duration,
    /// Longest delay before a failed Pod is replaced. Kubernetes documents six minutes.
    pub max_pod_failure_backoff: Duration,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for JobControllerOptions {
    fn default() -> Self {
        Self {
            workers: 16,
            pod_failure_backoff: Duration::from_secs(10),
            max_pod_failure_backoff: Duration::from_mins(6),
            clock: Clock::system(),
        }
    }
}

/// Runs the Job controller, and the one that deletes expired Jobs, until `shutdown`.
pub async fn run(client: kube::Client, options: JobControllerOptions, shutdown: CancellationToken) {
    let cache = Arc::new(Cache::default());
    let queue: KeyedQueue<JobUid> = KeyedQueue::new();
    let ttl = TtlController {
        client: client.clone(),
        cache: Arc::clone(&cache),
        clock: options.clock.clone(),
        queue: KeyedQueue::new(),
    };
    let context = Context {
        client: client.clone(),
        cache: Arc::clone(&cache),
        recorder: Recorder::start(
            client.clone(),
            "job-controller",
            options.clock.clone(),
            shutdown.clone(),
        ),
        clock: options.clock,
        limits: BackoffLimits {
            base: options.pod_failure_backoff,
            cap: options.max_pod_failure_backoff,
        },
        ttl: ttl.clone(),
    };

    // No decision before both caches are complete, or Pods that exist would be created again.
    let (jobs_known, pods_known) = (CancellationToken::new(), CancellationToken::new());
    let watch_jobs = pump(
        Api::<JobView>::all(client.clone()),
        watcher::Config::default(),
        shutdown.clone(),
        {
            let (cache, queue, ttl, known) = (
                Arc::clone(&cache),
                queue.clone(),
                ttl.clone(),
                jobs_known.clone(),
            );
            move |event| {
                let complete = matches!(event, Event::InitDone);
                for change in cache.observe_job(event) {
                    let (Change::Stored(job) | Change::Removed(job)) = &change;
                    queue.add(job.uid().into());
                    if matches!(change, Change::Stored(_)) {
                        ttl.consider(job);
                    }
                }
                if complete {
                    known.cancel();
                }
            }
        },
    );
    let watch_pods = pump(
        Api::<PodView>::all(client),
        watcher::Config::default(),
        shutdown.clone(),
        {
            let (cache, queue, known) = (cache, queue.clone(), pods_known.clone());
            move |event| {
                let complete = matches!(event, Event::InitDone);
                for job in cache.observe_pod(event) {
                    queue.add(job);
                }
                if complete {
                    known.cancel();
                }
            }
        },
    );
    let work = async {
        jobs_known.cancelled().await;
        pods_known.cancelled().await;
        tokio::join!(
            run_workers(queue, options.workers, shutdown.clone(), move |uid| {
                let context = context.clone();
                async move { context.sync(uid).await }
            }),
            run_workers(ttl.queue.clone(), 4, shutdown.clone(), move |uid| {
                let ttl = ttl.clone();
                async move { ttl.sync(uid).await }
            }),
        );
    };
    let work = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    };
    tokio::join!(watch_jobs, watch_pods, work);
}
