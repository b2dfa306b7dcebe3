//! Pods by JobSet, known only where some JobSet needs them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jobset_core::{ChildPod, wants_pods};

use super::{Cache, Concerned, Index, Key};
use crate::lock::lock;
use crate::watched::{Identity as _, WatchedPod};

/// Pods by JobSet, as far as some JobSet needs them.
#[derive(Default)]
pub(super) struct Pods {
    /// The first list is complete.
    pub(super) complete: bool,
    /// JobSet → Pod name → Pod. Sorted, so that snapshots are.
    pub(super) by_jobset: HashMap<Key, BTreeMap<String, Arc<ChildPod>>>,
    /// Pod → JobSet, to find the Pod when its label changes.
    jobsets: HashMap<Key, Key>,
}

impl Pods {
    /// Wakes the JobSet only if something changes that plans depend on: the status of a Pod changes
    /// more often than that.
    fn insert(&mut self, object: &WatchedPod) -> Concerned {
        let key = Key::of(object);
        let jobset = object
            .jobset
            .as_deref()
            .map(|name| Key::new(object.namespace(), name));
        let mut concerned = Concerned::new();
        if self.jobsets.get(&key) != jobset.as_ref() {
            concerned.extend(self.remove(&key));
        }
        let Some(jobset) = jobset else {
            return concerned;
        };
        let pods = self.by_jobset.entry(jobset.clone()).or_default();
        let before = pods.insert(object.name().to_owned(), object.pod.clone());
        self.jobsets.insert(key, jobset.clone());
        if before.is_none_or(|before| before != object.pod) {
            concerned.insert(jobset);
        }
        concerned
    }

    fn remove(&mut self, pod: &Key) -> Option<Key> {
        let jobset = self.jobsets.remove(pod)?;
        if let Some(pods) = self.by_jobset.get_mut(&jobset) {
            pods.remove(&*pod.name);
            if pods.is_empty() {
                self.by_jobset.remove(&jobset);
            }
        }
        Some(jobset)
    }
}

/// Pods are never written here, so their watch alone says what they are like.
impl Cache<WatchedPod> for Index {
    fn apply(&self, object: WatchedPod) -> Concerned {
        lock(&self.state).pods.insert(&object)
    }

    fn delete(&self, object: WatchedPod) -> Concerned {
        let removed = lock(&self.state).pods.remove(&Key::of(&object));
        removed.into_iter().collect()
    }

    fn replace(&self, objects: Vec<WatchedPod>) -> Concerned {
        let mut state = lock(&self.state);
        let present: HashSet<Key> = objects.iter().map(Key::of).collect();
        let gone: Vec<Key> = state
            .pods
            .jobsets
            .keys()
            .filter(|key| !present.contains(*key))
            .cloned()
            .collect();
        let mut concerned = Concerned::new();
        for key in gone {
            concerned.extend(state.pods.remove(&key));
        }
        for object in &objects {
            concerned.extend(state.pods.insert(object));
        }
        if !std::mem::replace(&mut state.pods.complete, true) {
            // Those without any Pod have waited to know that, too.
            let waiting = state.jobsets.iter().filter(|(_, known)| {
                let jobset = known.jobset.as_ref();
                jobset.is_some_and(|jobset| wants_pods(jobset, &self.planning))
            });
            concerned.extend(waiting.map(|(key, _)| key.clone()));
        }
        concerned
    }
}
