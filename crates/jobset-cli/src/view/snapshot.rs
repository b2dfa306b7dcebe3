//! What was read of a JobSet and its children.

use std::sync::Arc;

use jobset_api::JobSet;
use jobset_api::constants as keys;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;

use super::pod::label;

/// One JobSet with its children. Whoever keeps reading shares what has not changed.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) jobset: JobSet,
    pub(crate) jobs: Vec<Arc<Job>>,
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Events of the namespace, about whatever.
    pub(crate) events: Vec<Arc<Event>>,
    /// When it was read.
    pub(crate) now: Timestamp,
}

impl Snapshot {
    /// Of the objects, those that are the JobSet's own: labels alone may be anybody's, or those of
    /// a JobSet of the same name that is gone.
    pub(crate) fn new(
        jobset: JobSet,
        jobs: impl IntoIterator<Item = Arc<Job>>,
        pods: impl IntoIterator<Item = Arc<Pod>>,
        events: Vec<Arc<Event>>,
        now: Timestamp,
    ) -> Self {
        let jobs = jobs.into_iter().filter(|job| is_owned(&jobset, job));
        let pods = pods.into_iter().filter(|pod| {
            let pod = pod.as_ref();
            label(pod, keys::JOBSET_NAME_KEY) == jobset.name()
                && ["", jobset.uid()].contains(&label(pod, keys::JOBSET_UID_KEY))
        });
        Self {
            jobs: jobs.collect(),
            pods: pods.collect(),
            jobset,
            events,
            now,
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(Arc::as_ref)
    }
}

/// Whether the JobSet controls a Job.
pub(crate) fn is_owned(jobset: &JobSet, job: &Job) -> bool {
    let owners = job.metadata.owner_references.iter().flatten();
    owners
        .into_iter()
        .any(|owner| owner.controller == Some(true) && owner.uid == jobset.uid())
}
