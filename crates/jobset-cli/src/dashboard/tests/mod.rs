//! The dashboard over HTTP, with an embedded cluster behind it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use http::{Request, Response, StatusCode, header};
use jobset_api::JobSet;
use jobset_controller::{Controller, ControllerOptions};
use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::node::{FakeRuntime, Runtime};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::guard::Guard;
use super::hub::{Hub, Pace, Way};
use super::server::{self, About, App};
use crate::admission::JobSetAdmission;

/// Long enough for anything on a busy machine; only a hang takes it.
const PATIENCE: Duration = Duration::from_mins(2);
const PORT: u16 = 8347;
const TOKEN: &str = "s3cret";

/// A cluster whose Pods run until they are deleted, and a dashboard of it.
struct World {
    cluster: Cluster,
    client: Client,
    /// What the dashboard has asked the cluster: method and path.
    asked: Arc<Mutex<Vec<String>>>,
    hub: Arc<Hub>,
    router: Router,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), jobset_controller::Error>>,
}

impl World {
    async fn start(scope: Option<&str>) -> Self {
        let cluster = Cluster::start(ClusterOptions {
            runtime: Runtime::Fake(FakeRuntime {
                start_after: Duration::ZERO,
                succeed_after: None,
            }),
            admission: Some(Arc::new(JobSetAdmission::default())),
            crds: vec![jobset_api::crd::crd_value().clone()],
            ..ClusterOptions::default()
        })
        .await
        .unwrap();
        let client = cluster.client();
        let controller = Controller::new(client.clone(), ControllerOptions::default());
        let stop = CancellationToken::new();
        let controller = tokio::spawn(controller.run(stop.clone()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let way = Way::Client(counting(client.clone(), Arc::clone(&asked)));
        let pace = Pace {
            coalesce: Duration::from_millis(20),
            linger: Duration::from_millis(20),
        };
        let scope = scope.map(str::to_owned);
        let at = way.connect().await.unwrap();
        let hub = Arc::new(Hub::new(way, at, scope.clone(), pace, stop.clone()));
        let router = server::router(Arc::new(App {
            hub: Arc::clone(&hub),
            guard: Guard::new(PORT, TOKEN.to_owned()),
            about: About {
                version: "0",
                namespace: scope,
                flags: String::new(),
            },
        }));
        Self {
            cluster,
            client,
            asked,
            hub,
            router,
            stop,
            controller,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.controller.await.unwrap().unwrap();
        self.cluster.shutdown().await;
    }

    fn jobsets(&self) -> Api<JobSet> {
        Api::default_namespaced(self.client.clone())
    }

    async fn create(&self, name: &str, replicas: i32) {
        let jobset = serde_json::from_value(json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
            "metadata": {"name": name},
            "spec": {"replicatedJobs": [{"name": "workers", "replicas": replicas, "template": {"spec": {
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}},
            }}}]},
        }))
        .unwrap();
        self.jobsets()
            .create(&PostParams::default(), &jobset)
            .await
            .unwrap();
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Asks as the page does.
    async fn get(&self, path: &str) -> Response<Body> {
        let cookie = format!("jobset-dashboard-{PORT}={TOKEN}");
        let host = format!("127.0.0.1:{PORT}");
        let own = [
            ("host", host.as_str()),
            ("cookie", cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        self.ask("GET", path, &own).await
    }

    async fn stream(&self, path: &str) -> Stream {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Stream {
            body: response.into_body().into_data_stream(),
            text: String::new(),
            parts: serde_json::Map::new(),
        }
    }

    /// What the dashboard has asked for so far, by the kind of request.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A client that keeps a record.
fn counting(inner: Client, asked: Arc<Mutex<Vec<String>>>) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let what = format!("{} {}", request.method(), request.uri());
        asked.lock().unwrap().push(what);
        let inner = inner.clone();
        async move { inner.send(request).await }
    });
    Client::new(service, namespace)
}

/// A stream of server-sent events, and what it has told so far.
struct Stream {
    body: BodyDataStream,
    text: String,
    parts: serde_json::Map<String, Value>,
}

