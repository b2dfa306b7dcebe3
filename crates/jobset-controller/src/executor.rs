//! Carrying out the steps of a plan.
//!
//! The actions of a step run concurrently, the steps one after the other; a failed step stops the
//! later ones unless it says otherwise. Every action of a step is attempted, whatever happens to
//! the others. All actions are idempotent: an object that exists and is ours counts as created, one
//! that is gone counts as deleted, so a write whose answer was lost is simply sent again by the next
//! plan. What the server answers goes into the index at once.
//!
//! At most [`Limiter`]'s limit of requests is in flight over all JobSets. Of one JobSet at most the
//! maximum is waiting in line, so a JobSet with ten thousand Jobs delays a small one by one round
//! trip, not by ten thousand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jobset_api::JobSet;
use jobset_core::{Action, Step, note};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::concurrency::Limiter;
use crate::index::{Concerned, Index, Key};
use crate::queue::{Lane, Queue};
use crate::requests::{PatchKind, RequestError, Requests, Resource};
use crate::stats::Stats;
use crate::watched::{Identity as _, WatchedJob, WatchedJobSet};

/// Times an action is sent while the server answers that it is too busy to begin.
const TRIES: u32 = 5;
/// First pause between two tries when the server does not name one.
const PAUSE: Duration = Duration::from_millis(100);
/// A server that asks for a longer pause than this is left to the queue's back-off.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Carries out steps. See the module documentation.
pub(crate) struct Executor {
    pub(crate) requests: Arc<Requests>,
    pub(crate) limiter: Arc<Limiter>,
    /// Actions of one JobSet that may be under way or in line.
    pub(crate) per_jobset: usize,
    pub(crate) index: Arc<Index>,
    pub(crate) queue: Arc<Queue<Key>>,
    pub(crate) stats: Arc<Stats>,
    /// The server wants a Job's start time to be cleared before it takes new directives.
    pub(crate) start_time_matters: AtomicBool,
}

/// How the steps of a plan went.
#[derive(Debug, Default)]
pub(crate) struct Execution {
    /// For each step: whether it ran and all its actions succeeded.
    pub(crate) succeeded: Vec<bool>,
    /// Warnings to publish at once, as (event reason, note).
    pub(crate) warnings: Vec<(&'static str, String)>,
    /// What went wrong, for the log; empty if nothing did.
    pub(crate) errors: Vec<String>,
    /// Whether some action could not be done yet for a reason that will pass by itself.
    pub(crate) unfinished: bool,
}

/// Why an action did not succeed.
#[derive(Debug)]
enum Failure {
    /// To be told.
    Error {
        text: String,
        /// The server has understood the request and does not want it, rather than not answered.
        refused: bool,
    },
    /// Will pass by itself; to be tried again without a word.
    NotYet(String),
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        if error.is_conflict() {
            Self::NotYet(error.to_string())
        } else {
            Self::Error {
                text: error.to_string(),
                refused: error.is_refusal(),
            }
        }
    }
}

impl Executor {
    /// Carries out `steps` for `jobset`.
    pub(crate) async fn run(&self, jobset: &JobSet, steps: Vec<Step>) -> Execution {
        let mut execution = Execution::default();
        let mut stopped = false;
        for step in steps {
            if stopped {
                execution.succeeded.push(false);
                continue;
            }
            let continue_on_error = step.continue_on_error;
            let succeeded = self.run_step(jobset, step, &mut execution).await;
            execution.succeeded.push(succeeded);
            stopped = !succeeded && !continue_on_error;
        }
        execution
    }

    async fn run_step(&self, jobset: &JobSet, step: Step, execution: &mut Execution) -> bool {
        let failures: Vec<(Action, Failure)> = stream::iter(step.actions)
            .map(|action| async move {
                let failure = self.act(jobset, &action).await.err()?;
                Some((action, failure))
            })
            .buffer_unordered(self.per_jobset.max(1))
            .filter_map(std::future::ready)
            .collect()
            .await;
        let succeeded = failures.is_empty();
        let mut notes: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (action, failure) in failures {
            match failure {
                Failure::NotYet(reason) => {
                    tracing::debug!(name = action.name(), reason, "not yet");
                    execution.unfinished = true;
                }
                Failure::Error {
                    text: error,
                    refused,
                } => {
                    let line = describe(&action, &error);
                    if let Some(reason) = action.failure_event(refused) {
                        let told = match &action {
                            Action::CreateJob { .. } | Action::ResumeJob { .. } => line.clone(),
                            _ => error,
                        };
                        notes.entry(reason).or_default().push(told);
                    }
                    execution.errors.push(line);
                }
            }
        }
        let warnings = notes
            .into_iter()
            .map(|(reason, lines)| (reason, note::summary(lines)));
        execution.warnings.extend(warnings);
        succeeded
    }

