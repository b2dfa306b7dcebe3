//! Gives Pods their node.
//!
//! By default the cluster is one node, this machine. Asked for more, it simulates them: all are
//! this machine, but their labels differ, so that rules about placement can be tried out.
//!
//! # What is honoured
//!
//! `nodeName`, `nodeSelector`, required node affinity, required affinity and anti-affinity between
//! Pods, taints and tolerations, cordoned nodes and scheduling gates. Preferences are not weighed.
//! Of the Pods that wait, those of higher priority are looked at first, then the older ones. Among
//! the nodes that fit, the one with the fewest Pods is taken, the first of them in the order of
//! their numbers.
//!
//! Resource requests do **not** keep a Pod from being placed unless
//! [`SchedulerOptions::enforce_resources`] is set: manifests are written for machines larger than
//! the one they are tried out on, and a request for eight GPUs would leave every Pod pending on a
//! laptop. The node reports the machine's processors and memory all the same.

mod affinity;
mod fit;
mod nodes;
#[cfg(test)]
mod placement_tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, Namespace, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shell::clock::Clock;
use crate::shell::events::{EventType, Recorder};
use crate::shell::pump::pump;
use fit::NodeView;

pub use nodes::{Machine, NodeTaint, ensure_nodes, is_quantity, keep_alive};

/// Bindings in flight.
const BINDINGS: usize = 32;
/// A failed binding is tried again after this time.
const RETRY: Duration = Duration::from_millis(200);

/// The nodes of the cluster and how Pods are placed on them.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// How many nodes there are; at least one.
    pub nodes: usize,
    /// Label keys and into how many domains each divides the nodes. Node `i` of `n` is in domain
    /// `i * domains / n`, that is consecutive nodes share a domain, as machines of a rack do; the
    /// label's value is the last part of the key and the domain's number, `rack-0`.
    pub topology: Vec<(String, usize)>,
    /// More labels, of every node.
    pub labels: Vec<(String, String)>,
    /// Taints of every node.
    pub taints: Vec<NodeTaint>,
    /// Names and quantities of what every node has. Processors and memory that are not named are
    /// this machine's.
    pub resources: Vec<(String, String)>,
    /// Whether requests for processors, memory and other resources must fit the node.
    pub enforce_resources: bool,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            nodes: 1,
            topology: Vec::new(),
            labels: Vec::new(),
            taints: Vec::new(),
            resources: Vec::new(),
            enforce_resources: false,
        }
    }
}

/// A Pod that waits for a node.
struct Pending {
    pod: Arc<Pod>,
    /// What was last said about why it waits.
    said: Option<String>,
    /// Not to be looked at again before something changes.
    parked: bool,
}

/// A Pod and its node.
type Placement = (Arc<Pod>, String);
/// A Pod and why it has no node.
type Complaint = (Arc<Pod>, String);

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, NodeView>,
    /// Where Pods that hold a place are, by uid.
    placed: HashMap<String, (String, fit::Demand)>,
    /// The same Pods as those that have rules about their neighbours see them.
    peers: affinity::Peers,
    /// By order of arrival.
    pending: BTreeMap<u64, Pending>,
    order_of: HashMap<String, u64>,
    /// Being bound right now.
    binding: HashSet<String>,
    next: u64,
    listed: HashSet<String>,
}

struct Scheduler {
    client: Client,
    recorder: Recorder,
    enforce_resources: bool,
    state: Mutex<State>,
    work: Notify,
}

/// Places Pods until `shutdown`. The nodes are those that exist; see [`ensure_nodes`].
pub async fn run(client: Client, options: SchedulerOptions, shutdown: CancellationToken) {
    let recorder = Recorder::start(
        client.clone(),
        "default-scheduler",
        Clock::system(),
        shutdown.clone(),
    );
    let scheduler = Arc::new(Scheduler {
        client: client.clone(),
        recorder,
        enforce_resources: options.enforce_resources,
        state: Mutex::default(),
        work: Notify::new(),
    });
    let nodes = pump(
        Api::<Node>::all(client.clone()),
        watcher::Config::default(),
        shutdown.clone(),
        |event| scheduler.on_node(event),
    );
    let namespaces = pump(
        Api::<Namespace>::all(client.clone()),
        watcher::Config::default(),
        shutdown.clone(),
        |event| scheduler.on_namespace(event),
    );
    let pods = pump(
        Api::<Pod>::all(client),
        watcher::Config::default(),
        shutdown.clone(),
        |event| scheduler.on_pod(event),
    );
    let place = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = Arc::clone(&scheduler).place_all() => {}
        }
    };
    tokio::join!(nodes, namespaces, pods, place);
}

