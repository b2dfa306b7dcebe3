//! What is known of Pods with exclusive placement, and of nodes.
//!
//! As in the index of JobSets, an object never goes back: a state older than the one known is
//! ignored, and so is an own write that the watch has passed already.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use jobset_core::placement::{self, NodeTopology, PlacedPod, Repair};

use super::watched::{WatchedNode, WatchedPod};
use crate::index::{self, Concerned, Key};
use crate::lock::lock;
use crate::watched::{Identity as _, Revision};

/// The cache. See the module documentation.
#[derive(Default)]
pub(super) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In order, so that Pods of one prefix are neighbours.
    pods: BTreeMap<Key, Known>,
    /// Job, as namespace and owner uid → its Pods.
    jobs: HashMap<Key, BTreeSet<Key>>,
    /// Node → leaders on it.
    leaders: HashMap<String, HashSet<Key>>,
    nodes: HashMap<String, BTreeMap<String, String>>,
    pods_passed: Revision,
}

struct Known {
    pod: Arc<PlacedPod>,
    revision: Revision,
}

impl Cache {
    pub(super) fn pods_named(&self, namespace: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        let state = lock(&self.state);
        let first = Key::new(namespace, &format!("{prefix}-"));
        state
            .pods
            .range(&first..)
            .take_while(|(key, _)| {
                *key.namespace == *namespace && key.name.starts_with(&*first.name)
            })
            .filter(|(_, known)| known.pod.prefix() == prefix)
            .map(|(_, known)| known.pod.clone())
            .collect()
    }

    pub(super) fn topology(&self, node: &str, key: &str) -> NodeTopology {
        lock(&self.state).topology(node, key)
    }

    /// Every Job.
    pub(super) fn jobs(&self) -> Vec<Key> {
        lock(&self.state).jobs.keys().cloned().collect()
    }

    /// What is to be done about the Pods of a Job.
    pub(super) fn judge(&self, job: &Key) -> Repair {
        let state = lock(&self.state);
        let Some(members) = state.jobs.get(job) else {
            return Repair::Nothing;
        };
        let pods: Vec<_> = state.pods_of(members).cloned().collect();
        let topology = |node: &str, key: &str| state.topology(node, key);
        // Followers of one Job are bound to the same domain, with rare exceptions.
        let known = RefCell::new(HashMap::new());
        placement::repair(&pods, topology, |follower| {
            let what = (follower.topology_key.clone(), follower.domain.clone());
            *known.borrow_mut().entry(what).or_insert_with(|| {
                let others = state.jobs.iter().filter(|(other, _)| *other != job);
                others.map(|(_, members)| members).any(|members| {
                    let pods = state.pods_of(members).map(|pod| &**pod);
                    placement::holds(pods, follower, topology)
                })
            })
        })
    }

    /// Takes in the answer to a write of a Pod's status.
    pub(super) fn wrote(&self, written: &WatchedPod) {
        let mut state = lock(&self.state);
        let known = state.pods.get(&key_of(written));
        if known.is_some_and(|known| known.pod.uid == written.uid())
            && !state.pods_passed.covers(written.revision())
        {
            state.apply(written);
        }
    }

    /// The server accepted the deletion of a Pod, or says that it does not exist.
    pub(super) fn deleting(&self, pod: &PlacedPod) {
        let key = Key::new(&pod.namespace, &pod.name);
        if let Some(known) = lock(&self.state).pods.get_mut(&key)
            && known.pod.uid == pod.uid
        {
            Arc::make_mut(&mut known.pod).terminating = true;
        }
    }
}

impl State {
    fn topology(&self, node: &str, key: &str) -> NodeTopology {
        match self.nodes.get(node) {
            None => NodeTopology::NoNode,
            Some(labels) => labels.get(key).map_or(NodeTopology::NoLabel, |domain| {
                NodeTopology::Domain(domain.clone())
            }),
        }
    }