    /// One action, again if the server was too busy to begin with it.
    async fn act(&self, jobset: &JobSet, action: &Action) -> Result<(), Failure> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let permit = self.limiter.acquire().await;
            let result = self.attempt(jobset, action).await;
            match &result {
                Err(Attempt::Request(error)) if error.is_overload() => {
                    let retry_after = error.retry_after();
                    let waits = retry_after.unwrap_or(pause);
                    let again = error.is_not_started() && attempt < TRIES && waits <= LONGEST_PAUSE;
                    permit.overloaded(retry_after.map(|pause| pause.min(LONGEST_PAUSE)));
                    if again {
                        tokio::time::sleep(waits).await;
                        attempt += 1;
                        pause *= 2;
                        continue;
                    }
                }
                _ => permit.succeeded(),
            }
            return result.map_err(Failure::from);
        }
    }

    async fn attempt(&self, jobset: &JobSet, action: &Action) -> Result<(), Attempt> {
        let namespace = jobset.namespace();
        match action {
            Action::CreateJob { name, body } => self.create_job(jobset, name, &body.build()).await,
            Action::DeleteJob {
                name,
                uid,
                propagation,
            } => {
                self.delete_job(jobset, name, uid, propagation.as_str())
                    .await
            }
            Action::SuspendJob { name, uid } => {
                let patch = Action::suspend_patch(uid);
                self.patch_job(jobset, name, uid, false, PatchKind::Merge, &patch)
                    .await
            }
            Action::ResumeJob { .. } => self.resume_job(jobset, action).await,
            Action::ScaleJob { name, uid, pods } => {
                let patch = Action::scale_patch(uid, *pods);
                self.patch_job(jobset, name, uid, false, PatchKind::Merge, &patch)
                    .await
            }
            Action::CreateService { name, body } => {
                let service = self
                    .create_or_get(Resource::Services, namespace, name, body)
                    .await?;
                self.wake(self.index.wrote_service(&service));
                Ok(())
            }
            Action::CreateClaim { name, body } => {
                let claim = self
                    .create_or_get(Resource::Claims, namespace, name, body)
                    .await?;
                self.wake(self.index.wrote_claim(&claim));
                Ok(())
            }
            Action::RemovePod { name, uid } => {
                let answer = self.requests.remove_pod(namespace, name, uid).await;
                gone_is_done(answer)?;
                Ok(())
            }
            Action::DeleteJobSet {
                name,
                uid,
                propagation,
            } => {
                let answer = self
                    .requests
                    .delete(
                        Resource::JobSets,
                        namespace,
                        name,
                        uid,
                        propagation.as_str(),
                    )
                    .await;
                if let Some(answer) = gone_is_done(answer)?
                    && let Ok(jobset) = serde_json::from_slice::<WatchedJobSet>(&answer)
                {
                    self.wake(self.index.wrote_jobset(&jobset));
                }
                Ok(())
            }
        }
    }

    /// Counts a creation; `None` if the object existed.
    fn created<T>(&self, answer: Result<T, RequestError>) -> Result<Option<T>, RequestError> {
        match answer {
            Ok(object) => {
                self.stats.creates.add_one();
                Ok(Some(object))
            }
            Err(error) if error.is_already_exists() => {
                self.stats.duplicate_creates.add_one();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates an object that will do whoever owns it: one that exists is read.
    async fn create_or_get<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        body: &Value,
    ) -> Result<T, Attempt> {
        let answer = self.requests.create(resource, namespace, body).await;
        if let Some(created) = self.created(answer)? {
            return Ok(created);
        }
        self.requests
            .get(resource, namespace, name)
            .await
            .map_err(|error| {
                if error.is_not_found() {
                    Attempt::NotYet(format!("{name} existed and has just gone"))
                } else {
                    error.into()
                }
            })
    }

    async fn create_job(&self, jobset: &JobSet, name: &str, body: &Value) -> Result<(), Attempt> {
        let namespace = jobset.namespace();
        let answer = self
            .requests
            .create::<WatchedJob>(Resource::Jobs, namespace, body)
            .await;
        let refusal = match answer {
            Err(error) if error.is_already_exists() => error,
            answer => {
                if let Some(job) = self.created(answer)? {
                    self.wake(self.index.wrote_job(&job));
                }
                return Ok(());
            }
        };
        self.stats.duplicate_creates.add_one();
        // Our own creation whose answer or echo is late, or somebody else's Job?
        let live: WatchedJob = match self.requests.get(Resource::Jobs, namespace, name).await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => {
                return Err(Attempt::NotYet(format!("{refusal}, but it has just gone")));
            }
            Err(error) => return Err(error.into()),
        };
        match &live.owner {
            Some(owner) if owner.uid == jobset.uid() => {
                self.wake(self.index.wrote_job(&live));
                Ok(())
            }
            Some(owner) if owner.name == jobset.name() => Err(Attempt::NotYet(format!(
                "{refusal} and belongs to a deleted JobSet of the same name"
            ))),
            _ => {
                let by = live.controller.as_deref().unwrap_or("nobody");
                Err(Attempt::Refused(format!("{refusal} (controlled by {by})")))
            }
        }
    }

    async fn delete_job(
        &self,
        jobset: &JobSet,
        name: &str,
        uid: &str,
        propagation: &str,
    ) -> Result<(), Attempt> {
        let namespace = jobset.namespace();
        let answer = self
            .requests
            .delete(Resource::Jobs, namespace, name, uid, propagation)
            .await;
        match gone_is_done(answer)? {
            None => self.wake(self.index.job_is_gone(namespace, name, uid)),
            Some(answer) => {
                self.stats.deletes.add_one();
                // The Job as it is now, or a status if it is gone already.
                if let Ok(job) = serde_json::from_slice::<WatchedJob>(&answer)
                    && job.uid() == uid
                    && job.job.deleting
                {
                    self.wake(self.index.wrote_job(&job));
                }
                self.wake(self.index.deleting_job(jobset.uid(), name, uid));
            }
        }
        Ok(())
    }

    /// Starts a suspended Job, with one write where the server allows it.
    ///
    /// New scheduling directives are accepted by API servers before Kubernetes 1.36 only while the
    /// Job has no start time, by later ones only once the Job controller has marked it as suspended.
    /// Which one this is shows the first time it matters, and is remembered.
    async fn resume_job(&self, jobset: &JobSet, action: &Action) -> Result<(), Attempt> {
        let Action::ResumeJob {
            name,
            uid,
            clear_start_time,
            marked,
            patch,
            ..
        } = action
        else {
            return Ok(());
        };
        let resume = || self.patch_job(jobset, name, uid, false, PatchKind::StrategicMerge, patch);
        let clear = Action::clear_start_time_patch(uid);
        let clear = || self.patch_job(jobset, name, uid, true, PatchKind::Merge, &clear);

        let cautious = !marked || self.start_time_matters.load(Ordering::Relaxed);
        if *clear_start_time && cautious {
            clear().await?;
        }
        let refusal = match resume().await {
            Err(Attempt::Request(error)) if error.is_invalid() => error,
            other => return other,
        };
        if *clear_start_time && !cautious {
            clear().await?;
            resume().await?;
            self.start_time_matters.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !marked {
            return Err(Attempt::NotYet(refusal.to_string()));
        }
        Err(refusal.into())
    }

    async fn patch_job(
        &self,
        jobset: &JobSet,
        name: &str,
        uid: &str,
        status: bool,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<(), Attempt> {
        let namespace = jobset.namespace();
        let answer = self
            .requests
            .patch::<WatchedJob>(Resource::Jobs, namespace, name, status, kind, patch)
            .await;
        match answer {
            Ok(job) => {
                self.wake(self.index.wrote_job(&job));
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_other_incarnation() => {
                self.wake(self.index.job_is_gone(namespace, name, uid));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn wake(&self, concerned: Concerned) {
        for key in concerned {
            self.queue.add(&key, Lane::Live);
        }
    }
}

/// Result of one try.
enum Attempt {
    Request(RequestError),
    Refused(String),
    NotYet(String),
}

impl From<RequestError> for Attempt {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<Attempt> for Failure {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::Request(error) => error.into(),
            Attempt::Refused(text) => Self::Error {
                text,
                refused: true,
            },
            Attempt::NotYet(reason) => Self::NotYet(reason),
        }
    }
}

/// A deletion that finds nothing, or another incarnation, has nothing left to do: `None`.
fn gone_is_done(answer: Result<Vec<u8>, RequestError>) -> Result<Option<Vec<u8>>, RequestError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

fn describe(action: &Action, error: &str) -> String {
    let name = action.name();
    match action {
        Action::CreateJob { .. } => note::job_creation_failed(name, error),
        Action::DeleteJob { .. } => format!("job \"{name}\" not deleted: {error}"),
        Action::SuspendJob { .. } => format!("job \"{name}\" not suspended: {error}"),
        Action::ResumeJob { .. } => format!("job \"{name}\" not resumed: {error}"),
        Action::ScaleJob { .. } => format!("job \"{name}\" not scaled: {error}"),
        Action::CreateService { .. } => format!("service \"{name}\" not created: {error}"),
        Action::CreateClaim { .. } => format!("claim \"{name}\" not created: {error}"),
        Action::RemovePod { .. } => format!("pod \"{name}\" not removed: {error}"),
        Action::DeleteJobSet { .. } => format!("expired JobSet not deleted: {error}"),
    }
}

#[cfg(test)]
mod tests;
