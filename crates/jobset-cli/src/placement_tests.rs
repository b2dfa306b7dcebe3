//! Exclusive placement through the whole embedded cluster, with Pods that exist only in the books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use embedded_apiserver::{Admission, AdmissionRequest, Operation, Status};
use jobset_api::{JobSet, constants};
use jobset_controller::{Controller, ControllerOptions, Stats};
use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::job_controller::JobControllerOptions;
use jobset_local::node::{FakeRuntime, Runtime};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::JobSetAdmission;

/// Long enough for anything on a busy machine; only a hang takes it.
const PATIENCE: Duration = Duration::from_mins(2);
const JOBS: usize = 8;
const PODS: usize = 4;
const KEY: &str = "rack";

/// Refused Pod creates by (Job, completion index).
type Refusals = Arc<Mutex<BTreeMap<(String, String), u32>>>;

/// The command's admission, counting what it refuses.
struct Counting {
    inner: JobSetAdmission,
    refused: Refusals,
}

impl Counting {
    fn count<T>(
        &self,
        request: &AdmissionRequest,
        pod: &Value,
        verdict: Result<T, Status>,
    ) -> Result<T, Status> {
        let created_pod = request.resource == "pods"
            && request.subresource.is_empty()
            && request.operation == Operation::Create;
        if created_pod && verdict.is_err() {
            let meta = &pod["metadata"];
            let job = meta["ownerReferences"][0]["name"].as_str().unwrap();
            let index = &meta["annotations"][constants::JOB_COMPLETION_INDEX_KEY];
            let key = (job.to_owned(), index.as_str().unwrap().to_owned());
            *self.refused.lock().unwrap().entry(key).or_default() += 1;
        }
        verdict
    }
}

impl Admission for Counting {
    fn mutate(
        &self,
        request: &AdmissionRequest,
        object: &mut Value,
    ) -> Result<Vec<String>, Status> {
        let verdict = self.inner.mutate(request, object);
        self.count(request, object, verdict)
    }

    fn validate(
        &self,
        request: &AdmissionRequest,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Status> {
        let verdict = self.inner.validate(request, object, old);
        self.count(request, object, verdict)
    }
}

struct World {
    cluster: Cluster,
    client: Client,
    refused: Refusals,
    stats: Arc<Stats>,
    racks: BTreeMap<String, String>,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), jobset_controller::Error>>,
}

