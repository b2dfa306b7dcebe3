//! One API request: path, body, time limit, count, and what an answer means.
//!
//! The requests are built here rather than through `kube::Api` for three reasons: bodies are passed
//! on as the JSON they already are, answers are decoded into the few fields that are kept, and the
//! `Retry-After` header of a refusal is seen.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::core::Status;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use crate::stats::Stats;

/// Recorded by the API server as the owner of the fields written here.
const FIELD_MANAGER: &str = "jobset-controller";

/// The kinds this controller writes or reads singly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    JobSets,
    Jobs,
    Services,
    Claims,
    Pods,
    Events,
    EndpointSlices,
}

impl Resource {
    /// The resource's name in paths, messages and statistics.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::JobSets => "jobsets",
            Self::Jobs => "jobs",
            Self::Services => "services",
            Self::Claims => "persistentvolumeclaims",
            Self::Pods => "pods",
            Self::Events => "events",
            Self::EndpointSlices => "endpointslices",
        }
    }

    fn root(self) -> &'static str {
        match self {
            Self::JobSets => "/apis/jobset.x-k8s.io/v1alpha2",
            Self::Jobs => "/apis/batch/v1",
            Self::Services | Self::Claims | Self::Pods => "/api/v1",
            Self::Events => "/apis/events.k8s.io/v1",
            Self::EndpointSlices => "/apis/discovery.k8s.io/v1",
        }
    }

    fn with_status(self) -> &'static str {
        match self {
            Self::JobSets => "jobsets/status",
            Self::Jobs => "jobs/status",
            Self::Pods => "pods/status",
            other => other.plural(),
        }
    }
}

/// How a patch body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, built-in kinds only.
    StrategicMerge,
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The server refused. The text is the server's message, unaltered.
    #[error("{}", if status.message.is_empty() { &status.reason } else { &status.message })]
    Refused {
        /// The server's answer.
        status: Box<Status>,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer in time: the write may or may not have been applied.
    #[error("no answer from the API server within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The connection failed: the write may or may not have been applied.
    #[error("{0}")]
    Transport(Box<kube::Error>),
    /// The server accepted the request and sent something that is not what was asked for.
    #[error("cannot read the API server's answer: {0}")]
    Answer(String),
    /// The request could not be put together, for example because a name is no path segment.
    #[error("cannot build the request: {0}")]
    Invalid(String),
}

impl RequestError {
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// 404.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 404 || status.reason == "NotFound")
    }

    /// 409 because an object of that name exists.
    pub(crate) fn is_already_exists(&self) -> bool {
        self.status()
            .is_some_and(|status| status.reason == "AlreadyExists")
    }

    /// 409 because a precondition (uid or resourceVersion) does not hold.
    pub(crate) fn is_conflict(&self) -> bool {
        !self.is_already_exists()
            && self
                .status()
                .is_some_and(|status| status.code == 409 || status.reason == "Conflict")
    }

    /// A patch named a uid that is not the object's.
    pub(crate) fn is_other_incarnation(&self) -> bool {
        self.status().is_some_and(|status| {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            match status.code {
                422 => causes
                    .into_iter()
                    .any(|cause| cause.field == "metadata.uid"),
                409 => status.message.contains("UID in precondition"),
                _ => false,
            }
        })
    }

    /// 422: the object would not be acceptable.
    pub(crate) fn is_invalid(&self) -> bool {
        self.status().is_some_and(|status| status.code == 422)
    }

    /// The server could not cope: too many requests, an internal error, unavailable, or no answer.
    pub(crate) fn is_overload(&self) -> bool {
        match self {
            Self::Refused { status, .. } => status.code == 429 || status.code >= 500,
            Self::TimedOut(_) => true,
            Self::Transport(_) | Self::Answer(_) | Self::Invalid(_) => false,
        }
    }

    /// The server has understood the request and will not do it.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status().is_some() && !self.is_overload()
    }

    /// The server said that it did not even begin, so that sending again at once is right.
    pub(crate) fn is_not_started(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 429 || status.code == 503)
    }

    /// What the server's `Retry-After` asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Sends requests. See the module documentation.
pub(crate) struct Requests {
    client: Client,
    stats: Arc<Stats>,
    time_limit: Duration,
}

impl Requests {
    pub(crate) fn new(client: Client, stats: Arc<Stats>, time_limit: Duration) -> Self {
        Self {
            client,
            stats,
            time_limit,
        }
    }

