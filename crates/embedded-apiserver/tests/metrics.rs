//! `metrics.k8s.io`, with figures that the test makes up.

#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedded_apiserver::{ApiServer, ContainerUsage, Metrics, PodUsage, Usage};
use futures::future::BoxFuture;
use http::Request;
use kube::Client;
use serde_json::{Value, json};

#[derive(Default)]
struct Figures(Mutex<Usage>);

impl Metrics for Figures {
    fn usage(&self) -> BoxFuture<'static, Usage> {
        let usage = self.0.lock().unwrap().clone();
        Box::pin(std::future::ready(usage))
    }
}

struct World {
    server: ApiServer,
    client: Client,
    figures: Arc<Figures>,
}

impl World {
    fn new() -> Self {
        let server = ApiServer::builder().build();
        Self {
            client: Client::new(server.router(), "default"),
            server,
            figures: Arc::default(),
        }
    }

    async fn send(&self, request: http::request::Builder, body: &Value) -> Result<Value, u16> {
        let body = serde_json::to_vec(body).unwrap();
        let request = request
            .header("content-type", "application/json")
            .body(body);
        match self.client.request(request.unwrap()).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(status.code),
            Err(error) => panic!("{error}"),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, u16> {
        self.send(Request::get(path), &Value::Null).await
    }

    /// Creates a Pod on a node, and says what it uses.
    async fn pod(&self, namespace: &str, name: &str, node: &str, usage: &[(&str, u64, u64)]) {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "x"}]},
        });
        let pod = self.send(Request::post(&path), &pod).await.unwrap();
        let containers = usage
            .iter()
            .map(|(name, nano_cpus, memory_bytes)| ContainerUsage {
                name: (*name).to_owned(),
                nano_cpus: *nano_cpus,
                memory_bytes: *memory_bytes,
            });
        let used = PodUsage {
            at: "2026-01-01T00:00:10Z".parse().unwrap(),
            window: Duration::from_millis(1500),
            containers: containers.collect(),
        };
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        if !usage.is_empty() {
            self.figures.0.lock().unwrap().insert(uid, used);
        }
    }
}

const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn figures_of_pods_and_nodes_are_served() {
    let world = World::new();
    assert_eq!(world.get(GROUP).await, Err(404), "nobody measures");
    world.server.set_metrics(world.figures.clone());
    let namespace = json!({"metadata": {"name": "other"}});
    let created = world
        .send(Request::post("/api/v1/namespaces"), &namespace)
        .await;
    created.unwrap();
    for node in ["node-0", "node-1"] {
        let node = json!({"metadata": {"name": node, "labels": {"rack": node}}});
        world
            .send(Request::post("/api/v1/nodes"), &node)
            .await
            .unwrap();
    }
    let mebibyte = 1 << 20;
    world
        .pod(
            "default",
            "a",
            "node-0",
            &[("main", 250_000_000, mebibyte), ("side", 5, 1)],
        )
        .await;
    world.pod("default", "b", "node-0", &[]).await;
    world
        .pod("other", "c", "node-0", &[("main", 1_000_000_000, mebibyte)])
        .await;

    let list = world
        .get(&format!("{GROUP}/namespaces/default/pods"))
        .await
        .unwrap();
    assert_eq!(list["kind"], "PodMetricsList");
    assert_eq!(names(&list), ["a"], "b has no figures yet");
    let pod = &list["items"][0];
    assert_eq!(
        (
            &pod["timestamp"],
            &pod["window"],
            &pod["metadata"]["labels"]
        ),
        (
            &json!("2026-01-01T00:00:10Z"),
            &json!("1.500s"),
            &json!({"app": "a"})
        )
    );
    assert_eq!(
        pod["containers"],
        json!([
            {"name": "main", "usage": {"cpu": "250000000n", "memory": "1024Ki"}},
            {"name": "side", "usage": {"cpu": "5n", "memory": "1Ki"}},
        ])
    );
    assert_eq!(
        names(&world.get(&format!("{GROUP}/pods")).await.unwrap()),
        ["a", "c"]
    );
    let chosen = world
        .get(&format!("{GROUP}/pods?labelSelector=app%3Dc"))
        .await
        .unwrap();
    assert_eq!(names(&chosen), ["c"]);
    let one = world
        .get(&format!("{GROUP}/namespaces/other/pods/c"))
        .await
        .unwrap();
    assert_eq!(one["kind"], "PodMetrics");
    for absent in ["pods/b", "pods/absent", "pods/a/status"] {
        let answer = world
            .get(&format!("{GROUP}/namespaces/default/{absent}"))
            .await;
        assert_eq!(answer, Err(404), "{absent}");
    }

    let nodes = world.get(&format!("{GROUP}/nodes")).await.unwrap();
    assert_eq!(names(&nodes), ["node-0", "node-1"]);
    assert_eq!(
        nodes["items"][0]["usage"],
        json!({"cpu": "1250000005n", "memory": "2049Ki"})
    );
    assert_eq!(
        nodes["items"][1]["usage"],
        json!({"cpu": "0n", "memory": "0Ki"})
    );
    let one = world
        .get(&format!(
            "{GROUP}/nodes?fieldSelector=metadata.name%3Dnode-1"
        ))
        .await;
    assert_eq!(names(&one.unwrap()), ["node-1"]);

    // What is measured cannot be written or watched.
    let pods = format!("{GROUP}/namespaces/default/pods");
    assert_eq!(world.send(Request::post(&pods), &json!({})).await, Err(405));
    assert_eq!(world.get(&format!("{pods}?watch=true")).await, Err(405));
    assert_eq!(
        world.send(Request::delete(&pods), &Value::Null).await,
        Err(405)
    );
}

#[tokio::test]
async fn discovery_says_that_it_can_be_read() {
    let world = World::new();
    let group = |groups: &Value| {
        let groups = groups["groups"].as_array().unwrap();
        groups.iter().any(|group| group["name"] == "metrics.k8s.io")
    };
    assert!(!group(&world.get("/apis").await.unwrap()));
    world.server.set_metrics(world.figures.clone());
    world.server.set_metrics(world.figures.clone());
    assert!(group(&world.get("/apis").await.unwrap()));
    let resources = world.get(GROUP).await.unwrap();
    let found: Vec<(&Value, &Value, &Value)> = resources["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["name"], &one["kind"], &one["verbs"]))
        .collect();
    let verbs = json!(["get", "list"]);
    assert_eq!(
        found,
        [
            (&json!("nodes"), &json!("NodeMetrics"), &verbs),
            (&json!("pods"), &json!("PodMetrics"), &verbs),
        ]
    );
    let document = world.get(&format!("/openapi/v3{GROUP}")).await.unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(!paths.is_empty());
    for (path, operations) in paths {
        let writes = ["post", "put", "patch", "delete"];
        assert!(
            writes.iter().all(|verb| operations.get(verb).is_none()),
            "{path}"
        );
        assert!(operations.get("get").is_some(), "{path}");
    }
}
