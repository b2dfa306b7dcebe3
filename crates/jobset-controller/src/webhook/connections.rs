//! Who is connected, and who has to go when too many are.
//!
//! A client that connects and then says nothing, or sends its request byte by byte, holds a
//! connection without using it. When the limit is reached, the connection that has been unused
//! the longest makes room, so that such clients cannot keep others out however many they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::Stats;
use crate::lock::lock;

/// The connections of one server.
pub(super) struct Connections {
    limit: usize,
    begun: Instant,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<State>>>,
    stats: Arc<Stats>,
}

struct State {
    /// Requests that have been read and are being answered.
    answering: AtomicUsize,
    /// Microseconds since the server began, at the connection's begin or its last answer.
    used: AtomicU64,
    evicted: CancellationToken,
}

/// A place among the connections, given up when dropped.
pub(super) struct Place {
    number: u64,
    state: Arc<State>,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(limit: usize, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            begun: Instant::now(),
            next: AtomicU64::new(0),
            open: Mutex::default(),
            stats,
        })
    }

    /// A place for one more connection. `None`: there are too many and all of them are being
    /// answered.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Place> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State {
            answering: AtomicUsize::new(0),
            used: AtomicU64::new(self.now()),
            evicted: CancellationToken::new(),
        });
        let mut open = lock(&self.open);
        if open.len() >= self.limit {
            let unused = open
                .iter()
                .filter(|(_, state)| state.answering.load(Ordering::Relaxed) == 0)
                .min_by_key(|(number, state)| (state.used.load(Ordering::Relaxed), **number))
                .map(|(number, _)| *number)?;
            if let Some(state) = open.remove(&unused) {
                state.evicted.cancel();
                self.stats.count_eviction();
            }
        }
        open.insert(number, state.clone());
        Some(Place {
            number,
            state,
            connections: self.clone(),
        })
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }
}

impl Place {
    /// Resolves when the connection has to make room.
    pub(super) async fn evicted(&self) {
        self.state.evicted.cancelled().await;
    }

    /// A request has been read; the connection is in use until this is dropped.
    pub(super) fn answering(&self) -> Answering<'_> {
        self.state.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.connections.open).remove(&self.number);
    }
}

/// See [`Place::answering`].
pub(super) struct Answering<'a>(&'a Place);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        let state = &self.0.state;
        state
            .used
            .store(self.0.connections.now(), Ordering::Relaxed);
        state.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(place: &Place) -> bool {
        place.state.evicted.is_cancelled()
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let stats = Arc::new(Stats::default());
        let connections = Connections::new(2, stats.clone());
        let first = connections.admit().unwrap();
        let second = connections.admit().unwrap();
        // The first is the elder; the second is not to be used again.
        while connections.now() == second.state.used.load(Ordering::Relaxed) {}
        drop(first.answering());
        let third = connections.admit().unwrap();
        assert!(is_evicted(&second) && !is_evicted(&first));
        let (busy, also_busy) = (first.answering(), third.answering());
        assert!(connections.admit().is_none());
        drop(busy);
        let fourth = connections.admit().unwrap();
        assert!(is_evicted(&first) && !is_evicted(&third));
        assert_eq!(stats.evictions(), 2);
        // Those who went give up no place twice.
        drop((second, also_busy, fourth));
        drop(first);
        assert_eq!(lock(&connections.open).len(), 1);
        drop(third);
        assert!(lock(&connections.open).is_empty());
    }
}