impl Scheduler {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_node(&self, event: Event<Node>) {
        let mut state = self.state();
        match event {
            Event::Apply(node) | Event::InitApply(node) => {
                let name = node.name_any();
                let mut view = NodeView::new(&node);
                let here = state.placed.values().filter(|(node, _)| *node == name);
                here.for_each(|(_, demand)| view.add(demand));
                state.nodes.insert(name, view);
            }
            Event::Delete(node) => {
                state.nodes.remove(&node.name_any());
            }
            Event::Init | Event::InitDone => {}
        }
        state.unpark();
        drop(state);
        self.work.notify_one();
    }

    fn on_namespace(&self, event: Event<Namespace>) {
        let mut state = self.state();
        match event {
            Event::Apply(namespace) | Event::InitApply(namespace) => {
                let name = namespace.name_any();
                let labels = namespace.metadata.labels.unwrap_or_default();
                state.peers.set_namespace(name, labels);
            }
            Event::Delete(namespace) => state.peers.remove_namespace(&namespace.name_any()),
            Event::Init | Event::InitDone => {}
        }
        state.unpark();
        drop(state);
        self.work.notify_one();
    }

    fn on_pod(&self, event: Event<Pod>) {
        let mut state = self.state();
        match event {
            Event::Init => state.listed.clear(),
            Event::InitApply(pod) => {
                state.listed.extend(pod.metadata.uid.clone());
                state.take_in(pod);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut state.listed);
                let known = state.placed.keys().chain(state.order_of.keys());
                let gone: Vec<String> = known.filter(|u| !listed.contains(*u)).cloned().collect();
                for uid in gone {
                    state.forget(&uid);
                }
            }
            Event::Apply(pod) => state.take_in(pod),
            Event::Delete(pod) => state.forget(pod.metadata.uid.as_deref().unwrap_or_default()),
        }
        drop(state);
        self.work.notify_one();
    }

    async fn place_all(self: Arc<Self>) {
        let permits = Arc::new(Semaphore::new(BINDINGS));
        let mut tasks = JoinSet::new();
        loop {
            while tasks.try_join_next().is_some() {}
            let (bindings, complaints) = self.decide();
            let idle = bindings.is_empty() && complaints.is_empty();
            for (pod, node) in bindings {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                    return;
                };
                let scheduler = Arc::clone(&self);
                tasks.spawn(async move {
                    scheduler.bind(pod, node).await;
                    drop(permit);
                });
            }
            for (pod, message) in complaints {
                self.complain(&pod, &message).await;
            }
            if idle {
                self.work.notified().await;
            }
        }
    }

    /// Reserves places for the Pods that fit, and says of the others why they do not.
    fn decide(&self) -> (Vec<Placement>, Vec<Complaint>) {
        let mut guard = self.state();
        let state = &mut *guard;
        let (mut bindings, mut complaints) = (Vec::new(), Vec::new());
        let mut waiting: Vec<u64> = state
            .pending
            .iter()
            .filter(|(_, p)| !p.parked)
            .map(|(order, _)| *order)
            .collect();
        waiting.sort_by_cached_key(|order| {
            let pod = state.pending.get(order).map(|p| Arc::clone(&p.pod));
            let spec = pod.as_ref().and_then(|p| p.spec.as_ref());
            let priority = spec.and_then(|s| s.priority).unwrap_or_default();
            let meta = pod.as_ref().map(|p| &p.metadata);
            let created = meta.and_then(|m| m.creation_timestamp.as_ref().map(|t| t.0));
            let name = meta.and_then(|m| m.name.clone());
            (Reverse(priority), created, name, *order)
        });
        for order in waiting {
            let Some(pending) = state.pending.get_mut(&order) else {
                continue;
            };
            let demand = fit::Demand::of(&pending.pod);
            let nodes = &state.nodes;
            let rules = state.peers.rules(&pending.pod, |node, key| {
                nodes.get(node).and_then(|n| n.domain(key))
            });
            let enforce = self.enforce_resources;
            match fit::choose(&pending.pod, &demand, nodes, &rules, enforce) {
                Ok(node) => {
                    let pod = Arc::clone(&pending.pod);
                    let uid = pod.metadata.uid.clone().unwrap_or_default();
                    state.unqueue(&uid);
                    state.place(&uid, &pod, &node, demand);
                    state.binding.insert(uid);
                    bindings.push((pod, node));
                }
                Err(message) => {
                    pending.parked = true;
                    if pending.said.as_ref() != Some(&message) {
                        pending.said = Some(message.clone());
                        complaints.push((Arc::clone(&pending.pod), message));
                    }
                }
            }
        }
        (bindings, complaints)
    }

    async fn bind(&self, pod: Arc<Pod>, node: String) {
        let name = pod.name_any();
        let namespace = pod.namespace().unwrap_or_default();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                uid: Some(uid.clone()),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.clone()),
                ..ObjectReference::default()
            },
        };
        let bound: Result<serde_json::Value, _> = api
            .create_subresource("binding", &name, &PostParams::default(), &binding)
            .await;
        match bound {
            Ok(_) => {
                let message = format!("Successfully assigned {namespace}/{name} to {node}");
                self.recorder
                    .publish(pod.object_ref(&()), EventType::Normal, "Scheduled", message);
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                // Deleted or bound by somebody else: the watch tells which.
                self.state().forget(&uid);
            }
            Err(error) => {
                tracing::debug!(pod = name, %error, "Pod not bound; trying again");
                tokio::time::sleep(RETRY).await;
                let mut state = self.state();
                if state.binding.contains(&uid) {
                    state.forget(&uid);
                    let pod = Arc::unwrap_or_clone(pod);
                    state.take_in(pod);
                }
                drop(state);
                self.work.notify_one();
            }
        }
    }

    async fn complain(&self, pod: &Arc<Pod>, message: &str) {
        let reference = pod.object_ref(&());
        self.recorder.publish(
            reference,
            EventType::Warning,
            "FailedScheduling",
            message.to_owned(),
        );
        let namespace = pod.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let now = Clock::system().now().round(k8s_openapi::jiff::Unit::Second);
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": message, "lastTransitionTime": now.map(|t| t.to_string()).ok(),
        }]}});
        let params = PatchParams {
            field_manager: Some("kube-scheduler".to_owned()),
            ..PatchParams::default()
        };
        let patched = api
            .patch_status(&pod.name_any(), &params, &Patch::Strategic(&patch))
            .await;
        if let Err(error) = patched {
            tracing::debug!(pod = pod.name_any(), %error, "condition not written");
        }
    }
}

