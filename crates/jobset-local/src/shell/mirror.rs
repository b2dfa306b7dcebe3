//! An own copy of the objects of one kind that is never behind the owner's own writes.
//!
//! A controller that acts on a cache fed by a watch alone may create twice: the watch has not
//! yet told it of its own write. So the answer of each write is put into the mirror too, and:
//! * an older version never replaces a newer one, wherever either came from;
//! * a uid that was deleted never comes back (the answer of a write may arrive after the watch
//!   has already told of the deletion);
//! * a new list removes what it does not name, except what was written after it was asked for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use kube::Resource;
use kube::runtime::watcher::Event;

/// Deleted uids that are remembered.
const REMEMBERED: usize = 65_536;

/// A bounded set of uids that are known to be gone for good.
#[derive(Debug, Default)]
pub struct Tombstones {
    set: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

impl Tombstones {
    /// Remembers that `uid` is gone; the oldest is forgotten when there are too many.
    pub fn add(&mut self, uid: &str) {
        if self.set.contains(uid) {
            return;
        }
        let uid: Arc<str> = uid.into();
        self.set.insert(Arc::clone(&uid));
        self.order.push_back(uid);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    /// Whether `uid` is known to be gone.
    pub fn contains(&self, uid: &str) -> bool {
        self.set.contains(uid)
    }
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    version: Option<u64>,
    /// Written by ourselves since the last list was asked for.
    assumed: bool,
}

/// What an event has done to the mirror.
#[derive(Debug)]
pub enum Change<V> {
    /// The object is new or newer.
    Stored(Arc<V>),
    /// The object is gone.
    Removed(Arc<V>),
}

/// Objects by uid. See the module documentation.
#[derive(Debug)]
pub struct Mirror<V> {
    objects: HashMap<Arc<str>, Entry<V>>,
    gone: Tombstones,
    listed: HashSet<Arc<str>>,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            gone: Tombstones::default(),
            listed: HashSet::new(),
        }
    }
}

impl<V: Resource> Mirror<V> {
    /// The object with this uid.
    pub fn get(&self, uid: &str) -> Option<&Arc<V>> {
        self.objects.get(uid).map(|entry| &entry.value)
    }

    /// Every object, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<V>> {
        self.objects.values().map(|entry| &entry.value)
    }

    /// Whether an object with this uid existed and is gone for good.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    /// Takes in the answer of an own write.
    pub fn assume(&mut self, value: V) -> Option<Arc<V>> {
        self.store(value, true)
    }

    /// Takes in that an own write has removed the object with this uid.
    pub fn forget(&mut self, uid: &str) -> Option<Arc<V>> {
        self.gone.add(uid);
        self.objects.remove(uid).map(|entry| entry.value)
    }

    fn store(&mut self, value: V, assumed: bool) -> Option<Arc<V>> {
        let uid = value.meta().uid.as_deref()?;
        if self.gone.contains(uid) {
            return None;
        }
        let version = value
            .meta()
            .resource_version
            .as_deref()
            .and_then(|text| text.parse().ok());
        let uid: Arc<str> = uid.into();
        if let Some(old) = self.objects.get_mut(&uid) {
            // Versions that are not numbers cannot be compared: the watch is then believed.
            if let (Some(old_version), Some(new_version)) = (old.version, version)
                && new_version <= old_version
            {
                return None;
            }
            let value = Arc::new(value);
            *old = Entry {
                value: Arc::clone(&value),
                version,
                assumed: old.assumed || assumed,
            };
            return Some(value);
        }
        let value = Arc::new(value);
        self.objects.insert(
            uid,
            Entry {
                value: Arc::clone(&value),
                version,
                assumed,
            },
        );
        Some(value)
    }

    /// Takes in a watch event and says what changed. `InitDone` means that the mirror is complete.
    pub fn observe(&mut self, event: Event<V>) -> Vec<Change<V>> {
        match event {
            Event::Apply(value) => self
                .store(value, false)
                .map(Change::Stored)
                .into_iter()
                .collect(),
            Event::Delete(value) => {
                let Some(uid) = value.meta().uid.as_deref() else {
                    return Vec::new();
                };
                self.gone.add(uid);
                self.objects.remove(uid);
                vec![Change::Removed(Arc::new(value))]
            }
            Event::Init => {
                self.listed.clear();
                for entry in self.objects.values_mut() {
                    entry.assumed = false;
                }
                Vec::new()
            }
            Event::InitApply(value) => {
                if let Some(uid) = value.meta().uid.as_deref() {
                    self.listed.insert(uid.into());
                }
                self.store(value, false)
                    .map(Change::Stored)
                    .into_iter()
                    .collect()
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let lost: Vec<Arc<str>> = self
                    .objects
                    .iter()
                    .filter(|(uid, entry)| !entry.assumed && !listed.contains(*uid))
                    .map(|(uid, _)| Arc::clone(uid))
                    .collect();
                lost.iter()
                    .filter_map(|uid| self.forget(uid))
                    .map(Change::Removed)
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pod(uid: &str, version: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.uid = Some(uid.to_owned());
        pod.metadata.resource_version = Some(version.to_owned());
        pod
    }

    fn version(mirror: &Mirror<Pod>, uid: &str) -> Option<String> {
        mirror
            .get(uid)
            .and_then(|pod| pod.metadata.resource_version.clone())
    }

    #[test]
    fn an_older_version_never_wins() {
        let mut mirror = Mirror::default();
        assert!(mirror.assume(pod("a", "10")).is_some());
        assert!(mirror.observe(Event::Apply(pod("a", "9"))).is_empty());
        assert!(mirror.observe(Event::Apply(pod("a", "10"))).is_empty());
        assert_eq!(version(&mirror, "a").as_deref(), Some("10"));
        assert_eq!(mirror.observe(Event::Apply(pod("a", "100"))).len(), 1);
        assert_eq!(version(&mirror, "a").as_deref(), Some("100"));
    }

    #[test]
    fn a_deleted_uid_never_comes_back() {
        let mut mirror = Mirror::default();
        mirror.observe(Event::Apply(pod("a", "1")));
        mirror.observe(Event::Delete(pod("a", "2")));
        assert!(mirror.assume(pod("a", "3")).is_none());
        assert!(mirror.observe(Event::Apply(pod("a", "4"))).is_empty());
        assert!(mirror.is_gone("a"));
        assert!(mirror.get("a").is_none());
    }

    #[test]
    fn a_list_removes_what_it_does_not_name_unless_written_since() {
        let mut mirror = Mirror::default();
        mirror.assume(pod("before", "1"));
        mirror.observe(Event::Init);
        mirror.assume(pod("since", "5"));
        mirror.observe(Event::InitApply(pod("listed", "2")));
        let changes = mirror.observe(Event::InitDone);
        assert!(matches!(&changes[..], [Change::Removed(_)]));
        assert!(mirror.get("before").is_none());
        assert!(mirror.get("since").is_some());
        assert!(mirror.get("listed").is_some());
        // The next list must name it.
        mirror.observe(Event::Init);
        mirror.observe(Event::InitDone);
        assert_eq!(mirror.iter().count(), 0);
    }
}
