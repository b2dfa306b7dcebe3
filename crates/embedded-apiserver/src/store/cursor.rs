//! A watcher's place in the history of a collection.

use std::sync::Arc;

use tokio::sync::watch;

use super::Store;
use super::collection::Event;

/// The history a watcher wants to read is no longer kept, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

/// A watcher: nothing but the revision it has seen and a way to be woken.
#[derive(Debug)]
pub(crate) struct Cursor {
    store: Arc<Store>,
    collection: Arc<str>,
    seen: u64,
    wake: watch::Receiver<u64>,
}

/// Events read in one critical section.
const BATCH: usize = 256;

impl Cursor {
    pub(super) fn new(
        store: Arc<Store>,
        collection: Arc<str>,
        seen: u64,
        wake: watch::Receiver<u64>,
    ) -> Self {
        Self {
            store,
            collection,
            seen,
            wake,
        }
    }

    /// Everything up to this revision has been read.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The events there are now, without waiting. `None` once the collection is gone.
    pub(crate) fn poll(&mut self) -> Result<Option<Vec<Event>>, Expired> {
        self.wake.mark_unchanged();
        let state = self.store.lock();
        let Some(collection) = state.collections.get(&self.collection) else {
            return Ok(None);
        };
        if self.seen < collection.compacted {
            return Err(Expired);
        }
        let events = collection.events_after(self.seen, BATCH);
        // A short batch means that the cursor is level with the whole store.
        self.seen = match events.last() {
            Some(last) if events.len() == BATCH => last.object.revision,
            _ => state.revision,
        };
        Ok(Some(events))
    }

    /// Waits until there may be events. False once the collection is gone. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> bool {
        self.wake.changed().await.is_ok()
    }
}
