//! Who owns whom, by uid.
//!
//! Fed by the watches of all kinds; each event answers with the uids that have to be looked at.
//!
//! The watches are not in step: the deletion of an owner may be seen before the creation of its
//! dependents. An owner that waits for its dependents must not go because none is known *yet*,
//! so the graph also keeps how far each watch has come ([`Graph::lagging`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;

use super::kinds::{Kind, Meta};
use crate::shell::mirror::Tombstones;

/// Finalizer of an object that is deleted after its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// An object's uid.
pub type Uid = Arc<str>;

/// An object.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Arc<Kind>,
    /// Its metadata.
    pub meta: Arc<Meta>,
}

impl Node {
    /// Whether it waits for its dependents to be deleted.
    pub fn waits_for_dependents(&self) -> bool {
        self.meta.deleting() && self.meta.has_finalizer(FOREGROUND)
    }

    /// Whether it waits for its dependents to be let go.
    pub fn lets_dependents_go(&self) -> bool {
        self.meta.deleting() && self.meta.has_finalizer(ORPHAN)
    }

    /// Whether it keeps the owner with this uid from going.
    pub fn blocks(&self, owner: &str) -> bool {
        let mut owners = self.meta.owners().iter();
        owners.any(|o| o.uid == owner && o.block_owner_deletion == Some(true))
    }
}

/// All objects and their dependents.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, BTreeSet<Uid>>,
    gone: Tombstones,
    listed: HashMap<Arc<Kind>, HashSet<Uid>>,
    /// The highest version seen of each kind: everything before it is known.
    seen: HashMap<Arc<Kind>, u64>,
    /// Kinds of dependents that the owners of a kind (group, kind) have had.
    relations: HashMap<(String, String), HashSet<Arc<Kind>>>,
}

