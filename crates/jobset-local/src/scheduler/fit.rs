//! Which node takes a Pod: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration,
};

use super::affinity::Rules;
use crate::node::quantity::Quantity;

/// What a Pod asks of its node, by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand(BTreeMap<String, Quantity>);

impl Demand {
    /// The larger of what main containers and sidecars ask together, and what any init container
    /// asks beside the sidecars that were started before it.
    pub(super) fn of(pod: &Pod) -> Self {
        let mut running = Self::default();
        let mut peak = Self::default();
        let Some(spec) = &pod.spec else {
            return running;
        };
        for container in spec.init_containers.iter().flatten() {
            let mut present = running.clone();
            present.add(&requests(container));
            peak.raise(&present);
            if container.restart_policy.as_deref() == Some("Always") {
                running = present;
            }
        }
        for container in &spec.containers {
            running.add(&requests(container));
        }
        running.raise(&peak);
        running
    }

    fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = entry.plus(*amount);
        }
    }

    fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = (*entry).max(*amount);
        }
    }

    fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = entry.minus(*amount);
        }
    }
}

fn requests(container: &Container) -> Demand {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|r| r.limits.as_ref());
    let requests = resources.and_then(|r| r.requests.as_ref());
    // A resource that is only limited is requested to its limit.
    let all = limits
        .into_iter()
        .flatten()
        .chain(requests.into_iter().flatten());
    Demand(
        all.filter_map(|(k, v)| Some((k.clone(), Quantity::parse(&v.0)?)))
            .collect(),
    )
}

/// What the scheduler knows of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeView {
    name: String,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    unschedulable: bool,
    allocatable: BTreeMap<String, Quantity>,
    used: Demand,
    pods: usize,
}

impl NodeView {
    /// An empty node.
    pub(super) fn new(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|s| s.taints.clone()).unwrap_or_default(),
            unschedulable: spec.and_then(|s| s.unschedulable) == Some(true),
            allocatable: allocatable
                .into_iter()
                .flatten()
                .filter_map(|(k, v)| Some((k.clone(), Quantity::parse(&v.0)?)))
                .collect(),
            used: Demand::default(),
            pods: 0,
        }
    }

    pub(super) fn add(&mut self, demand: &Demand) {
        self.used.add(demand);
        self.pods += 1;
    }

    pub(super) fn remove(&mut self, demand: &Demand) {
        self.used.subtract(demand);
        self.pods = self.pods.saturating_sub(1);
    }

    /// Why the Pod cannot be here.
    fn refuses(
        &self,
        pod: &Pod,
        demand: &Demand,
        rules: &Rules<'_>,
        enforce: bool,
    ) -> Option<String> {
        let spec = pod.spec.as_ref()?;
        let tolerations = spec.tolerations.as_deref().unwrap_or_default();
        if self.unschedulable && !tolerates_cordon(tolerations) {
            return Some("node(s) were unschedulable".to_owned());
        }
        let selector = spec.node_selector.iter().flatten();
        let selected = selector
            .into_iter()
            .all(|(k, v)| self.labels.get(k) == Some(v));
        let affinity = spec
            .affinity
            .as_ref()
            .and_then(|a| a.node_affinity.as_ref());
        let terms = affinity
            .and_then(|a| {
                a.required_during_scheduling_ignored_during_execution
                    .as_ref()
            })
            .map(|s| s.node_selector_terms.as_slice());
        if !selected || terms.is_some_and(|terms| !terms.iter().any(|t| self.matches(t))) {
            return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
        }
        let hard = self
            .taints
            .iter()
            .filter(|t| t.effect != "PreferNoSchedule");
        if let Some(taint) = hard
            .into_iter()
            .find(|t| !tolerations.iter().any(|o| tolerates(o, t)))
        {
            let value = taint.value.as_deref().unwrap_or_default();
            return Some(format!(
                "node(s) had untolerated taint {{{}: {value}}}",
                taint.key
            ));
        }
        if enforce {
            for (name, amount) in &demand.0 {
                let free = self.allocatable.get(name).copied().unwrap_or_default();
                let used = self.used.0.get(name).copied().unwrap_or_default();
                if used.plus(*amount) > free {
                    return Some(format!("Insufficient {name}"));
                }
            }
        }
        rules.refuse(&self.labels).map(str::to_owned)
    }

    /// The node's value of a topology key.
    pub(super) fn domain(&self, key: &str) -> Option<String> {
        self.labels.get(key).cloned()
    }

    fn matches(&self, term: &NodeSelectorTerm) -> bool {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        // A term without any requirement selects nothing.
        !(expressions.is_empty() && fields.is_empty())
            && expressions
                .iter()
                .all(|e| holds(e, self.labels.get(&e.key)))
            && fields
                .iter()
                .all(|e| e.key == "metadata.name" && holds(e, Some(&self.name)))
    }
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().ok();
    let compare = |ordering| {
        let (Some(have), Some(want)) = (value.and_then(number), values.first().and_then(number))
        else {
            return false;
        };
        have.cmp(&want) == ordering
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}

fn tolerates_cordon(tolerations: &[Toleration]) -> bool {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    tolerations.iter().any(|t| tolerates(t, &cordon))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
        }
        _ => false,
    }
}

