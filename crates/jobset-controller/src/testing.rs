//! A scripted API server for tests: one closure answers every request, and all are recorded.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::lock::lock;
use crate::requests::Requests;
use crate::stats::Stats;

/// Time the server takes for an answer.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Seen {
    /// "POST /apis/…", for comparisons.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What the server answers.
pub(crate) enum Answer {
    /// Status code and body.
    Json(u16, Value),
    /// Status code and `Retry-After` in seconds.
    Busy(u16, u64),
    /// Nothing, ever.
    Never,
}

/// Status code and reason as a Kubernetes server gives them.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    Answer::Json(
        code,
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason,
               "message": message}),
    )
}

pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// A client of a server that answers with `answer`.
pub(crate) fn client(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> (Client, Log) {
    let log = Log::default();
    let (recorded, answer) = (log.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (recorded, answer) = (recorded.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let content_type = head.headers.get(header::CONTENT_TYPE);
            let seen = Seen {
                method: head.method,
                path: head.uri.path().to_owned(),
                content_type: content_type
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            lock(&recorded).push(seen.clone());
            tokio::time::sleep(ROUND_TRIP).await;
            let response = match answer(&seen) {
                Answer::Json(code, body) => Response::builder()
                    .status(code)
                    .body(Body::from(serde_json::to_vec(&body).unwrap())),
                Answer::Busy(code, seconds) => Response::builder()
                    .status(code)
                    .header(header::RETRY_AFTER, seconds)
                    .body(Body::empty()),
                Answer::Never => std::future::pending().await,
            };
            Ok::<_, tower::BoxError>(response.unwrap())
        }
    });
    (Client::new(service, "default"), log)
}

/// [`Requests`] to such a server, with a time limit of two seconds.
pub(crate) fn requests(
    answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
) -> (Arc<Requests>, Arc<Stats>, Log) {
    let (client, log) = client(answer);
    let stats = Arc::new(Stats::default());
    (
        Arc::new(Requests::new(client, stats.clone(), Duration::from_secs(2))),
        stats,
        log,
    )
}

/// A Job owned by the JobSet `owner` with uid `owner_uid`.
pub(crate) fn job(name: &str, uid: &str, revision: u64, owner: &str, owner_uid: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid, "resourceVersion": revision.to_string(),
            "ownerReferences": [{
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "controller": true,
                "name": owner, "uid": owner_uid,
            }],
        },
        "spec": {},
    })
}

/// A JobSet without replicated jobs.
pub(crate) fn jobset(name: &str, uid: &str, revision: u64) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid, "resourceVersion": revision.to_string(),
        },
        "spec": {"replicatedJobs": []},
    })
}
