//! The placement decision as a whole: held against a checker that is slow and plain, and counted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::affinity::Peers;
use super::fit::{self, Demand, NodeView};

/// The placed Pods with their nodes, the nodes, and the decision for a Pod.
struct World {
    nodes: Vec<Value>,
    placed: Vec<(Value, usize)>,
}

fn name(node: &Value) -> &str {
    node["metadata"]["name"].as_str().unwrap()
}

impl World {
    fn decide(&self, pod: &Value, enforce: bool) -> Result<String, String> {
        let mut views: BTreeMap<String, NodeView> = self
            .nodes
            .iter()
            .map(|node| {
                let typed: Node = serde_json::from_value(node.clone()).unwrap();
                (name(node).to_owned(), NodeView::new(&typed))
            })
            .collect();
        let mut peers = Peers::default();
        for (namespace, team) in [("one", "x"), ("two", "y")] {
            let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
            peers.set_namespace(namespace.to_owned(), labels);
        }
        for (index, (pod, node)) in self.placed.iter().enumerate() {
            let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
            let node = name(&self.nodes[*node]);
            peers.insert(&format!("u{index}"), &typed, node);
            views.get_mut(node).unwrap().add(&Demand::of(&typed));
        }
        let typed: Pod = serde_json::from_value(pod.clone()).unwrap();
        let rules = peers.rules(&typed, |node, key| views[node].domain(key));
        fit::choose(&typed, &Demand::of(&typed), &views, &rules, enforce)
    }

    /// The same by the letter of the API: for each node every rule against every Pod.
    fn naive(&self, pod: &Value, enforce: bool) -> Option<String> {
        let fits = (0..self.nodes.len()).filter(|&node| self.fits(pod, node, enforce));
        let pods = |node: usize| self.placed.iter().filter(|(_, at)| *at == node).count();
        let best = fits.min_by_key(|&node| (pods(node), node))?;
        Some(name(&self.nodes[best]).to_owned())
    }

    fn fits(&self, pod: &Value, node: usize, enforce: bool) -> bool {
        let object = &self.nodes[node];
        let spec = &pod["spec"];
        if object["spec"]["unschedulable"] == true {
            return false;
        }
        let labels = &object["metadata"]["labels"];
        for (key, value) in entries(&spec["nodeSelector"]) {
            if labels[key] != *value {
                return false;
            }
        }
        for taint in items(&object["spec"]["taints"]) {
            let tolerated = items(&spec["tolerations"]).any(|t| {
                t["key"] == taint["key"]
                    && (t["operator"] == "Exists" || t["value"] == taint["value"])
            });
            if taint["effect"] == "NoSchedule" && !tolerated {
                return false;
            }
        }
        let cpus = |pod: &Value| -> u64 {
            items(&pod["spec"]["containers"])
                .map(|c| {
                    c["resources"]["requests"]["cpu"]
                        .as_str()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                })
                .sum()
        };
        let here = self.placed.iter().filter(|(_, at)| *at == node);
        let used: u64 = here.map(|(pod, _)| cpus(pod)).sum();
        let have: u64 = object["status"]["allocatable"]["cpu"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        if enforce && used + cpus(pod) > have {
            return false;
        }
        let together = |key: &str, other: usize| {
            !labels[key].is_null() && labels[key] == self.nodes[other]["metadata"]["labels"][key]
        };
        let affinity = terms(pod, "podAffinity");
        let meant = |other: &Value| affinity.iter().all(|term| speaks_of(term, pod, other));
        let anybody = affinity.iter().any(|term| {
            self.placed.iter().any(|(other, at)| {
                meant(other)
                    && !self.nodes[*at]["metadata"]["labels"][term["topologyKey"].as_str().unwrap()]
                        .is_null()
            })
        });
        for term in &affinity {
            let key = term["topologyKey"].as_str().unwrap();
            let joined = self
                .placed
                .iter()
                .any(|(other, at)| meant(other) && together(key, *at));
            let first = !anybody && meant(pod) && !labels[key].is_null();
            if !joined && !first {
                return false;
            }
        }
        for (other, at) in &self.placed {
            for term in terms(pod, "podAntiAffinity") {
                if speaks_of(&term, pod, other)
                    && together(term["topologyKey"].as_str().unwrap(), *at)
                {
                    return false;
                }
            }
            for term in terms(other, "podAntiAffinity") {
                if speaks_of(&term, other, pod)
                    && together(term["topologyKey"].as_str().unwrap(), *at)
                {
                    return false;
                }
            }
        }
        true
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &Value)> {
    map.as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v))
}