/// The node with the fewest Pods among those that take this one.
///
/// # Errors
///
/// Why no node does, counted as the Kubernetes scheduler words it.
pub(super) fn choose(
    pod: &Pod,
    demand: &Demand,
    nodes: &BTreeMap<String, NodeView>,
    rules: &Rules<'_>,
    enforce_resources: bool,
) -> Result<String, String> {
    let mut best: Option<&NodeView> = None;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes.values() {
        match node.refuses(pod, demand, rules, enforce_resources) {
            Some(reason) => *reasons.entry(reason).or_default() += 1,
            None if best.is_none_or(|b| rank(node) < rank(b)) => best = Some(node),
            None => {}
        }
    }
    best.map(|node| node.name.clone()).ok_or_else(|| {
        if nodes.is_empty() {
            return "no nodes available to schedule pods".to_owned();
        }
        let reasons: Vec<String> = reasons
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        format!(
            "0/{} nodes are available: {}.",
            nodes.len(),
            reasons.join(", ")
        )
    })
}

/// Fewest Pods first; then by number, for which a shorter name is a smaller one.
fn rank(node: &NodeView) -> (usize, usize, &str) {
    (node.pods, node.name.len(), &node.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nodes() -> BTreeMap<String, NodeView> {
        (0..4)
            .map(|i| {
                let node: Node = serde_json::from_value(json!({
                    "metadata": {"name": format!("node-{i}"),
                        "labels": {"rack": format!("rack-{}", i / 2), "size": format!("{i}")}},
                    "spec": {"unschedulable": i == 3,
                        "taints": if i == 2 { json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]) } else { json!([]) }},
                    "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}
                }))
                .unwrap();
                (format!("node-{i}"), NodeView::new(&node))
            })
            .collect()
    }

    fn pod(spec: serde_json::Value) -> Pod {
        let mut full = json!({"containers": []});
        full.as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": full})).unwrap()
    }

    fn chosen(spec: serde_json::Value, enforce: bool) -> Result<String, String> {
        let pod = pod(spec);
        choose(
            &pod,
            &Demand::of(&pod),
            &nodes(),
            &Rules::default(),
            enforce,
        )
    }

    fn affinity(term: serde_json::Value) -> serde_json::Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [term]}}}})
    }

    #[test]
    fn rules_are_honoured() {
        let gpu = json!([{"key": "gpu", "operator": "Exists"}]);
        let cases = [
            (json!({}), Ok("node-0")),
            (json!({"nodeSelector": {"size": "1"}}), Ok("node-1")),
            (
                json!({"nodeSelector": {"size": "2"}, "tolerations": gpu}),
                Ok("node-2"),
            ),
            (
                json!({"nodeSelector": {"size": "3"}, "tolerations": [{"operator": "Exists"}]}),
                Ok("node-3"),
            ),
            (
                json!({"nodeSelector": {"rack": "rack-9"}}),
                Err(
                    "0/4 nodes are available: 3 node(s) didn't match Pod's node \
                     affinity/selector, 1 node(s) were unschedulable.",
                ),
            ),
            (
                affinity(
                    json!({"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["0"]}]}),
                ),
                Ok("node-1"),
            ),
            (
                affinity(
                    json!({"matchExpressions": [{"key": "size", "operator": "NotIn", "values": ["0"]}]}),
                ),
                Ok("node-1"),
            ),
            (
                affinity(
                    json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}),
                ),
                Ok("node-1"),
            ),
        ];
        for (spec, expected) in cases {
            let got = chosen(spec.clone(), false);
            assert_eq!(
                got.as_deref(),
                expected.map_err(str::to_owned).as_ref().map(|s| *s),
                "{spec}"
            );
        }
        assert!(chosen(affinity(json!({})), false).is_err());
    }

    #[test]
    fn requests_count_only_when_enforced() {
        let spec = json!({"containers": [{"name": "c", "resources":
            {"requests": {"cpu": "3"}, "limits": {"nvidia.com/gpu": "8"}}}]});
        assert_eq!(chosen(spec.clone(), false).as_deref(), Ok("node-0"));
        assert!(
            chosen(spec, true)
                .unwrap_err()
                .contains("Insufficient nvidia.com/gpu")
        );
        let pod =
            pod(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}));
        let demand = Demand::of(&pod);
        let mut nodes = nodes();
        for expected in ["node-0", "node-1"] {
            let node = choose(&pod, &demand, &nodes, &Rules::default(), true).unwrap();
            assert_eq!(node, expected);
            nodes.get_mut(&node).unwrap().add(&demand);
        }
        assert!(
            choose(&pod, &demand, &nodes, &Rules::default(), true)
                .unwrap_err()
                .contains("2 Insufficient cpu")
        );
        nodes.get_mut("node-1").unwrap().remove(&demand);
        assert_eq!(
            choose(&pod, &demand, &nodes, &Rules::default(), true).as_deref(),
            Ok("node-1")
        );
    }

    #[test]
    fn demand_is_the_peak_over_the_life_of_a_pod() {
        let container = |name: &str, cpu: &str, policy: serde_json::Value| json!({"name": name, "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        let none = serde_json::Value::Null;
        let pod = pod(json!({
            "initContainers": [container("i", "3", none.clone()), container("s", "1", json!("Always")),
                               container("j", "5", none.clone())],
            "containers": [container("a", "2", none.clone()), container("b", "1", none)]}));
        assert_eq!(Demand::of(&pod).0["cpu"], Quantity::units(6));
    }
}
