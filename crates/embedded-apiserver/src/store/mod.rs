//! Objects, one global revision, and the events that watchers read.
//!
//! An object is kept as the JSON bytes that clients receive, beside a small typed [`Object`] head
//! for the questions that are asked without parsing: labels, selectable fields, revision. The
//! bytes are serialised once, when the object is committed, as the middle part of its watch event;
//! reads, lists and every watcher share that one allocation.
//!
//! Invariants:
//! * revisions are handed out under one lock, so the events of a collection are ordered by them;
//! * a committed change is visible to reads before any watcher hears of it;
//! * a watcher is a [`Cursor`]: it owns no queue, and one that falls behind the kept history is
//!   told so ([`Expired`]) instead of holding memory.

mod collection;
mod cursor;
mod object;

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::collection::{Event, EventKind, History};
pub(crate) use self::cursor::{Cursor, Expired};
pub(crate) use self::object::{Draft, Key, Object};

use self::collection::Collection;

/// Why a write was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The key is taken.
    Exists,
    /// There is no such object.
    Missing,
    /// The object has another revision than the caller expected.
    Changed,
}

/// The store. All methods are short critical sections under one lock.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    history: History,
}

#[derive(Debug)]
struct State {
    revision: u64,
    collections: HashMap<Arc<str>, Collection>,
}

/// Part of a list: the revision it was read at, the objects, and how many more there are.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) revision: u64,
    pub(crate) objects: Vec<Arc<Object>>,
}

impl Store {
    pub(crate) fn new(history: History) -> Self {
        // Revision 1 so that "0", which has a meaning of its own in the API, never names a state.
        Self {
            state: Mutex::new(State {
                revision: 1,
                collections: HashMap::new(),
            }),
            history,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state consistent before anything that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub(crate) fn get(&self, collection: &str, key: &Key) -> Option<Arc<Object>> {
        self.lock()
            .collections
            .get(collection)?
            .objects
            .get(key)
            .cloned()
    }

    /// All objects of a collection in key order; only those of one namespace if it is given, and
    /// only those after a key if it is given.
    pub(crate) fn list(
        &self,
        collection: &str,
        namespace: Option<&str>,
        after: Option<&Key>,
    ) -> Listed {
        let state = self.lock();
        let revision = state.revision;
        let Some(collection) = state.collections.get(collection) else {
            return Listed {
                revision,
                objects: Vec::new(),
            };
        };
        let start = match (after, namespace) {
            (Some(key), _) => Bound::Excluded(key.clone()),
            (None, Some(namespace)) => Bound::Included(Key::new(namespace, "")),
            (None, None) => Bound::Unbounded,
        };
        let objects = collection
            .objects
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| namespace.is_none_or(|namespace| *key.namespace == *namespace))
            .map(|(_, object)| object.clone())
            .collect();
        Listed { revision, objects }
    }

    /// Adds an object. Its resource version is set in `draft.value`.
    pub(crate) fn create(
        &self,
        collection: &Arc<str>,
        draft: Draft<'_>,
    ) -> Result<Arc<Object>, Refused> {
        let mut state = self.lock();
        let revision = state.revision + 1;
        let target = state.collection(collection);
        if target.objects.contains_key(&draft.key) {
            return Err(Refused::Exists);
        }
        let object = Arc::new(draft.commit(EventKind::Added, revision));
        target.objects.insert(object.key.clone(), object.clone());
        target.push(
            Event {
                kind: EventKind::Added,
                object: object.clone(),
                old: None,
            },
            self.history,
        );
        state.revision = revision;
        Ok(object)
    }

    /// Replaces the object that has the revision `expected`.
    pub(crate) fn update(
        &self,
        collection: &Arc<str>,
        expected: u64,
        draft: Draft<'_>,
    ) -> Result<Arc<Object>, Refused> {
        let mut state = self.lock();
        let revision = state.revision + 1;
        let target = state.collection(collection);
        let old = target.objects.get(&draft.key).ok_or(Refused::Missing)?;
        if old.revision != expected {
            return Err(Refused::Changed);
        }
        let old = Some(old.clone());
        let object = Arc::new(draft.commit(EventKind::Modified, revision));
        target.objects.insert(object.key.clone(), object.clone());
        target.push(
            Event {
                kind: EventKind::Modified,
                object: object.clone(),
                old,
            },
            self.history,
        );
        state.revision = revision;
        Ok(object)
    }

    /// Removes the object that has the revision `expected`; `draft` is its last state.
    pub(crate) fn delete(
        &self,
        collection: &Arc<str>,
        expected: u64,
        draft: Draft<'_>,
    ) -> Result<Arc<Object>, Refused> {
        let mut state = self.lock();
        let revision = state.revision + 1;
        let target = state.collection(collection);
        let old = target.objects.get(&draft.key).ok_or(Refused::Missing)?;
        if old.revision != expected {
            return Err(Refused::Changed);
        }
        let old = target.objects.remove(&draft.key);
        let object = Arc::new(draft.commit(EventKind::Deleted, revision));
        target.push(
            Event {
                kind: EventKind::Deleted,
                object: object.clone(),
                old,
            },
            self.history,
        );
        state.revision = revision;
        Ok(object)
    }

    /// Forgets a collection; its watchers end.
    pub(crate) fn drop_collection(&self, collection: &str) {
        self.lock().collections.remove(collection);
    }

    /// A cursor behind the revision `after`.
    pub(crate) fn watch(
        self: &Arc<Self>,
        collection: &Arc<str>,
        after: u64,
    ) -> Result<Cursor, Expired> {
        let mut state = self.lock();
        if after > state.revision {
            return Err(Expired);
        }
        let target = state.collection(collection);
        if after < target.compacted {
            return Err(Expired);
        }
        let wake = target.wake.subscribe();
        Ok(Cursor::new(self.clone(), collection.clone(), after, wake))
    }

    /// A cursor together with the state it starts from.
    pub(crate) fn list_and_watch(
        self: &Arc<Self>,
        collection: &Arc<str>,
        namespace: Option<&str>,
    ) -> (Listed, Cursor) {
        loop {
            let listed = self.list(collection, namespace, None);
            // Only fails if a whole history passed between the two calls.
            if let Ok(cursor) = self.watch(collection, listed.revision) {
                return (listed, cursor);
            }
        }
    }
}

impl State {
    fn collection(&mut self, name: &Arc<str>) -> &mut Collection {
        self.collections
            .entry(name.clone())
            .or_insert_with(|| Collection::new())
    }
}
