//! What is known of Pods that have names, and of the slices that publish them.
//!
//! As in the index of JobSets, a slice never goes back: a state older than the one known is ignored,
//! and so is an own write that the watch has passed already. Pods are never written here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use jobset_core::short_names::{NameSlice, NamedPod};

use super::Snapshot;
use super::watched::{WatchedPod, WatchedSlice};
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
    /// JobSet → Pod → what is known of it.
    pods: HashMap<Key, BTreeMap<Arc<str>, Arc<NamedPod>>>,
    /// Pod → JobSet, to find the Pod when its label changes.
    jobsets: HashMap<Key, Key>,
    slices: HashMap<Key, Known>,
    /// JobSet → its slices.
    of_jobset: HashMap<Key, BTreeSet<Key>>,
    /// Service → slices for it.
    of_service: HashMap<Key, BTreeSet<Key>>,
    slices_passed: Revision,
}

struct Known {
    slice: Arc<NameSlice>,
    jobset: Key,
    service: Key,
    revision: Revision,
}

impl Cache {
    /// What is known about the names of a JobSet whose Service this is.
    pub(super) fn snapshot(&self, jobset: &Key, service: &str) -> Snapshot {
        let state = lock(&self.state);
        let known = |names: Option<&BTreeSet<Key>>| -> Vec<&Known> {
            let names = names.into_iter().flatten();
            names.filter_map(|name| state.slices.get(name)).collect()
        };
        let service = Key::new(&jobset.namespace, service);
        let pods = state.pods.get(jobset).into_iter();
        Snapshot {
            pods: pods.flat_map(BTreeMap::values).cloned().collect(),
            slices: known(state.of_jobset.get(jobset))
                .into_iter()
                .map(|known| known.slice.clone())
                .collect(),
            others: known(state.of_service.get(&service))
                .into_iter()
                .filter(|known| known.jobset != *jobset)
                .map(|known| known.slice.clone())
                .collect(),
        }
    }

    /// Takes in the answer to a write.
    pub(super) fn wrote(&self, slice: WatchedSlice) {
        let mut state = lock(&self.state);
        // The watch may have reported its end since.
        if !state.slices_passed.covers(slice.revision()) {
            state.apply_slice(slice);
        }
    }

    /// Takes in a slice that was read because the cache did not know it. The watch may have passed
    /// it: one that has lost the label is gone for the watch.
    pub(super) fn found(&self, slice: WatchedSlice) {
        lock(&self.state).apply_slice(slice);
    }

    /// The server accepted the deletion of this incarnation of a slice, or says that there is none.
    pub(super) fn gone(&self, namespace: &str, name: &str, uid: &str) {
        let mut state = lock(&self.state);
        let key = Key::new(namespace, name);
        if state
            .slices
            .get(&key)
            .is_some_and(|known| known.slice.uid == uid)
        {
            state.remove_slice(&key);
        }
    }
}

impl State {
    /// Wakes a JobSet only if something changes that its names depend on: the status of a Pod changes
    /// more often than that.
    fn apply_pod(&mut self, object: &WatchedPod) -> Concerned {
        let key = Key::new(object.namespace(), object.name());
        let Some(pod) = &object.pod else {
            return self.remove_pod(&key).into_iter().collect();
        };
        let jobset = Key::new(object.namespace(), &pod.place.jobset);
        let mut concerned = Concerned::new();
        if self.jobsets.get(&key) != Some(&jobset) {
            concerned.extend(self.remove_pod(&key));
        }
        let pods = self.pods.entry(jobset.clone()).or_default();
        let before = pods.insert(key.name.clone(), pod.clone());
        self.jobsets.insert(key, jobset.clone());
        if before.is_none_or(|before| before != *pod) {
            concerned.insert(jobset);
        }
        concerned
    }

    fn remove_pod(&mut self, key: &Key) -> Option<Key> {
        let jobset = self.jobsets.remove(key)?;
        if let Some(pods) = self.pods.get_mut(&jobset) {
            pods.remove(&key.name);
            if pods.is_empty() {
                self.pods.remove(&jobset);
            }
        }
        Some(jobset)
    }