    /// Reads one object.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Result<T, RequestError> {
        self.stats.count_request("get", resource.plural());
        let path = path(resource, namespace, Some(name), false)?;
        decode(&self.send(Method::GET, path, None, Vec::new()).await?)
    }

    /// Creates an object and returns it as stored.
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, RequestError> {
        self.stats.count_request("create", resource.plural());
        let mut path = path(resource, namespace, None, false)?;
        push_manager(&mut path);
        let body = encode(body)?;
        decode(
            &self
                .send(Method::POST, path, Some("application/json"), body)
                .await?,
        )
    }

    /// Patches an object or, with `status`, its status; returns it as stored.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        status: bool,
        kind: PatchKind,
        body: &Value,
    ) -> Result<T, RequestError> {
        let counted = if status {
            resource.with_status()
        } else {
            resource.plural()
        };
        self.stats.count_request("patch", counted);
        let mut path = path(resource, namespace, Some(name), status)?;
        push_manager(&mut path);
        let content_type = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::StrategicMerge => "application/strategic-merge-patch+json",
        };
        decode(
            &self
                .send(Method::PATCH, path, Some(content_type), encode(body)?)
                .await?,
        )
    }

    /// Deletes exactly the object with `uid`. Returns the server's answer: the object as it is now
    /// when it stays for a while, or a status.
    pub(crate) async fn delete(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        uid: &str,
        propagation: &str,
    ) -> Result<Vec<u8>, RequestError> {
        self.stats.count_request("delete", resource.plural());
        let path = path(resource, namespace, Some(name), false)?;
        let body = encode(&json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid},
        }))?;
        self.send(Method::DELETE, path, Some("application/json"), body)
            .await
    }

    /// Deletes exactly the Pod with `uid`, without waiting for its node.
    pub(crate) async fn remove_pod(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Vec<u8>, RequestError> {
        self.stats.count_request("delete", "pods");
        let path = path(Resource::Pods, namespace, Some(name), false)?;
        let body = encode(&json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": uid},
        }))?;
        self.send(Method::DELETE, path, Some("application/json"), body)
            .await
    }

    /// The Pods of one Job.
    pub(crate) async fn pods_of_job(
        &self,
        namespace: &str,
        job_uid: &str,
    ) -> Result<Vec<Pod>, RequestError> {
        #[derive(serde::Deserialize)]
        struct List {
            items: Vec<Pod>,
        }
        self.stats.count_request("list", "pods");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if job_uid.is_empty() || !job_uid.bytes().all(plain) {
            return Err(RequestError::Invalid(format!("{job_uid:?} is no uid")));
        }
        let mut path = path(Resource::Pods, namespace, None, false)?;
        // Writing to a String cannot fail.
        let _ = write!(
            path,
            "?labelSelector=batch.kubernetes.io%2Fcontroller-uid%3D{job_uid}"
        );
        let list: List = decode(&self.send(Method::GET, path, None, Vec::new()).await?)?;
        Ok(list.items)
    }

    /// Whether a node is gone, or has stopped to report.
    pub(crate) async fn node_is_dead(&self, name: &str) -> Result<bool, RequestError> {
        self.stats.count_request("get", "nodes");
        check_segment(name)?;
        let path = format!("/api/v1/nodes/{name}");
        let answer = match self.send(Method::GET, path, None, Vec::new()).await {
            Err(error) if error.is_not_found() => return Ok(true),
            answer => answer?,
        };
        let node: Node = decode(&answer)?;
        let conditions = node.status.and_then(|status| status.conditions);
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == "Ready");
        // A node that says it is not ready still speaks; its Pods may be running.
        Ok(ready.is_some_and(|condition| condition.status == "Unknown"))
    }

    async fn send(
        &self,
        method: Method,
        path: String,
        content_type: Option<&'static str>,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RequestError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(kube::client::Body::from(body))
            .map_err(|error| RequestError::Invalid(error.to_string()))?;
        tokio::time::timeout(self.time_limit, self.exchange(request))
            .await
            .unwrap_or(Err(RequestError::TimedOut(self.time_limit)))
    }

    async fn exchange(
        &self,
        request: Request<kube::client::Body>,
    ) -> Result<Vec<u8>, RequestError> {
        let transport = |error| RequestError::Transport(Box::new(error));
        let response = self.client.send(request).await.map_err(transport)?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.map_err(transport)?.to_bytes();
        if head.status.is_success() {
            return Ok(bytes.into());
        }
        let mut status: Status = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&bytes);
            Status::failure(
                text.trim(),
                head.status.canonical_reason().unwrap_or_default(),
            )
        });
        status.code = head.status.as_u16();
        let retry_after = head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        Err(RequestError::Refused {
            status: status.boxed(),
            retry_after,
        })
    }
}

/// `client` for lists and watches, which go through `kube`: counted, and given up when the answer
/// does not *begin* within `time_limit`. A watch may then be silent for as long as it likes.
pub(crate) fn for_reading(client: Client, stats: Arc<Stats>, time_limit: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<kube::client::Body>| {
        let client = client.clone();
        let uri = request.uri();
        let watch = uri
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let resource = match uri.path().rsplit('/').next() {
            Some("jobsets") => "jobsets",
            Some("jobs") => "jobs",
            Some("services") => "services",
            Some("persistentvolumeclaims") => "persistentvolumeclaims",
            Some("pods") => "pods",
            Some("nodes") => "nodes",
            Some("endpointslices") => "endpointslices",
            _ => "other",
        };
        stats.count_request(if watch { "watch" } else { "list" }, resource);
        async move {
            match tokio::time::timeout(time_limit, client.send(request)).await {
                Ok(answer) => answer.map_err(BoxError::from),
                Err(elapsed) => Err(elapsed.into()),
            }
        }
    });
    Client::new(service, namespace)
}

fn path(
    resource: Resource,
    namespace: &str,
    name: Option<&str>,
    status: bool,
) -> Result<String, RequestError> {
    for segment in [Some(namespace), name].into_iter().flatten() {
        check_segment(segment)?;
    }
    let mut path = String::with_capacity(128);
    let plural = resource.plural();
    // Writing to a String cannot fail.
    let _ = write!(path, "{}/namespaces/{namespace}/{plural}", resource.root());
    if let Some(name) = name {
        let _ = write!(path, "/{name}");
    }
    if status {
        path.push_str("/status");
    }
    Ok(path)
}

fn check_segment(segment: &str) -> Result<(), RequestError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if segment.is_empty() || segment.starts_with('.') || !segment.bytes().all(plain) {
        return Err(RequestError::Invalid(format!(
            "{segment:?} cannot stand in a path"
        )));
    }
    Ok(())
}

fn push_manager(path: &mut String) {
    path.push_str("?fieldManager=");
    path.push_str(FIELD_MANAGER);
}

fn encode(body: &impl serde::Serialize) -> Result<Vec<u8>, RequestError> {
    serde_json::to_vec(body).map_err(|error| RequestError::Invalid(error.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RequestError> {
    serde_json::from_slice(bytes).map_err(|error| RequestError::Answer(error.to_string()))
}
