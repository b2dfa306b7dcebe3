//! The objects of one resource and the history of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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

#[derive(Debug)]
pub(super) struct Collection {
    pub(super) objects: BTreeMap<Key, Arc<Object>>,
    /// Size of all objects together.
    pub(super) live_bytes: u64,
    ring: VecDeque<Event>,
    ring_bytes: usize,
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
        self.ring_bytes += event.object.bytes.len();
        self.ring.push_back(event);
        while self.ring.len() > limit.events.max(1)
            || (self.ring_bytes > limit.bytes && self.ring.len() > 1)
        {
            let Some(oldest) = self.ring.pop_front() else {
                break;
            };
            self.ring_bytes -= oldest.object.bytes.len();
            self.compacted = oldest.object.revision;
        }
        self.wake.send_replace(revision);
    }

    /// Up to `limit` events after a revision, oldest first.
    pub(super) fn events_after(&self, revision: u64, limit: usize) -> Vec<Event> {
        let start = self
            .ring
            .partition_point(|event| event.object.revision <= revision);
        self.ring.range(start..).take(limit).cloned().collect()
    }
}
