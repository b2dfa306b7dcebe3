//! One look at one JobSet, from top to bottom: snapshot, plan, execute, status, events.
//!
//! Nothing is decided here; [`jobset_core::plan()`] does that. Whatever goes wrong, the JobSet is
//! looked at again: after its back-off, or at once if something changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobset_api::JobSet;
use jobset_core::why::{self, Culprit};
use jobset_core::{Observed, PlanOptions, Terminal, nodes_in_question};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::events::{self, Recorder};
use crate::executor::{Execution, Executor};
use crate::index::{Index, Key, Snapshot};
use crate::lock::lock;
use crate::options::Clock;
use crate::progress::{self, Progress};
use crate::queue::{Lane, Queue};
use crate::requests::{PatchKind, RequestError, Requests, Resource};
use crate::stats::Stats;
use crate::status::{Decision, Pace, decide};
use crate::watched::{Identity as _, WatchedJob, WatchedJobSet};

/// Decisions of one plan for which the Pods of the failed Job are listed.
const MOST_LOOKED_INTO: usize = 10;

/// Reconciles JobSets. See the module documentation.
pub(crate) struct Reconciler {
    pub(crate) index: Arc<Index>,
    pub(crate) queue: Arc<Queue<Key>>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) executor: Executor,
    pub(crate) recorder: Recorder,
    pub(crate) stats: Arc<Stats>,
    /// How plans are made.
    pub(crate) planning: PlanOptions,
    pub(crate) pod_webhook: bool,
    pub(crate) clock: Clock,
    pub(crate) status_interval: Duration,
    pub(crate) confirmation_timeout: Duration,
    /// Is told when a JobSet with exclusive placement is seen.
    pub(crate) placement_wanted: Arc<Notify>,
    /// What is remembered from one look at a JobSet to the next.
    pub(crate) memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered of a JobSet. Losing it costs a status write and a log line.
#[derive(Default)]
pub(crate) struct Memory {
    /// When the status was last written.
    last_write: Option<Instant>,
    /// Since when there has been a status to write.
    status_wanted: Option<Instant>,
    /// Oddities that the log has been told of.
    warned: Vec<String>,
    /// How far it has come for the first time.
    progress: Progress,
}

/// What comes after a reconcile.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Look again after this time, if nothing wakes the JobSet earlier.
    pub(crate) again: Option<Duration>,
    /// Something failed or is unfinished: look again after the back-off.
    pub(crate) retry: bool,
    /// Children that were looked at.
    pub(crate) children: usize,
}

