//! The HTTP interface: one set of handlers for all resources.
//!
//! A request passes through [`path`] (what it names), [`params`] and [`body`] (what it says),
//! then one verb: [`read`] (get, list), [`watch`], [`create`], [`update`] (PUT), [`patch`],
//! [`delete`], or a subresource of Pods ([`pods`]). Answers are built in [`output`].

mod access;
mod body;
mod create;
mod delete;
mod discovery;
mod documents;
mod metrics;
mod namespaces;
mod output;
mod ownership;
mod params;
mod patch;
mod path;
mod pods;
mod policies;
mod prepare;
mod protobuf;
mod read;
mod selection;
mod update;
mod watch;
mod webhooks;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{Method, Request, StatusCode};
use jiff::Timestamp;

use self::params::Params;
use self::path::{Path, ResourcePath};
use crate::admission::{Admission, AdmissionRequest, Operation, StoredObjects};
use crate::builtin::{Registry, Resource};
use crate::metrics::Metrics;
use crate::pod_logs::PodLogs;
use crate::policy::Policies;
use crate::stats::Counters;
use crate::status::Status;
use crate::store::{Key, Store};
use crate::webhook::Webhooks;

pub(crate) use self::create::uuid;
pub(crate) use self::documents::Documents;
pub(crate) use self::namespaces::{Terminating, restore};

/// Everything the handlers share.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) pod_logs: RwLock<Option<Arc<dyn PodLogs>>>,
    pub(crate) metrics: RwLock<Option<Arc<dyn Metrics>>>,
    pub(crate) counters: Counters,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(crate) terminating: Terminating,
    pub(crate) documents: Documents,
    pub(crate) webhooks: Webhooks,
    pub(crate) policies: Policies,
}

/// Who sent a request; put into the request's extensions by the transport.
#[derive(Clone, Debug)]
pub(crate) struct User(pub(crate) Arc<str>);

/// A request for a resource, as the verbs see it.
pub(crate) struct Call {
    pub(crate) core: Arc<Core>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: String,
    pub(crate) params: Params,
    pub(crate) user: Arc<str>,
    pub(crate) parts: http::request::Parts,
}

impl Core {
    /// The present moment as the API writes it: seconds, UTC.
    pub(crate) fn now(&self) -> String {
        format_time((self.clock)())
    }

