//! Which JobSet is looked at next.
//!
//! A key is in the queue at most once and is never handed to two workers at a time: a trigger that
//! arrives while its key is being worked on is remembered and queued when the worker is done. Two
//! lanes let a live change overtake the backlog of the initial list. A key can be delayed (`after`),
//! retried with exponential back-off and jitter (`retry`), and spaced: two starts of the same key
//! are at least the spacing apart that its last worker asked for, so that a burst of child events is
//! answered by one reconcile. The spacing counts from the start of the last one and is never
//! extended by later triggers, hence a busy key cannot starve.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::figures::QueueFigures;
use crate::lock::lock;

/// Delay before the first retry of a failing key.
const RETRY_BASE: Duration = Duration::from_millis(5);
/// No retry waits longer than this.
const RETRY_CAP: Duration = Duration::from_secs(1000);
/// Longest delay: timers do not reach arbitrarily far, and looking too early is harmless.
const LONGEST_DELAY: Duration = Duration::from_hours(24);
/// After this many keys of the live lane one of the backlog is served, so that it cannot starve.
const LIVE_RUN: u32 = 16;

/// How urgent a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Known from the initial list: work to be done, but nothing just happened.
    Backlog,
    /// Something changed.
    Live,
}

/// A queue of keys. See the module documentation.
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

struct State<K> {
    live: VecDeque<K>,
    backlog: VecDeque<K>,
    /// Every key that is queued, delayed, being worked on, failing or spaced.
    entries: HashMap<K, Entry>,
    /// Delayed keys by due time; the number makes the map's key unique.
    delayed: BTreeMap<(Instant, u64), K>,
    sequence: u64,
    live_run: u32,
    random: fastrand::Rng,
    closed: bool,
    figures: Arc<QueueFigures>,
}

