//! One pass over one Job: decide, act, decide again, record, release.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;

use super::backoff::BackoffLimits;
use super::cache::{Cache, Snapshot};
use super::decide::{Decision, Removal, decide};
use super::pod_template::{self, NewPod};
use super::status;
use super::ttl::TtlController;
use super::view::{JobView, PodView};
use super::writes::{self, PodAfter, WriteError};
use crate::shell::clock::Clock;
use crate::shell::events::{EventType, Recorder};
use crate::shell::queue::Outcome;

/// Requests of one Job in flight at once.
const IN_FLIGHT: usize = 32;

/// Runs `tasks`, some at once. Whether all of them answered `true`.
async fn all<F: Future<Output = bool>>(tasks: impl Iterator<Item = F>) -> bool {
    let tasks: Vec<F> = tasks.collect();
    let mut results = futures::stream::iter(tasks).buffer_unordered(IN_FLIGHT);
    let mut well = true;
    while let Some(result) = results.next().await {
        well &= result;
    }
    well
}

/// What a pass needs.
#[derive(Clone)]
pub struct Context {
    /// Where requests go.
    pub client: Client,
    /// What is known.
    pub cache: Arc<Cache>,
    /// Where events go.
    pub recorder: Recorder,
    /// What time it is.
    pub clock: Clock,
    /// How long to wait after failures.
    pub limits: BackoffLimits,
    /// Has to hear of Jobs that end.
    pub ttl: TtlController,
}

impl Context {
    fn decide(&self, snapshot: &Snapshot) -> Decision {
        let now = self.clock.now();
        decide(
            &snapshot.job,
            &snapshot.pods,
            snapshot.backoff,
            self.limits,
            now,
        )
    }

    fn take_in(&self, before: &PodView, after: PodAfter) {
        match after {
            PodAfter::Present(pod) => self.cache.assume_pod(pod),
            PodAfter::Gone => self.cache.forget_pod(before),
        }
    }

    /// One pass over the Job with this uid.
    pub async fn sync(&self, uid: Arc<str>) -> Outcome {
        let Some(mut snapshot) = self.cache.snapshot(&uid) else {
            return self.let_orphans_go(&uid).await;
        };
        let mut decision = self.decide(&snapshot);
        let mut well = true;
        let mut again = false;
        if !decision.create.is_empty() || !decision.delete.is_empty() {
            well &= self.create_pods(&snapshot.job, &decision.create).await;
            well &= self.delete_pods(&snapshot.job, &decision.delete).await;
            // The answers are in the cache: what remains is the status that results.
            let Some(next) = self.cache.snapshot(&uid) else {
                return Outcome::Retry;
            };
            snapshot = next;
            decision = self.decide(&snapshot);
            again = !decision.create.is_empty() || !decision.delete.is_empty();
        }

        if let Some(status) = &decision.status {
            match self.write_status(&snapshot.job, status).await {
                Ok(()) => {}
                Err(WriteError::Gone) => return Outcome::Done,
                Err(error) => {
                    tracing::debug!(job = snapshot.job.name(), %error, "Job status not written");
                    return Outcome::Retry;
                }
            }
        }
        self.cache.remember_backoff(&uid, decision.backoff);
        for note in decision.notes {
            let about = snapshot.job.reference();
            self.recorder
                .publish(about, note.kind, &note.reason, note.message);
        }
        well &= self.release_pods(&decision.release).await;

        match decision.requeue_after {
            _ if !well => Outcome::Retry,
            _ if again => Outcome::After(Duration::ZERO),
            Some(delay) => Outcome::After(delay),
            None => Outcome::Done,
        }
    }

    async fn write_status(
        &self,
        job: &JobView,
        new: &k8s_openapi::api::batch::v1::JobStatus,
    ) -> Result<(), WriteError> {
        let version = job.metadata.resource_version.as_deref().unwrap_or_default();
        let patch = status::patch(&job.status, new, version, job.uid())?;
        let answer = writes::patch_status(&self.client, job, patch).await?;
        // The watch will tell nothing new of our own write, so pass it on here.
        self.ttl.consider(&answer);
        self.cache.assume_job(answer);
        Ok(())
    }

