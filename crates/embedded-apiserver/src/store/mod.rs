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
//!   told so ([`Expired`]) instead of holding memory;
//! * what is kept of the past is bounded: the history of each collection, and the objects of one
//!   that nobody deletes ([`Limits::expiring`]).

mod collection;
mod cursor;
mod log;
mod object;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::collection::{Event, EventKind, Expiry, History};
pub(crate) use self::cursor::{Cursor, Expired};
pub(crate) use self::object::{Draft, Key, Object};

use jiff::Timestamp;
use serde_json::Value;

use self::collection::Collection;
use self::log::Log;

/// Why a write was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The key is taken.
    Exists,
    /// There is no such object.
    Missing,
    /// The object has another revision than the caller expected.
    Changed,
    /// The change could not be made durable.
    Disk,
}

/// What bounds the past that is kept.
#[derive(Clone)]
pub(crate) struct Limits {
    /// Of the changes of each collection.
    pub(crate) history: History,
    /// A collection whose objects go by themselves, and when.
    pub(crate) expiring: (&'static str, Expiry),
    /// What ages are measured with.
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits")
            .field("history", &self.history)
            .field("expiring", &self.expiring)
            .finish_non_exhaustive()
    }
}

/// The store. All methods are short critical sections under one lock.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    limits: Limits,
}

#[derive(Debug)]
struct State {
    revision: u64,
    /// Nothing is known of changes up to this revision: they were made by an earlier process.
    base: u64,
    collections: HashMap<Arc<str>, Collection>,
    log: Option<Log>,
}