#[derive(Default)]
struct Entry {
    queued: Option<Lane>,
    /// Since when it is queued.
    since: Option<Instant>,
    working: Option<Instant>,
    /// Number of the work under way in the figures.
    work: u64,
    again: Option<Lane>,
    due: Option<(Instant, u64)>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Entry {
    fn idle(&self) -> bool {
        self.queued.is_none()
            && self.working.is_none()
            && self.due.is_none()
            && self.failures == 0
            && self.not_before.is_none()
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue; `seed` determines the jitter of retries.
    #[cfg(test)]
    pub(crate) fn new(seed: u64) -> Self {
        Self::counted(seed, Arc::default())
    }

    /// An empty queue that tells `figures` what it does; `seed` determines the jitter of retries.
    pub(crate) fn counted(seed: u64, figures: Arc<QueueFigures>) -> Self {
        Self {
            state: Mutex::new(State {
                live: VecDeque::new(),
                backlog: VecDeque::new(),
                entries: HashMap::new(),
                delayed: BTreeMap::new(),
                sequence: 0,
                live_run: 0,
                random: fastrand::Rng::with_seed(seed),
                closed: false,
                figures,
            }),
            wake: Notify::new(),
        }
    }

    /// Queues `key` as soon as its spacing allows; a key that is queued already only moves up.
    pub(crate) fn add(&self, key: &K, lane: Lane) {
        lock(&self.state).add(key, lane, Instant::now());
        self.wake.notify_one();
    }

    /// Whether keys other than this one wait for somebody to take them.
    pub(crate) fn others_wait(&self, key: &K) -> bool {
        let state = lock(&self.state);
        let mut waiting = state.live.iter().chain(&state.backlog);
        waiting.any(|other| other != key)
    }

    /// Queues `key` when `delay` has passed, unless it is started before then: whoever works on it
    /// decides anew when to come back. Of several delays the shortest wins.
    pub(crate) fn after(&self, key: &K, delay: Duration) {
        lock(&self.state).schedule(key, Instant::now() + delay.min(LONGEST_DELAY));
        self.wake.notify_one();
    }

    /// Counts a failure of `key` and queues it after its back-off. Returns the delay.
    pub(crate) fn retry(&self, key: &K) -> Duration {
        let delay = {
            let mut state = lock(&self.state);
            state.figures.retries.add_one();
            let entry = state.entries.entry(key.clone()).or_default();
            let doublings = entry.failures.min(31);
            entry.failures = entry.failures.saturating_add(1);
            let full = RETRY_BASE.saturating_mul(1 << doublings).min(RETRY_CAP);
            let delay = full.mul_f64(0.5 + state.random.f64() / 2.0);
            state.schedule(key, Instant::now() + delay);
            delay
        };
        self.wake.notify_one();
        delay
    }

    /// Forgets the failures of `key`.
    pub(crate) fn forget(&self, key: &K) {
        if let Some(entry) = lock(&self.state).entries.get_mut(key) {
            entry.failures = 0;
        }
    }

    /// Ends the work on `key`. The next start is at least `spacing` after the one that ends here.
    pub(crate) fn done(&self, key: &K, spacing: Duration) {
        lock(&self.state).done(key, spacing, Instant::now());
        self.wake.notify_one();
    }

    /// The next key to work on; `None` once the queue is closed. The caller owes a [`Self::done`].
    pub(crate) async fn next(&self) -> Option<K> {
        loop {
            let woken = self.wake.notified();
            let deadline = {
                let mut state = lock(&self.state);
                if state.closed {
                    return None;
                }
                let now = Instant::now();
                state.promote_due(now);
                if let Some(key) = state.pop(now) {
                    if !state.live.is_empty() || !state.backlog.is_empty() {
                        // One wake-up may stand for several keys: pass it on.
                        self.wake.notify_one();
                    }
                    return Some(key);
                }
                state.delayed.first_key_value().map(|(&(due, _), _)| due)
            };
            match deadline {
                Some(due) => tokio::select! {
                    () = woken => {}
                    () = sleep_until(due) => {}
                },
                None => woken.await,
            }
        }
    }

    /// Makes every present and future [`Self::next`] return `None`.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_waiters();
    }

    /// Keys waiting to be worked on now, without the delayed ones.
    #[cfg(test)]
    fn ready(&self) -> usize {
        let state = lock(&self.state);
        state
            .entries
            .values()
            .filter(|entry| entry.queued.is_some())
            .count()
    }

    /// Keys the queue remembers anything about.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        lock(&self.state).entries.len()
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: &K, lane: Lane, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.working.is_some() {
            entry.again = entry.again.max(Some(lane));
            return;
        }
        if let Some(not_before) = entry.not_before {
            if not_before > now {
                self.schedule(key, not_before);
                return;
            }
            entry.not_before = None;
        }
        if entry.queued >= Some(lane) {
            return;
        }
        // A key that moves up leaves its old place behind; `pop` skips such places.
        match entry.queued.replace(lane) {
            Some(old) => self.figures.taken(old),
            None => {
                self.figures.adds.add_one();
                entry.since = Some(now);
            }
        }
        self.figures.queued(lane);
        match lane {
            Lane::Live => self.live.push_back(key.clone()),
            Lane::Backlog => self.backlog.push_back(key.clone()),
        }
    }

    fn schedule(&mut self, key: &K, due: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        if let Some(earlier) = entry.due {
            if earlier.0 <= due {
                return;
            }
            self.delayed.remove(&earlier);
        }
        self.sequence += 1;
        let slot = (due, self.sequence);
        entry.due = Some(slot);
        self.delayed.insert(slot, key.clone());
    }