    pub(crate) fn logs(&self) -> Option<Arc<dyn PodLogs>> {
        self.pod_logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn metrics(&self) -> Option<Arc<dyn Metrics>> {
        self.metrics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// `metav1.Time`: RFC 3339 in seconds.
pub(crate) fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Call {
    /// The key of the object the request names.
    pub(crate) fn key(&self) -> Result<Key, Status> {
        let name = self
            .name
            .as_deref()
            .ok_or_else(|| Status::bad_request("name is required"))?;
        Ok(self.key_of(name))
    }

    /// Whether this is a server-side apply.
    pub(crate) fn applies(&self) -> bool {
        body::media_type(&self.parts.headers) == patch::APPLY
    }

    pub(crate) fn key_of(&self, name: &str) -> Key {
        Key::new(self.namespace.as_deref().unwrap_or_default(), name)
    }

    pub(crate) fn not_found(&self, name: &str) -> Status {
        Status::not_found(&self.resource.plural, &self.resource.group, name)
    }

    pub(crate) fn stale(&self, name: &str) -> Status {
        Status::stale(&self.resource.plural, &self.resource.group, name)
    }

    pub(crate) fn conflict(&self, name: &str, why: impl std::fmt::Display) -> Status {
        Status::conflict(&self.resource.plural, &self.resource.group, name, why)
    }

    pub(crate) fn admission_request(&self, operation: Operation, name: &str) -> AdmissionRequest {
        AdmissionRequest {
            group: self.resource.group.clone(),
            version: self.resource.version.clone(),
            resource: self.resource.plural.clone(),
            subresource: self.subresource.clone(),
            operation,
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            dry_run: self.params.dry_run(),
            user: self.user.to_string(),
            objects: StoredObjects(self.core.store.clone()),
        }
    }

    /// `jobs`, `jobs/status`.
    pub(crate) fn counted_as(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.plural.clone()
        } else {
            format!("{}/{}", self.resource.plural, self.subresource)
        }
    }
}

/// The data directory does not take writes any more; nothing was changed.
fn disk_failed() -> Status {
    Status::internal("the change could not be written to the data directory")
}

/// Serves one request. Never fails: errors are Status bodies.
pub(crate) async fn handle(core: Arc<Core>, request: Request<Body>) -> Response {
    // A bug in one handler must not take down the connection, or a client in the same process.
    match AssertUnwindSafe(route(core, request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(status)) => status.into_response(),
        Err(_) => Status::internal("the request handler panicked").into_response(),
    }
}

async fn route(core: Arc<Core>, request: Request<Body>) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    let path = path::parse(parts.uri.path()).ok_or_else(Status::no_such_path)?;
    let resource = match path {
        Path::Resource(resource) => resource,
        other => {
            if parts.method != Method::GET && parts.method != Method::HEAD {
                return Err(Status::method_not_allowed(parts.method.as_str()));
            }
            return discovery::serve(&core, &other, &parts);
        }
    };
    if let Some(kind) = access::review(&resource) {
        let body = body::read(body).await?;
        return access::answer(kind, &parts.method, &parts.headers, &body);
    }
    serve_resource(core, resource, parts, body).await
}

async fn serve_resource(
    core: Arc<Core>,
    path: ResourcePath,
    parts: http::request::Parts,
    body: Body,
) -> Result<Response, Status> {
    let ResourcePath {
        group,
        version,
        namespace,
        plural,
        name,
        subresource,
    } = path;
    let resource = core
        .registry
        .find(&group, &version, &plural)
        .ok_or_else(Status::no_such_path)?;
    if namespace.is_some() && !resource.namespaced {
        return Err(Status::no_such_path());
    }
    // Objects of namespaced resources have no address without one; only lists do.
    if name.is_some() && namespace.is_none() && resource.namespaced {
        return Err(Status::no_such_path());
    }
    let params = Params::parse(&parts.uri)?;
    let user = parts
        .extensions
        .get::<User>()
        .map_or_else(|| "system:admin".into(), |user| user.0.clone());
    let call = Call {
        core,
        resource,
        namespace,
        name,
        subresource: subresource.unwrap_or_default(),
        params,
        user,
        parts,
    };
    let method = call.parts.method.clone();
    let watching = method == Method::GET && call.params.flag("watch");
    let verb = match (&method, call.name.is_some()) {
        (&Method::GET, _) if watching => "watch",
        (&Method::GET | &Method::HEAD, true) => "get",
        (&Method::GET | &Method::HEAD, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, true) => "update",
        (&Method::PATCH, true) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => return Err(Status::method_not_allowed(method.as_str())),
    };
    call.core.counters.request(verb, &call.counted_as());
    if call.resource.measured {
        return metrics::serve(&call, verb).await;
    }
    match (call.subresource.as_str(), verb) {
        ("", "watch") => watch::watch(&call),
        ("", "get") => read::get(&call),
        ("", "list") => read::list(&call),
        ("", "create") if call.name.is_none() => {
            create::create(&call, &body::read(body).await?).await
        }
        ("", "update") => update::replace(&call, &body::read(body).await?).await,
        ("", "patch") => patch::patch(&call, &body::read(body).await?).await,
        ("", "delete") => delete::delete(&call, &body::read(body).await?).await,
        ("", "deletecollection") => {
            delete::delete_collection(&call, &body::read(body).await?).await
        }
        ("", _) => Err(Status::method_not_allowed(method.as_str())),
        ("status", "get") if call.resource.has_status => read::get(&call),
        ("status", "update") if call.resource.has_status => {
            update::replace(&call, &body::read(body).await?).await
        }
        ("status", "patch") if call.resource.has_status => {
            patch::patch(&call, &body::read(body).await?).await
        }
        (subresource, _) if &*call.resource.collection == "pods" => match (subresource, verb) {
            ("binding", "create") => pods::bind(&call, &body::read(body).await?).await,
            ("log", "get") => pods::log(&call).await,
            ("eviction", "create") => Err(Status::not_implemented("eviction")),
            ("exec" | "attach" | "portforward" | "ephemeralcontainers" | "resize", _) => {
                Err(Status::not_implemented(format!("pods/{subresource}")))
            }
            ("status" | "log" | "binding" | "eviction", _) => {
                Err(Status::method_not_allowed(method.as_str()))
            }
            _ => Err(Status::no_such_path()),
        },
        ("status", _) if call.resource.has_status => {
            Err(Status::method_not_allowed(method.as_str()))
        }
        // The path is there; what it names is not.
        _ if call.resource.custom.is_some() => {
            Err(call.not_found(call.name.as_deref().unwrap_or_default()))
        }
        _ => Err(Status::no_such_path()),
    }
}

/// The answer to a write: the object in the client's representation.
fn object_response(
    call: &Call,
    code: StatusCode,
    value: &serde_json::Value,
) -> Result<Response, Status> {
    let format = output::Format::negotiate(&call.parts.headers)?;
    let body = read::render_one(call, format, value)?;
    Ok(output::json_response(code, body))
}
