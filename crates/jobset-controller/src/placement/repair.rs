//! Deleting Pods that are in the wrong domain, Job by Job.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use jobset_api::constants::{self, messages};
use jobset_core::placement::{PlacedPod, Repair};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Placement;
use super::watched::WatchedPod;
use crate::concurrency::Limiter;
use crate::index::Key;
use crate::options::Clock;
use crate::queue::Queue;
use crate::requests::{PatchKind, RequestError, Requests, Resource};
use crate::stats::Stats;

/// Jobs worked on at the same time.
const WORKERS: usize = 4;
/// Pods of one Job deleted at the same time.
const IN_FLIGHT: usize = 50;
/// When a Job whose leader waits for a place is looked at again: others may have taken it.
const WAITING: Duration = Duration::from_secs(5);

/// Repairs what got into the wrong domain. Runs where the controller runs: on one replica.
#[derive(Clone)]
pub(crate) struct Repairs {
    pub(crate) placement: Placement,
    pub(crate) queue: Arc<Queue<Key>>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Clock,
}

impl Repairs {
    /// Starts the workers. They end after [`Repairs::stop`].
    pub(crate) fn start(&self, workers: &mut JoinSet<()>) {
        self.stats.repair_work().set_workers(WORKERS);
        for _ in 0..WORKERS {
            workers.spawn(self.clone().work());
        }
        self.placement.shared.attach(self.queue.clone());
    }

    pub(crate) fn stop(&self) {
        self.placement.shared.detach();
        self.queue.close();
    }

    async fn work(self) {
        while let Some(job) = self.queue.next().await {
            let (work, started) = (self.stats.repair_work(), Instant::now());
            work.begin();
            let repaired = AssertUnwindSafe(self.repair(&job)).catch_unwind().await;
            work.end(started.elapsed());
            if repaired.is_err() {
                self.stats.panics.add_one();
                work.panics.add_one();
                tracing::error!(job = %job, "looking at the placement of a Job panicked");
            }
            if repaired.unwrap_or(false) {
                work.success.add_one();
                self.queue.forget(&job);
            } else {
                work.error.add_one();
                self.queue.retry(&job);
            }
            self.queue.done(&job, Duration::ZERO);
        }
    }

    /// Looks at one Job and does what is to be done. False if that has to be repeated.
    async fn repair(&self, job: &Key) -> bool {
        let wrong = match self.placement.shared.cache.judge(job) {
            Repair::Nothing => return true,
            Repair::Waiting => {
                self.queue.after(job, WAITING);
                return true;
            }
            Repair::Unknown(why) => {
                tracing::debug!(job = %job, why, "placement cannot be judged");
                return false;
            }
            Repair::Delete(wrong) => wrong,
        };
        tracing::info!(
            job = %job, pods = wrong.len(),
            "Pods are in another topology domain than their leader; they are deleted"
        );
        let mut results = stream::iter(wrong)
            .map(|pod| async move {
                let result = self.delete(&pod).await;
                (pod, result)
            })
            .buffer_unordered(IN_FLIGHT);
        let mut well = true;
        while let Some((pod, result)) = results.next().await {
            if let Err(error) = result {
                well = false;
                if error.is_conflict() {
                    tracing::debug!(pod = pod.name, "the Pod has changed; to be judged again");
                } else {
                    tracing::warn!(pod = pod.name, %error, "misplaced Pod not deleted");
                }
            }
        }
        well
    }

    /// Marks a Pod as disrupted, which a Job's policy may want to see, then deletes it.
    async fn delete(&self, pod: &PlacedPod) -> Result<(), RequestError> {
        let gone = |error: &RequestError| error.is_not_found() || error.is_other_incarnation();
        if !pod.disrupted {
            let permit = self.limiter.acquire().await;
            let marked = self.mark(pod).await;
            match &marked {
                Err(error) if error.is_overload() => permit.overloaded(error.retry_after()),
                _ => permit.succeeded(),
            }
            match marked {
                Ok(written) => self.placement.shared.cache.wrote(&written),
                Err(error) if gone(&error) => {
                    self.placement.shared.cache.deleting(pod);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let permit = self.limiter.acquire().await;
        let deleted = self
            .requests
            .delete(
                Resource::Pods,
                &pod.namespace,
                &pod.name,
                &pod.uid,
                "Background",
            )
            .await;
        match &deleted {
            Err(error) if error.is_overload() => permit.overloaded(error.retry_after()),
            _ => permit.succeeded(),
        }
        match deleted {
            Ok(_) => self.stats.placement_repairs.add_one(),
            Err(error) if gone(&error) || error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        self.placement.shared.cache.deleting(pod);
        Ok(())
    }

    async fn mark(&self, pod: &PlacedPod) -> Result<WatchedPod, RequestError> {
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let patch = json!({
            "metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version},
            "status": {"conditions": [{
                "type": constants::DISRUPTION_TARGET,
                "status": "True",
                "reason": constants::EXCLUSIVE_PLACEMENT_VIOLATION,
                "message": messages::EXCLUSIVE_PLACEMENT_VIOLATION,
                "lastTransitionTime": now,
            }]},
        });
        self.requests
            .patch(
                Resource::Pods,
                &pod.namespace,
                &pod.name,
                true,
                PatchKind::StrategicMerge,
                &patch,
            )
            .await
    }
}

#[cfg(test)]
mod tests;
