//! The controller's requests.
//!
//! Each answer is decoded into the slim views and put into the cache by the caller. A request
//! that hangs fails after [`LIMIT`]; nothing is retried here, the queue does that.

use std::time::Duration;

use kube::Client;
use kube::Resource;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::Request;
use serde_json::{Value, json};

use super::view::{JobView, PodView, TRACKING_FINALIZER};

/// Longest time that one request may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object is gone, or another one has its name now.
    #[error("the object is gone")]
    Gone,
    /// The object has changed since it was read.
    #[error("the object has changed")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) => Self::Other(status.message),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<kube::core::request::Error> for WriteError {
    fn from(error: kube::core::request::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<serde_json::Error> for WriteError {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// What is left of a Pod after a write.
#[derive(Debug)]
pub enum PodAfter {
    /// The Pod as it is now.
    Present(PodView),
    /// Nothing.
    Gone,
}

impl PodAfter {
    fn of(pod: PodView) -> Self {
        let metadata = &pod.metadata;
        let held = metadata
            .finalizers
            .as_ref()
            .is_some_and(|list| !list.is_empty());
        // A deleted Pod without finalizers and grace is removed by the same request.
        if pod.deleting() && !held && metadata.deletion_grace_period_seconds == Some(0) {
            Self::Gone
        } else {
            Self::Present(pod)
        }
    }
}

async fn limited<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, WriteError> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(WriteError::Other("no answer in time".to_owned())),
    }
}

fn pods(namespace: &str) -> Request {
    Request::new(PodView::url_path(&(), Some(namespace)))
}

fn jobs(namespace: &str) -> Request {
    Request::new(JobView::url_path(&(), Some(namespace)))
}

/// Creates a Pod.
pub async fn create_pod(
    client: &Client,
    namespace: &str,
    body: &Value,
) -> Result<PodView, WriteError> {
    let request = pods(namespace).create(&PostParams::default(), serde_json::to_vec(body)?)?;
    limited(client.request(request)).await
}

/// Deletes exactly this Pod with its own grace period.
pub async fn delete_pod(client: &Client, pod: &PodView) -> Result<PodAfter, WriteError> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let request = pods(pod.namespace()).delete(pod.name(), &params)?;
    match limited(client.request_status::<PodView>(request)).await {
        Ok(answer) => Ok(answer.left().map_or(PodAfter::Gone, PodAfter::of)),
        // A Pod of another uid under this name is not ours to delete.
        Err(WriteError::Gone | WriteError::Conflict) => Ok(PodAfter::Gone),
        Err(error) => Err(error),
    }
}

/// Removes the tracking finalizer from exactly this Pod.
pub async fn release_pod(client: &Client, pod: &PodView) -> Result<PodAfter, WriteError> {
    let finalizers = pod.metadata.finalizers.as_deref().unwrap_or_default();
    let Some(position) = finalizers
        .iter()
        .position(|name| name == TRACKING_FINALIZER)
    else {
        return Ok(PodAfter::Present(pod.clone()));
    };
    // Both tests hold or nothing is changed, so it needs no read and no resource version: other
    // changes of the Pod do not get in the way.
    let place = format!("/metadata/finalizers/{position}");
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": pod.uid()},
        {"op": "test", "path": place, "value": TRACKING_FINALIZER},
        {"op": "remove", "path": place},
    ]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch)?);
    let request = pods(pod.namespace()).patch(pod.name(), &PatchParams::default(), &patch)?;
    match limited(client.request(request)).await {
        Ok(pod) => Ok(PodAfter::of(pod)),
        Err(WriteError::Gone) => Ok(PodAfter::Gone),
        Err(error) => Err(error),
    }
}

/// Sends a merge patch to a Job's status.
pub async fn patch_status(
    client: &Client,
    job: &JobView,
    patch: Value,
) -> Result<JobView, WriteError> {
    let request = jobs(job.namespace()).patch_subresource(
        "status",
        job.name(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )?;
    limited(client.request(request)).await
}

/// Reads a Job.
pub async fn get_job(client: &Client, namespace: &str, name: &str) -> Result<JobView, WriteError> {
    let request = jobs(namespace).get(name, &kube::api::GetParams::default())?;
    limited(client.request(request)).await
}

/// Deletes exactly this version of a Job, its Pods first.
pub async fn delete_job(client: &Client, job: &JobView) -> Result<(), WriteError> {
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions {
            uid: job.metadata.uid.clone(),
            resource_version: job.metadata.resource_version.clone(),
        }),
        ..DeleteParams::default()
    };
    let request = jobs(job.namespace()).delete(job.name(), &params)?;
    limited(client.request_status::<JobView>(request))
        .await
        .map(|_| ())
}
