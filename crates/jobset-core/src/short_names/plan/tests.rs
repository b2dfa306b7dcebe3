use std::collections::BTreeSet;

use jobset_api::constants;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::json;

use super::super::rules::PodPlace;
use super::*;
use crate::fixtures::{jobset as build, rjob};

fn jobset() -> JobSet {
    build(json!({
        "replicatedJobs": [rjob("leader", 1), rjob("worker", 8)],
        "network": {"enableDNSHostnames": true},
    }))
}

/// The Pod of a role, Job and completion index, in its nth incarnation.
fn pod(role: &str, job: u32, index: u32, incarnation: u32) -> NamedPod {
    NamedPod {
        name: format!("test-jobset-{role}-{job}-{index}-{incarnation}"),
        uid: format!("{role}.{job}.{index}.{incarnation}"),
        place: PodPlace {
            jobset: "test-jobset".to_owned(),
            role: role.to_owned(),
            job_index: job,
            pod_index: Some(index),
        },
        jobset_uid: "jobset-uid".to_owned(),
        job: format!("test-jobset-{role}-{job}"),
        subdomain: "test-jobset".to_owned(),
        node: Some("n1".to_owned()),
        addresses: vec![
            format!("10.{}.{job}.{index}", incarnation % 256)
                .parse()
                .unwrap(),
        ],
        serving: true,
        terminating: false,
    }
}

/// The slices on a server that does what it is told.
#[derive(Default)]
struct Server {
    slices: BTreeMap<String, Value>,
    revision: u32,
    writes: usize,
}

impl Server {
    fn read(&self) -> Vec<NameSlice> {
        let slice = |value: &Value| {
            let slice: EndpointSlice = serde_json::from_value(value.clone()).unwrap();
            NameSlice::from_slice(&slice)
        };
        self.slices.values().map(slice).collect()
    }

    fn plan(&self, room: usize, jobset: &JobSet, pods: &[NamedPod]) -> Vec<Change> {
        let slices = self.read();
        plan_within(room, jobset, pods, &slices.iter().collect::<Vec<_>>())
    }

    fn apply(&mut self, changes: Vec<Change>) {
        self.writes += changes.len();
        for change in changes {
            self.revision += 1;
            let revision = self.revision.to_string();
            match change {
                Change::Create { name, mut body } => {
                    assert_eq!(body["metadata"]["name"], *name);
                    body["metadata"]["uid"] = format!("uid-{revision}").into();
                    body["metadata"]["resourceVersion"] = revision.into();
                    assert!(self.slices.insert(name, body).is_none());
                }
                Change::Update { name, patch } => {
                    let slice = self.slices.get_mut(&name).unwrap();
                    for key in ["uid", "resourceVersion"] {
                        assert_eq!(patch["metadata"][key], slice["metadata"][key]);
                    }
                    slice["metadata"]["resourceVersion"] = revision.into();
                    slice["metadata"]["labels"] = patch["metadata"]["labels"].clone();
                    slice["endpoints"] = patch["endpoints"].clone();
                }
                Change::Delete { name, uid } => {
                    let slice = self.slices.remove(&name).unwrap();
                    assert_eq!(slice["metadata"]["uid"], *uid);
                }
            }
        }
    }

    fn settle(&mut self, room: usize, jobset: &JobSet, pods: &[NamedPod]) -> usize {
        let changes = self.plan(room, jobset, pods);
        let count = changes.len();
        self.apply(changes);
        assert_eq!(self.plan(room, jobset, pods), [], "not stable");
        count
    }

    /// (hostname, address) of every ready endpoint: what DNS answers.
    fn answers(&self) -> BTreeSet<(String, String)> {
        let endpoints = self.read().into_iter().flat_map(|slice| slice.endpoints);
        endpoints
            .filter(|endpoint| endpoint.ready)
            .map(|endpoint| (endpoint.hostname, endpoint.address))
            .collect()
    }
}

fn answers(list: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let owned = |&(name, address): &(&str, &str)| (name.to_owned(), address.to_owned());
    list.iter().map(owned).collect()
}

