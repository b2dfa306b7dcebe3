//! The page, and what it asks for, over HTTP on loopback.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures::{Stream, StreamExt as _};
use http::header::{self, HeaderValue};
use http::{HeaderName, StatusCode};
use k8s_openapi::jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::guard::{Guard, Verdict};
use super::hub::{Hub, Key, Viewer};
use super::logs::{self, LogQuery};
use super::page;
use crate::timeline;
use crate::view::Snapshot;

/// What a page may do: load its own files, and ask here. There is no script in it that is not a file, and
/// none makes markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
/// Of a stream that says nothing, so that a connection that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After what time a browser asks again when a stream has broken off.
const RETRY: Duration = Duration::from_secs(1);
/// Jobs of a role and attempt in the timeline.
const ROWS: usize = 200;
/// How long the timeline of a JobSet waits until that has been read.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the page says of the whole.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct About {
    pub(super) version: &'static str,
    /// The only namespace, unless it is all of them.
    pub(super) namespace: Option<String>,
    /// What commands need to find the same cluster.
    pub(super) flags: String,
}

/// What handlers know.
pub(super) struct App {
    pub(super) hub: Arc<Hub>,
    pub(super) guard: Guard,
    pub(super) about: About,
}

/// Takes the port on the loopback addresses; 0 is any free one. IPv6 is left out where there is none,
/// and where that address is taken.
pub(super) async fn listen(port: u16) -> anyhow::Result<(u16, Vec<TcpListener>)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| {
            format!(
                "cannot listen on 127.0.0.1:{port} (another port: --port, any free one: --port 0)"
            )
        })?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(second) => listeners.push(second),
        Err(error) => tracing::debug!(%error, "not on [::1]"),
    }
    Ok((port, listeners))
}

/// Answers until it is stopped.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    // Small messages must not wait for acknowledgements.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    tokio::select! {
        () = stop.cancelled() => {}
        result = async { axum::serve(listener, router).await } => {
            if let Err(error) = result {
                tracing::error!(%error, "the dashboard has ended");
            }
        }
    }
}

/// What is served. Every request passes the guard.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(|| async { page::index() }))
        .route("/assets/{file}", get(asset))
        .route("/api/about", get(about))
        .route("/api/list", get(list))
        .route("/api/jobset/{namespace}/{name}", get(set))
        .route("/api/jobset/{namespace}/{name}/timeline.svg", get(timeline))
        .route("/api/jobset/{namespace}/{name}/logs", get(log_lines))
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
}

async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let uri = request.uri();
    let verdict = app
        .guard
        .check(request.method(), uri.path(), uri.query(), request.headers());
    let mut response = match verdict {
        Verdict::Refuse(status, why) => {
            let mut response = refusal(status, why);
            if status == StatusCode::METHOD_NOT_ALLOWED {
                let allowed = HeaderValue::from_static("GET, HEAD");
                response.headers_mut().insert(header::ALLOW, allowed);
            }
            response
        }
        Verdict::Pass => next.run(request).await,
        Verdict::Welcome => {
            let mut response = next.run(request).await;
            if let Ok(cookie) = HeaderValue::from_str(&app.guard.cookie()) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn refusal(status: StatusCode, why: impl Into<String>) -> Response {
    let mut text = why.into();
    text.push('\n');
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, plain, text).into_response()
}

async fn asset(Path(file): Path<String>) -> Response {
    page::asset(&file).unwrap_or_else(|| refusal(StatusCode::NOT_FOUND, "there is no such file"))
}

async fn about(State(app): State<Arc<App>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, super::parts::to_json(&app.about)).into_response()
}

async fn list(State(app): State<Arc<App>>) -> Response {
    stream(changes(app.hub.view(Key::List)))
}

async fn set(State(app): State<Arc<App>>, Path(place): Path<Place>) -> Response {
    match place.check(&app) {
        Ok(key) => stream(changes(app.hub.view(key))),
        Err(refused) => refused,
    }
}

async fn log_lines(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    Query(query): Query<LogQuery>,
) -> Response {
    let key = match place.check(&app) {
        Ok(key) => key,
        Err(refused) => return refused,
    };
    let args = match query.args(&place.name) {
        Ok(args) => args,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, why),
    };
    let viewer = app.hub.view(key);
    let hub = Arc::clone(&app.hub);
    stream(logs::lines(hub, &place.namespace, args, viewer))
}

async fn timeline(State(app): State<Arc<App>>, Path(place): Path<Place>) -> Response {
    let key = match place.check(&app) {
        Ok(key) => key,
        Err(refused) => return refused,
    };
    let mut viewer = app.hub.view(key);
    let read = async {
        loop {
            viewer.next().await;
            if let Some(snapshot) = viewer.snapshot() {
                return snapshot;
            }
        }
    };
    let Ok(snapshot) = tokio::time::timeout(PATIENCE, read).await else {
        return refusal(StatusCode::NOT_FOUND, "there is no such JobSet to be seen");
    };
    let draw = move || {
        // Nothing may have changed for long; time goes on.
        let present = Snapshot {
            now: Timestamp::now(),
            ..(*snapshot).clone()
        };
        timeline::drawing(&timeline::of_snapshot(&present), ROWS, "")
    };
    match tokio::task::spawn_blocking(draw).await {
        Ok(picture) => ([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A JobSet that is asked for.
#[derive(Debug, serde::Deserialize)]
struct Place {
    namespace: String,
    name: String,
}

impl Place {
    /// The view of it. What cannot be a name never gets into the path of a request.
    fn check(&self, app: &App) -> Result<Key, Response> {
        let is_name = |text: &str| {
            let letters =
                |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c);
            (1..=253).contains(&text.len())
                && text.bytes().all(letters)
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if !is_name(&self.namespace) || !is_name(&self.name) {
            return Err(refusal(StatusCode::BAD_REQUEST, "this is not a name"));
        }
        if let Some(only) = &app.hub.scope
            && *only != self.namespace
        {
            let why = format!("this dashboard shows namespace {only:?} alone");
            return Err(refusal(StatusCode::FORBIDDEN, why));
        }
        Ok(Key::Set {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        })
    }
}

/// What a viewer is told, as it comes. Nothing is made before the browser has taken what was before.
fn changes(viewer: Viewer) -> impl Stream<Item = Event> + Send + 'static {
    futures::stream::unfold(viewer, |mut viewer| async {
        let delta = viewer.next().await;
        let event = Event::default()
            .event("parts")
            .id(delta.version.to_string())
            .data(delta.json);
        Some((event, viewer))
    })
}

fn stream(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let hello = futures::stream::iter([Event::default().retry(RETRY).comment("hello")]);
    let events = hello.chain(events).map(Ok::<_, Infallible>);
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Sse::new(events).keep_alive(heartbeat).into_response()
}
