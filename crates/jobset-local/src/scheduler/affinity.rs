//! Rules about which Pods may share a topology domain: pure.
//!
//! Required terms only. A node without the topology key is in no domain: it cannot satisfy an
//! affinity and cannot violate an anti-affinity.

#[cfg(test)]
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

type Labels = BTreeMap<String, String>;

/// Why a node is refused, in the words of the Kubernetes scheduler.
const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// How many Pods there are, by node.
type Nodes = HashMap<String, usize>;

/// A Pod that holds a place.
#[derive(Debug, PartialEq)]
struct Peer {
    node: String,
    namespace: String,
    labels: Labels,
    /// Whom it keeps out of its domains.
    anti: Vec<PodAffinityTerm>,
}

/// Pods that no term can tell apart: of one namespace, with the same labels as far as terms ask.
type Class = (String, Labels);

/// One anti-affinity term that placed Pods have, and where these are.
#[derive(Debug)]
struct Guard {
    namespace: String,
    term: PodAffinityTerm,
    nodes: Nodes,
}

/// The Pods that hold a place, and the labels of namespaces.
///
/// Terms are not held against Pods but against classes of them. The Pods of a Job, and often those
/// of many Jobs, are one class, because terms ask for few labels; and equal terms of many placed
/// Pods are one guard. So the effort for a Pod grows with the number of kinds of Pods, not with
/// the number of Pods.
#[derive(Debug, Default)]
pub(super) struct Peers {
    placed: HashMap<String, Peer>,
    /// The labels that terms have asked for so far.
    asked: BTreeSet<String>,
    classes: BTreeMap<Class, Nodes>,
    /// By namespace and the term in JSON.
    guards: HashMap<(String, String), Guard>,
    namespaces: HashMap<String, Labels>,
    /// How often a term was held against something.
    #[cfg(test)]
    pub(super) compared: Cell<u64>,
}

fn count_up(nodes: &mut Nodes, node: &str) {
    *nodes.entry(node.to_owned()).or_default() += 1;
}

/// Counts one down; true if nothing is left anywhere.
fn count_down(nodes: &mut Nodes, node: &str) -> bool {
    if let Some(count) = nodes.get_mut(node) {
        *count -= 1;
        if *count == 0 {
            nodes.remove(node);
        }
    }
    nodes.is_empty()
}