    fn promote_due(&mut self, now: Instant) {
        while let Some((&slot, _)) = self.delayed.first_key_value() {
            if slot.0 > now {
                return;
            }
            if let Some(key) = self.delayed.remove(&slot) {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.due = None;
                }
                self.add(&key, Lane::Live, now);
            }
        }
    }

    fn pop(&mut self, now: Instant) -> Option<K> {
        loop {
            let backlog_turn = self.live_run >= LIVE_RUN && !self.backlog.is_empty();
            let (key, lane) = if backlog_turn || self.live.is_empty() {
                self.live_run = 0;
                (self.backlog.pop_front()?, Lane::Backlog)
            } else {
                self.live_run += 1;
                (self.live.pop_front()?, Lane::Live)
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.queued != Some(lane) {
                continue;
            }
            entry.queued = None;
            entry.working = Some(now);
            self.figures.taken(lane);
            entry.work = self.figures.started(entry.since.take(), now);
            if let Some(slot) = entry.due.take() {
                self.delayed.remove(&slot);
            }
            return Some(key);
        }
    }

    fn done(&mut self, key: &K, spacing: Duration, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Some(started) = entry.working.take() else {
            return;
        };
        self.figures.ended(entry.work, now);
        entry.not_before = Some(started + spacing).filter(|&earliest| earliest > now);
        match entry.again.take() {
            Some(lane) => self.add(key, lane, now),
            None if entry.idle() => {
                self.entries.remove(key);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue() -> Queue<&'static str> {
        Queue::new(7)
    }

    async fn next_now(queue: &Queue<&'static str>) -> Option<&'static str> {
        tokio::time::timeout(Duration::from_nanos(1), queue.next())
            .await
            .ok()
            .flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_queued_once() {
        let queue = queue();
        queue.add(&"a", Lane::Live);
        queue.add(&"a", Lane::Live);
        assert_eq!(queue.ready(), 1);
        assert_eq!(next_now(&queue).await, Some("a"));
        assert_eq!(next_now(&queue).await, None);
        queue.done(&"a", Duration::ZERO);
        assert_eq!(queue.remembered(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_once() {
        let queue = queue();
        queue.add(&"a", Lane::Live);
        assert_eq!(next_now(&queue).await, Some("a"));
        queue.add(&"a", Lane::Live);
        assert_eq!(next_now(&queue).await, None);
        queue.done(&"a", Duration::ZERO);
        assert_eq!(next_now(&queue).await, Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn live_keys_overtake_the_backlog() {
        let queue = queue();
        queue.add(&"old", Lane::Backlog);
        queue.add(&"moved up", Lane::Backlog);
        queue.add(&"new", Lane::Live);
        queue.add(&"moved up", Lane::Live);
        assert_eq!(next_now(&queue).await, Some("new"));
        assert_eq!(next_now(&queue).await, Some("moved up"));
        assert_eq!(next_now(&queue).await, Some("old"));
        assert_eq!(next_now(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_backlog_does_not_starve() {
        let queue = Queue::new(1);
        queue.add(&1000, Lane::Backlog);
        for key in 0..100 {
            queue.add(&key, Lane::Live);
        }
        let mut position = 0;
        while queue.next().await != Some(1000) {
            position += 1;
        }
        assert_eq!(position, LIVE_RUN);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_kept_and_the_shortest_wins() {
        let queue = queue();
        let start = Instant::now();
        queue.after(&"a", Duration::from_mins(1));
        queue.after(&"a", Duration::from_secs(10));
        queue.after(&"a", Duration::from_secs(90));
        assert_eq!(queue.next().await, Some("a"));
        assert_eq!(start.elapsed().as_secs(), 10);
        queue.done(&"a", Duration::ZERO);
        assert_eq!(queue.remembered(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn starting_a_key_drops_its_delay() {
        let queue = queue();
        queue.after(&"a", Duration::from_mins(1));
        queue.add(&"a", Lane::Live);
        assert_eq!(next_now(&queue).await, Some("a"));
        queue.done(&"a", Duration::ZERO);
        tokio::time::advance(Duration::from_mins(2)).await;
        assert_eq!(next_now(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_asked_for_while_working_survives() {
        let queue = queue();
        queue.add(&"a", Lane::Live);
        assert_eq!(next_now(&queue).await, Some("a"));
        queue.after(&"a", Duration::from_secs(5));
        queue.done(&"a", Duration::ZERO);
        let start = Instant::now();
        assert_eq!(queue.next().await, Some("a"));
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn spacing_coalesces_a_burst_and_is_not_extended_by_it() {
        let queue = queue();
        let start = Instant::now();
        queue.add(&"a", Lane::Live);
        assert_eq!(next_now(&queue).await, Some("a"));
        queue.done(&"a", Duration::from_millis(50));
        for _ in 0..20 {
            queue.add(&"a", Lane::Live);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(queue.next().await, Some("a"));
        assert_eq!(start.elapsed().as_millis(), 50);
        queue.done(&"a", Duration::ZERO);
        assert_eq!(next_now(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_back_off_to_the_cap_and_success_resets() {
        let queue = queue();
        let mut previous = Duration::ZERO;
        for attempt in 0..40_u32 {
            let delay = queue.retry(&"a");
            let full = RETRY_BASE
                .saturating_mul(1 << attempt.min(31))
                .min(RETRY_CAP);
            assert!(
                delay <= full && delay >= full / 2,
                "attempt {attempt}: {delay:?}"
            );
            assert!(delay >= previous / 4);
            previous = delay;
            assert_eq!(queue.next().await, Some("a"));
            queue.done(&"a", Duration::ZERO);
        }
        queue.forget(&"a");
        assert!(queue.retry(&"a") <= RETRY_BASE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_does_not_wait_for_the_back_off() {
        let queue = queue();
        for _ in 0..20 {
            queue.retry(&"a");
        }
        queue.add(&"a", Lane::Live);
        assert_eq!(next_now(&queue).await, Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_releases_every_worker() {
        let queue = std::sync::Arc::new(queue());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.close();
        for worker in workers {
            assert_eq!(worker.await.unwrap(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_key_added_at_once_finds_a_waiting_worker() {
        let queue = std::sync::Arc::new(Queue::new(3));
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            let (queue, sender) = (queue.clone(), sender.clone());
            tokio::spawn(async move {
                while let Some(key) = queue.next().await {
                    let _ = sender.send(key);
                    queue.done(&key, Duration::ZERO);
                }
            });
        }
        for key in 0..50_u64 {
            queue.after(&key, Duration::from_millis(key % 3));
        }
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 50 {
            seen.insert(receiver.recv().await.unwrap());
        }
    }

    #[derive(Debug, Clone)]
    enum Move {
        Add(u8, bool),
        After(u8, u16),
        Retry(u8),
        Start,
        Finish(u8),
        Pass(u16),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            (0..4_u8, any::<bool>()).prop_map(|(key, live)| Move::Add(key, live)),
            (0..4_u8, 0..200_u16).prop_map(|(key, delay)| Move::After(key, delay)),
            (0..4_u8).prop_map(Move::Retry),
            Just(Move::Start),
            (0..4_u8).prop_map(Move::Finish),
            (0..100_u16).prop_map(Move::Pass),
        ];
        proptest::collection::vec(one, 0..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// No trigger is lost, no key runs twice at once, nothing is remembered in the end.
        #[test]
        fn any_history(moves in moves()) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let queue = Queue::new(11);
                let mut working = std::collections::BTreeSet::new();
                let mut owed = std::collections::BTreeSet::new();
                for step in moves {
                    match step {
                        Move::Add(key, live) => {
                            queue.add(&key, if live { Lane::Live } else { Lane::Backlog });
                            owed.insert(key);
                        }
                        Move::After(key, delay) => {
                            queue.after(&key, Duration::from_millis(delay.into()));
                            owed.insert(key);
                        }
                        Move::Retry(key) => {
                            queue.retry(&key);
                            owed.insert(key);
                        }
                        Move::Start => {
                            let next = tokio::time::timeout(Duration::from_nanos(1), queue.next());
                            if let Ok(Some(key)) = next.await {
                                assert!(working.insert(key), "{key} runs twice");
                                owed.remove(&key);
                            }
                        }
                        Move::Finish(key) => {
                            if working.remove(&key) {
                                queue.forget(&key);
                                queue.done(&key, Duration::from_millis(3));
                            }
                        }
                        Move::Pass(time) => {
                            tokio::time::advance(Duration::from_millis(time.into())).await;
                        }
                    }
                }
                for key in working {
                    queue.done(&key, Duration::ZERO);
                }
                while let Ok(Some(key)) =
                    tokio::time::timeout(Duration::from_secs(5000), queue.next()).await
                {
                    owed.remove(&key);
                    queue.forget(&key);
                    queue.done(&key, Duration::ZERO);
                }
                assert!(owed.is_empty(), "never served: {owed:?}");
            });
        }
    }
}