impl Stream {
    /// The next event: its name, its data.
    async fn event(&mut self) -> (String, Value, usize) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                if let Some(data) = field("data") {
                    let name = field("event").unwrap_or("message").to_owned();
                    return (name, serde_json::from_str(data).unwrap(), event.len());
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await;
            let chunk = chunk.expect("nothing is told").unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Takes in the next change; its keys and its length.
    async fn change(&mut self) -> (Value, usize) {
        let (name, delta, length) = self.event().await;
        assert_eq!(name, "parts");
        if delta["full"] == true {
            self.parts.clear();
        }
        for (key, part) in delta["set"].as_object().unwrap() {
            self.parts.insert(key.clone(), part.clone());
        }
        for key in delta["gone"].as_array().unwrap() {
            self.parts.remove(key.as_str().unwrap());
        }
        (delta, length)
    }

    /// Takes in changes until what is known is as wanted.
    async fn until(&mut self, wanted: impl Fn(&serde_json::Map<String, Value>) -> bool) {
        let started = Instant::now();
        while !wanted(&self.parts) {
            assert!(started.elapsed() < PATIENCE, "{:?}", self.parts);
            self.change().await;
        }
    }
}

fn is_up(parts: &serde_json::Map<String, Value>, jobs: usize) -> bool {
    let up = parts.iter().filter(|(key, part)| {
        key.starts_with("job/") && part["phase"] == "ready" && part["pods"][0]["state"] == "Running"
    });
    up.count() == jobs && parts["set"]["roles"][0]["ready"] == jobs
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_token_is_answered() {
    let world = World::start(None).await;
    let host = ("host", "127.0.0.1:8347");
    let refused = world.ask("GET", "/", &[host]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let headers = refused.headers().clone();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(headers[name], value);
    }
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!text(refused).await.contains(TOKEN));

    let welcome = world.ask("GET", "/?token=s3cret", &[host]).await;
    assert_eq!(welcome.status(), StatusCode::OK);
    let cookie = welcome.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let page = text(welcome).await;
    assert!(page.starts_with("<!doctype html>"));
    // There is nothing in the page but files of its own.
    for part in page.split(['"', '\'']) {
        assert!(!part.contains("//"), "{part}");
    }
    let pair = cookie.split(';').next().unwrap();
    let with_cookie = [host, ("cookie", pair)];
    for path in [
        "/api/about",
        "/assets/app.js",
        "/assets/style.css",
        "/assets/timeline.css",
    ] {
        assert_eq!(
            world.ask("GET", path, &with_cookie).await.status(),
            200,
            "{path}"
        );
        assert_eq!(
            world.ask("GET", path, &[host]).await.status(),
            401,
            "{path}"
        );
        let elsewhere = [("host", "evil.example:8347"), ("cookie", pair)];
        assert_eq!(
            world.ask("GET", path, &elsewhere).await.status(),
            403,
            "{path}"
        );
    }
    let posted = world.ask("POST", "/api/list", &with_cookie).await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["allow"], "GET, HEAD");
    assert_eq!(world.get("/assets/../mod.rs").await.status(), 404);
    assert!(
        world.asked().is_empty(),
        "the cluster has nothing to do with it"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_and_what_is_elsewhere_is_refused() {
    let world = World::start(Some("default")).await;
    for (path, status) in [
        ("/api/jobset/default/js", 200),
        ("/api/jobset/other/js", 403),
        ("/api/jobset/other/js/logs", 403),
        ("/api/jobset/other/js/timeline.svg", 403),
        ("/api/jobset/default/a%2Fb", 400),
        ("/api/jobset/default/a%3Fb", 400),
        ("/api/jobset/..%2Fx/js", 400),
        ("/api/jobset/default/js/logs?job=x", 400),
        ("/api/jobset/default/js/logs?grep=(", 400),
        ("/api/nothing", 404),
    ] {
        assert_eq!(world.get(path).await.status(), status, "{path}");
    }
    let about: Value = serde_json::from_str(&text(world.get("/api/about").await).await).unwrap();
    assert_eq!(about["namespace"], "default");
    world.stop().await;
}

/// One of many Jobs changes: what is told is that Job.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_jobs_the_one_that_changes_is_told() {
    const JOBS: usize = 200;
    let world = World::start(None).await;
    world.create("big", JOBS as i32).await;
    let mut stream = world.stream("/api/jobset/default/big").await;
    stream.until(|parts| is_up(parts, JOBS)).await;
    // The last events of the start may still come.
    let quiet = |parts: &serde_json::Map<String, Value>| {
        parts["set"]["state"] == "Running"
            && parts.keys().filter(|key| key.starts_with("event/")).count() >= 200
    };
    stream.until(quiet).await;
    // Another viewer is told everything first.
    let mut second = world.stream("/api/jobset/default/big").await;
    let (all, whole) = second.change().await;
    assert_eq!(all["full"], true);
    assert!(whole > 50_000, "{whole}");

    let pods: Api<Pod> = Api::default_namespaced(world.client.clone());
    let of_job = ListParams::default().labels("batch.kubernetes.io/job-name=big-workers-150");
    let pod = pods.list(&of_job).await.unwrap().items[0].name_any();
    let restarted = json!({"status": {"containerStatuses": [{
        "name": "main", "image": "x", "imageID": "", "ready": true, "restartCount": 3, "state": {"running": {}},
    }]}});
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(&restarted))
        .await
        .unwrap();
    let mut bytes = 0;
    let mut told = Vec::new();
    while second.parts["job/big-workers-150"]["pods"][0]["restarts"] != 3 {
        let (delta, length) = second.change().await;
        assert_eq!(delta["full"], false);
        bytes += length;
        told.extend(delta["set"].as_object().unwrap().keys().cloned());
    }
    // Some event may have been late.
    let jobs: Vec<&String> = told.iter().filter(|key| key.starts_with("job/")).collect();
    assert_eq!(jobs, ["job/big-workers-150"], "{told:?}");
    assert!(bytes < whole / 10, "{bytes} bytes of {whole}");
    println!("everything: {whole} bytes; one Job: {bytes} bytes");
    let picture = world.get("/api/jobset/default/big/timeline.svg").await;
    assert_eq!(picture.headers()[header::CONTENT_TYPE], "image/svg+xml");
    assert!(text(picture).await.starts_with("<svg "));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_viewers_cost_one_set_of_watches_and_none_costs_nothing() {
    let world = World::start(None).await;
    world.create("js", 2).await;
    let mut viewers = Vec::new();
    for _ in 0..5 {
        viewers.push(world.stream("/api/jobset/default/js").await);
        viewers.push(world.stream("/api/list").await);
    }
    for viewer in &mut viewers {
        viewer
            .until(|parts| {
                let up = |set: &Value| set["roles"][0]["ready"] == 2;
                parts.values().any(up)
            })
            .await;
    }
    let kind = |asked: &str| {
        let path = asked.split('?').next().unwrap().rsplit('/').next().unwrap();
        let how = if asked.contains("watch=true") {
            "watch"
        } else {
            "list"
        };
        format!("{how} {path}")
    };
    let mut asked: Vec<String> = world.asked().iter().map(|one| kind(one)).collect();
    asked.sort();
    let expected = [
        "list events",
        "list jobs",
        "list jobsets",
        "list jobsets",
        "list pods",
        "watch events",
        "watch jobs",
        "watch jobsets",
        "watch jobsets",
        "watch pods",
    ];
    assert_eq!(
        asked, expected,
        "one of each for the JobSet, one for the list"
    );

    // A viewer that has not looked for a while is told once what has become of it.
    let mut late = viewers.swap_remove(0);
    for step in 1..=3 {
        let label =
            json!({"metadata": {"labels": {"kueue.x-k8s.io/queue-name": format!("q{step}")}}});
        world
            .jobsets()
            .patch("js", &PatchParams::default(), &Patch::Merge(&label))
            .await
            .unwrap();
        let queue = format!("q{step}");
        let seen = |parts: &serde_json::Map<String, Value>| {
            parts["set"]["queue"]["queue"] == queue.as_str()
        };
        // The others have seen each of them.
        let other = viewers
            .iter_mut()
            .find(|viewer| viewer.parts.contains_key("set"));
        other.unwrap().until(seen).await;
    }
    late.until(|parts| parts["set"]["queue"]["queue"] != Value::Null)
        .await;
    drop(late);

    drop(viewers);
    let started = Instant::now();
    while world.hub.open() > 0 {
        assert!(started.elapsed() < PATIENCE, "views stay open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = world.asked().len();
    assert_eq!(before, expected.len(), "changes have cost no requests");
    world
        .jobsets()
        .delete("js", &DeleteParams::default())
        .await
        .unwrap();
    let gone = async {
        while world.jobsets().get_opt("js").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(world.asked().len(), before, "nobody looks");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobset_that_goes_and_comes_is_shown_as_such() {
    let world = World::start(None).await;
    let mut stream = world.stream("/api/jobset/default/js").await;
    stream
        .until(|parts| {
            parts
                .get("link")
                .is_some_and(|link| link["state"] == "gone")
        })
        .await;
    assert_eq!(stream.parts.len(), 1, "nothing is known of it");
    assert_eq!(
        stream.parts["link"]["message"],
        "there is no JobSet \"js\" in namespace \"default\""
    );
    world.create("js", 1).await;
    stream
        .until(|parts| parts.contains_key("set") && is_up(parts, 1))
        .await;
    assert_eq!(stream.parts["link"], json!({"state": "live"}));
    world
        .jobsets()
        .delete("js", &DeleteParams::default())
        .await
        .unwrap();
    stream.until(|parts| parts["link"]["state"] == "gone").await;
    assert!(
        stream.parts.contains_key("set"),
        "what was known last is still told"
    );
    let uid = stream.parts["set"]["created"].clone();
    assert_ne!(uid, Value::Null);
    world.create("js", 2).await;
    stream
        .until(|parts| parts["link"]["state"] == "live" && is_up(parts, 2))
        .await;
    world.stop().await;
}
