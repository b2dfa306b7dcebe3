//! Serving over TCP: TLS, HTTP/1.1 and HTTP/2, bearer tokens.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::credentials::Credentials;
use crate::rest::{Core, User, handle};
use crate::status::Status;

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may go on after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Pause after a failed accept, for example when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the shutdown, then lets running requests end for a short while.
pub(crate) async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    credentials: Credentials,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(credentials.tls());
    let credentials = Arc::new(credentials);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection {
                    core: core.clone(),
                    credentials: credentials.clone(),
                    shutdown: shutdown.clone(),
                };
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    if let Err(error) = connection.run(acceptor, stream).await {
                        debug!(%peer, %error, "connection ended");
                    }
                });
            }
            Err(error) => {
                debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
    Ok(())
}

struct Connection {
    core: Arc<Core>,
    credentials: Arc<Credentials>,
    shutdown: CancellationToken,
}

impl Connection {
    async fn run(
        self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Without this, small HTTP/2 frames wait for delayed acknowledgements.
        stream.set_nodelay(true)?;
        let stream = tokio::select! {
            () = self.shutdown.cancelled() => return Ok(()),
            stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => stream??,
        };
        let shutdown = self.shutdown.clone();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let core = self.core.clone();
            let credentials = self.credentials.clone();
            async move {
                Ok::<Response, Infallible>(answer(core, &credentials, request.map(Body::new)).await)
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new());
        builder.http2().timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // Watches do not end by themselves: whoever is left after the pause is cut off.
        match tokio::time::timeout(DRAIN_TIMEOUT, connection).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }
}

/// Paths that need no token.
fn is_open(path: &str) -> bool {
    ["/livez", "/readyz", "/healthz", "/version"]
        .iter()
        .any(|open| {
            path.strip_prefix(open)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

async fn answer(
    core: Arc<Core>,
    credentials: &Credentials,
    mut request: http::Request<Body>,
) -> Response {
    let authorized = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|value| credentials.accepts(value.as_bytes()));
    if !authorized && !is_open(request.uri().path()) {
        return Status::unauthorized().into_response();
    }
    request.extensions_mut().insert(User("system:admin".into()));
    handle(core, request).await
}