impl Peers {
    /// Takes in a placed Pod; true if this changes what others are held against.
    pub(super) fn insert(&mut self, uid: &str, pod: &Pod, node: &str) -> bool {
        let peer = Peer {
            node: node.to_owned(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            anti: anti_terms(pod).to_vec(),
        };
        if self.placed.get(uid) == Some(&peer) {
            return false;
        }
        self.remove(uid);
        let class = self.class_of(&peer);
        count_up(self.classes.entry(class).or_default(), node);
        for term in &peer.anti {
            let guard = self.guards.entry(guard_key(&peer.namespace, term));
            let guard = guard.or_insert_with(|| Guard {
                namespace: peer.namespace.clone(),
                term: term.clone(),
                nodes: Nodes::new(),
            });
            count_up(&mut guard.nodes, node);
        }
        self.placed.insert(uid.to_owned(), peer);
        true
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some(peer) = self.placed.remove(uid) else {
            return;
        };
        let class = self.class_of(&peer);
        if let Some(nodes) = self.classes.get_mut(&class)
            && count_down(nodes, &peer.node)
        {
            self.classes.remove(&class);
        }
        for term in &peer.anti {
            let key = guard_key(&peer.namespace, term);
            if let Some(guard) = self.guards.get_mut(&key)
                && count_down(&mut guard.nodes, &peer.node)
            {
                self.guards.remove(&key);
            }
        }
    }

    fn class_of(&self, peer: &Peer) -> Class {
        let labels = peer.labels.iter();
        let labels = labels.filter(|(key, _)| self.asked.contains(*key));
        let labels = labels.map(|(key, value)| (key.clone(), value.clone()));
        (peer.namespace.clone(), labels.collect())
    }

    /// Makes classes fine enough for these terms. Rare: most Pods ask for the same few labels.
    fn ask_for(&mut self, terms: &[PodAffinityTerm]) {
        let selectors = || terms.iter().filter_map(|term| term.label_selector.as_ref());
        let plain = selectors().flat_map(|s| s.match_labels.iter().flatten().map(|(key, _)| key));
        let others = selectors().flat_map(|s| s.match_expressions.iter().flatten().map(|e| &e.key));
        let before = self.asked.len();
        let missing: Vec<String> = plain
            .chain(others)
            .filter(|key| !self.asked.contains(*key))
            .cloned()
            .collect();
        self.asked.extend(missing);
        if self.asked.len() == before {
            return;
        }
        let mut classes: BTreeMap<Class, Nodes> = BTreeMap::new();
        for peer in self.placed.values() {
            count_up(classes.entry(self.class_of(peer)).or_default(), &peer.node);
        }
        self.classes = classes;
    }

    pub(super) fn set_namespace(&mut self, name: String, labels: Labels) {
        self.namespaces.insert(name, labels);
    }

    pub(super) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// What `pod` is bound to beside the Pods that are placed. `domain` tells a node's value of a
    /// topology key.
    ///
    /// Costs nothing for a Pod without terms among Pods without anti-affinity; otherwise each term
    /// of the Pod is one pass over the classes of placed Pods, however many Pods and nodes there
    /// are, and each distinct term of placed Pods is held against this one once.
    pub(super) fn rules<'a>(
        &mut self,
        pod: &'a Pod,
        domain: impl Fn(&str, &str) -> Option<String>,
    ) -> Rules<'a> {
        let own = pod.metadata.namespace.as_deref().unwrap_or_default();
        let none = Labels::new();
        let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
        let affinity = affinity_terms(pod);
        self.ask_for(affinity);
        self.ask_for(anti_terms(pod));
        let mut rules = Rules {
            together: affinity
                .iter()
                .map(|term| (term.topology_key.as_str(), HashSet::new()))
                .collect(),
            ..Rules::default()
        };
        // As in Kubernetes, only a Pod that all terms speak of is one to join.
        let joinable = self.classes.iter().filter(|((namespace, labels), _)| {
            !affinity.is_empty()
                && affinity
                    .iter()
                    .all(|term| self.selects(term, own, namespace, labels))
        });
        for node in joinable.flat_map(|(_, nodes)| nodes.keys()) {
            for (key, found) in &mut rules.together {
                found.extend(domain(node, key));
            }
        }
        // The first Pod of a group that wants to be together has nobody to join.
        rules.first = rules.together.iter().all(|(_, found)| found.is_empty())
            && affinity
                .iter()
                .all(|term| self.selects(term, own, own, labels));
        for term in anti_terms(pod) {
            let key = term.topology_key.as_str();
            let domains = self
                .classes
                .iter()
                .filter(|((namespace, labels), _)| self.selects(term, own, namespace, labels))
                .flat_map(|(_, nodes)| nodes.keys())
                .filter_map(|node| domain(node, key))
                .collect();
            rules.apart.push((key, domains));
        }
        for guard in self.guards.values() {
            if self.selects(&guard.term, &guard.namespace, own, labels) {
                let key = &guard.term.topology_key;
                rules
                    .forbidden
                    .entry(key.clone())
                    .or_default()
                    .extend(guard.nodes.keys().filter_map(|node| domain(node, key)));
            }
        }
        rules
    }

    /// Whether a term of a Pod in namespace `own` speaks of a Pod in `namespace` with `labels`.
    fn selects(&self, term: &PodAffinityTerm, own: &str, namespace: &str, labels: &Labels) -> bool {
        #[cfg(test)]
        self.compared.set(self.compared.get() + 1);
        // Without a selector no Pod is meant; an empty one means all.
        let Some(selector) = &term.label_selector else {
            return false;
        };
        let named = term.namespaces.as_deref().unwrap_or_default();
        let here = match &term.namespace_selector {
            None if named.is_empty() => namespace == own,
            None => named.iter().any(|n| n == namespace),
            Some(chosen) => {
                named.iter().any(|n| n == namespace)
                    || is_empty(chosen)
                    || self
                        .namespaces
                        .get(namespace)
                        .is_some_and(|labels| matches(chosen, labels))
            }
        };
        here && matches(selector, labels)
    }
}

/// What the placed Pods mean for one that waits.
#[derive(Debug, Default)]
pub(super) struct Rules<'a> {
    together: Vec<(&'a str, HashSet<String>)>,
    /// The Pod may start a group, anywhere the topology keys exist.
    first: bool,
    apart: Vec<(&'a str, HashSet<String>)>,
    /// Domains that placed Pods keep this one out of, by topology key.
    forbidden: HashMap<String, HashSet<String>>,
}

impl Rules<'_> {
    /// Why a node with these labels is refused.
    pub(super) fn refuse(&self, node: &Labels) -> Option<&'static str> {
        let within =
            |key: &str, found: &HashSet<String>| node.get(key).is_some_and(|v| found.contains(v));
        let joined = self.together.iter().all(|(key, found)| {
            if self.first {
                node.contains_key(*key)
            } else {
                within(key, found)
            }
        });
        if !joined {
            Some(AFFINITY)
        } else if self.apart.iter().any(|(key, found)| within(key, found)) {
            Some(ANTI_AFFINITY)
        } else if self.forbidden.iter().any(|(key, found)| within(key, found)) {
            Some(EXISTING)
        } else {
            None
        }
    }
}

fn guard_key(namespace: &str, term: &PodAffinityTerm) -> (String, String) {
    let term = serde_json::to_string(term).unwrap_or_default();
    (namespace.to_owned(), term)
}