fn terms(pod: &Value, kind: &str) -> Vec<Value> {
    items(&pod["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"])
        .cloned()
        .collect()
}

fn speaks_of(term: &Value, whose: &Value, other: &Value) -> bool {
    let namespace = &other["metadata"]["namespace"];
    let here = if term["namespaceSelector"].is_object() {
        let teams = json!({"one": "x", "two": "y"});
        let wanted = &term["namespaceSelector"]["matchLabels"]["team"];
        wanted.is_null() || *wanted == teams[namespace.as_str().unwrap()]
    } else {
        *namespace == whose["metadata"]["namespace"]
    };
    here && items(&term["labelSelector"]["matchExpressions"]).all(|e| {
        let have = &other["metadata"]["labels"][e["key"].as_str().unwrap()];
        match e["operator"].as_str().unwrap() {
            "In" => items(&e["values"]).any(|v| v == have),
            "NotIn" => !items(&e["values"]).any(|v| v == have),
            "Exists" => !have.is_null(),
            _ => have.is_null(),
        }
    })
}

fn term() -> impl Strategy<Value = Value> {
    let expression = (
        select(vec!["app", "job"]),
        select(vec!["In", "NotIn", "Exists", "DoesNotExist"]),
        select(vec!["a", "b"]),
    )
        .prop_map(|(key, operator, value)| match operator {
            "In" | "NotIn" => json!({"key": key, "operator": operator, "values": [value]}),
            _ => json!({"key": key, "operator": operator}),
        });
    let namespaces = select(vec![
        Value::Null,
        json!({}),
        json!({"matchLabels": {"team": "x"}}),
    ]);
    (
        prop::collection::vec(expression, 1..3),
        select(vec!["rack", "host"]),
        namespaces,
    )
        .prop_map(|(expressions, key, namespaces)| {
            let mut term =
                json!({"topologyKey": key, "labelSelector": {"matchExpressions": expressions}});
            if !namespaces.is_null() {
                term["namespaceSelector"] = namespaces;
            }
            term
        })
}

fn pod() -> impl Strategy<Value = Value> {
    let value = || prop::option::of(select(vec!["a", "b"]));
    let selector = prop::option::weighted(
        0.2,
        select(vec![json!({"rack": "r0"}), json!({"rack": "r1"})]),
    );
    let toleration = prop::option::of(select(vec![
        json!({"key": "gpu", "operator": "Exists"}),
        json!({"key": "gpu", "value": "no"}),
    ]));
    (
        select(vec!["one", "two"]),
        (value(), value()),
        prop::collection::vec(term(), 0..2),
        prop::collection::vec(term(), 0..2),
        (selector, toleration, 0..4_u8),
    )
        .prop_map(|(namespace, (app, job), near, far, (selector, toleration, cpu))| {
            let mut labels = json!({});
            for (key, value) in [("app", app), ("job", job)] {
                if let Some(value) = value {
                    labels[key] = value.into();
                }
            }
            let required = |terms: Vec<Value>| json!({"requiredDuringSchedulingIgnoredDuringExecution": terms});
            json!({
                "metadata": {"name": "p", "namespace": namespace, "labels": labels},
                "spec": {
                    "nodeSelector": selector.unwrap_or(json!({})),
                    "tolerations": toleration.into_iter().collect::<Vec<_>>(),
                    "affinity": {"podAffinity": required(near), "podAntiAffinity": required(far)},
                    "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu.to_string()}}}],
                },
            })
        })
}

