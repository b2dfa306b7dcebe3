//! The objects of one resource and the history of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::object::{Key, Object};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
}

impl EventKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    /// A watch event up to its object.
    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Added => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    /// The new state, or for a deletion the last one. Its revision is the event's.
    pub(crate) object: Arc<Object>,
    /// The state before, which selectors need to tell "left the selection" from "never in it".
    pub(crate) old: Option<Arc<Object>>,
}

/// How much history a collection keeps for watchers that are behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self {
            events: 10_000,
            bytes: 32 << 20,
        }
    }
}

/// When objects go by themselves, the longest unchanged first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    /// Time since the last write of an object.
    pub(crate) age: Duration,
    /// Size of all objects of the collection together.
    pub(crate) bytes: u64,
}

/// One write of an object that expires.
#[derive(Debug)]
struct Written {
    at: Timestamp,
    key: Key,
    revision: u64,
}

#[derive(Debug)]
pub(super) struct Collection {
    pub(super) objects: BTreeMap<Key, Arc<Object>>,
    /// Size of all objects together.
    pub(super) live_bytes: u64,
    ring: VecDeque<Event>,
    /// What the new states in the ring take. Those of before are mostly the new ones of earlier events.
    ring_bytes: usize,
    /// Writes in their order; only of a collection whose objects expire. May name states that are
    /// no longer the present ones.
    written: VecDeque<Written>,
    /// Events up to and including this revision may be missing from the ring.
    pub(super) compacted: u64,
    /// Carries the newest revision; a change of it wakes the watchers.
    pub(super) wake: watch::Sender<u64>,
}

impl Collection {
    /// An empty collection whose changes up to a revision are not known.
    pub(super) fn new(compacted: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            live_bytes: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            written: VecDeque::new(),
            compacted,
            wake: watch::Sender::new(0),
        }
    }

    pub(super) fn insert(&mut self, object: Arc<Object>) {
        self.live_bytes += object.bytes.len() as u64;
        if let Some(old) = self.objects.insert(object.key.clone(), object) {
            self.live_bytes -= old.bytes.len() as u64;
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(old) = self.objects.remove(key) {
            self.live_bytes -= old.bytes.len() as u64;
        }
    }

    pub(super) fn push(&mut self, event: Event, limit: History) {
        let revision = event.object.revision;
        self.ring_bytes += event.object.footprint();
        self.ring.push_back(event);
        while self.ring.len() > limit.events.max(1)
            || (self.ring_bytes > limit.bytes && self.ring.len() > 1)
        {
            let Some(oldest) = self.ring.pop_front() else {
                break;
            };
            self.ring_bytes -= oldest.object.footprint();
            self.compacted = oldest.object.revision;
        }
        self.wake.send_replace(revision);
    }

    /// Events in the history, and the memory they take.
    #[cfg(test)]
    pub(super) fn history_size(&self) -> (usize, usize) {
        (self.ring.len(), self.ring_bytes)
    }

    /// Notes about writes.
    #[cfg(test)]
    pub(super) fn notes(&self) -> usize {
        self.written.len()
    }

    /// Notes that an object was written, and so begins to age anew.
    pub(super) fn note_written(&mut self, object: &Object, at: Timestamp) {
        self.written.push_back(Written {
            at,
            key: object.key.clone(),
            revision: object.revision,
        });
        // Objects that are written again and again leave old notes behind.
        if self.written.len() > 2 * self.objects.len() + 64 {
            let objects = &self.objects;
            self.written
                .retain(|note| is_present(objects, &note.key, note.revision));
        }
    }

    /// An object that has to go now, if there is one.
    pub(super) fn overdue(&mut self, now: Timestamp, expiry: Expiry) -> Option<Arc<Object>> {
        let crowded = self.live_bytes > expiry.bytes && self.objects.len() > 1;
        loop {
            let note = self.written.front()?;
            let present = is_present(&self.objects, &note.key, note.revision);
            let age = Duration::try_from(now.duration_since(note.at)).unwrap_or_default();
            if present && age < expiry.age && !crowded {
                return None;
            }
            let note = self.written.pop_front()?;
            if present {
                return self.objects.get(&note.key).cloned();
            }
        }
    }

    /// Up to `limit` events after a revision, oldest first.
    pub(super) fn events_after(&self, revision: u64, limit: usize) -> Vec<Event> {
        let start = self
            .ring
            .partition_point(|event| event.object.revision <= revision);
        self.ring.range(start..).take(limit).cloned().collect()
    }
}

fn is_present(objects: &BTreeMap<Key, Arc<Object>>, key: &Key, revision: u64) -> bool {
    objects
        .get(key)
        .is_some_and(|object| object.revision == revision)
}
