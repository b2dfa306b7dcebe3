//! The webhook configurations as they are shipped, the webhook server over HTTPS, and an API server
//! that knows JobSets only by their CustomResourceDefinition: what a cluster has, in one process.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use embedded_apiserver::ApiServer;
use jobset_api::FeatureGates;
use jobset_controller::admission::Admission;
use jobset_controller::webhook::tls::{HTTP2_AND_HTTP1, TlsSettings};
use jobset_controller::webhook::{Certificates, Hook, Limits, Stats, Webhook};
use jobset_controller::{ControllerOptions, Placement};
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const JOBSETS: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets";
const PODS: &str = "/api/v1/namespaces/default/pods";

struct World {
    client: Client,
    stats: Arc<Stats>,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let resolver =
            move |namespace: &str, name: &str, port: u16| -> Result<SocketAddr, String> {
                match (namespace, name, port) {
                    ("jobset-system", "jobset-webhook-service", 443) => Ok(address),
                    _ => Err(format!("no Service {namespace}/{name}:{port}")),
                }
            };
        let api = ApiServer::builder()
            .service_resolver(Arc::new(resolver))
            .build();
        let client = Client::new(api.router(), "default");

        let made = rcgen::generate_simple_self_signed([
            "jobset-webhook-service.jobset-system.svc".to_owned()
        ])
        .unwrap();
        let certificate = made.cert.pem();
        let certificates = Certificates::new();
        certificates
            .set(
                certificate.as_bytes(),
                made.signing_key.serialize_pem().as_bytes(),
            )
            .unwrap();
        let tls = TlsSettings::default()
            .server_config(certificates, HTTP2_AND_HTTP1)
            .unwrap();
        let placement = Placement::new(client.clone(), &ControllerOptions::default());
        let admission = Admission::new(FeatureGates::default(), Arc::new(placement));
        let (stats, shutdown) = (Arc::new(Stats::default()), CancellationToken::new());
        let webhook = Webhook::new(admission, client.clone(), stats.clone(), Limits::default());
        let server = tokio::spawn(webhook.serve(listener, tls, shutdown.clone()));

        let world = Self {
            client,
            stats,
            shutdown,
            server,
        };
        let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        world
            .post(crds, jobset_api::crd::crd_value())
            .await
            .unwrap();
        for mut configuration in shipped_configurations() {
            for webhook in configuration["webhooks"].as_array_mut().unwrap() {
                webhook["clientConfig"]["caBundle"] = base64::engine::general_purpose::STANDARD
                    .encode(&certificate)
                    .into();
            }
            let plural = match configuration["kind"].as_str().unwrap() {
                "MutatingWebhookConfiguration" => "mutatingwebhookconfigurations",
                _ => "validatingwebhookconfigurations",
            };
            let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
            world.post(&path, &configuration).await.unwrap();
        }
        world
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> kube::Result<Value> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body).unwrap())
            .unwrap();
        self.client.request(request).await
    }

    async fn post(&self, path: &str, body: &Value) -> kube::Result<Value> {
        self.send("POST", path, body).await
    }

    /// Webhook calls so far, by path.
    fn calls(&self) -> BTreeMap<&'static str, u64> {
        let mut calls = BTreeMap::new();
        for ((path, _), count) in self.stats.requests() {
            *calls.entry(path).or_default() += count;
        }
        calls.retain(|_, count| *count > 0);
        calls
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.unwrap();
    }
}

/// What `config/` installs.
fn shipped_configurations() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config/components/webhook/manifests.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let found: Vec<Value> = documents.into_iter().filter(Value::is_object).collect();
    assert_eq!(found.len(), 2);
    found
}

fn status(error: kube::Error) -> kube::core::Status {
    match error {
        kube::Error::Api(status) => *status,
        other => panic!("{other}"),
    }
}

fn jobset(name: &str) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
        "spec": {"replicatedJobs": [{"name": "w", "template": {"spec": {"template": {"spec": {
            "containers": [{"name": "c", "image": "i", "command": ["true"]}],
        }}}}}]},
    })
}

