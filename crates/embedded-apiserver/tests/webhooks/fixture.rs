//! A real webhook server, and an API server that is asked directly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use embedded_apiserver::ApiServer;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// What a webhook does with a request.
pub(crate) enum Answer {
    /// The `response` of a review; its uid is filled in.
    Response(Value),
    /// Something that is no review.
    Other(StatusCode, String),
    /// Nothing, ever.
    Hang,
}

pub(crate) fn allow() -> Answer {
    Answer::Response(json!({"allowed": true}))
}

pub(crate) fn patch(operations: &Value) -> Answer {
    raw_patch(&operations.to_string())
}

pub(crate) fn raw_patch(text: &str) -> Answer {
    Answer::Response(json!({
        "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(text),
    }))
}

pub(crate) fn deny(status: Value) -> Answer {
    Answer::Response(json!({"allowed": false, "status": status}))
}

/// A webhook server that remembers what it was asked.
pub(crate) struct Hooks {
    pub(crate) address: SocketAddr,
    pub(crate) ca: String,
    pub(crate) connections: Arc<AtomicUsize>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Hooks {
    /// Starts one that answers by path and `request`.
    pub(crate) async fn start(
        answer: impl Fn(&str, &Value) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::speaking(&["h2", "http/1.1"], answer).await
    }

    /// The same with the protocols it offers.
    pub(crate) async fn speaking(
        protocols: &[&str],
        answer: impl Fn(&str, &Value) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let ca = authority();
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "hooks.system.svc".to_owned()])
                .unwrap();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        tls.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let router = {
            let calls = calls.clone();
            Router::new().fallback(move |request: Request<Body>| {
                let (calls, answer) = (calls.clone(), answer.clone());
                async move { respond(&calls, answer, request).await }
            })
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let accepted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                let accepted = accepted.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends here.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let service = TowerToHyperService::new(router);
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            ca: STANDARD.encode(ca.pem()),
            connections,
            calls,
        }
    }

    /// The requests of the calls so far, with their paths.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }

    /// The paths of the calls so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.calls().into_iter().map(|(path, _)| path).collect()
    }

    /// The one request there was.
    pub(crate) fn only(&self) -> Value {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls[0].1.clone()
    }

    pub(crate) fn forget(&self) {
        self.calls.lock().unwrap().clear();
    }

    /// A webhook for a path of this server, about all writes of ConfigMaps unless `more` says
    /// otherwise.
    pub(crate) fn webhook(&self, path: &str, more: Value) -> Value {
        let mut webhook = json!({
            "name": format!("{path}.hooks.example.com"),
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": format!("https://{}/{path}", self.address), "caBundle": self.ca,
            },
            "rules": [rule(&["*"], "", "configmaps")],
        });
        let more = more.as_object().unwrap().clone();
        webhook.as_object_mut().unwrap().extend(more);
        webhook
    }
}

pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn rule(operations: &[&str], group: &str, resource: &str) -> Value {
    json!({
        "operations": operations, "apiGroups": [group], "apiVersions": ["*"],
        "resources": [resource],
    })
}

async fn respond(
    calls: &Mutex<Vec<(String, Value)>>,
    answer: impl Fn(&str, &Value) -> Answer,
    request: Request<Body>,
) -> Response {
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.headers()["content-type"], "application/json");
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(review["kind"], "AdmissionReview");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    let asked = review["request"].take();
    let answer = answer(&path, &asked);
    let uid = asked["uid"].clone();
    calls.lock().unwrap().push((path, asked));
    match answer {
        Answer::Response(mut response) => {
            response["uid"] = uid;
            let review = json!({
                "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
                "response": response,
            });
            axum::Json(review).into_response()
        }
        Answer::Other(code, text) => (code, text).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

/// The answer to a request.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Reply {
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn ok(self) -> Value {
        assert!(self.code < 300, "{}", self.body);
        self.body
    }
}

const MERGE: &str = "application/merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

pub(crate) async fn send(
    server: &ApiServer,
    method: Method,
    uri: &str,
    media_type: &str,
    body: &Value,
) -> Reply {
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", media_type)
        .body(body)
        .unwrap();
    let response = server.router().oneshot(request).await.unwrap();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|w| w.to_str().unwrap().to_owned()).collect();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap();
    Reply {
        code,
        body,
        warnings,
    }
}

pub(crate) async fn post(server: &ApiServer, uri: &str, body: &Value) -> Reply {
    send(server, Method::POST, uri, "application/json", body).await
}

pub(crate) async fn put(server: &ApiServer, uri: &str, body: &Value) -> Reply {
    send(server, Method::PUT, uri, "application/json", body).await
}

pub(crate) async fn merge(server: &ApiServer, uri: &str, body: &Value) -> Reply {
    send(server, Method::PATCH, uri, MERGE, body).await
}

pub(crate) async fn delete(server: &ApiServer, uri: &str) -> Reply {
    send(server, Method::DELETE, uri, "", &Value::Null).await
}

pub(crate) async fn get(server: &ApiServer, uri: &str) -> Reply {
    send(server, Method::GET, uri, "", &Value::Null).await
}

pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
pub(crate) const MUTATING: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub(crate) const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

pub(crate) fn configuration(name: &str, webhooks: &[Value]) -> Value {
    json!({"metadata": {"name": name}, "webhooks": webhooks})
}

/// A server with a configuration of mutating and one of validating webhooks.
pub(crate) async fn server(mutating: &[Value], validating: &[Value]) -> ApiServer {
    let server = ApiServer::builder().build();
    for (uri, webhooks) in [(MUTATING, mutating), (VALIDATING, validating)] {
        if !webhooks.is_empty() {
            post(&server, uri, &configuration("c", webhooks)).await.ok();
        }
    }
    server
}

pub(crate) fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

pub(crate) fn job(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
    }}}})
}
