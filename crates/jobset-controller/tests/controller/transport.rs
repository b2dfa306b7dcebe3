//! The way from the controller to the server, with faults on it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::StreamExt as _;
use http::{Method, Request, Response};
use kube::Client;
use serde_json::json;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It never arrives, and nothing answers.
    Lost,
    /// It is carried out, and nothing answers.
    ReplyLost,
    /// The server refuses it with this code and `Retry-After` of one second.
    Busy(u16),
    /// The server refuses it with this code and reason.
    Refused(u16, &'static str),
}

type Rule = Box<dyn FnMut(&Call) -> Option<Fault> + Send>;

/// A request as rules see it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Call {
    pub(crate) fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    pub(crate) fn is_watch_of(&self, resource: &str) -> bool {
        self.query.contains("watch=true") && self.path.ends_with(resource)
    }

    pub(crate) fn is(&self, method: Method, part_of_path: &str) -> bool {
        self.method == method && self.path.contains(part_of_path)
    }
}

/// Decides what happens to each request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    rule: Arc<Mutex<Rule>>,
    calls: Arc<Mutex<Vec<Call>>>,
    /// Resource whose watches deliver nothing at present.
    held: watch::Sender<Option<&'static str>>,
}

impl Transport {
    pub(crate) fn new() -> Self {
        let rule: Rule = Box::new(|_| None);
        Self {
            rule: Arc::new(Mutex::new(rule)),
            calls: Arc::default(),
            held: watch::Sender::new(None),
        }
    }

    /// From now on `rule` decides.
    pub(crate) fn set(&self, rule: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn heal(&self) {
        self.set(|_| None);
    }

    /// The watches of `resource` deliver nothing until [`Self::release`].
    pub(crate) fn hold(&self, resource: &'static str) {
        self.held.send_replace(Some(resource));
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(None);
    }

    /// Every request so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn writes(&self) -> usize {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.is_write())
            .count()
    }

    /// A client of `server` whose requests take a millisecond and pass the rules.
    pub(crate) fn client(&self, server: Router) -> Client {
        let transport = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (transport, server) = (transport.clone(), server.clone());
            async move { transport.carry(request, server).await }
        });
        Client::new(service, "default")
    }

    async fn carry(
        self,
        request: Request<kube::client::Body>,
        server: Router,
    ) -> Result<Response<Body>, tower::BoxError> {
        let call = Call {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
        };
        self.calls.lock().unwrap().push(call.clone());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let fault = (self.rule.lock().unwrap())(&call);
        match fault {
            None => {
                let response = server.oneshot(request.map(Body::new)).await?;
                Ok(self.gate(&call, response))
            }
            Some(Fault::Lost) => std::future::pending().await,
            Some(Fault::ReplyLost) => {
                server.oneshot(request.map(Body::new)).await?;
                std::future::pending().await
            }
            Some(Fault::Busy(code)) => refusal(code, "TooManyRequests"),
            Some(Fault::Refused(code, reason)) => refusal(code, reason),
        }
    }

    /// Makes the body of a watch wait while its resource is held.
    fn gate(&self, call: &Call, response: Response<Body>) -> Response<Body> {
        let watched = ["jobs", "jobsets", "services"]
            .into_iter()
            .find(|name| call.is_watch_of(name));
        let Some(resource) = watched else {
            return response;
        };
        let held = self.held.subscribe();
        response.map(|body| {
            Body::from_stream(body.into_data_stream().then(move |chunk| {
                let mut held = held.clone();
                async move {
                    let _ = held.wait_for(|held| *held != Some(resource)).await;
                    chunk
                }
            }))
        })
    }
}

fn refusal(code: u16, reason: &str) -> Result<Response<Body>, tower::BoxError> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": reason, "message": format!("injected {reason}"), "metadata": {},
    });
    Ok(Response::builder()
        .status(code)
        .header("retry-after", 1)
        .header("content-type", "application/json")
        .body(Body::from(status.to_string()))?)
}
