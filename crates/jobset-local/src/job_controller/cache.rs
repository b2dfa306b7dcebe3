//! What the controller knows: Jobs, their Pods, and which Pods belong to which Job.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::runtime::watcher::Event;

use super::backoff::BackoffRecord;
use super::view::{JobView, PodView};
use crate::shell::mirror::{Change, Mirror};

/// A Job's uid, the key of all work.
pub type JobUid = Arc<str>;

#[derive(Debug, Default)]
struct Inner {
    jobs: Mirror<JobView>,
    pods: Mirror<PodView>,
    /// Uids of the Pods of each Job, also of Jobs that do not exist (any more).
    pods_of: HashMap<JobUid, BTreeSet<Arc<str>>>,
    backoff: HashMap<JobUid, BackoffRecord>,
}

/// The controller's view of the cluster. All methods are short and do not wait.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Inner>);

/// A Job with its Pods and back-off.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The Job.
    pub job: Arc<JobView>,
    /// Its Pods, ordered by uid.
    pub pods: Vec<Arc<PodView>>,
    /// Its failures in a row, unless nothing is remembered.
    pub backoff: Option<BackoffRecord>,
}

impl Inner {
    fn index_pod(&mut self, pod: &PodView) {
        if let (Some(job), Some(uid)) = (&pod.job_uid, &pod.metadata.uid) {
            self.pods_of
                .entry(Arc::clone(job))
                .or_default()
                .insert(uid.as_str().into());
        }
    }

    fn unindex_pod(&mut self, pod: &PodView) {
        let Some(job) = &pod.job_uid else {
            return;
        };
        if let Some(uids) = self.pods_of.get_mut(job) {
            uids.remove(pod.uid());
            if uids.is_empty() {
                self.pods_of.remove(job);
            }
        }
    }

    fn pods(&self, job: &str) -> Vec<Arc<PodView>> {
        let uids = self.pods_of.get(job).into_iter().flatten();
        uids.filter_map(|uid| self.pods.get(uid))
            .map(Arc::clone)
            .collect()
    }
}

impl Cache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock leaves at worst an index entry without its Pod, which is skipped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Job with this uid and all of its Pods.
    pub fn snapshot(&self, uid: &str) -> Option<Snapshot> {
        let inner = self.inner();
        Some(Snapshot {
            job: Arc::clone(inner.jobs.get(uid)?),
            pods: inner.pods(uid),
            backoff: inner.backoff.get(uid).copied(),
        })
    }

    /// The Job with this uid.
    pub fn job(&self, uid: &str) -> Option<Arc<JobView>> {
        self.inner().jobs.get(uid).map(Arc::clone)
    }

    /// The Pods whose controller is the Job with this uid, whether or not that exists.
    pub fn pods(&self, uid: &str) -> Vec<Arc<PodView>> {
        self.inner().pods(uid)
    }

    /// Whether the watch has told of the deletion of the Job with this uid.
    pub fn job_is_gone(&self, uid: &str) -> bool {
        self.inner().jobs.is_gone(uid)
    }

    /// Takes in an event of the Jobs' watch. Returns the Jobs to look at.
    pub fn observe_job(&self, event: Event<JobView>) -> Vec<Change<JobView>> {
        let inner = &mut *self.inner();
        let changes = inner.jobs.observe(event);
        for change in &changes {
            if let Change::Removed(job) = change {
                inner.backoff.remove(job.uid());
            }
        }
        changes
    }

    /// Takes in an event of the Pods' watch. Returns the uids of the Jobs to look at.
    pub fn observe_pod(&self, event: Event<PodView>) -> Vec<JobUid> {
        let inner = &mut *self.inner();
        let changes = inner.pods.observe(event);
        let mut touched = Vec::new();
        for change in &changes {
            let pod = match change {
                Change::Stored(pod) => {
                    inner.index_pod(pod);
                    pod
                }
                Change::Removed(pod) => {
                    inner.unindex_pod(pod);
                    pod
                }
            };
            touched.extend(pod.job_uid.clone());
        }
        touched
    }

    /// Takes in the answer of a write to a Job.
    pub fn assume_job(&self, job: JobView) {
        self.inner().jobs.assume(job);
    }

    /// Takes in the answer of a write to a Pod.
    pub fn assume_pod(&self, pod: PodView) {
        let inner = &mut *self.inner();
        if let Some(pod) = inner.pods.assume(pod) {
            inner.index_pod(&pod);
        }
    }

    /// Takes in that a Pod is gone.
    pub fn forget_pod(&self, pod: &PodView) {
        let inner = &mut *self.inner();
        inner.pods.forget(pod.uid());
        inner.unindex_pod(pod);
    }

    /// Remembers the failures in a row of the Job with this uid.
    pub fn remember_backoff(&self, uid: &str, record: BackoffRecord) {
        let inner = &mut *self.inner();
        if inner.jobs.get(uid).is_some() {
            inner.backoff.insert(uid.into(), record);
        }
    }
}