impl State {
    /// Takes in what a Pod is now.
    fn take_in(&mut self, mut pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let over = matches!(phase, Some("Succeeded" | "Failed"));
        let spec = pod.spec.as_ref();
        if over
            || (pod.metadata.deletion_timestamp.is_some()
                && spec.is_none_or(|s| s.node_name.is_none()))
        {
            self.forget(&uid);
            return;
        }
        if let Some(node) = spec.and_then(|s| s.node_name.clone()) {
            self.unqueue(&uid);
            self.binding.remove(&uid);
            if !self.placed.contains_key(&uid) {
                let demand = fit::Demand::of(&pod);
                self.place(&uid, &pod, &node, demand);
            } else if self.peers.insert(&uid, &pod, &node) {
                // Other labels: others may be held against it no longer, or only now.
                self.unpark();
            }
            return;
        }
        if spec
            .and_then(|s| s.scheduler_name.as_deref())
            .is_some_and(|n| n != "default-scheduler")
            || self.binding.contains(&uid)
        {
            return;
        }
        let gated = spec
            .and_then(|s| s.scheduling_gates.as_ref())
            .is_some_and(|g| !g.is_empty());
        // The API server has noted that on the Pod already, as the reason why it is not scheduled.
        if gated {
            self.unqueue(&uid);
            return;
        }
        pod.metadata.managed_fields = None;
        let pod = Arc::new(pod);
        match self.order_of.get(&uid).copied() {
            Some(order) => {
                if let Some(pending) = self.pending.get_mut(&order) {
                    let same = pending.pod.metadata.generation == pod.metadata.generation
                        && pending.pod.spec == pod.spec;
                    pending.parked &= same;
                    pending.pod = pod;
                }
            }
            None => {
                let order = self.next;
                self.next += 1;
                self.order_of.insert(uid, order);
                self.pending.insert(
                    order,
                    Pending {
                        pod,
                        said: None,
                        parked: false,
                    },
                );
            }
        }
    }

    fn place(&mut self, uid: &str, pod: &Pod, node: &str, demand: fit::Demand) {
        self.peers.insert(uid, pod, node);
        // One more Pod in a place helps only those that want to be near it.
        for pending in self.pending.values_mut() {
            pending.parked &= !affinity::joins_others(&pending.pod);
        }
        if let Some(view) = self.nodes.get_mut(node) {
            view.add(&demand);
        }
        self.placed
            .insert(uid.to_owned(), (node.to_owned(), demand));
    }

    fn unqueue(&mut self, uid: &str) {
        if let Some(order) = self.order_of.remove(uid) {
            self.pending.remove(&order);
        }
    }

    fn forget(&mut self, uid: &str) {
        self.unqueue(uid);
        self.binding.remove(uid);
        self.peers.remove(uid);
        if let Some((node, demand)) = self.placed.remove(uid) {
            if let Some(view) = self.nodes.get_mut(&node) {
                view.remove(&demand);
            }
            self.unpark();
        }
    }

    fn unpark(&mut self) {
        for pending in self.pending.values_mut() {
            pending.parked = false;
        }
    }
}
