//! An API server over TLS that remembers who asked what, can hold requests back, and can go away
//! for a while.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use embedded_apiserver::ApiServer;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jobset_api::{JobSet, defaulting};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// After this time a condition that does not come true fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// The bearer token, which names the client.
    pub(crate) client: String,
    pub(crate) agent: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Status code of the answer.
    pub(crate) code: u16,
}

impl Seen {
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    pub(crate) fn creates_a_job(&self) -> bool {
        self.method == Method::POST && self.path.ends_with("/jobs")
    }
}

/// What all connections share.
struct Shared {
    router: Router,
    seen: Mutex<Vec<Seen>>,
    /// Creations of Jobs that arrived.
    creations: AtomicUsize,
    /// Creations after so many wait.
    pass: watch::Sender<usize>,
}

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    shared: Arc<Shared>,
    directory: TempDir,
    ca: String,
    tls: TlsAcceptor,
    port: u16,
    serving: Option<CancellationToken>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let server = ApiServer::builder().build();
        let (ca, tls) = credentials();
        let shared = Arc::new(Shared {
            router: server.router(),
            seen: Mutex::default(),
            creations: AtomicUsize::new(0),
            pass: watch::Sender::new(usize::MAX),
        });
        let mut cluster = Self {
            server,
            shared,
            directory: tempfile::tempdir().unwrap(),
            ca,
            tls,
            port: 0,
            serving: None,
        };
        cluster
            .define(&serde_json::to_value(jobset_api::crd::crd()).unwrap())
            .await;
        for name in ["jobset-system", "work"] {
            cluster
                .create_object(&json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
                }))
                .await;
        }
        cluster.open().await;
        cluster
    }

    /// Begins to serve, again at the same address.
    pub(crate) async fn open(&mut self) {
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.port)).await {
                Ok(listener) => break listener,
                // Connections of the time before may still be closing.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        self.port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        self.serving = Some(stop.clone());
        tokio::spawn(serve(listener, self.tls.clone(), self.shared.clone(), stop));
    }

    /// Closes every connection and refuses new ones.
    pub(crate) fn close(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.cancel();
        }
    }

    /// A kubeconfig for a client of this name.
    pub(crate) fn kubeconfig(&self, client: &str) -> PathBuf {
        let path = self.directory.path().join(format!("kubeconfig-{client}"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority-data":
                    base64::engine::general_purpose::STANDARD.encode(&self.ca),
            }}],
            "users": [{"name": "c", "user": {"token": client}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// A configuration file with this content after its head.
    pub(crate) fn configuration(&self, rest: &str) -> PathBuf {
        let number = fastrand::u64(..);
        let path = self
            .directory
            .path()
            .join(format!("config-{number:x}.yaml"));
        let head = "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Configuration\n";
        std::fs::write(&path, format!("{head}{rest}")).unwrap();
        path
    }

    /// A client for the test's own use, which is not counted.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.server.router(), "work")
    }

    /// Lets so many creations of Jobs pass in all; more wait.
    pub(crate) fn hold_creations_after(&self, count: usize) {
        self.shared.pass.send_replace(count);
    }

    /// Creations of Jobs that arrived, the held ones included.
    pub(crate) fn creations(&self) -> usize {
        self.shared.creations.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Creates a JobSet of so many Jobs.
    pub(crate) async fn create_jobset(&self, name: &str, jobs: usize) {
        let mut jobset = json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
            "metadata": {"name": name},
            "spec": {"replicatedJobs": [{"name": "w", "replicas": jobs, "template": {"spec": {
                "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
            }}}]},
        });
        defaulting::default_value(&mut jobset);
        let jobset: JobSet = serde_json::from_value(jobset).unwrap();
        let api: Api<JobSet> = Api::namespaced(self.client(), "work");
        api.create(&PostParams::default(), &jobset).await.unwrap();
    }

    /// Names of all Jobs.
    pub(crate) async fn jobs(&self) -> Vec<String> {
        let api: Api<Job> = Api::all(self.client());
        let list = api.list(&ListParams::default()).await.unwrap();
        list.items.iter().map(Job::name_any).collect()
    }

    /// Waits until there are so many Jobs.
    pub(crate) async fn wait_for_jobs(&self, count: usize) {
        eventually(&format!("{count} Jobs"), async || {
            self.jobs().await.len() == count
        })
        .await;
    }

    /// Serves webhook configurations of this kind as plain objects, if the server does not know them:
    /// these tests are about what stands in them.
    pub(crate) async fn serve_webhook_configurations(&self, kind: &str) {
        let plural = format!("{}s", kind.to_lowercase());
        let group = "admissionregistration.k8s.io";
        let path = format!("/apis/{group}/v1/{plural}");
        let known = Request::get(path).body(Vec::new()).unwrap();
        if self.client().request::<Value>(known).await.is_ok() {
            return;
        }
        self.define(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Cluster",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                    "openAPIV3Schema": {"type": "object",
                                        "x-kubernetes-preserve-unknown-fields": true},
                }}],
            },
        }))
        .await;
    }

    async fn define(&self, crd: &Value) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        let crd: CustomResourceDefinition = serde_json::from_value(crd.clone()).unwrap();
        api.create(&PostParams::default(), &crd).await.unwrap();
    }

    /// Path of an object's collection, or of the object.
    pub(crate) async fn create_object(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let types = object.types.clone().unwrap();
        let kind = kube::api::GroupVersionKind::try_from(&types).unwrap();
        let resource = kube::api::ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(self.client(), &namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        };
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn credentials() -> (String, TlsAcceptor) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let (tls, shared, stop) = (tls.clone(), shared.clone(), stop.clone());
        tokio::spawn(async move {
            stream.set_nodelay(true).unwrap();
            let connection = async {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                let service = service_fn(|request: Request<hyper::body::Incoming>| {
                    let shared = shared.clone();
                    async move { Ok::<_, Infallible>(shared.answer(request.map(Body::new)).await) }
                });
                // A client may go away at any time.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

impl Shared {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| {
            let value = parts.headers.get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let mut seen = Seen {
            at: Instant::now(),
            client: header("authorization").replace("Bearer ", ""),
            agent: header("user-agent"),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            code: 0,
        };
        let request = Request::from_parts(parts, body);
        if seen.creates_a_job() {
            let number = self.creations.fetch_add(1, Ordering::SeqCst);
            let mut pass = self.pass.subscribe();
            pass.wait_for(|&pass| number < pass).await.unwrap();
        }
        let answer = match seen.path.rsplit('/').next() {
            Some("tokenreviews") => {
                review(request, |spec| {
                    let known = spec["token"] == "reader" || spec["token"] == "other";
                    json!({"authenticated": known, "user": {"username": spec["token"]}})
                })
                .await
            }
            Some("subjectaccessreviews") => {
                review(request, |spec| json!({"allowed": spec["user"] == "reader"})).await
            }
            _ => self.router.clone().oneshot(request).await.unwrap(),
        };
        seen.code = answer.status().as_u16();
        self.seen.lock().unwrap().push(seen);
        answer
    }
}

async fn review(request: Request<Body>, status: impl Fn(&Value) -> Value) -> Response<Body> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    review["status"] = status(&review["spec"]);
    Response::builder()
        .status(201)
        .header("content-type", "application/json")
        .body(Body::from(review.to_string()))
        .unwrap()
}