#[test]
fn a_slice_as_it_is_created() {
    let changes = plan(&jobset(), &[pod("leader", 0, 1, 7)], &[]);
    let [Change::Create { name, body }] = &changes[..] else {
        panic!("{changes:?}");
    };
    let endpoint = |hostname: &str| {
        json!({
            "addresses": ["10.7.0.1"],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "hostname": hostname,
            "nodeName": "n1",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "test-jobset-leader-0-1-7",
                          "uid": "leader.0.1.7"},
        })
    };
    assert_eq!(
        *body,
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": {
                    "kubernetes.io/service-name": "test-jobset",
                    "endpointslice.kubernetes.io/managed-by": "short-names.jobset.x-k8s.io",
                    "service.kubernetes.io/headless": "",
                    "jobset.sigs.k8s.io/jobset-name": "test-jobset",
                },
                "ownerReferences": [jobset().owner_reference()],
            },
            "addressType": "IPv4",
            "endpoints": [endpoint("leader-0"), endpoint("leader-0-1")],
            "ports": [],
        })
    );
    assert!(name.starts_with("test-jobset-") && name.ends_with("-names-v4-0"));
}

#[test]
fn the_life_of_a_jobset() {
    let (jobset, mut server) = (jobset(), Server::default());
    assert_eq!(server.settle(1000, &jobset, &[]), 0);
    let first = vec![pod("leader", 0, 0, 1), pod("worker", 3, 0, 1)];
    assert_eq!(server.settle(1000, &jobset, &first), 1);
    let expected = answers(&[
        ("leader-0", "10.1.0.0"),
        ("leader-0-0", "10.1.0.0"),
        ("worker-3", "10.1.3.0"),
        ("worker-3-0", "10.1.3.0"),
    ]);
    assert_eq!(server.answers(), expected);
    // A restart: the old Pods go, new ones come.
    let mut both = first.clone();
    both[0].terminating = true;
    both.push(pod("leader", 0, 0, 2));
    assert_eq!(server.settle(1000, &jobset, &both), 1);
    assert_eq!(
        server
            .answers()
            .iter()
            .filter(|(name, _)| name == "leader-0")
            .count(),
        2
    );
    assert_eq!(server.settle(1000, &jobset, &[pod("leader", 0, 0, 2)]), 1);
    let expected = answers(&[("leader-0", "10.2.0.0"), ("leader-0-0", "10.2.0.0")]);
    assert_eq!(server.answers(), expected);
    // Suspended, or finished.
    assert_eq!(server.settle(1000, &jobset, &[]), 1);
    assert!(server.slices.is_empty());
}

#[test]
fn readiness_counts_if_the_jobset_says_so() {
    let mut strict = jobset();
    strict
        .spec
        .network
        .as_mut()
        .unwrap()
        .publish_not_ready_addresses = Some(false);
    for (publish, serving, terminating, found) in [
        (true, false, false, true),
        (true, true, true, true),
        (false, true, false, true),
        (false, false, false, false),
        (false, true, true, false),
    ] {
        let pod = NamedPod {
            serving,
            terminating,
            ..pod("leader", 0, 0, 1)
        };
        let mut server = Server::default();
        let jobset = if publish { jobset() } else { strict.clone() };
        server.settle(1000, &jobset, &[pod]);
        let held = &server.read()[0].endpoints[0];
        assert_eq!(
            (held.ready, held.serving, held.terminating),
            (found, serving, terminating)
        );
        assert_eq!(server.answers().is_empty(), !found);
    }
}

#[test]
fn one_slice_of_each_family() {
    let (jobset, mut server) = (jobset(), Server::default());
    let mut dual = pod("leader", 0, 0, 1);
    dual.addresses.push("fd00::1".parse().unwrap());
    assert_eq!(
        server.settle(1000, &jobset, &[dual.clone(), pod("worker", 0, 0, 1)]),
        2
    );
    let types: Vec<_> = server
        .slices
        .values()
        .map(|s| s["addressType"].clone())
        .collect();
    assert_eq!(types, ["IPv4", "IPv6"]);
    assert_eq!(server.read()[1].endpoints.len(), 2);
    dual.addresses.pop();
    assert_eq!(server.settle(1000, &jobset, &[dual]), 2);
    assert_eq!(server.slices.len(), 1);
}

#[test]
fn jobsets_without_names() {
    let pods = [pod("leader", 0, 0, 1)];
    let mut off = jobset();
    off.spec.network.as_mut().unwrap().enable_dns_hostnames = Some(false);
    assert_eq!(plan(&off, &pods, &[]), []);
    let mut without = jobset();
    without.spec.network = None;
    assert_eq!(plan(&without, &pods, &[]), []);
    let mut elsewhere = jobset();
    elsewhere.spec.managed_by = Some("kueue.x-k8s.io/multikueue".to_owned());
    assert_eq!(plan(&elsewhere, &pods, &[]), []);
    let mut server = Server::default();
    server.settle(1000, &jobset(), &pods);
    let mut deleting = jobset();
    deleting.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    assert_eq!(server.plan(1000, &deleting, &[]), []);
}