impl Reconciler {
    /// Looks at the JobSet once and does what is to be done.
    pub(crate) async fn reconcile(&self, key: &Key) -> Outcome {
        let Some(snapshot) = self.index.snapshot(key, self.confirmation_timeout) else {
            lock(&self.memory).remove(key);
            self.stats.jobsets().gone(key);
            return Outcome {
                again: None,
                retry: false,
                children: 0,
            };
        };
        let children = snapshot.jobs.len();
        if !snapshot.overdue.is_empty() {
            let retry = !self.look_up(&snapshot).await;
            let again = Some(Duration::ZERO).filter(|_| !retry);
            return Outcome {
                again,
                retry,
                children,
            };
        }

        let jobset = &snapshot.jobset;
        // Without the webhook nobody asks where Pods are, and nobody may look at nodes.
        if self.pod_webhook && jobset_core::placement::concerns(jobset) {
            self.placement_wanted.notify_one();
        }
        let mut observed = Observed {
            jobset,
            jobs: &snapshot.jobs,
            service: snapshot.service,
            claims: &snapshot.claims,
            pods: snapshot.pods.as_deref(),
            dead_nodes: &[],
            pod_webhook: self.pod_webhook,
        };
        let now = self.clock.now();
        let dead_nodes = self.dead_among(nodes_in_question(&observed, now)).await;
        observed.dead_nodes = &dead_nodes;
        let mut plan = jobset_core::plan(&observed, &self.planning, now);
        self.warn(key, std::mem::take(&mut plan.warnings));

        let steps = std::mem::take(&mut plan.steps);
        let execution = self.executor.run(jobset, steps).await;
        self.tell_failures(key, jobset, &execution);

        let settled = plan.settle(|step| execution.succeeded.get(step).copied().unwrap_or(false));
        let mut again = shorter(plan.requeue_after, snapshot.next_overdue);
        let mut retry = execution.unfinished || !execution.errors.is_empty();
        if let Some(error) = &plan.error {
            tracing::warn!(jobset = %key, "{error}");
            retry = true;
        }

        let present = settled.status.as_ref().or(jobset.status.as_ref());
        lock(&self.memory)
            .entry(key.clone())
            .or_default()
            .progress
            .look(
                self.stats.jobsets(),
                jobset,
                present,
                children,
                self.clock.now(),
            );
        if let Some(status) = &settled.status {
            let now = Instant::now();
            let pace = {
                let mut memory = lock(&self.memory);
                let memory = memory.entry(key.clone()).or_default();
                Pace {
                    last_write: memory.last_write,
                    wanted_since: *memory.status_wanted.get_or_insert(now),
                    busy: self.queue.others_wait(key),
                    now,
                    interval: self.status_interval,
                }
            };
            match decide(jobset, status, pace) {
                Decision::Nothing => self.no_status_wanted(key),
                Decision::Later(wait) => again = shorter(again, Some(wait)),
                Decision::Write(patch) => match self.write_status(key, jobset, &patch).await {
                    Written::Done(resource_version) => {
                        self.no_status_wanted(key);
                        self.tell(jobset, resource_version.clone(), &settled.events);
                        self.tell_decisions(key, jobset, resource_version, &plan.decisions)
                            .await;
                        match settled.terminal {
                            Some(Terminal::Completed) => {
                                self.stats.completed.add_one();
                                self.stats.jobsets().completed(key);
                            }
                            Some(Terminal::Failed) => {
                                self.stats.failed.add_one();
                                self.stats.jobsets().failed(key);
                            }
                            None => {}
                        }
                        progress::written(self.stats.jobsets(), jobset, status, &settled.events);
                    }
                    Written::Gone => self.no_status_wanted(key),
                    // It has waited already.
                    Written::Failed => retry = true,
                },
            }
        } else {
            // Counts that went back to what is stored need no write any more. The next ones wait anew.
            self.no_status_wanted(key);
        }
        if retry {
            self.stats.reconcile_errors.add_one();
        }
        Outcome {
            again,
            retry,
            children,
        }
    }

    /// Nothing waits to be written: the patience with others begins with the next status.
    fn no_status_wanted(&self, key: &Key) {
        if let Some(memory) = lock(&self.memory).get_mut(key) {
            memory.status_wanted = None;
        }
    }

    /// Reads the Jobs that were written but that the watch has not shown. False on failure.
    async fn look_up(&self, snapshot: &Snapshot) -> bool {
        let namespace = snapshot.jobset.namespace();
        let mut complete = true;
        for name in &snapshot.overdue {
            let expected = snapshot.jobs.iter().find(|job| job.name == *name);
            let expected = expected.map_or("", |job| &job.uid);
            let answer = self
                .requests
                .get::<WatchedJob>(Resource::Jobs, namespace, name)
                .await;
            let concerned = match answer {
                Ok(job) if job.uid() == expected => self.index.looked_up_job(&job),
                Ok(_) => self.index.job_is_gone(namespace, name, expected),
                Err(error) if error.is_not_found() => {
                    self.index.job_is_gone(namespace, name, expected)
                }
                Err(error) => {
                    tracing::debug!(job = name, %error, "cannot look up a Job");
                    complete = false;
                    continue;
                }
            };
            for key in concerned {
                self.queue.add(&key, Lane::Live);
            }
        }
        complete
    }

    /// Those of these nodes that are dead, as far as that can be found out.
    async fn dead_among(&self, nodes: BTreeSet<String>) -> Vec<String> {
        let mut dead = Vec::new();
        for node in nodes {
            match self.requests.node_is_dead(&node).await {
                Ok(true) => dead.push(node),
                Ok(false) => {}
                Err(error) => tracing::warn!(node, %error, "cannot look up a node"),
            }
        }
        dead
    }