fn node(index: usize) -> impl Strategy<Value = Value> {
    let rack = prop::option::weighted(0.8, select(vec!["r0", "r1"]));
    (rack, prop::bool::weighted(0.2), prop::bool::weighted(0.1)).prop_map(
        move |(rack, tainted, cordoned)| {
            let mut labels = json!({"host": format!("node-{index}")});
            if let Some(rack) = rack {
                labels["rack"] = rack.into();
            }
            let taints = if tainted {
                json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
            } else {
                json!([])
            };
            json!({
                "metadata": {"name": format!("node-{index}"), "labels": labels},
                "spec": {"unschedulable": cordoned, "taints": taints},
                "status": {"allocatable": {"cpu": "4"}},
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_decision_is_the_naive_one(
        nodes in (node(0), node(1), node(2), node(3)),
        placed in prop::collection::vec((pod(), 0..4_usize), 0..8),
        new in pod(),
        enforce in any::<bool>(),
    ) {
        let nodes = vec![nodes.0, nodes.1, nodes.2, nodes.3];
        let world = World { nodes, placed };
        let decision = world.decide(&new, enforce);
        prop_assert_eq!(decision.clone().ok(), world.naive(&new, enforce), "{:?}", decision);
    }
}

/// Pods as exclusive placement makes them, all of them with terms: `count` Pods, four to a Job.
fn exclusive(index: usize) -> Pod {
    let job = format!("job-{}", index / 4);
    let term = |expressions: Value| {
        json!([{"topologyKey": "rack", "namespaceSelector": {},
            "labelSelector": {"matchExpressions": expressions}}])
    };
    serde_json::from_value(json!({
        "metadata": {"name": format!("p{index}"), "namespace": "one",
            "labels": {"job-key": job, "index": index.to_string()}},
        "spec": {"containers": [], "affinity": {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                term(json!([{"key": "job-key", "operator": "In", "values": [job]}]))},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term(json!([
                {"key": "job-key", "operator": "Exists"},
                {"key": "job-key", "operator": "NotIn", "values": [job]}]))},
        }},
    }))
    .unwrap()
}

/// Places the Pods one after the other on nodes of as many racks as there are Jobs; how often a
/// term was held against something.
fn comparisons(pods: usize, nodes: usize) -> u64 {
    let mut views: BTreeMap<String, NodeView> = (0..nodes)
        .map(|i| {
            let node: Node = serde_json::from_value(json!({"metadata":
                {"name": format!("node-{i}"), "labels": {"rack": format!("r{i}")}}}))
            .unwrap();
            (format!("node-{i}"), NodeView::new(&node))
        })
        .collect();
    let mut peers = Peers::default();
    let mut placed = 0;
    for index in 0..pods {
        let pod = exclusive(index);
        let demand = Demand::of(&pod);
        let rules = peers.rules(&pod, |node, key| views[node].domain(key));
        if let Ok(node) = fit::choose(&pod, &demand, &views, &rules, false) {
            peers.insert(&format!("u{index}"), &pod, &node);
            views.get_mut(&node).unwrap().add(&demand);
            placed += 1;
        }
    }
    assert_eq!(placed, pods.min(nodes * 4));
    peers.compared.get()
}

/// At most three terms for each Pod, each against one class or guard for each Job that is placed.
fn check_effort(pods: usize, nodes: usize) {
    let found = comparisons(pods, nodes);
    println!("{pods} Pods over {nodes} nodes: {found} comparisons");
    let per_pod = 3 * (nodes as u64 + 2);
    assert!(found <= pods as u64 * per_pod, "{found}");
}

#[test]
fn effort_grows_with_kinds_of_pods_not_with_pods() {
    check_effort(600, 60);
}

#[test]
fn effort_in_a_large_cluster() {
    check_effort(5_000, 500);
}
