//! Calling webhooks over HTTPS.
//!
//! Webhooks that share server and certificate authority share a client, which keeps its
//! connections open between calls and from one form of a configuration to the next.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;

use super::service::ServiceResolver;

/// The largest answer that is read: room for a patch that carries a whole object in base64.
const ANSWER_LIMIT: usize = 8 << 20;
/// How much of an unexpected answer an error quotes, in characters.
const QUOTED: usize = 200;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Whom a webhook's configuration names.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: String,
    /// Namespace, name and port, if the URL's host is the name of a Service.
    pub(super) service: Option<(String, String, u16)>,
    /// The certificate authority, in PEM; the system's if there is none.
    pub(super) authority: Option<Vec<u8>>,
}

/// Connections by who answers them: service, and certificate authority.
type Peer = (Option<(String, String, u16)>, Option<Vec<u8>>);

/// The clients in use.
pub(super) struct Clients {
    services: Option<Arc<dyn ServiceResolver>>,
    peers: HashMap<Peer, Weak<Connections>>,
}

impl Clients {
    pub(super) fn new(services: Option<Arc<dyn ServiceResolver>>) -> Self {
        Self {
            services,
            peers: HashMap::new(),
        }
    }

    /// A client for a target, with the connections of others that go to the same peer.
    pub(super) fn client(&mut self, target: Target) -> Arc<Client> {
        let peer = (target.service.clone(), target.authority.clone());
        let known = self.peers.get(&peer).and_then(Weak::upgrade);
        let connections = known.unwrap_or_else(|| {
            let connections = Arc::new(Connections {
                dial: Dial {
                    service: target.service,
                    services: self.services.clone(),
                },
                authority: target.authority,
                pool: OnceLock::new(),
            });
            self.peers.insert(peer, Arc::downgrade(&connections));
            connections
        });
        Arc::new(Client {
            url: target.url,
            connections,
        })
    }

    pub(super) fn forget_unused(&mut self) {
        self.peers.retain(|_, client| client.strong_count() > 0);
    }
}

type Pool = legacy::Client<HttpsConnector<Dial>, Full<Bytes>>;

/// The connections to one peer.
struct Connections {
    dial: Dial,
    authority: Option<Vec<u8>>,
    /// Made by the first call.
    pool: OnceLock<Result<Pool, String>>,
}

impl Connections {
    fn pool(&self) -> Result<&Pool, String> {
        let made = self.pool.get_or_init(|| {
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls(self.authority.as_deref())?)
                .https_only()
                .enable_http1()
                .enable_http2()
                .wrap_connector(self.dial.clone());
            Ok(legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(connector))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

fn tls(authority: Option<&[u8]>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let Some(pem) = authority else {
        let builder = builder.with_native_roots().map_err(|error| {
            format!("there is no caBundle and the system trusts nobody: {error}")
        })?;
        return Ok(builder.with_no_client_auth());
    };
    let unusable = |why: &dyn fmt::Display| format!("unable to load root certificates: {why}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"the caBundle holds no certificate in PEM"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Calls one URL.
pub(super) struct Client {
    url: String,
    connections: Arc<Connections>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Posts a document and returns the one that comes back.
    pub(super) async fn call(&self, body: Bytes, timeout: Duration) -> Result<Value, String> {
        let url = format!("{}?timeout={}s", self.url, timeout.as_secs());
        // A call that is given up is dropped, and its connection with it where that is needed.
        match tokio::time::timeout(timeout, self.post(&url, body)).await {
            Ok(answer) => answer.map_err(|error| format!("failed to call webhook: {error}")),
            Err(_) => Err(format!(
                "failed to call webhook: Post \"{url}\": context deadline exceeded"
            )),
        }
    }

    async fn post(&self, url: &str, body: Bytes) -> Result<Value, String> {
        let pool = self.connections.pool()?;
        let failed = |error: &dyn Error| format!("Post \"{url}\": {}", with_causes(error));
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .header(USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(body))
            .map_err(|error| failed(&error))?;
        let response = pool
            .request(request)
            .await
            .map_err(|error| failed(&error))?;
        let code = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_LIMIT);
        let answer = answer
            .collect()
            .await
            .map_err(|error| failed(&*error))?
            .to_bytes();
        if !code.is_success() {
            let text = String::from_utf8_lossy(&answer);
            let text: String = text.trim().chars().take(QUOTED).collect();
            return Err(format!("the webhook answered {code}: {text:?}"));
        }
        serde_json::from_slice(&answer).map_err(|error| format!("the answer is not JSON: {error}"))
    }
}

/// An error and what has led to it, without repetitions.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Opens TCP connections.
#[derive(Clone)]
struct Dial {
    service: Option<(String, String, u16)>,
    services: Option<Arc<dyn ServiceResolver>>,
}

impl Dial {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, Box<dyn Error + Send + Sync>> {
        let stream = match &self.service {
            Some((namespace, name, port)) => {
                let services = self.services.as_ref().ok_or_else(|| {
                    format!(
                        "service {namespace}/{name} cannot be reached: this server has no network \
                         for Services, use clientConfig.url"
                    )
                })?;
                let address = services
                    .resolve(namespace, name, *port)
                    .map_err(|error| format!("service {namespace}/{name}: {error}"))?;
                TcpStream::connect(address).await?
            }
            None => {
                let host = uri.host().unwrap_or_default();
                let host = host.trim_start_matches('[').trim_end_matches(']');
                TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?
            }
        };
        // Without this, small HTTP/2 frames wait for delayed acknowledgements.
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }
}

impl tower::Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
