//! What the server was asked, counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A snapshot of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests by (verb, resource); the resource is `jobs` or `jobs/status`. Verbs are the
    /// Kubernetes ones: get, list, watch, create, update, patch, delete, deletecollection.
    pub requests: BTreeMap<(String, String), u64>,
    /// Writes by (verb, resource) that succeeded and changed nothing: the revision was not bumped
    /// and no watcher heard of them.
    pub noop_writes: BTreeMap<(String, String), u64>,
}

impl Stats {
    /// All requests together.
    pub fn total_requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// All writes that changed nothing.
    pub fn total_noop_writes(&self) -> u64 {
        self.noop_writes.values().sum()
    }
}

/// The live counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stats: Mutex<Stats>,
}

impl Counters {
    pub(crate) fn request(&self, verb: &str, resource: &str) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        *stats
            .requests
            .entry((verb.to_owned(), resource.to_owned()))
            .or_default() += 1;
    }

    pub(crate) fn noop_write(&self, verb: &str, resource: &str) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        *stats
            .noop_writes
            .entry((verb.to_owned(), resource.to_owned()))
            .or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Stats {
        self.stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
