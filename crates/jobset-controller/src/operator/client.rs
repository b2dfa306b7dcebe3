//! Clients of the API server, and how it is found.
//!
//! There are three, so that nothing waits for something less urgent and each has its own limits:
//!
//! | client | for | rate limit | fence |
//! |---|---|---|---|
//! | `writing` | what the controllers write and read singly | if configured | yes |
//! | `reading` | lists and watches, certificates, reviews | no | no |
//! | `electing` | the lease | no | no; has a time limit |

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::header::{HeaderName, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _, service_fn};

use super::fence::{Fence, FencedIo};
use super::metrics::Transport;
use super::rate::Rate;
use super::version;

/// Longest time to set up a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a connection is probed, and between probes: a watch that the network has
/// forgotten ends within half a minute.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Probes without an answer after which a connection is given up.
const KEEPALIVE_TRIES: u32 = 2;

/// How the cluster is reached: the flag, `KUBECONFIG`, the Pod's own account, `~/.kube/config`.
pub(crate) async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = if let Some(path) = kubeconfig {
        let read = Kubeconfig::read_from(path)
            .with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
        Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
    } else if let Some(read) = Kubeconfig::from_env().context("cannot read KUBECONFIG")? {
        Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
    } else {
        match Config::incluster() {
            Ok(config) => config,
            Err(incluster) => Config::from_kubeconfig(&KubeConfigOptions::default())
                .await
                .with_context(|| {
                    format!("neither in a cluster ({incluster}) nor with a kubeconfig")
                })?,
        }
    };
    // The controller repeats and paces its requests itself.
    config.default_retry = false;
    set_user_agent(&mut config);
    Ok(config)
}

fn set_user_agent(config: &mut Config) {
    let given = config.headers.iter().any(|(name, _)| name == USER_AGENT);
    if !given && let Ok(agent) = HeaderValue::from_str(&version::user_agent()) {
        let name: HeaderName = USER_AGENT;
        config.headers.push((name, agent));
    }
}

/// What holds for the requests of one client.
#[derive(Default)]
pub(crate) struct Limits {
    pub(crate) rate: Option<Rate>,
    pub(crate) fence: Option<Fence>,
    /// Longest time until the answer begins.
    pub(crate) timeout: Option<Duration>,
}

/// A client with connections of its own.
pub(crate) fn client(
    config: &Config,
    limits: Limits,
    transport: &Arc<Transport>,
) -> anyhow::Result<Client> {
    let Limits {
        rate,
        fence,
        timeout,
    } = limits;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    let connector = FencedConnector {
        inner: tcp,
        fence: fence.clone().unwrap_or_else(Fence::open),
    };
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_mins(1))
        .build::<_, Body>(connector);
    let transport = transport.clone();
    let host = config
        .cluster_url
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let host: Arc<str> = host.into();
    let counted = service_fn(move |request: Request<Body>| {
        let (transport, host, http) = (transport.clone(), host.clone(), http.clone());
        let fence = fence.clone();
        async move {
            if let Some(fence) = &fence {
                // Below there is the same check for each byte; here it has an error of its own.
                fence.check()?;
            }
            let method = request.method().clone();
            let started = tokio::time::Instant::now();
            let answer: Result<Response<_>, _> = http.oneshot(request).await;
            let code = answer.as_ref().ok().map(Response::status);
            transport.count(&host, &method, code, started.elapsed());
            answer.map_err(BoxError::from)
        }
    });
    let stack = ServiceBuilder::new()
        .map_future(move |answer| {
            let rate = rate.clone();
            async move {
                if let Some(rate) = rate {
                    rate.take().await;
                }
                match timeout {
                    Some(limit) => tokio::time::timeout(limit, answer).await?,
                    None => answer.await,
                }
            }
        })
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .service(counted);
    Ok(Client::new(stack, config.default_namespace.clone()))
}

/// Connections that send nothing after the deadline.
#[derive(Clone)]
struct FencedConnector {
    inner: HttpConnector,
    fence: Fence,
}

impl Service<Uri> for FencedConnector {
    type Response = FencedIo<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(BoxError::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let fence = self.fence.clone();
        Box::pin(async move { Ok(FencedIo::new(connecting.await?, fence)) })
    }
}
