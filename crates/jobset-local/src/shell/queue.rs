//! A work queue of keys.
//!
//! Invariants:
//! * a key waits at most once, however often it is added (events coalesce while it waits);
//! * a key is handed to at most one worker at a time; adding it meanwhile makes it wait again
//!   after [`KeyedQueue::done`];
//! * a delayed key has one deadline, the earliest asked for.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First delay after a failed attempt; doubled with each further failure of the same key.
const RETRY_BASE: Duration = Duration::from_millis(5);
/// Longest delay between two attempts.
const RETRY_CAP: Duration = Duration::from_secs(30);

/// What a worker says about a key it has processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing left to do until somebody adds the key again.
    Done,
    /// Look at the key again after this time.
    After(Duration),
    /// Something went wrong; try again with exponential back-off.
    Retry,
}

/// A queue of keys shared by its clones. See the module documentation for its invariants.
pub struct KeyedQueue<K> {
    inner: Arc<Inner<K>>,
}

impl<K> Clone for KeyedQueue<K> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K> std::fmt::Debug for KeyedQueue<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedQueue").finish_non_exhaustive()
    }
}

struct Inner<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// Keys that wait in `ready`, or were added while being processed.
    dirty: HashSet<K>,
    processing: HashSet<K>,
    delayed: BTreeMap<(Instant, u64), K>,
    deadline_of: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    sequence: u64,
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: K) -> bool {
        if let Some(at) = self.deadline_of.remove(&key) {
            self.delayed.remove(&at);
        }
        if !self.dirty.insert(key.clone()) || self.processing.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn release_due(&mut self, now: Instant) -> usize {
        let mut released = 0;
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.deadline_of.remove(&key);
            released += usize::from(self.add(key));
        }
        released
    }
}

impl<K: Clone + Eq + Hash> Default for KeyedQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash> KeyedQueue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    ready: VecDeque::new(),
                    dirty: HashSet::new(),
                    processing: HashSet::new(),
                    delayed: BTreeMap::new(),
                    deadline_of: HashMap::new(),
                    failures: HashMap::new(),
                    sequence: 0,
                }),
                wake: Notify::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        // Nothing that can panic runs under the lock, so a poisoned state is still consistent.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `key` wait for a worker at once.
    pub fn add(&self, key: K) {
        if self.state().add(key) {
            self.inner.wake.notify_one();
        }
    }

    /// Makes `key` wait for a worker after `delay`, unless it is due earlier anyway.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            self.add(key);
            return;
        }
        let Some(at) = Instant::now().checked_add(delay) else {
            return;
        };
        {
            let state = &mut *self.state();
            if state.dirty.contains(&key) {
                return;
            }
            if let Some(old) = state.deadline_of.get(&key).copied() {
                if old.0 <= at {
                    return;
                }
                state.delayed.remove(&old);
            }
            state.sequence += 1;
            let slot = (at, state.sequence);
            state.delayed.insert(slot, key.clone());
            state.deadline_of.insert(key, slot);
        }
        // A sleeping worker may have to wake earlier than it planned.
        self.inner.wake.notify_one();
    }

    /// The next key. It counts as being processed until [`KeyedQueue::done`] is called with it.
    pub async fn next(&self) -> K {
        loop {
            let notified = self.inner.wake.notified();
            tokio::pin!(notified);
            // Register before looking, or a key added in between would be slept through.
            notified.as_mut().enable();
            let deadline = {
                let state = &mut *self.state();
                let released = state.release_due(Instant::now());
                for _ in 1..released {
                    self.inner.wake.notify_one();
                }
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.processing.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.inner.wake.notify_one();
                    }
                    return key;
                }
                state.delayed.first_key_value().map(|((at, _), _)| *at)
            };
            match deadline {
                Some(at) => {
                    tokio::select! {
                        () = &mut notified => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => notified.await,
            }
        }
    }

    /// Ends the processing of `key`.
    pub fn done(&self, key: &K, outcome: Outcome) {
        let delay = {
            let state = &mut *self.state();
            state.processing.remove(key);
            let delay = match outcome {
                Outcome::Done => {
                    state.failures.remove(key);
                    None
                }
                Outcome::After(delay) => {
                    state.failures.remove(key);
                    Some(delay)
                }
                Outcome::Retry => {
                    let failures = state.failures.entry(key.clone()).or_insert(0);
                    let delay = RETRY_BASE * 2_u32.saturating_pow((*failures).min(16));
                    *failures = failures.saturating_add(1);
                    Some(delay.min(RETRY_CAP))
                }
            };
            if state.dirty.contains(key) {
                state.ready.push_back(key.clone());
                None
            } else {
                match delay {
                    Some(delay) => Some(delay),
                    None => return,
                }
            }
        };
        match delay {
            Some(delay) => self.add_after(key.clone(), delay),
            None => self.inner.wake.notify_one(),
        }
    }

    /// How many keys wait for a worker now, not counting delayed ones.
    pub fn len(&self) -> usize {
        self.state().ready.len()
    }

    /// Whether no key waits for a worker now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Runs `workers` tasks that take keys from `queue` and hand them to `work` until `shutdown`.