/// A Pod of a JobSet: of Job `js-w-0`, at this completion index.
fn pod(name: &str, index: &str, more: &Value) -> Value {
    let mut annotations = json!({
        "jobset.sigs.k8s.io/jobset-name": "js",
        "batch.kubernetes.io/job-completion-index": index,
    });
    let all = annotations.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                "jobset.sigs.k8s.io/jobset-name": "js",
                "jobset.sigs.k8s.io/replicatedjob-name": "w",
                "jobset.sigs.k8s.io/job-index": "0",
                "jobset.sigs.k8s.io/job-key": "key",
            },
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn jobsets_are_completed_and_checked() {
    let world = World::start().await;
    let created = world.post(JOBSETS, &jobset("js")).await.unwrap();
    assert_eq!(created["spec"]["successPolicy"]["operator"], "All");
    let job = &created["spec"]["replicatedJobs"][0]["template"]["spec"];
    assert_eq!(job["completionMode"], "Indexed");
    assert_eq!(job["template"]["spec"]["restartPolicy"], "OnFailure");
    assert_eq!(created["metadata"]["generation"], 1);

    let mut bad = jobset("bad");
    bad["spec"]["managedBy"] = "nobody".into();
    let refused = status(world.post(JOBSETS, &bad).await.unwrap_err());
    assert_eq!((refused.code, &*refused.reason), (422, "Invalid"));
    assert!(
        refused.message.contains("vjobset.kb.io") && refused.message.contains("spec.managedBy"),
        "{}",
        refused.message
    );

    // Suspension with what a queueing system writes at the same time passes, a new image does not.
    let path = format!("{JOBSETS}/js");
    let mut new = created.clone();
    new["spec"]["suspend"] = true.into();
    new["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["nodeSelector"] =
        json!({"flavor": "a"});
    let updated = world.send("PUT", &path, &new).await.unwrap();
    let mut image = updated.clone();
    image["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] =
        "other".into();
    let refused = status(world.send("PUT", &path, &image).await.unwrap_err());
    assert!(
        refused.message.contains("field is immutable"),
        "{}",
        refused.message
    );
    // What has been stored passes again, without a change.
    let again = world.send("PUT", &path, &updated).await.unwrap();
    assert_eq!(
        again["metadata"]["resourceVersion"],
        updated["metadata"]["resourceVersion"]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pods_that_are_placed_exclusively_come_by() {
    let world = World::start().await;
    let exclusive = json!({"alpha.jobset.sigs.k8s.io/exclusive-topology": "rack"});
    let by_selector = json!({
        "alpha.jobset.sigs.k8s.io/exclusive-topology": "rack",
        "alpha.jobset.sigs.k8s.io/node-selector": "true",
    });
    let stranger = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    world.post(PODS, &stranger).await.unwrap();
    world
        .post(PODS, &pod("plain", "0", &json!({})))
        .await
        .unwrap();
    world
        .post(PODS, &pod("by-selector", "0", &by_selector))
        .await
        .unwrap();
    assert_eq!(world.calls(), BTreeMap::new());

    let leader = world
        .post(PODS, &pod("js-w-0-0-aaaaa", "0", &exclusive))
        .await
        .unwrap();
    let terms = &leader["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(terms[0]["topologyKey"], "rack");
    let refused = world
        .post(PODS, &pod("js-w-0-1-aaaaa", "1", &exclusive))
        .await;
    let refused = status(refused.unwrap_err());
    assert_eq!((refused.code, &*refused.reason), (403, "Forbidden"));
    assert!(
        refused.message.contains("vpod.kb.io"),
        "{}",
        refused.message
    );
    assert_eq!(
        world.calls(),
        BTreeMap::from([(Hook::MutatePod.path(), 2), (Hook::ValidatePod.path(), 2)])
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_manager_blocks_nobody_else() {
    let world = World::start().await;
    world.shutdown.cancel();
    let World { client, server, .. } = world;
    server.await.unwrap();
    let world = World {
        client,
        server: tokio::spawn(async {}),
        stats: Arc::default(),
        shutdown: CancellationToken::new(),
    };
    world
        .post(PODS, &pod("plain", "0", &json!({})))
        .await
        .unwrap();
    let refused = status(world.post(JOBSETS, &jobset("js")).await.unwrap_err());
    assert_eq!(refused.code, 500);
    assert!(
        refused
            .message
            .contains("failed calling webhook \"mjobset.kb.io\""),
        "{}",
        refused.message
    );
    world.stop().await;
}
