//! What exactly is asked of the API server, with the agent in the test's own process.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use jobset_agent::settings::{Mode, Probe, Settings};
use jobset_agent::{Signals, run};
use kube::Client;

use crate::barrier::{ask, free_port};
use crate::cluster::{Cluster, until};
use crate::process::{RESTART, lonely};

/// Method, path and query of every request.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Method, String, String)>>>);

impl Seen {
    fn queries(&self, wanted: &Method, part: &str) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter()
            .filter(|(method, path, query)| {
                method == wanted && (path.contains(part) || query.contains(part))
            })
            .map(|(_, _, query)| query.clone())
            .collect()
    }
}

/// The answer to the n-th watch, if it is not to be the server's.
type Fault = fn(usize) -> Option<Response>;

fn client(cluster: &Cluster, seen: &Seen, fault: Fault) -> Client {
    let seen = seen.clone();
    let router =
        cluster
            .router()
            .layer(middleware::from_fn(move |request: Request, next: Next| {
                let query = request.uri().query().unwrap_or_default().to_owned();
                let path = request.uri().path().to_owned();
                let entry = (request.method().clone(), path, query.clone());
                seen.0.lock().unwrap().push(entry);
                let watches = seen.queries(&Method::GET, "watch=true").len();
                let instead = query
                    .contains("watch=true")
                    .then(|| fault(watches))
                    .flatten();
                async move {
                    match instead {
                        Some(answer) => answer,
                        None => next.run(request).await,
                    }
                }
            }));
    Client::new(router, "default")
}

async fn settings() -> Settings {
    Settings {
        namespace: "default".to_owned(),
        jobset: "js".to_owned(),
        pod: "pod".to_owned(),
        restart_code: u8::try_from(RESTART).unwrap(),
        mode: Mode::Sidecar(Probe {
            path: "/up".to_owned(),
            address: Some([127, 0, 0, 1].into()),
            port: free_port().await,
        }),
    }
}

/// Lifts the barrier, lets the Pod be outdated, and waits for the agent's end.
async fn play(cluster: &Cluster, settings: &Settings) {
    cluster.until_reported("pod", "0").await;
    cluster.set_attempts(Some(0), None).await;
    let Mode::Sidecar(probe) = &settings.mode else {
        panic!("sidecar mode");
    };
    until("the barrier is down", async || {
        ask(probe.port, "GET", "/up").await == Some(200)
    })
    .await;
    cluster.set_attempts(Some(0), Some(0)).await;
}

#[tokio::test]
async fn one_jobset_is_read_from_the_store_itself_and_one_pod_is_written() {
    let cluster = lonely().await;
    let (seen, settings) = (Seen::default(), settings().await);
    let agent = run(
        &settings,
        client(&cluster, &seen, |_| None),
        Signals::none(),
    );
    let (code, ()) = tokio::join!(agent, play(&cluster, &settings));
    assert_eq!(i32::from(code), RESTART);
    let lists = seen.queries(&Method::GET, "fieldSelector=metadata.name%3Djs");
    assert_eq!(lists.len(), 2, "{lists:?}");
    // Without a version no cache may answer.
    assert!(!lists[0].contains("resourceVersion"), "{}", lists[0]);
    assert!(lists[1].contains("watch=true"), "{}", lists[1]);
    let patches = seen.queries(&Method::PATCH, "/namespaces/default/pods/pod");
    let manager = "fieldManager=in-place-restart-agent";
    assert!(
        patches.len() == 1 && patches[0].contains(manager),
        "{patches:?}"
    );
    assert!(patches[0].contains("force=true"), "{patches:?}");
    assert_eq!(seen.0.lock().unwrap().len(), 3, "and nothing else");
}

#[tokio::test]
async fn watches_that_fail_are_begun_again() {
    let faults: [Fault; 4] = [
        // Refused, then cut before anything came.
        |n| (n < 3).then(|| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        |n| (n < 4).then(|| Response::new(Body::empty())),
        // Too old: the agent lists again.
        |n| {
            let gone = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1",
                "metadata":{},"status":"Failure","reason":"Expired","code":410,
                "message":"too old"}}"#;
            let line = gone.replace(['\n'], "") + "\n";
            (n == 1).then(|| Response::new(Body::from(line)))
        },
        // Not what it should be.
        |n| (n == 1).then(|| Response::new(Body::from("<html>\n"))),
    ];
    for (index, fault) in faults.into_iter().enumerate() {
        let cluster = lonely().await;
        let (seen, settings) = (Seen::default(), settings().await);
        let agent = run(&settings, client(&cluster, &seen, fault), Signals::none());
        let (code, ()) = tokio::join!(agent, play(&cluster, &settings));
        assert_eq!(i32::from(code), RESTART, "{index}");
        let patches = seen.queries(&Method::PATCH, "/pods/pod");
        assert_eq!(patches.len(), 1, "{index}: reported once");
    }
}