    /// Creates Pods in batches that double in size, so that a template that the API server
    /// refuses costs one request and not hundreds. Returns whether all went well.
    async fn create_pods(&self, job: &JobView, pods: &[NewPod]) -> bool {
        let mut rest = pods;
        let mut size = 1;
        while !rest.is_empty() {
            let (batch, tail) = rest.split_at(size.min(rest.len()));
            if !all(batch.iter().map(|pod| self.create_pod(job, *pod))).await {
                return false;
            }
            rest = tail;
            size *= 2;
        }
        true
    }

    async fn create_pod(&self, job: &JobView, pod: NewPod) -> bool {
        let result = match pod_template::build(job, pod) {
            Ok(body) => writes::create_pod(&self.client, job.namespace(), &body).await,
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name());
                self.cache.assume_pod(created);
                self.tell(job, EventType::Normal, "SuccessfulCreate", message);
                true
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                self.tell(job, EventType::Warning, "FailedCreate", message);
                false
            }
        }
    }

    async fn delete_pods(&self, job: &JobView, removals: &[Removal]) -> bool {
        all(removals.iter().map(|removal| self.delete_pod(job, removal))).await
    }

    async fn delete_pod(&self, job: &JobView, removal: &Removal) -> bool {
        let pod = &removal.pod;
        let result = async {
            if removal.uncounted && pod.tracked {
                let after = writes::release_pod(&self.client, pod).await?;
                let gone = matches!(after, PodAfter::Gone);
                self.take_in(pod, after);
                if gone {
                    return Ok(());
                }
            }
            let after = writes::delete_pod(&self.client, pod).await?;
            self.take_in(pod, after);
            Ok::<_, WriteError>(())
        }
        .await;
        match result {
            Ok(()) => {
                let message = format!("Deleted pod: {}", pod.name());
                self.tell(job, EventType::Normal, "SuccessfulDelete", message);
                true
            }
            Err(error) => {
                self.tell(
                    job,
                    EventType::Warning,
                    "FailedDelete",
                    format!("Error deleting: {error}"),
                );
                false
            }
        }
    }

    async fn release_pods(&self, pods: &[Arc<PodView>]) -> bool {
        all(pods.iter().map(|pod| self.release_pod(pod))).await
    }

    async fn release_pod(&self, pod: &PodView) -> bool {
        match writes::release_pod(&self.client, pod).await {
            Ok(after) => {
                self.take_in(pod, after);
                true
            }
            Err(error) => {
                tracing::debug!(pod = pod.name(), %error, "finalizer not removed");
                false
            }
        }
    }

    /// Lets the Pods of a Job that does not exist go: nobody will count them any more.
    async fn let_orphans_go(&self, uid: &str) -> Outcome {
        let pods: Vec<_> = self
            .cache
            .pods(uid)
            .into_iter()
            .filter(|pod| pod.tracked)
            .collect();
        let Some(first) = pods.first() else {
            return Outcome::Done;
        };
        // The cache may be behind: without having seen the deletion, ask.
        if !self.cache.job_is_gone(uid) {
            let name = first.job_name.as_deref().unwrap_or_default();
            match writes::get_job(&self.client, first.namespace(), name).await {
                Ok(job) if job.uid() == uid => return Outcome::Retry,
                Ok(_) | Err(WriteError::Gone) => {}
                Err(_) => return Outcome::Retry,
            }
        }
        if self.release_pods(&pods).await {
            Outcome::Done
        } else {
            Outcome::Retry
        }
    }

    fn tell(&self, job: &JobView, kind: EventType, reason: &str, message: String) {
        self.recorder
            .publish(job.reference(), kind, reason, message);
    }
}