impl World {
    /// 32 nodes in 8 racks; Pods run until they are deleted.
    async fn start() -> Self {
        let refused = Refusals::default();
        let cluster = Cluster::start(ClusterOptions {
            nodes: JOBS * PODS,
            topology: vec![(KEY.to_owned(), JOBS)],
            runtime: Runtime::Fake(FakeRuntime {
                start_after: Duration::ZERO,
                succeed_after: None,
            }),
            admission: Some(Arc::new(Counting {
                inner: JobSetAdmission::default(),
                refused: refused.clone(),
            })),
            crds: vec![jobset_api::crd::crd_value().clone()],
            job_controller: JobControllerOptions {
                pod_failure_backoff: Duration::from_millis(1),
                max_pod_failure_backoff: Duration::from_millis(20),
                ..JobControllerOptions::default()
            },
            ..ClusterOptions::default()
        })
        .await
        .unwrap();
        let client = cluster.client();
        let controller = Controller::new(client.clone(), ControllerOptions::default());
        let (stats, stop) = (controller.stats(), CancellationToken::new());
        let controller = tokio::spawn(controller.run(stop.clone()));
        let nodes: Api<Node> = Api::all(client.clone());
        let nodes = nodes.list(&ListParams::default()).await.unwrap();
        let racks: BTreeMap<_, _> = nodes
            .iter()
            .map(|node| (node.name_any(), node.labels()[KEY].clone()))
            .collect();
        assert_eq!(racks.values().collect::<BTreeSet<_>>().len(), JOBS);
        Self {
            cluster,
            client,
            refused,
            stats,
            racks,
            stop,
            controller,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.controller.await.unwrap().unwrap();
        assert_eq!(self.stats.panics(), 0);
        self.cluster.shutdown().await;
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    fn jobsets(&self) -> Api<JobSet> {
        Api::default_namespaced(self.client.clone())
    }

    async fn create(&self, jobset: Value) {
        let jobset: JobSet = serde_json::from_value(jobset).unwrap();
        self.jobsets()
            .create(&PostParams::default(), &jobset)
            .await
            .unwrap();
    }

    async fn list(&self, jobset: &str) -> Vec<Pod> {
        let of = format!("{}={jobset}", constants::JOBSET_NAME_KEY);
        let pods = self.pods();
        pods.list(&ListParams::default().labels(&of))
            .await
            .unwrap()
            .items
    }

    async fn delete(&self, pod: &str) {
        let now = DeleteParams::default().grace_period(0);
        match self.pods().delete(pod, &now).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Where each Job is, once the JobSet is whole; what is missing until then.
    async fn placement(&self, jobset: &str) -> Result<BTreeMap<String, String>, String> {
        let mut jobs: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
        for pod in self.list(jobset).await {
            let name = pod.name_any();
            let phase = pod.status.as_ref().and_then(|s| s.phase.clone());
            if pod.metadata.deletion_timestamp.is_some() || phase.as_deref() == Some("Failed") {
                continue;
            }
            if phase.as_deref() != Some("Running") {
                return Err(format!("{name} is {phase:?}"));
            }
            let node = pod.spec.as_ref().unwrap().node_name.clone().unwrap();
            let job = pod.labels()["job-name"].clone();
            let index = pod.annotations()[constants::JOB_COMPLETION_INDEX_KEY].clone();
            let (racks, indexes) = jobs.entry(job).or_default();
            racks.insert(self.racks[&node].clone());
            indexes.insert(index);
        }
        if jobs.len() != JOBS || jobs.values().any(|(_, indexes)| indexes.len() != PODS) {
            return Err(format!("Pods are missing: {jobs:?}"));
        }
        if jobs.values().any(|(racks, _)| racks.len() != 1) {
            return Err(format!("a Job is in several domains: {jobs:?}"));
        }
        let placed: BTreeMap<_, _> = jobs
            .into_iter()
            .map(|(job, (racks, _))| (job, racks.into_iter().next().unwrap()))
            .collect();
        let distinct: BTreeSet<_> = placed.values().collect();
        if distinct.len() != JOBS {
            return Err(format!("a domain holds several Jobs: {placed:?}"));
        }
        Ok(placed)
    }

    /// Waits until all Pods run, each Job in one domain and each domain with one Job.
    async fn whole(&self, jobset: &str) -> BTreeMap<String, String> {
        let start = Instant::now();
        loop {
            let why = match self.placement(jobset).await {
                Ok(placed) => return placed,
                Err(why) => why,
            };
            assert!(start.elapsed() < PATIENCE, "not whole again: {why}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The refusals since the last call: in total, most of one Job, most of one Pod.
    fn refusals(&self) -> (u32, u32, u32) {
        let refused = std::mem::take(&mut *self.refused.lock().unwrap());
        let mut by_job: BTreeMap<&str, u32> = BTreeMap::new();
        for ((job, index), count) in &refused {
            assert_ne!(index, "0", "a leader was refused");
            *by_job.entry(job).or_default() += count;
        }
        (
            refused.values().sum(),
            by_job.values().copied().max().unwrap_or(0),
            refused.values().copied().max().unwrap_or(0),
        )
    }
}

fn exclusive(name: &str, priority: Option<i32>) -> Value {
    json!({
        "apiVersion": constants::API_VERSION, "kind": constants::KIND,
        "metadata": {
            "name": name, "namespace": "default",
            "annotations": {constants::EXCLUSIVE_TOPOLOGY_KEY: KEY},
        },
        "spec": {"replicatedJobs": [{
            "name": "w", "replicas": JOBS,
            "template": {"spec": {
                "parallelism": PODS, "completions": PODS, "backoffLimit": 1_000_000,
                "template": {"spec": {
                    "priority": priority,
                    "restartPolicy": "Never",
                    "containers": [{"name": "c", "image": "i", "command": ["true"]}],
                }},
            }},
        }]},
    })
}

/// Most refusals of one Job's creates in a time: those of a back-off that doubles from 5 ms, and
/// one for each of the few events of the leader before it has a node.
fn most_refusals(elapsed: Duration) -> u32 {
    let steps = u32::try_from(elapsed.as_millis() / 5).unwrap_or(u32::MAX);
    8 + steps.max(1).ilog2()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_in_one_domain_and_one_job_per_domain() {
    let world = World::start().await;
    let start = Instant::now();
    world.create(exclusive("js", None)).await;
    world.whole("js").await;
    let (total, per_job, per_pod) = world.refusals();
    eprintln!(
        "refused Pod creates at the start: {total} for {} followers, at most {per_job} per Job, \
         {per_pod} per Pod",
        JOBS * (PODS - 1)
    );
    let bound = most_refusals(start.elapsed());
    assert!(per_job <= bound, "{per_job} refusals, not {bound}");

    for job in 0..JOBS {
        let start = Instant::now();
        let pods = world.list("js").await;
        let prefix = format!("js-w-{job}-0-");
        let leader = pods.iter().find(|pod| pod.name_any().starts_with(&prefix));
        let leader = leader.unwrap().name_any();
        world.delete(&leader).await;
        world.whole("js").await;
        assert!(world.pods().get_opt(&leader).await.unwrap().is_none());
        let (total, per_job, _) = world.refusals();
        eprintln!("refused Pod creates after the end of a leader: {total}");
        assert!(per_job <= most_refusals(start.elapsed()), "{per_job}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_are_shared_with_other_priorities_only() {
    let world = World::start().await;
    world.create(exclusive("low", None)).await;
    world.whole("low").await;
    world.create(exclusive("high", Some(5))).await;
    world.whole("high").await;
    // A third one of the same priority has to wait, and with it its followers.
    world.create(exclusive("later", None)).await;
    let start = Instant::now();
    loop {
        let pods = world.list("later").await;
        let refused = |pod: &&Pod| {
            let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
            let reasons = conditions
                .into_iter()
                .flatten()
                .map(|c| c.reason.as_deref());
            reasons.into_iter().any(|r| r == Some("Unschedulable"))
        };
        if pods.iter().filter(refused).count() == JOBS {
            assert_eq!(pods.len(), JOBS, "only leaders are there");
            break;
        }
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world
        .jobsets()
        .delete("low", &DeleteParams::default())
        .await
        .unwrap();
    world.whole("later").await;
    world.whole("high").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_pods_are_deleted_it_comes_together_again() {
    let world = World::start().await;
    world.create(exclusive("js", None)).await;
    world.whole("js").await;
    for seed in [1, 2, 3] {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..6 {
            // Several blows, the later ones while it is still recovering from the earlier.
            for _ in 0..random.usize(1..4) {
                let mut pods: Vec<String> = world
                    .list("js")
                    .await
                    .iter()
                    .map(ResourceExt::name_any)
                    .collect();
                pods.sort();
                random.shuffle(&mut pods);
                pods.truncate(random.usize(0..=pods.len()));
                for pod in &pods {
                    world.delete(pod).await;
                }
            }
            world.whole("js").await;
        }
    }
    let (total, ..) = world.refusals();
    eprintln!(
        "18 rounds of deletions: {total} refused Pod creates, {} repairs",
        world.stats.placement_repairs()
    );
    let jobset = world.jobsets().get("js").await.unwrap();
    assert_eq!(jobset.status.unwrap_or_default().restarts, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_gets_another_label_takes_its_job_along() {
    let world = World::start().await;
    world.create(exclusive("js", None)).await;
    let placed = world.whole("js").await;
    // The leader's node moves to the rack of the nodes beside it, in name only.
    let pods = world.list("js").await;
    let leader = pods
        .iter()
        .find(|pod| pod.name_any().starts_with("js-w-0-0-"))
        .unwrap();
    let node = leader.spec.as_ref().unwrap().node_name.clone().unwrap();
    let followers = || async {
        let pods = world.list("js").await;
        let of_job = pods.into_iter().filter(|pod| {
            pod.labels()["job-name"] == "js-w-0"
                && pod.annotations()[constants::JOB_COMPLETION_INDEX_KEY] != "0"
                && pod.metadata.deletion_timestamp.is_none()
        });
        of_job
            .map(|pod| {
                let selector = pod.spec.unwrap().node_selector.unwrap_or_default();
                selector.get(KEY).cloned().unwrap_or_default()
            })
            .collect::<Vec<_>>()
    };
    assert!(
        followers()
            .await
            .iter()
            .all(|rack| *rack == placed["js-w-0"])
    );
    let nodes: Api<Node> = Api::all(world.client.clone());
    let label = json!({"metadata": {"labels": {KEY: "rack-new"}}});
    nodes
        .patch(
            &node,
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(&label),
        )
        .await
        .unwrap();
    let start = Instant::now();
    loop {
        let found = followers().await;
        if found.len() == PODS - 1 && found.iter().all(|rack| rack == "rack-new") {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.stats.placement_repairs() >= 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_exists_is_checked_when_a_jobset_is_created() {
    let world = World::start().await;
    let spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    });
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(world.client.clone());
    let claim = json!({"metadata": {"name": "data-js"}, "spec": spec});
    claims
        .create(
            &PostParams::default(),
            &serde_json::from_value(claim).unwrap(),
        )
        .await
        .unwrap();
    let jobset = |name: &str| -> JobSet {
        let mut jobset = exclusive(name, None);
        jobset["spec"]["volumeClaimPolicies"] = json!([{
            "templates": [{"metadata": {"name": "data"}, "spec": spec}],
            "retentionPolicy": {"whenDeleted": "Delete"},
        }]);
        let container = jobset
            .pointer_mut("/spec/replicatedJobs/0/template/spec/template/spec/containers/0")
            .unwrap();
        container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        serde_json::from_value(jobset).unwrap()
    };
    let created = world
        .jobsets()
        .create(&PostParams::default(), &jobset("js"))
        .await;
    let Err(kube::Error::Api(status)) = created else {
        panic!("{created:?}");
    };
    assert_eq!(status.code, 422);
    assert!(
        status.message.contains("retentionPolicy.whenDeleted"),
        "{}",
        status.message
    );
    world
        .jobsets()
        .create(&PostParams::default(), &jobset("other"))
        .await
        .unwrap();
    world.stop().await;
}
