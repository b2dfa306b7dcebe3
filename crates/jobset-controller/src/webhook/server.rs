//! The server: connections, limits, time-outs, shutdown.
//!
//! It serves whoever can reach its port, with nothing but what the request says. So each client
//! gets only so much: of time, of memory, and of connections.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use kube::Client;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::claims::{Claims, Found};
use super::connections::{Connections, Place};
use super::review::{self, MAX_BODY, Review};
use super::{Hook, Stats};
use crate::admission::Admission;

/// Pause after a failed accept, for example when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the head of a request to arrive, counted from the request before. Longer than the 90 s
/// after which Go's HTTP client closes an idle connection: when the client closes it, no request
/// is on its way.
const IDLE: Duration = Duration::from_mins(2);
/// Between the pings of an HTTP/2 connection, and for their answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at a time of one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Largest head of a request.
const HEAD: usize = 64 << 10;
/// Bodies above `SMALL_BODY` bytes are read `LARGE_BODIES` at a time, the others wait.
const SMALL_BODY: usize = 256 << 10;
const LARGE_BODIES: usize = 32;
/// Bytes read of a body in all. What is beyond [`MAX_BODY`] is thrown away; it is read because a
/// client that is still sending might not see the answer.
const READ: usize = 2 * MAX_BODY;

/// What one server takes from its clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time. One more makes the one that was unused the longest go.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a request, from its head to its answer. Half of it is for the body to arrive, the rest
    /// for what has to be looked up. An API server waits for ten seconds by default.
    pub request: Duration,
    /// For requests to end after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(9),
            drain: Duration::from_secs(5),
        }
    }
}

/// The webhook server.
pub struct Webhook {
    admission: Admission,
    claims: Claims,
    stats: Arc<Stats>,
    limits: Limits,
    large: Semaphore,
}

impl Webhook {
    /// A server that decides by `admission` and looks up claims through `client`.
    pub fn new(admission: Admission, client: Client, stats: Arc<Stats>, limits: Limits) -> Self {
        Self {
            admission,
            claims: Claims::new(client, limits.request),
            stats,
            limits,
            large: Semaphore::new(LARGE_BODIES),
        }
    }

    /// Serves until the shutdown, then lets running requests end.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        shutdown: CancellationToken,
    ) {
        let webhook = Arc::new(self);
        let acceptor = TlsAcceptor::from(tls);
        let connections = Connections::new(webhook.limits.connections, webhook.stats.clone());
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = connections.admit() else {
                warn!(%peer, "connection refused: there are too many, and all are in use");
                continue;
            };
            let (webhook, acceptor) = (webhook.clone(), acceptor.clone());
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                let place = Arc::new(place);
                tokio::select! {
                    () = place.evicted() => debug!(%peer, "connection closed to make room"),
                    ended = webhook.connection(acceptor, stream, place.clone(), shutdown) => {
                        if let Err(error) = ended {
                            debug!(%peer, %error, "connection ended");
                        }
                    }
                }
            });
        }
        // Whoever comes now is refused rather than left waiting.
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(
        self: Arc<Self>,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        place: Arc<Place>,
        shutdown: CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        // Without this, small HTTP/2 frames wait for delayed acknowledgements.
        stream.set_nodelay(true)?;
        let limits = self.limits.clone();
        let stream = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            stream = timeout(limits.handshake, acceptor.accept(stream)) => stream??,
        };
        let service = service_fn(move |request| {
            let (webhook, place) = (self.clone(), place.clone());
            async move { Ok::<_, Infallible>(webhook.respond(request, &place).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        timeout(limits.drain, connection).await.unwrap_or(Ok(()))
    }

    async fn respond(&self, request: Request<Incoming>, place: &Place) -> Response<Full<Bytes>> {
        let Some(hook) = Hook::at(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        let in_flight = self.stats.begin(hook);
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        let read = timeout_at(begun + self.limits.request / 2, self.read(body));
        let Ok(read) = read.await else {
            in_flight.end(StatusCode::REQUEST_TIMEOUT.as_u16());
            // What comes of the body later is not waited for: the connection ends with this.
            return text(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time\n",
            );
        };
        let _answering = place.answering();
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(HeaderValue::as_bytes);
        // The permit is kept until the end: decoded, a body takes even more memory.
        let (decoded, _permit) = match read {
            Ok(read) => (Review::decode(content_type, &read.bytes), read.permit),
            Err(answer) => (Err(answer), None),
        };
        let answer = match decoded {
            Ok(review) => {
                let found = self.found(hook, &review, begun + self.limits.request).await;
                review.answer(hook, &self.admission, &|name| {
                    let found = found.get(name).cloned();
                    found.unwrap_or_else(|| Err("it was not looked up".to_owned()))
                })
            }
            Err(answer) => answer,
        };
        if answer.panicked {
            self.stats.count_panic();
        }
        in_flight.end(StatusCode::OK.as_u16());
        let mut response = Response::new(Full::new(answer.body.into()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    /// The claims that the answer depends on.
    async fn found(&self, hook: Hook, review: &Review, deadline: Instant) -> Found {
        match review.claims(hook, &self.admission) {
            None => Found::new(),
            Some((namespace, names)) => self.claims.look_up(namespace, names, deadline).await,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// The answer to one that is too long or does not end.
    async fn read(&self, mut body: Incoming) -> Result<ReadBody<'_>, review::Answer> {
        let expected = body.size_hint().exact().unwrap_or_default();
        let mut bytes = Vec::with_capacity(SMALL_BODY.min(expected as usize));
        let (mut total, mut permit) = (0, None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| review::unreadable(&error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            total += data.len();
            if total > READ {
                break;
            }
            if total > MAX_BODY {
                // Nothing of it is needed any more.
                (bytes, permit) = (Vec::new(), None);
                continue;
            }
            if total > SMALL_BODY && permit.is_none() {
                // Never closed.
                permit = self.large.acquire().await.ok();
            }
            bytes.extend_from_slice(&data);
        }
        if total > MAX_BODY {
            return Err(review::too_large());
        }
        Ok(ReadBody { bytes, permit })
    }
}

struct ReadBody<'a> {
    bytes: Vec<u8>,
    permit: Option<SemaphorePermit<'a>>,
}

fn text(code: StatusCode, message: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(message.as_bytes())));
    *response.status_mut() = code;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