/// Part of a list: the revision it was read at, the objects, and how many more there are.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) revision: u64,
    pub(crate) objects: Vec<Arc<Object>>,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        // Revision 1 so that "0", which has a meaning of its own in the API, never names a state.
        let state = State {
            revision: 1,
            base: 0,
            collections: HashMap::new(),
            log: None,
        };
        Self {
            state: Mutex::new(state),
            limits,
        }
    }

    /// A store that continues what a directory holds, and keeps it there.
    ///
    /// `fields` reads the selectable fields of an object of a collection; it sees the objects of
    /// the collection `first` before all others.
    pub(crate) fn open(
        limits: Limits,
        directory: &Path,
        first: &str,
        fields: impl Fn(&str, &Value) -> BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let (log, mut restored) = Log::open(directory)?;
        let revision = restored.revision.max(1);
        let mut state = State {
            revision,
            base: revision,
            collections: HashMap::new(),
            log: Some(log),
        };
        let first = restored.objects.remove_entry(first);
        for (name, objects) in first.into_iter().chain(restored.objects) {
            let name: Arc<str> = name.into();
            let collection = state.collection(&name);
            for (key, bytes) in objects {
                let value: Value = serde_json::from_slice(&bytes)?;
                let object = Arc::new(Object::restore(key, fields(&name, &value), &value));
                collection.insert(object);
            }
        }
        // When they were written is not known: they begin to age now.
        let (name, _) = limits.expiring;
        if let Some(collection) = state.collections.get_mut(name) {
            let mut objects: Vec<_> = collection.objects.values().cloned().collect();
            objects.sort_by_key(|object| object.revision);
            let now = (limits.clock)();
            for object in objects {
                collection.note_written(&object, now);
            }
        }
        state.rewrite_log()?;
        Ok(Self {
            state: Mutex::new(state),
            limits,
        })
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

    /// The objects of a namespace whose names begin with `prefix`, in order. Costs as much as there
    /// are of them, however many others there are.
    pub(crate) fn list_named(
        &self,
        collection: &str,
        namespace: &str,
        prefix: &str,
    ) -> Vec<Arc<Object>> {
        let state = self.lock();
        let Some(collection) = state.collections.get(collection) else {
            return Vec::new();
        };
        collection
            .objects
            .range(Key::new(namespace, prefix)..)
            .take_while(|(key, _)| *key.namespace == *namespace && key.name.starts_with(prefix))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Adds an object. Its resource version is set in `draft.value`.
    pub(crate) fn create(
        &self,
        collection: &Arc<str>,
        draft: Draft<'_>,
    ) -> Result<Arc<Object>, Refused> {
        self.commit(collection, EventKind::Added, draft, |old| match old {
            None => Ok(()),
            Some(_) => Err(Refused::Exists),
        })
    }

    /// Replaces the object that has the revision `expected`.
    pub(crate) fn update(
        &self,
        collection: &Arc<str>,
        expected: u64,
        draft: Draft<'_>,
    ) -> Result<Arc<Object>, Refused> {
        self.commit(collection, EventKind::Modified, draft, |old| {
            is_at(old, expected)
        })
    }

    /// Removes the object that has the revision `expected`; `draft` is its last state.
    pub(crate) fn delete(
        &self,
        collection: &Arc<str>,
        expected: u64,
        draft: Draft<'_>,
    ) -> Result<Arc<Object>, Refused> {
        self.commit(collection, EventKind::Deleted, draft, |old| {
            is_at(old, expected)
        })
    }

    fn commit(
        &self,
        collection: &Arc<str>,
        kind: EventKind,
        draft: Draft<'_>,
        check: impl FnOnce(Option<&Arc<Object>>) -> Result<(), Refused>,
    ) -> Result<Arc<Object>, Refused> {
        let mut state = self.lock();
        let revision = state.revision + 1;
        let old = state
            .collection(collection)
            .objects
            .get(&draft.key)
            .cloned();
        check(old.as_ref())?;
        let object = Arc::new(draft.commit(kind, revision));
        let event = Event {
            kind,
            object: object.clone(),
            old,
        };
        state.commit(collection, event, self.limits.history)?;
        let (expiring, expiry) = self.limits.expiring;
        if **collection == *expiring {
            let now = (self.limits.clock)();
            state.expire(collection, &object, expiry, now, self.limits.history);
        }
        state.shrink_log();
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

fn is_at(object: Option<&Arc<Object>>, expected: u64) -> Result<(), Refused> {
    match object {
        None => Err(Refused::Missing),
        Some(object) if object.revision == expected => Ok(()),
        Some(_) => Err(Refused::Changed),
    }
}

impl State {
    fn collection(&mut self, name: &Arc<str>) -> &mut Collection {
        let base = self.base;
        self.collections
            .entry(name.clone())
            .or_insert_with(|| Collection::new(base))
    }

    /// Makes a change durable and visible.
    fn commit(
        &mut self,
        collection: &Arc<str>,
        event: Event,
        history: History,
    ) -> Result<(), Refused> {
        let object = &event.object;
        let revision = object.revision;
        if let Some(log) = &mut self.log {
            let bytes = (event.kind != EventKind::Deleted).then_some(&*object.bytes);
            if let Err(error) = log.append(revision, collection, &object.key, bytes) {
                tracing::error!(%error, "a change could not be written to the data directory");
                return Err(Refused::Disk);
            }
        }
        self.revision = revision;
        let target = self.collection(collection);
        if event.kind == EventKind::Deleted {
            target.remove(&object.key);
        } else {
            target.insert(object.clone());
        }
        target.push(event, history);
        Ok(())
    }

    /// Notes that `object` of an expiring collection was written, and removes those whose time is
    /// over. Looked at with each write only: where nothing is written, nothing grows.
    fn expire(
        &mut self,
        collection: &Arc<str>,
        object: &Object,
        expiry: Expiry,
        now: Timestamp,
        history: History,
    ) {
        self.collection(collection).note_written(object, now);
        while let Some(old) = self.collection(collection).overdue(now, expiry) {
            let mut value = old.value();
            let draft = Draft {
                key: old.key.clone(),
                fields: old.fields.clone(),
                value: &mut value,
            };
            let object = Arc::new(draft.commit(EventKind::Deleted, self.revision + 1));
            let event = Event {
                kind: EventKind::Deleted,
                object,
                old: Some(old),
            };
            if self.commit(collection, event, history).is_err() {
                break;
            }
        }
    }

    /// Drops history from the log when there is much of it.
    fn shrink_log(&mut self) {
        let live = || {
            self.collections
                .values()
                .map(|collection| collection.live_bytes)
                .sum()
        };
        if self.log.as_ref().is_some_and(|log| log.is_bloated(live()))
            && let Err(error) = self.rewrite_log()
        {
            tracing::warn!(%error, "the data directory could not be compacted");
        }
    }

    fn rewrite_log(&mut self) -> io::Result<()> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        let objects = self.collections.iter().flat_map(|(name, collection)| {
            let objects = collection.objects.values();
            objects.map(|object| (&**name, &object.key, object.revision, &*object.bytes))
        });
        log.rewrite(self.revision, objects)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn limits(history: History) -> Limits {
        let forever = Expiry {
            age: Duration::MAX,
            bytes: u64::MAX,
        };
        Limits {
            history,
            expiring: ("none", forever),
            clock: Arc::new(|| Timestamp::UNIX_EPOCH),
        }
    }

    fn draft(value: &mut Value) -> Draft<'_> {
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        Draft {
            key: Key::new("default", name),
            fields: BTreeMap::new(),
            value,
        }
    }

    fn object(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "default", "labels": {"a": "b"}}})
    }

    fn open(directory: &Path) -> Arc<Store> {
        let store = Store::open(limits(History::default()), directory, "first", |_, _| {
            BTreeMap::new()
        });
        Arc::new(store.unwrap())
    }

    fn names(store: &Store) -> Vec<String> {
        let listed = store.list("things", None, None);
        listed
            .objects
            .iter()
            .map(|object| object.key.name.to_string())
            .collect()
    }

    #[test]
    fn writes_are_checked_against_the_revision() {
        let store = Arc::new(Store::new(limits(History::default())));
        let things = "things".into();
        let a = store.create(&things, draft(&mut object("a"))).unwrap();
        assert_eq!(
            store.create(&things, draft(&mut object("a"))).unwrap_err(),
            Refused::Exists
        );
        let b = store
            .update(&things, a.revision, draft(&mut object("a")))
            .unwrap();
        assert!(b.revision > a.revision);
        assert_eq!(
            b.value()["metadata"]["resourceVersion"],
            b.revision.to_string()
        );
        let stale = store.update(&things, a.revision, draft(&mut object("a")));
        assert_eq!(stale.unwrap_err(), Refused::Changed);
        let stale = store.delete(&things, a.revision, draft(&mut object("a")));
        assert_eq!(stale.unwrap_err(), Refused::Changed);
        store
            .delete(&things, b.revision, draft(&mut object("a")))
            .unwrap();
        let gone = store.update(&things, b.revision, draft(&mut object("a")));
        assert_eq!(gone.unwrap_err(), Refused::Missing);
    }

    #[test]
    fn names_with_a_prefix_are_a_range() {
        let store = Arc::new(Store::new(limits(History::default())));
        let things = "things".into();
        for name in ["a", "a-1", "a-2", "aa", "b-1"] {
            store.create(&things, draft(&mut object(name))).unwrap();
        }
        let named = |namespace: &str, prefix: &str| -> Vec<String> {
            let found = store.list_named("things", namespace, prefix);
            found.iter().map(|o| o.key.name.to_string()).collect()
        };
        assert_eq!(named("default", "a-"), ["a-1", "a-2"]);
        assert_eq!(named("default", "c"), [""; 0]);
        assert_eq!(named("default", "").len(), 5);
        assert_eq!(named("other", "a-"), [""; 0]);
        assert!(store.list_named("none", "default", "").is_empty());
    }

    #[test]
    fn cursors_read_every_event_once_or_expire() {
        let store = Arc::new(Store::new(limits(History {
            events: 3,
            bytes: 1 << 20,
        })));
        let things = "things".into();
        let start = store.revision();
        let mut cursor = store.watch(&things, start).unwrap();
        let mut late = store.watch(&things, start).unwrap();
        for name in ["a", "b"] {
            store.create(&things, draft(&mut object(name))).unwrap();
        }
        assert_eq!(cursor.poll().unwrap().unwrap().len(), 2);
        assert_eq!(cursor.poll().unwrap().unwrap().len(), 0);
        for name in ["c", "d"] {
            store.create(&things, draft(&mut object(name))).unwrap();
        }
        assert_eq!(cursor.poll().unwrap().unwrap().len(), 2);
        assert!(late.poll().is_err());
        assert!(store.watch(&things, start).is_err());
        assert!(store.watch(&things, store.revision() + 1).is_err());
        store.drop_collection("things");
        assert!(cursor.poll().unwrap().is_none());
    }

    /// A clock that is set by hand, in seconds, and limits of "things" by it.
    fn expiring(age: u64, bytes: u64) -> (Arc<AtomicI64>, Limits) {
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&seconds);
        let expiry = Expiry {
            age: Duration::from_secs(age),
            bytes,
        };
        let limits = Limits {
            expiring: ("things", expiry),
            clock: Arc::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap()),
            ..limits(History::default())
        };
        (seconds, limits)
    }

    #[test]
    fn what_nobody_deletes_expires_some_time_after_its_last_write() {
        let (clock, limits) = expiring(60, u64::MAX);
        let store = Arc::new(Store::new(limits));
        let (things, others) = ("things".into(), "others".into());
        let mut cursor = store.watch(&things, store.revision()).unwrap();
        let a = store.create(&things, draft(&mut object("a"))).unwrap();
        store.create(&things, draft(&mut object("b"))).unwrap();
        store.create(&others, draft(&mut object("a"))).unwrap();
        clock.store(30, Ordering::Relaxed);
        store
            .update(&things, a.revision, draft(&mut object("a")))
            .unwrap();
        clock.store(59, Ordering::Relaxed);
        store.create(&things, draft(&mut object("c"))).unwrap();
        assert_eq!(names(&store), ["a", "b", "c"]);
        clock.store(60, Ordering::Relaxed);
        store.create(&things, draft(&mut object("d"))).unwrap();
        assert_eq!(names(&store), ["a", "c", "d"]);
        assert!(store.get("others", &Key::new("default", "a")).is_some());
        clock.store(90, Ordering::Relaxed);
        store.create(&things, draft(&mut object("e"))).unwrap();
        assert_eq!(names(&store), ["c", "d", "e"]);

        let events = cursor.poll().unwrap().unwrap();
        let told: Vec<_> = events
            .iter()
            .map(|event| (event.kind.name(), &*event.object.key.name))
            .collect();
        assert_eq!(
            told,
            [
                ("ADDED", "a"),
                ("ADDED", "b"),
                ("MODIFIED", "a"),
                ("ADDED", "c"),
                ("ADDED", "d"),
                ("DELETED", "b"),
                ("ADDED", "e"),
                ("DELETED", "a"),
            ]
        );
        let revisions: Vec<_> = events.iter().map(|event| event.object.revision).collect();
        assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
        assert_eq!(
            events[5].object.value()["metadata"]["resourceVersion"],
            revisions[5].to_string()
        );
    }

    #[test]
    fn there_is_room_for_so_much_that_expires() {
        let (_, limits) = expiring(3600, 2000);
        let store = Arc::new(Store::new(limits));
        let things = "things".into();
        for n in 0..500 {
            let name = format!("{n:03}");
            store.create(&things, draft(&mut object(&name))).unwrap();
        }
        let kept = names(&store);
        assert_eq!(kept.last().map(String::as_str), Some("499"));
        let bytes: usize = kept
            .iter()
            .map(|name| store.get("things", &Key::new("default", name)).unwrap())
            .map(|object| object.bytes.len())
            .sum();
        assert!((1500..=2000).contains(&bytes), "{bytes} bytes are kept");

        // One object that is too large stays nevertheless: somebody was told that it is there.
        let mut large = object("z");
        large["text"] = "x".repeat(5000).into();
        store.create(&things, draft(&mut large)).unwrap();
        assert_eq!(names(&store), ["z"]);
    }

    #[test]
    fn notes_about_one_object_do_not_pile_up() {
        let (_, limits) = expiring(3600, u64::MAX);
        let store = Arc::new(Store::new(limits));
        let things: Arc<str> = "things".into();
        let mut last = store.create(&things, draft(&mut object("a"))).unwrap();
        for _ in 0..1000 {
            last = store
                .update(&things, last.revision, draft(&mut object("a")))
                .unwrap();
        }
        let notes = store.lock().collection(&things).notes();
        assert!(notes <= 70, "{notes} notes about one object");
    }

    #[test]
    fn what_was_read_from_a_directory_expires_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let (clock, limits) = expiring(60, u64::MAX);
        let things = "things".into();
        let reopen = || {
            let store = Store::open(limits.clone(), directory.path(), "", |_, _| BTreeMap::new());
            Arc::new(store.unwrap())
        };
        let store = reopen();
        for name in ["b", "a"] {
            store.create(&things, draft(&mut object(name))).unwrap();
        }
        drop(store);
        let store = reopen();
        clock.store(60, Ordering::Relaxed);
        store.create(&things, draft(&mut object("c"))).unwrap();
        assert_eq!(names(&store), ["c"]);
        drop(store);
        assert_eq!(names(&reopen()), ["c"], "the directory knows of it");
    }

    #[test]
    fn history_is_bounded_by_all_the_memory_that_it_takes() {
        let bytes = 100 << 10;
        let store = Arc::new(Store::new(limits(History {
            events: usize::MAX,
            bytes,
        })));
        let things: Arc<str> = "things".into();
        let mut last = store.create(&things, draft(&mut object("a"))).unwrap();
        for _ in 0..2000 {
            let mut value = object("a");
            let mut draft = draft(&mut value);
            draft.fields.insert("long".to_owned(), "x".repeat(500));
            last = store.update(&things, last.revision, draft).unwrap();
        }
        let mut state = store.lock();
        let (events, taken) = state.collection(&things).history_size();
        assert!(taken <= bytes, "{taken} bytes");
        let each = last.footprint();
        assert!(each > 500 + last.bytes.len(), "fields count: {each}");
        assert!(events * each <= bytes + each, "{events} events of {each}");
        assert!((events + 1) * each > bytes, "as much as there is room for");
    }

    #[test]
    fn a_directory_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let things = "things".into();
        let store = open(directory.path());
        for name in ["a", "b", "c"] {
            store.create(&things, draft(&mut object(name))).unwrap();
        }
        let b = store.get("things", &Key::new("default", "b")).unwrap();
        store
            .delete(&things, b.revision, draft(&mut object("b")))
            .unwrap();
        let revision = store.revision();
        drop(store);
        for _ in 0..2 {
            let store = open(directory.path());
            assert_eq!(names(&store), ["a", "c"]);
            assert_eq!(store.revision(), revision);
            let a = store.get("things", &Key::new("default", "a")).unwrap();
            assert_eq!(a.labels["a"], "b");
            // What an earlier process announced cannot be told again.
            assert!(store.watch(&things, revision - 1).is_err());
            assert!(store.watch(&things, revision).is_ok());
        }
    }

    #[test]
    fn a_torn_tail_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("objects.log");
        let things = "things".into();
        let store = open(directory.path());
        store.create(&things, draft(&mut object("a"))).unwrap();
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        let store = open(directory.path());
        store.create(&things, draft(&mut object("b"))).unwrap();
        drop(store);
        let both = std::fs::read(&path).unwrap();
        assert!(both.len() > whole.len());
        for length in whole.len()..both.len() {
            std::fs::write(&path, &both[..length]).unwrap();
            let store = open(directory.path());
            assert_eq!(names(&store), ["a"], "cut at {length}");
            store.create(&things, draft(&mut object("c"))).unwrap();
            drop(store);
            assert_eq!(names(&open(directory.path())), ["a", "c"]);
        }
    }

    #[test]
    fn a_directory_has_one_server() {
        let directory = tempfile::tempdir().unwrap();
        let _store = open(directory.path());
        let second = Store::open(limits(History::default()), directory.path(), "", |_, _| {
            BTreeMap::new()
        });
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
