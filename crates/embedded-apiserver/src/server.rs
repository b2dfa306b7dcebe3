//! The server as its owner holds it.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, AdmitAll};
use crate::builtin::{CRDS, EVENTS, Registry};
use crate::credentials::Credentials;
use crate::metrics::Metrics;
use crate::pod_logs::PodLogs;
use crate::policy::Policies;
use crate::rest::{Core, Documents, Terminating, User, handle, restore};
use crate::stats::{Counters, Stats};
use crate::store::{Draft, Expiry, History, Key, Limits, Store};
use crate::webhook::{ServiceResolver, Webhooks};

/// An in-memory Kubernetes API server. Cheap to clone; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    core: Arc<Core>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer")
            .field("revision", &self.core.store.revision())
            .finish()
    }
}

/// Where the server reads the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Configures an [`ApiServer`].
pub struct ApiServerBuilder {
    admission: Arc<dyn Admission>,
    pod_logs: Option<Arc<dyn PodLogs>>,
    clock: Clock,
    history: History,
    event_expiry: Expiry,
    services: Option<Arc<dyn ServiceResolver>>,
}

impl ApiServerBuilder {
    /// Admission control for every write; without it everything valid is admitted.
    #[must_use]
    pub fn admission(mut self, admission: Arc<dyn Admission>) -> Self {
        self.admission = admission;
        self
    }

    /// Where `pods/log` reads from; may also be set later by [`ApiServer::set_pod_logs`].
    #[must_use]
    pub fn pod_logs(mut self, pod_logs: Arc<dyn PodLogs>) -> Self {
        self.pod_logs = Some(pod_logs);
        self
    }

    /// The clock behind creation and deletion time stamps; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Where the Services are that webhook configurations name in `clientConfig.service`. Without
    /// it such webhooks cannot be called; those that are named by URL can.
    #[must_use]
    pub fn service_resolver(mut self, services: Arc<dyn ServiceResolver>) -> Self {
        self.services = Some(services);
        self
    }

    /// How many changes of each resource are kept for watchers that are behind. A watcher that is
    /// further behind gets 410 Gone and lists again. The default is 10,000.
    #[must_use]
    pub fn watch_history(mut self, events: usize) -> Self {
        self.history.events = events;
        self
    }

    /// How long an Event is kept after its last write; one hour by default, as in Kubernetes. Of
    /// more than 32 MiB of Events the oldest go earlier.
    #[must_use]
    pub fn event_ttl(mut self, ttl: Duration) -> Self {
        self.event_expiry.age = ttl;
        self
    }

    fn limits(&self) -> Limits {
        Limits {
            history: self.history,
            expiring: (EVENTS, self.event_expiry),
            clock: Arc::clone(&self.clock),
        }
    }

    /// A server that forgets everything when it is dropped. Starts no task and no thread.
    pub fn build(self) -> ApiServer {
        let store = Store::new(self.limits());
        self.with_store(store, Registry::builtin())
    }

    /// A server that keeps its objects in a directory, and continues with what is there.
    ///
    /// Fails when the directory cannot be read or written, or another server uses it. A crash of
    /// the process loses nothing that was answered; a crash of the machine may lose the last
    /// tenth of a second.
    pub fn open(self, directory: impl AsRef<Path>) -> io::Result<ApiServer> {
        let registry = Registry::builtin();
        let store = Store::open(
            self.limits(),
            directory.as_ref(),
            CRDS,
            |collection, object| {
                if collection == CRDS {
                    registry.define(object);
                }
                registry.fields(collection, object)
            },
        )?;
        Ok(self.with_store(store, registry))
    }

    fn with_store(self, store: Store, registry: Registry) -> ApiServer {
        let core = Core {
            store: Arc::new(store),
            registry,
            admission: self.admission,
            pod_logs: RwLock::new(self.pod_logs),
            metrics: RwLock::default(),
            counters: Counters::default(),
            clock: self.clock,
            terminating: Terminating::default(),
            documents: Documents::default(),
            webhooks: Webhooks::new(self.services),
            policies: Policies::default(),
        };
        for name in ["default", "kube-system"] {
            create_namespace(&core, name);
        }
        restore(&core);
        core.webhooks.reload(&core.store);
        core.policies.reload(&core.store);
        ApiServer {
            core: Arc::new(core),
        }
    }
}

fn create_namespace(core: &Core, name: &str) {
    let mut value = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "uid": crate::rest::uuid(),
            "creationTimestamp": core.now(),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    });
    let fields = [("status.phase".to_owned(), "Active".to_owned())].into();
    let draft = Draft {
        key: Key::new("", name),
        fields,
        value: &mut value,
    };
    // It may exist already in a restored store.
    let _ = core.store.create(&"namespaces".into(), draft);
}

impl ApiServer {
    /// Configures a server.
    pub fn builder() -> ApiServerBuilder {
        ApiServerBuilder {
            admission: Arc::new(AdmitAll),
            pod_logs: None,
            clock: Arc::new(Timestamp::now),
            history: History::default(),
            event_expiry: Expiry {
                age: Duration::from_hours(1),
                bytes: 32 << 20,
            },
            services: None,
        }
    }

    /// The whole API as a service, without authentication: the transport of an in-process client.
    /// Requests are made as `system:admin`, unless a layer in front has said otherwise.
    pub fn router(&self) -> Router {
        let core = self.core.clone();
        let user = User("system:admin".into());
        Router::new().fallback(move |mut request: Request<Body>| {
            let core = core.clone();
            if request.extensions().get::<User>().is_none() {
                request.extensions_mut().insert(user.clone());
            }
            handle(core, request)
        })
    }

    /// Serves the API over TLS until `shutdown` is cancelled.
    ///
    /// Every request needs the bearer token of `credentials`, except for health and version. The
    /// caller chooses the address; it should be a loopback one, since the token is the
    /// administrator of a server that may run commands as its user.
    pub async fn serve(
        &self,
        listener: TcpListener,
        credentials: &Credentials,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        crate::serving::serve(self.core.clone(), listener, credentials.clone(), shutdown).await
    }

    /// Sets where `pods/log` reads from, also after the start.
    pub fn set_pod_logs(&self, pod_logs: Arc<dyn PodLogs>) {
        *self
            .core
            .pod_logs
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(pod_logs);
    }

    /// Serves `metrics.k8s.io` with these figures from now on.
    pub fn set_metrics(&self, metrics: Arc<dyn Metrics>) {
        *self
            .core
            .metrics
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(metrics);
        self.core.registry.serve_metrics();
    }

    /// What the server was asked so far.
    pub fn stats(&self) -> Stats {
        self.core.counters.snapshot()
    }
}
