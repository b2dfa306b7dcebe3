//! What the probe asks. Nothing listens while the barrier is up, so the probe fails.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::settings::Probe;

/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The kubelet needs one.
const CONNECTIONS: usize = 32;
/// Pause after a failed accept, for example when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens where the probe asks.
pub(crate) async fn listen(probe: &Probe) -> io::Result<TcpListener> {
    match probe.address {
        Some(address) => TcpListener::bind((address, probe.port)).await,
        // On most machines the first takes connections of both families.
        None => match TcpListener::bind((IpAddr::from(Ipv6Addr::UNSPECIFIED), probe.port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), probe.port)).await
            }
            other => other,
        },
    }
}

/// Answers 200 for this path, whatever the method, and 404 for every other, for ever.
pub(crate) async fn serve(listener: TcpListener, path: &str) {
    let path: Arc<str> = path.into();
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let path = Arc::clone(&path);
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let answer = answer(&request, &path);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let served = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(REQUEST_TIMEOUT)
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn answer(request: &Request<Incoming>, path: &str) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    if request.uri().path() != path {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