#[test]
fn what_others_have_is_passed_over() {
    let (jobset, mut server) = (jobset(), Server::default());
    let strange = NamedPod {
        jobset_uid: "other".to_owned(),
        ..pod("leader", 0, 0, 1)
    };
    assert_eq!(server.settle(1000, &jobset, &[strange]), 0);
    // Slices of a JobSet of this name that is gone stay for the garbage collector.
    server.settle(1000, &jobset, &[pod("leader", 0, 0, 1)]);
    let mut successor = jobset;
    successor.metadata.uid = Some("successor".to_owned());
    let pod = NamedPod {
        jobset_uid: "successor".to_owned(),
        ..pod("leader", 0, 0, 2)
    };
    assert_eq!(server.settle(1000, &successor, &[pod]), 1);
    assert_eq!(server.slices.len(), 2);
}

#[test]
fn what_somebody_changed_is_put_right() {
    const SERVICE: &str = "kubernetes.io/service-name";
    const HEADLESS: &str = "service.kubernetes.io/headless";
    let (jobset, mut server) = (jobset(), Server::default());
    let pods = [pod("leader", 0, 0, 1)];
    server.settle(1000, &jobset, &pods);
    let name = server.slices.keys().next().unwrap().clone();
    type Damage = fn(&mut Value);
    let damages: [Damage; 5] = [
        |slice| slice["endpoints"] = json!([]),
        |slice| slice["endpoints"][0]["addresses"] = json!(["10.1.0.0", "10.6.6.6"]),
        |slice| slice["endpoints"][0]["hostname"] = json!("elsewhere"),
        |slice| slice["metadata"]["labels"][SERVICE] = json!("elsewhere"),
        |slice| {
            drop(
                slice["metadata"]["labels"]
                    .as_object_mut()
                    .unwrap()
                    .remove(HEADLESS),
            );
        },
    ];
    for damage in damages {
        let before = server.slices[&name]["endpoints"].clone();
        damage(server.slices.get_mut(&name).unwrap());
        assert_eq!(server.settle(1000, &jobset, &pods), 1);
        assert_eq!(server.slices[&name]["endpoints"], before);
    }
    // The order is nobody's business.
    let endpoints = server.slices.get_mut(&name).unwrap()["endpoints"]
        .as_array_mut()
        .unwrap();
    endpoints.reverse();
    assert_eq!(server.settle(1000, &jobset, &pods), 0);
}

#[test]
fn many_pods_take_few_slices_and_one_of_them_one_write() {
    let (jobset, mut server) = (jobset(), Server::default());
    let mut pods: Vec<NamedPod> = (0..8)
        .flat_map(|job| (0..250).map(move |index| pod("worker", job, index, 1)))
        .collect();
    assert_eq!(server.settle(MAX_ENDPOINTS, &jobset, &pods), 4);
    assert!(
        server
            .read()
            .iter()
            .all(|slice| slice.endpoints.len() == MAX_ENDPOINTS)
    );
    pods[1234] = pod("worker", 4, 234, 2);
    assert_eq!(server.settle(MAX_ENDPOINTS, &jobset, &pods), 1);
    pods.truncate(1000);
    assert_eq!(server.settle(MAX_ENDPOINTS, &jobset, &pods), 2);
    assert_eq!(server.slices.len(), 2);
    // What is new goes into what is there.
    pods.truncate(998);
    pods.push(pod("leader", 0, 0, 1));
    assert_eq!(server.settle(MAX_ENDPOINTS, &jobset, &pods), 1);
    assert_eq!(server.slices.len(), 2);
}