    /// Tells what the failure policy decided, and which container was to blame. The Jobs are deleted
    /// only by the next plan, so their Pods are still there.
    async fn tell_decisions(
        &self,
        key: &Key,
        jobset: &JobSet,
        resource_version: Option<String>,
        decisions: &[why::Decision],
    ) {
        let about = events::about(jobset, resource_version);
        for (nth, decision) in decisions.iter().enumerate() {
            let mut culprit = None;
            if nth < MOST_LOOKED_INTO {
                let namespace = jobset.namespace();
                match self
                    .requests
                    .pods_of_job(namespace, &decision.job_uid)
                    .await
                {
                    Ok(pods) => culprit = Culprit::first_of(&pods),
                    Err(error) => {
                        tracing::debug!(job = decision.job, %error, "cannot list the Pods");
                    }
                }
            }
            let line = decision.tell(culprit.as_ref());
            tracing::warn!(jobset = %key, "failure policy: {line}");
            let warning = jobset_core::EventType::Warning;
            self.recorder
                .publish(about.clone(), warning, why::EVENT_REASON, &line);
        }
    }

    async fn write_status(&self, key: &Key, jobset: &JobSet, patch: &serde_json::Value) -> Written {
        let answer = self
            .requests
            .patch::<WatchedJobSet>(
                Resource::JobSets,
                jobset.namespace(),
                jobset.name(),
                true,
                PatchKind::Merge,
                patch,
            )
            .await;
        match answer {
            Ok(written) => {
                self.stats.status_writes.add_one();
                let revision = written.identity().resource_version.clone();
                if revision == jobset.metadata.resource_version {
                    self.stats.noop_writes.add_one();
                }
                lock(&self.memory)
                    .entry(key.clone())
                    .or_default()
                    .last_write = Some(Instant::now());
                for concerned in self.index.wrote_jobset(&written) {
                    self.queue.add(&concerned, Lane::Live);
                }
                Written::Done(revision)
            }
            Err(error) if error.is_not_found() || error.is_other_incarnation() => Written::Gone,
            Err(error) => {
                self.count_failed_write(key, &error);
                Written::Failed
            }
        }
    }

    fn count_failed_write(&self, key: &Key, error: &RequestError) {
        if error.is_conflict() {
            self.stats.conflicts.add_one();
            tracing::debug!(jobset = %key, "the JobSet has changed meanwhile; planning anew");
        } else {
            tracing::warn!(jobset = %key, %error, "status not written");
        }
    }

    /// Logs what is odd about the objects, once as long as it stays the same.
    fn warn(&self, key: &Key, warnings: Vec<String>) {
        let mut memory = lock(&self.memory);
        if warnings.is_empty() && !memory.contains_key(key) {
            return;
        }
        let memory = memory.entry(key.clone()).or_default();
        for warning in warnings
            .iter()
            .filter(|warning| !memory.warned.contains(warning))
        {
            tracing::warn!(jobset = %key, "{warning}");
        }
        memory.warned = warnings;
    }

    fn tell_failures(&self, key: &Key, jobset: &JobSet, execution: &Execution) {
        for error in execution.errors.iter().take(3) {
            tracing::warn!(jobset = %key, "{error}");
        }
        if execution.errors.len() > 3 {
            tracing::warn!(jobset = %key, "… and {} more errors", execution.errors.len() - 3);
        }
        for (reason, note) in &execution.warnings {
            let about = events::about(jobset, jobset.metadata.resource_version.clone());
            self.recorder
                .publish(about, jobset_core::EventType::Warning, *reason, note);
        }
    }

    fn tell(
        &self,
        jobset: &JobSet,
        resource_version: Option<String>,
        events: &[jobset_core::Event],
    ) {
        let about = events::about(jobset, resource_version);
        for event in events {
            let reason = event.reason.as_str();
            self.recorder
                .publish(about.clone(), event.type_, reason, &event.note);
        }
    }
}

/// How a status write ended.
enum Written {
    /// The JobSet has this resourceVersion now.
    Done(Option<String>),
    /// There is no such JobSet any more.
    Gone,
    /// To be repeated.
    Failed,
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