fn affinity_terms(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref());
    affinity
        .and_then(|a| a.pod_affinity.as_ref())
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
}

fn anti_terms(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref());
    affinity
        .and_then(|a| a.pod_anti_affinity.as_ref())
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
}

fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.iter().flatten().next().is_none()
        && selector.match_expressions.iter().flatten().next().is_none()
}

fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut pairs = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    pairs.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|e| {
            let values = e.values.as_deref().unwrap_or_default();
            let have = labels.get(&e.key);
            match e.operator.as_str() {
                "In" => have.is_some_and(|v| values.contains(v)),
                "NotIn" => have.is_none_or(|v| !values.contains(v)),
                "Exists" => have.is_some(),
                "DoesNotExist" => have.is_none(),
                _ => false,
            }
        })
}

/// Whether a Pod waits for others to be placed first.
pub(super) fn joins_others(pod: &Pod) -> bool {
    !affinity_terms(pod).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(namespace: &str, labels: &Value, affinity: &Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"namespace": namespace, "labels": labels},
            "spec": {"containers": [], "affinity": affinity}}),
        )
        .unwrap()
    }

    fn required(kind: &str, term: &Value) -> Value {
        json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    }

    /// Why a node of rack `a`, one of rack `b`, and one of no rack are refused.
    fn verdicts(peers: &mut Peers, pod: &Pod) -> [Option<&'static str>; 3] {
        let rules = peers.rules(pod, |node, key| {
            (key == "rack" && node != "bare").then(|| node.to_owned())
        });
        let rack = |value: &str| Labels::from([("rack".to_owned(), value.to_owned())]);
        [rack("a"), rack("b"), Labels::new()].map(|labels| rules.refuse(&labels))
    }

    #[test]
    fn terms_speak_of_placed_pods() {
        let db = json!({"matchLabels": {"app": "db"}});
        let other = json!({"matchExpressions": [{"key": "app", "operator": "Exists"},
            {"key": "app", "operator": "NotIn", "values": ["web"]}]});
        let term = |extra: &Value, selector: &Value| {
            let mut term = json!({"topologyKey": "rack", "labelSelector": selector});
            term.as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            term
        };
        let (yes, no, anti) = (None, Some(AFFINITY), Some(ANTI_AFFINITY));
        // A Pod app=db of namespace `one` is in rack `a`; the new one is app=web of `two`.
        let cases = [
            ("podAffinity", term(&json!({}), &db), [no, no, no]),
            (
                "podAffinity",
                term(&json!({"namespaces": ["one"]}), &db),
                [yes, no, no],
            ),
            (
                "podAffinity",
                term(&json!({"namespaceSelector": {}}), &db),
                [yes, no, no],
            ),
            (
                "podAffinity",
                term(
                    &json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}),
                    &db,
                ),
                [yes, no, no],
            ),
            (
                "podAffinity",
                term(
                    &json!({"namespaceSelector": {"matchLabels": {"team": "y"}}}),
                    &db,
                ),
                [no, no, no],
            ),
            ("podAntiAffinity", term(&json!({}), &db), [yes, yes, yes]),
            (
                "podAntiAffinity",
                term(&json!({"namespaceSelector": {}}), &db),
                [anti, yes, yes],
            ),
            (
                "podAntiAffinity",
                term(&json!({"namespaceSelector": {}}), &other),
                [anti, yes, yes],
            ),
            // Nobody to join, but the Pod is of the group it looks for.
            (
                "podAffinity",
                term(&json!({}), &json!({"matchLabels": {"app": "web"}})),
                [yes, yes, no],
            ),
        ];
        for (kind, term, expected) in cases {
            let mut peers = Peers::default();
            let team = Labels::from([("team".to_owned(), "x".to_owned())]);
            peers.set_namespace("one".to_owned(), team);
            assert!(peers.insert("u", &pod("one", &json!({"app": "db"}), &json!({})), "a"));
            let new = pod("two", &json!({"app": "web"}), &required(kind, &term));
            assert_eq!(verdicts(&mut peers, &new), expected, "{kind} {term}");
        }
    }

    #[test]
    fn placed_pods_keep_others_out() {
        let term = json!({"topologyKey": "rack", "labelSelector": {"matchLabels": {"app": "web"}}});
        let guard = pod("one", &json!({}), &required("podAntiAffinity", &term));
        let mut peers = Peers::default();
        peers.insert("g", &guard, "a");
        let web = |namespace| pod(namespace, &json!({"app": "web"}), &json!({}));
        assert_eq!(
            verdicts(&mut peers, &web("one")),
            [Some(EXISTING), None, None]
        );
        assert_eq!(verdicts(&mut peers, &web("two")), [None; 3]);
        peers.remove("g");
        assert_eq!(verdicts(&mut peers, &web("one")), [None; 3]);
    }
}