#[test]
fn a_shared_subdomain_is_told_of_when_names_collide() {
    let share = |name: &str, uid: &str, role: &str| {
        let mut jobset = build(json!({
            "replicatedJobs": [rjob(role, 1)],
            "network": {"enableDNSHostnames": true, "subdomain": "shared"},
        }));
        jobset.metadata.name = Some(name.to_owned());
        jobset.metadata.uid = Some(uid.to_owned());
        let mut pod = pod(role, 0, 0, 1);
        pod.subdomain = "shared".to_owned();
        pod.jobset_uid = uid.to_owned();
        pod.job = format!("{name}-{role}-0");
        (jobset, vec![pod])
    };
    let (a, pods_of_a) = share("a", "ua", "leader");
    let mut server = Server::default();
    server.settle(1000, &a, &pods_of_a);
    let slices = server.read();
    let slices: Vec<&NameSlice> = slices.iter().collect();
    let (b, pods_of_b) = share("b", "ub", "leader");
    assert_eq!(
        collision(&b, &pods_of_b, &slices),
        Some(Collision {
            hostname: "leader-0".to_owned(),
            service: "shared".to_owned(),
            jobset: "a".to_owned(),
        })
    );
    assert_eq!(collision(&a, &pods_of_a, &slices), None);
    let (c, pods_of_c) = share("c", "uc", "worker");
    assert_eq!(collision(&c, &pods_of_c, &slices), None);
    // Both are published, each in slices of its own.
    server.settle(1000, &b, &pods_of_b);
    assert_eq!(server.slices.len(), 2);
}

#[test]
fn labels_and_names_fit_the_api() {
    let mut jobset = jobset();
    jobset.metadata.name = Some("j".repeat(63));
    let mut pod = pod("leader", 0, 0, 1);
    pod.subdomain = "j".repeat(63);
    pod.job = format!("{}-leader-0", "j".repeat(63));
    let changes = plan(&jobset, [&pod], &[]);
    let Change::Create { name, body } = &changes[0] else {
        panic!("{changes:?}");
    };
    assert!(name.len() <= 253);
    let labels = body["metadata"]["labels"].as_object().unwrap();
    assert!(
        labels
            .values()
            .all(|value| value.as_str().unwrap().len() <= 63)
    );
    assert!(labels.contains_key(constants::JOBSET_NAME_KEY));
}

proptest! {
    /// Whatever the Pods do: afterwards every name leads to its Pods and to no others, no slice is
    /// too large, nothing is left to do, and no more is written than slices can have changed.
    #[test]
    fn names_follow_the_pods(
        rounds in proptest::collection::vec(
            proptest::collection::btree_set((0_u32..8, 0_u32..6, 0_u32..2), 0..40), 1..8),
        room in 2_usize..20,
        dual in any::<bool>(),
    ) {
        let (jobset, mut server) = (jobset(), Server::default());
        for round in rounds {
            let pods: Vec<NamedPod> = round
                .iter()
                .map(|&(job, index, incarnation)| {
                    let mut pod = pod("worker", job, index, incarnation);
                    if dual && index % 2 == 0 {
                        pod.addresses.push(format!("fd00::{job}:{index}:{incarnation}").parse().unwrap());
                    }
                    pod
                })
                .collect();
            let before = server.slices.len();
            let writes = server.settle(room, &jobset, &pods);
            prop_assert!(writes <= before.max(server.slices.len()) + before.min(server.slices.len()));
            let mut expected = BTreeSet::new();
            for pod in &pods {
                for address in &pod.addresses {
                    expected.insert((pod.place.pod_name().unwrap(), address.to_string()));
                    expected.insert((pod.place.job_name(), address.to_string()));
                }
            }
            let slices = server.read();
            let held: usize = slices.iter().map(|slice| slice.endpoints.len()).sum();
            prop_assert_eq!(held, expected.len());
            prop_assert_eq!(server.answers(), expected);
            prop_assert!(slices.iter().all(|s| (1..=room.max(2)).contains(&s.endpoints.len())));
        }
    }

    /// A change of one Pod rewrites one slice.
    #[test]
    fn one_pod_costs_one_write(count in 1_u32..60, which in any::<proptest::sample::Index>(), room in 2_usize..30) {
        let (jobset, mut server) = (jobset(), Server::default());
        let mut pods: Vec<NamedPod> = (0..count).map(|index| pod("worker", 0, index, 1)).collect();
        server.settle(room, &jobset, &pods);
        let at = which.index(pods.len());
        pods[at].serving = false;
        prop_assert_eq!(server.settle(room, &jobset, &pods), 1);
        pods[at] = pod("worker", 0, u32::try_from(at).unwrap(), 2);
        prop_assert_eq!(server.settle(room, &jobset, &pods), 1);
        pods.remove(at);
        prop_assert_eq!(server.settle(room, &jobset, &pods), 1);
    }
}