fn version(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

impl Graph {
    /// The object with this uid.
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// Whether the object with this uid existed and is gone for good.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    /// Remembers that no object has this uid (any more).
    pub fn remember_gone(&mut self, uid: &str) {
        self.gone.add(uid);
    }

    /// The objects that name the object with this uid as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = (&Uid, &Node)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get_key_value(uid))
    }

    /// Says that objects of `owner`'s kind may have dependents of `kind`.
    pub fn relate(&mut self, owner: (String, String), kind: &Arc<Kind>) {
        self.relations
            .entry(owner)
            .or_default()
            .insert(Arc::clone(kind));
    }

    /// The kinds of possible dependents of `node` whose watch may not have come as far as this
    /// version of it. Versions that are not numbers cannot be compared: all kinds then.
    pub fn lagging(&self, node: &Node) -> Vec<Arc<Kind>> {
        let resource = &node.kind.resource;
        let owner = (resource.group.clone(), resource.kind.clone());
        let needed = version(node.meta.metadata.resource_version.as_deref());
        let kinds = self.relations.get(&owner).into_iter().flatten();
        kinds
            .filter(|kind| needed.is_none() || self.seen.get(*kind).copied() < needed)
            .map(Arc::clone)
            .collect()
    }

    /// Takes in a list of `kind` that was asked for between two events of the watch. Only what
    /// is new counts: of what is known the watch may know more.
    pub fn absorb(&mut self, kind: &Arc<Kind>, list: Vec<Meta>, at: Option<&str>) -> Vec<Uid> {
        if let Some(at) = version(at) {
            let seen = self.seen.entry(Arc::clone(kind)).or_default();
            *seen = at.max(*seen);
        }
        let mut touched = Vec::new();
        for meta in list {
            if !self.nodes.contains_key(meta.uid()) {
                touched.extend(self.store(kind, meta));
            }
        }
        touched
    }

    /// Takes in an event of the watch of `kind`. Returns the uids to look at.
    pub fn observe(&mut self, kind: &Arc<Kind>, event: Event<Meta>) -> Vec<Uid> {
        if let Event::Apply(meta) | Event::Delete(meta) = &event
            && let Some(at) = version(meta.metadata.resource_version.as_deref())
        {
            let seen = self.seen.entry(Arc::clone(kind)).or_default();
            *seen = at.max(*seen);
        }
        match event {
            Event::Apply(meta) => self.store(kind, meta),
            Event::Delete(meta) => self.remove(meta.uid()),
            Event::Init => {
                self.listed.insert(Arc::clone(kind), HashSet::new());
                Vec::new()
            }
            Event::InitApply(meta) => {
                if let Some(listed) = self.listed.get_mut(kind) {
                    listed.insert(meta.uid().into());
                }
                self.store(kind, meta)
            }
            Event::InitDone => {
                let listed = self.listed.remove(kind).unwrap_or_default();
                self.remove_where(|uid, node| node.kind == *kind && !listed.contains(uid))
            }
        }
    }

    /// Forgets every object of a kind that is not served any more.
    pub fn drop_kind(&mut self, kind: &Kind) -> Vec<Uid> {
        self.remove_where(|_, node| *node.kind == *kind)
    }

    fn remove_where(&mut self, condition: impl Fn(&Uid, &Node) -> bool) -> Vec<Uid> {
        let lost: Vec<Uid> = self
            .nodes
            .iter()
            .filter(|(uid, node)| condition(uid, node))
            .map(|(uid, _)| Arc::clone(uid))
            .collect();
        lost.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    fn store(&mut self, kind: &Arc<Kind>, meta: Meta) -> Vec<Uid> {
        if meta.uid().is_empty() || self.gone.contains(meta.uid()) {
            return Vec::new();
        }
        let uid: Uid = meta.uid().into();
        let node = Node {
            kind: Arc::clone(kind),
            meta: Arc::new(meta),
        };
        let old = self.nodes.insert(Arc::clone(&uid), node.clone());
        let mut touched = Vec::new();
        if let Some(old) = &old {
            let (before, after) = (&old.meta.metadata, &node.meta.metadata);
            let same = before.owner_references == after.owner_references
                && before.finalizers == after.finalizers
                && before.deletion_timestamp == after.deletion_timestamp;
            if same {
                return touched;
            }
            // An owner may wait for this very change.
            touched.extend(self.waiting_owners(&old.meta));
            self.unlink(&uid, &old.meta);
        }
        for owner in node.meta.owners() {
            let group = owner
                .api_version
                .rsplit_once('/')
                .map_or("", |(group, _)| group);
            self.relate((group.to_owned(), owner.kind.clone()), kind);
            let owner: Uid = owner.uid.as_str().into();
            self.dependents
                .entry(owner)
                .or_default()
                .insert(Arc::clone(&uid));
        }
        touched.push(uid);
        touched
    }

    fn unlink(&mut self, uid: &Uid, meta: &Meta) {
        for owner in meta.owners() {
            if let Some(set) = self.dependents.get_mut(owner.uid.as_str()) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(owner.uid.as_str());
                }
            }
        }
    }

    fn waiting_owners(&self, meta: &Meta) -> Vec<Uid> {
        let owners = meta.owners().iter();
        owners
            .filter_map(|owner| self.nodes.get_key_value(owner.uid.as_str()))
            .filter(|(_, node)| node.waits_for_dependents())
            .map(|(uid, _)| Arc::clone(uid))
            .collect()
    }

    fn remove(&mut self, uid: &str) -> Vec<Uid> {
        self.gone.add(uid);
        let Some((uid, node)) = self.nodes.remove_entry(uid) else {
            return Vec::new();
        };
        self.unlink(&uid, &node.meta);
        let mut touched = self.waiting_owners(&node.meta);
        touched.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        touched
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ApiResource;
    use serde_json::json;

    use super::*;

    fn kind(name: &str) -> Arc<Kind> {
        let resource = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: name.to_owned(),
            plural: name.to_lowercase(),
        };
        Arc::new(Kind {
            resource,
            namespaced: true,
        })
    }

    fn object(uid: &str, owners: &[&str], deleting: bool, finalizers: &[&str]) -> Meta {
        let owners: Vec<_> = owners
            .iter()
            .map(|uid| {
                json!({"apiVersion": "v1", "kind": "Owner", "name": uid, "uid": uid,
                       "blockOwnerDeletion": true})
            })
            .collect();
        serde_json::from_value(json!({"metadata": {
            "name": uid, "uid": uid, "ownerReferences": owners, "finalizers": finalizers,
            "deletionTimestamp": deleting.then_some("2026-01-01T00:00:00Z"),
        }}))
        .unwrap()
    }

    fn uids(list: Vec<Uid>) -> Vec<String> {
        let mut list: Vec<String> = list.iter().map(ToString::to_string).collect();
        list.sort();
        list
    }

    #[test]
    fn a_removed_owner_calls_for_its_dependents() {
        let (owners, pods) = (kind("Owner"), kind("Pod"));
        let mut graph = Graph::default();
        graph.observe(&pods, Event::Apply(object("a", &["o", "p"], false, &[])));
        graph.observe(&pods, Event::Apply(object("b", &["o"], false, &[])));
        assert_eq!(
            uids(graph.observe(&owners, Event::Apply(object("o", &[], false, &[])))),
            ["o"]
        );
        assert_eq!(graph.dependents("o").count(), 2);
        let touched = graph.observe(&owners, Event::Delete(object("o", &[], false, &[])));
        assert_eq!(uids(touched), ["a", "b"]);
        assert!(graph.is_gone("o"));
    }

    #[test]
    fn a_waiting_owner_hears_of_its_dependents() {
        let (owners, pods) = (kind("Owner"), kind("Pod"));
        let mut graph = Graph::default();
        graph.observe(&owners, Event::Apply(object("o", &[], true, &[FOREGROUND])));
        graph.observe(&pods, Event::Apply(object("a", &["o"], false, &[])));
        graph.observe(&pods, Event::Apply(object("b", &["o"], false, &[])));
        let touched = graph.observe(&pods, Event::Apply(object("a", &[], false, &[])));
        assert_eq!(uids(touched), ["a", "o"]);
        let touched = graph.observe(&pods, Event::Delete(object("b", &[], true, &[])));
        assert_eq!(uids(touched), ["o"]);
        assert_eq!(graph.dependents("o").count(), 0);
    }

    #[test]
    fn a_watch_that_lags_behind_the_owner_is_known() {
        let (owners, pods) = (kind("Owner"), kind("Pod"));
        let at = |mut meta: Meta, version: &str| {
            meta.metadata.resource_version = Some(version.to_owned());
            meta
        };
        let mut graph = Graph::default();
        graph.observe(
            &pods,
            Event::Apply(at(object("x", &["other"], false, &[]), "3")),
        );
        let owner = at(object("o", &[], true, &[FOREGROUND]), "10");
        graph.observe(&owners, Event::Apply(owner));
        let node = graph.get("o").unwrap().clone();
        assert_eq!(graph.lagging(&node), [Arc::clone(&pods)]);
        let list = vec![
            at(object("a", &["o"], false, &[]), "9"),
            at(object("x", &[], false, &[]), "2"),
        ];
        assert_eq!(uids(graph.absorb(&pods, list, Some("11"))), ["a"]);
        assert!(graph.lagging(&node).is_empty());
        assert_eq!(graph.get("x").unwrap().meta.owners().len(), 1);
        // An event that is newer than the owner shows the same.
        graph.seen.clear();
        graph.observe(
            &pods,
            Event::Apply(at(object("a", &["o"], true, &[]), "12")),
        );
        assert!(graph.lagging(&node).is_empty());
    }

    #[test]
    fn changes_that_do_not_matter_touch_nobody() {
        let pods = kind("Pod");
        let mut graph = Graph::default();
        assert_eq!(
            graph
                .observe(&pods, Event::Apply(object("a", &["o"], false, &[])))
                .len(),
            1
        );
        assert!(
            graph
                .observe(&pods, Event::Apply(object("a", &["o"], false, &[])))
                .is_empty()
        );
        let touched = graph.observe(&pods, Event::Apply(object("a", &["o"], true, &[])));
        assert_eq!(uids(touched), ["a"]);
    }

    #[test]
    fn a_new_list_removes_what_it_does_not_name_of_its_kind_only() {
        let (owners, pods) = (kind("Owner"), kind("Pod"));
        let mut graph = Graph::default();
        graph.observe(&owners, Event::Apply(object("o", &[], false, &[])));
        graph.observe(&owners, Event::Apply(object("q", &[], false, &[])));
        graph.observe(&pods, Event::Apply(object("a", &["o"], false, &[])));
        graph.observe(&owners, Event::Init);
        graph.observe(&owners, Event::InitApply(object("q", &[], false, &[])));
        assert_eq!(uids(graph.observe(&owners, Event::InitDone)), ["a"]);
        assert!(graph.get("o").is_none() && graph.get("q").is_some() && graph.get("a").is_some());
        assert!(graph.drop_kind(&pods).is_empty());
        assert!(graph.get("a").is_none());
    }
}