///
/// A panic in `work` is logged and counts as a failed attempt: one bad object must not stop the
/// others. Work in progress at shutdown is dropped at its next await point.
pub async fn run_workers<K, F, Fut>(
    queue: KeyedQueue<K>,
    workers: usize,
    shutdown: CancellationToken,
    work: F,
) where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    F: Fn(K) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for _ in 0..workers.max(1) {
        let (queue, shutdown, work) = (queue.clone(), shutdown.clone(), work.clone());
        tasks.spawn(async move {
            let body = async {
                loop {
                    let key = queue.next().await;
                    let result = AssertUnwindSafe(async { work(key.clone()).await })
                        .catch_unwind()
                        .await;
                    let outcome = result.unwrap_or_else(|_| {
                        tracing::error!("a worker panicked; the key is tried again");
                        Outcome::Retry
                    });
                    queue.done(&key, outcome);
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = body => {}
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next_now(queue: &KeyedQueue<u32>) -> Option<u32> {
        tokio::time::timeout(Duration::ZERO, queue.next())
            .await
            .ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once() {
        let queue = KeyedQueue::new();
        queue.add(1);
        queue.add(1);
        queue.add(2);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.next().await, 1);
        assert_eq!(queue.next().await, 2);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_processed_comes_back_after_done() {
        let queue = KeyedQueue::new();
        queue.add(1);
        assert_eq!(queue.next().await, 1);
        queue.add(1);
        assert_eq!(next_now(&queue).await, None);
        queue.done(&1, Outcome::Done);
        assert_eq!(next_now(&queue).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_deadline_wins() {
        let queue = KeyedQueue::new();
        let start = Instant::now();
        queue.add_after(1, Duration::from_secs(10));
        queue.add_after(1, Duration::from_secs(3));
        queue.add_after(1, Duration::from_secs(5));
        assert_eq!(queue.next().await, 1);
        assert_eq!(start.elapsed().as_secs(), 3);
        queue.done(&1, Outcome::Done);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(next_now(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeping_worker_wakes_for_an_earlier_deadline() {
        let queue = KeyedQueue::new();
        queue.add_after(1, Duration::from_secs(100));
        let other = queue.clone();
        let waiter = tokio::spawn(async move { other.next().await });
        tokio::task::yield_now().await;
        queue.add_after(2, Duration::from_secs(1));
        assert_eq!(waiter.await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_success_forgets_them() {
        let queue = KeyedQueue::new();
        for _ in 0..2 {
            queue.add(1);
            assert_eq!(queue.next().await, 1);
            for expected in [5, 10, 20, 40] {
                let before = Instant::now();
                queue.done(&1, Outcome::Retry);
                assert_eq!(queue.next().await, 1);
                assert_eq!(before.elapsed().as_millis(), expected);
            }
            queue.done(&1, Outcome::Done);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_key_is_never_processed_twice_at_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let queue = KeyedQueue::new();
        let shutdown = CancellationToken::new();
        let (active, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (a, s, stop, again) = (
            Arc::clone(&active),
            Arc::clone(&seen),
            shutdown.clone(),
            queue.clone(),
        );
        queue.add(7);
        run_workers(queue, 8, shutdown, move |key| {
            let (a, s, stop, again) = (Arc::clone(&a), Arc::clone(&s), stop.clone(), again.clone());
            async move {
                assert_eq!(a.fetch_add(1, Ordering::SeqCst), 0);
                again.add(key);
                tokio::time::sleep(Duration::from_millis(1)).await;
                a.fetch_sub(1, Ordering::SeqCst);
                if s.fetch_add(1, Ordering::SeqCst) == 20 {
                    stop.cancel();
                }
                Outcome::Done
            }
        })
        .await;
        assert!(seen.load(Ordering::SeqCst) >= 20);
    }
}