    fn apply_slice(&mut self, object: WatchedSlice) -> Concerned {
        let key = Key::new(object.namespace(), object.name());
        let revision = object.revision();
        if let Some(known) = self.slices.get(&key)
            && (revision.is_older_than(known.revision) || revision.is_same_as(known.revision))
        {
            return Concerned::new();
        }
        let mut concerned = self.remove_slice(&key);
        let known = Known {
            jobset: Key::new(&key.namespace, &object.jobset),
            service: Key::new(&key.namespace, object.slice.service()),
            slice: object.slice,
            revision,
        };
        concerned.extend(self.touched_by(&known));
        let entry = self.of_jobset.entry(known.jobset.clone());
        entry.or_default().insert(key.clone());
        let entry = self.of_service.entry(known.service.clone());
        entry.or_default().insert(key.clone());
        self.slices.insert(key, known);
        concerned
    }

    fn remove_slice(&mut self, key: &Key) -> Concerned {
        let Some(known) = self.slices.remove(key) else {
            return Concerned::new();
        };
        for (map, name) in [
            (&mut self.of_jobset, &known.jobset),
            (&mut self.of_service, &known.service),
        ] {
            if let Some(slices) = map.get_mut(name) {
                slices.remove(key);
                if slices.is_empty() {
                    map.remove(name);
                }
            }
        }
        self.touched_by(&known)
    }

    /// The JobSet of a slice, and those that share its Service.
    fn touched_by(&self, changed: &Known) -> Concerned {
        let neighbours = self.of_service.get(&changed.service).into_iter().flatten();
        neighbours
            .filter_map(|slice| Some(&self.slices.get(slice)?.jobset))
            .chain([&changed.jobset])
            .cloned()
            .collect()
    }
}

impl index::Cache<WatchedPod> for Cache {
    fn apply(&self, object: WatchedPod) -> Concerned {
        lock(&self.state).apply_pod(&object)
    }

    fn delete(&self, object: WatchedPod) -> Concerned {
        let key = Key::new(object.namespace(), object.name());
        lock(&self.state).remove_pod(&key).into_iter().collect()
    }

    fn replace(&self, objects: Vec<WatchedPod>) -> Concerned {
        let mut state = lock(&self.state);
        let key = |pod: &WatchedPod| Key::new(pod.namespace(), pod.name());
        let present: HashSet<Key> = objects.iter().map(key).collect();
        let gone: Vec<Key> = state
            .jobsets
            .keys()
            .filter(|pod| !present.contains(*pod))
            .cloned()
            .collect();
        let mut concerned: Concerned = gone
            .iter()
            .filter_map(|pod| state.remove_pod(pod))
            .collect();
        for object in objects {
            concerned.extend(state.apply_pod(&object));
        }
        concerned
    }
}

impl index::Cache<WatchedSlice> for Cache {
    fn apply(&self, object: WatchedSlice) -> Concerned {
        let mut state = lock(&self.state);
        state.slices_passed = state.slices_passed.max(object.revision());
        state.apply_slice(object)
    }

    fn delete(&self, object: WatchedSlice) -> Concerned {
        let mut state = lock(&self.state);
        state.slices_passed = state.slices_passed.max(object.revision());
        let key = Key::new(object.namespace(), object.name());
        match state.slices.get(&key) {
            Some(known) if known.slice.uid == object.uid() => state.remove_slice(&key),
            _ => Concerned::new(),
        }
    }

    fn replace(&self, objects: Vec<WatchedSlice>) -> Concerned {
        let mut state = lock(&self.state);
        let key = |slice: &WatchedSlice| Key::new(slice.namespace(), slice.name());
        let present: HashSet<Key> = objects.iter().map(key).collect();
        let gone: Vec<Key> = state
            .slices
            .keys()
            .filter(|slice| !present.contains(*slice))
            .cloned()
            .collect();
        let mut concerned = Concerned::new();
        for key in gone {
            concerned.extend(state.remove_slice(&key));
        }
        for object in objects {
            state.slices_passed = state.slices_passed.max(object.revision());
            concerned.extend(state.apply_slice(object));
        }
        concerned
    }
}

#[cfg(test)]
mod tests;