    fn pods_of<'a>(
        &'a self,
        members: &'a BTreeSet<Key>,
    ) -> impl Iterator<Item = &'a Arc<PlacedPod>> + Clone {
        members
            .iter()
            .filter_map(|key| self.pods.get(key).map(|known| &known.pod))
    }

    fn apply(&mut self, object: &WatchedPod) -> Concerned {
        let key = key_of(object);
        if let Some(known) = self.pods.get(&key) {
            let (known, new) = (known.revision, object.revision());
            if new.is_older_than(known) || new.is_same_as(known) {
                return Concerned::new();
            }
        }
        let mut concerned = self.take_out(&key);
        let pod = &object.pod;
        if !pod.is_exclusive() {
            return concerned;
        }
        if let Some(job) = job_of(pod) {
            self.jobs
                .entry(job.clone())
                .or_default()
                .insert(key.clone());
            concerned.insert(job);
        }
        if let (true, Some(node)) = (pod.leader, &pod.node) {
            self.leaders
                .entry(node.clone())
                .or_default()
                .insert(key.clone());
        }
        let known = Known {
            pod: pod.clone(),
            revision: object.revision(),
        };
        self.pods.insert(key, known);
        concerned
    }

    /// Forgets a Pod. The Job that it belonged to.
    fn take_out(&mut self, key: &Key) -> Concerned {
        let Some(Known { pod, .. }) = self.pods.remove(key) else {
            return Concerned::new();
        };
        if let Some(node) = &pod.node
            && let Some(leaders) = self.leaders.get_mut(node)
        {
            leaders.remove(key);
            if leaders.is_empty() {
                self.leaders.remove(node);
            }
        }
        let job = job_of(&pod);
        if let Some(job) = &job
            && let Some(members) = self.jobs.get_mut(job)
        {
            members.remove(key);
            if members.is_empty() {
                self.jobs.remove(job);
            }
        }
        job.into_iter().collect()
    }

    /// The Jobs whose leader is on a node.
    fn jobs_led_from(&self, node: &str) -> Concerned {
        let leaders = self.leaders.get(node).into_iter().flatten();
        leaders
            .filter_map(|key| job_of(&self.pods.get(key)?.pod))
            .collect()
    }
}

fn key_of(pod: &WatchedPod) -> Key {
    Key::new(pod.namespace(), pod.name())
}

fn job_of(pod: &PlacedPod) -> Option<Key> {
    let owner = pod.owner_uid.as_deref()?;
    Some(Key::new(&pod.namespace, owner))
}

impl index::Cache<WatchedPod> for Cache {
    fn apply(&self, object: WatchedPod) -> Concerned {
        let mut state = lock(&self.state);
        state.pods_passed = state.pods_passed.max(object.revision());
        state.apply(&object)
    }

    fn delete(&self, object: WatchedPod) -> Concerned {
        let mut state = lock(&self.state);
        state.pods_passed = state.pods_passed.max(object.revision());
        let key = key_of(&object);
        match state.pods.get(&key) {
            Some(known) if known.pod.uid == object.uid() => state.take_out(&key),
            _ => Concerned::new(),
        }
    }

    fn replace(&self, objects: Vec<WatchedPod>) -> Concerned {
        let mut state = lock(&self.state);
        let present: HashSet<Key> = objects.iter().map(key_of).collect();
        let gone: Vec<Key> = state
            .pods
            .keys()
            .filter(|key| !present.contains(*key))
            .cloned()
            .collect();
        let mut concerned = Concerned::new();
        for key in gone {
            concerned.extend(state.take_out(&key));
        }
        for object in &objects {
            state.pods_passed = state.pods_passed.max(object.revision());
            concerned.extend(state.apply(object));
        }
        concerned
    }
}

impl index::Cache<WatchedNode> for Cache {
    fn apply(&self, object: WatchedNode) -> Concerned {
        let mut state = lock(&self.state);
        // Nodes report their health often, and get other labels hardly ever.
        if state.nodes.get(object.name()) == Some(object.labels()) {
            return Concerned::new();
        }
        state
            .nodes
            .insert(object.name().to_owned(), object.labels().clone());
        state.jobs_led_from(object.name())
    }

    fn delete(&self, object: WatchedNode) -> Concerned {
        let mut state = lock(&self.state);
        state.nodes.remove(object.name());
        state.jobs_led_from(object.name())
    }

    fn replace(&self, objects: Vec<WatchedNode>) -> Concerned {
        let mut state = lock(&self.state);
        let before = std::mem::take(&mut state.nodes);
        for object in objects {
            let labels = object.labels().clone();
            state.nodes.insert(object.name().to_owned(), labels);
        }
        let changed = before
            .keys()
            .chain(state.nodes.keys())
            .filter(|name| before.get(*name) != state.nodes.get(*name));
        changed.flat_map(|name| state.jobs_led_from(name)).collect()
    }
}

#[cfg(test)]
pub(in crate::placement) mod tests;
