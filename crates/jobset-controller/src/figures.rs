//! Figures beyond plain counters: distributions, and what is known per JobSet or per rule.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::index::Key;
use crate::lock::lock;
use crate::queue::Lane;
use crate::stats::Counter;

/// Upper bounds of the buckets for the time of a reconcile, in seconds.
const RECONCILE: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0,
    25.0, 30.0, 40.0, 50.0, 60.0,
];
/// The same for times in the queue.
const QUEUE: &[f64] = &[
    1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0,
];
/// The same for what a user waits for.
const STARTUP: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    3600.0,
];
/// How long the series of a JobSet that is gone stay, so that they are read at least once more.
const GRACE: Duration = Duration::from_mins(10);
/// Pairs of rule and action that are told apart; the rest is one pair.
const MOST_RULES: usize = 256;

/// A distribution of durations.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last is for what is above all of them.
    buckets: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// An empty distribution with these upper bounds of buckets, in seconds and ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.partition_point(|&bound| bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The distribution as it is now.
    pub fn snapshot(&self) -> Distribution {
        let mut count = 0;
        let mut below = Vec::with_capacity(self.bounds.len());
        for (bucket, bound) in self.buckets.iter().zip(self.bounds) {
            count += bucket.load(Ordering::Relaxed);
            below.push((*bound, count));
        }
        count += self.buckets[self.bounds.len()].load(Ordering::Relaxed);
        Distribution {
            below,
            count,
            sum: self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }
}

/// A [`Histogram`] at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Upper bound in seconds, and how many values are not above it.
    pub below: Vec<(f64, u64)>,
    /// How many values there are.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

/// What a queue has done and holds.
#[derive(Debug)]
pub struct QueueFigures {
    pub(crate) adds: Counter,
    pub(crate) retries: Counter,
    wait: Histogram,
    work: Histogram,
    live: AtomicI64,
    backlog: AtomicI64,
    /// Start of each piece of work under way.
    running: Mutex<BTreeMap<u64, Instant>>,
    next: AtomicU64,
}

impl Default for QueueFigures {
    fn default() -> Self {
        Self {
            adds: Counter::default(),
            retries: Counter::default(),
            wait: Histogram::new(QUEUE),
            work: Histogram::new(QUEUE),
            live: AtomicI64::new(0),
            backlog: AtomicI64::new(0),
            running: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }
}

impl QueueFigures {
    /// Keys that were queued.
    pub fn adds(&self) -> u64 {
        self.adds.get()
    }

    /// Keys that were queued again after a failure.
    pub fn retries(&self) -> u64 {
        self.retries.get()
    }

    /// Keys that wait at (normal, low) priority.
    pub fn depth(&self) -> (i64, i64) {
        (
            self.live.load(Ordering::Relaxed),
            self.backlog.load(Ordering::Relaxed),
        )
    }

    /// How long keys waited.
    pub fn wait(&self) -> Distribution {
        self.wait.snapshot()
    }

    /// How long keys were worked on.
    pub fn work(&self) -> Distribution {
        self.work.snapshot()
    }

    /// Time spent so far on all the work under way, and on the longest piece of it.
    pub fn unfinished(&self) -> (Duration, Duration) {
        let running = lock(&self.running);
        let times = running.values().map(Instant::elapsed);
        times.fold((Duration::ZERO, Duration::ZERO), |(sum, longest), time| {
            (sum + time, longest.max(time))
        })
    }

    pub(crate) fn queued(&self, lane: Lane) {
        self.gauge(lane).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self, lane: Lane) {
        self.gauge(lane).fetch_sub(1, Ordering::Relaxed);
    }

    fn gauge(&self, lane: Lane) -> &AtomicI64 {
        match lane {
            Lane::Live => &self.live,
            Lane::Backlog => &self.backlog,
        }
    }

    /// Work begins on a key that has waited since `queued`; the number is for [`Self::ended`].
    pub(crate) fn started(&self, queued: Option<Instant>, now: Instant) -> u64 {
        if let Some(queued) = queued {
            self.wait.observe(now.saturating_duration_since(queued));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.running).insert(number, now);
        number
    }

    pub(crate) fn ended(&self, number: u64, now: Instant) {
        let started = lock(&self.running).remove(&number);
        if let Some(started) = started {
            self.work.observe(now.saturating_duration_since(started));
        }
    }
}

/// How the reconciles of a controller end, and how long they take.
#[derive(Debug)]
pub struct WorkFigures {
    /// Reconciles after which nothing is to be done.
    pub(crate) success: Counter,
    /// Reconciles that are repeated at once.
    pub(crate) requeue: Counter,
    /// Reconciles that are repeated after a while.
    pub(crate) requeue_after: Counter,
    /// Reconciles that are repeated with back-off.
    pub(crate) error: Counter,
    pub(crate) panics: Counter,
    time: Histogram,
    active: AtomicI64,
    workers: AtomicI64,
}

impl Default for WorkFigures {
    fn default() -> Self {
        Self {
            success: Counter::default(),
            requeue: Counter::default(),
            requeue_after: Counter::default(),
            error: Counter::default(),
            panics: Counter::default(),
            time: Histogram::new(RECONCILE),
            active: AtomicI64::new(0),
            workers: AtomicI64::new(0),
        }
    }
}

impl WorkFigures {
    /// Reconciles by how they ended: with nothing left to do, with an error, to be repeated at once,
    /// to be repeated later.
    pub fn ended(&self) -> [u64; 4] {
        [
            &self.success,
            &self.error,
            &self.requeue,
            &self.requeue_after,
        ]
        .map(Counter::get)
    }

    /// Panics that were caught; each is an error as well.
    pub fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// How long reconciles took.
    pub fn time(&self) -> Distribution {
        self.time.snapshot()
    }

    /// Workers that are in a reconcile.
    pub fn active(&self) -> i64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Workers there are.
    pub fn workers(&self) -> i64 {
        self.workers.load(Ordering::Relaxed)
    }

    pub(crate) fn set_workers(&self, workers: usize) {
        let workers = i64::try_from(workers).unwrap_or(i64::MAX);
        self.workers.store(workers, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, took: Duration) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.time.observe(took);
    }
}

/// What happened to JobSets.
#[derive(Debug)]
pub struct JobSetFigures {
    ends: Mutex<HashMap<Key, Ends>>,
    restarts: Mutex<BTreeMap<(String, String), u64>>,
    created: Histogram,
    ready: Histogram,
    lost_milliseconds: AtomicU64,
}

/// How often a JobSet of this name has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    completed: u64,
    failed: u64,
    gone: Option<Instant>,
}

/// How often the JobSets of one name have ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ended {
    /// Name of the JobSet.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// How often it became Completed.
    pub completed: u64,
    /// How often it became Failed.
    pub failed: u64,
}

impl Default for JobSetFigures {
    fn default() -> Self {
        Self {
            ends: Mutex::default(),
            restarts: Mutex::default(),
            created: Histogram::new(STARTUP),
            ready: Histogram::new(STARTUP),
            lost_milliseconds: AtomicU64::new(0),
        }
    }
}

impl JobSetFigures {
    /// JobSets that have ended, by namespace and name; those that are gone only for a while.
    pub fn ended(&self) -> Vec<Ended> {
        let mut ends = lock(&self.ends);
        ends.retain(|_, ends| ends.gone.is_none_or(|gone| gone.elapsed() < GRACE));
        let mut list: Vec<_> = ends
            .iter()
            .map(|(key, ends)| Ended {
                name: key.name.to_string(),
                namespace: key.namespace.to_string(),
                completed: ends.completed,
                failed: ends.failed,
            })
            .collect();
        list.sort();
        list
    }

    /// Restarts by (rule, action). The rule is empty where it cannot be told.
    pub fn restarts(&self) -> BTreeMap<(String, String), u64> {
        lock(&self.restarts).clone()
    }

    /// Time from a JobSet's creation until all its Jobs existed.
    pub fn created(&self) -> Distribution {
        self.created.snapshot()
    }

    /// Time from a JobSet's creation until all its Jobs were ready.
    pub fn ready(&self) -> Distribution {
        self.ready.snapshot()
    }

    /// Time between the failures that restarted whole JobSets and all Jobs being ready again, in
    /// seconds, over all JobSets.
    pub fn lost(&self) -> f64 {
        self.lost_milliseconds.load(Ordering::Relaxed) as f64 / 1e3
    }

    pub(crate) fn completed(&self, key: &Key) {
        self.change(key, |ends| ends.completed += 1);
    }

    pub(crate) fn failed(&self, key: &Key) {
        self.change(key, |ends| ends.failed += 1);
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Ends)) {
        let mut ends = lock(&self.ends);
        let ends = ends.entry(key.clone()).or_default();
        ends.gone = None;
        change(ends);
    }

    /// There is no JobSet of this name any more.
    pub(crate) fn gone(&self, key: &Key) {
        if let Some(ends) = lock(&self.ends).get_mut(key) {
            ends.gone.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn restarted(&self, rule: &str, action: &str) {
        let mut restarts = lock(&self.restarts);
        let known = (rule.to_owned(), action.to_owned());
        let key = if restarts.len() < MOST_RULES || restarts.contains_key(&known) {
            known
        } else {
            ("(others)".to_owned(), action.to_owned())
        };
        *restarts.entry(key).or_default() += 1;
    }

    pub(crate) fn all_created(&self, after: Duration) {
        self.created.observe(after);
    }

    pub(crate) fn all_ready(&self, after: Duration) {
        self.ready.observe(after);
    }

    pub(crate) fn add_lost(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.lost_milliseconds
            .fetch_add(milliseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_below_it() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for milliseconds in [0, 1000, 1001, 2000, 5000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        assert_eq!(
            histogram.snapshot(),
            Distribution {
                below: vec![(1.0, 2), (2.0, 4)],
                count: 5,
                sum: 9.001,
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn series_of_a_jobset_end_some_time_after_it() {
        let figures = JobSetFigures::default();
        let (a, b) = (Key::new("ns", "a"), Key::new("ns", "b"));
        for _ in 0..2 {
            figures.failed(&a);
        }
        figures.completed(&b);
        figures.gone(&a);
        figures.gone(&Key::new("ns", "unknown"));
        tokio::time::advance(GRACE / 2).await;
        figures.gone(&a);
        assert_eq!(figures.ended().len(), 2);
        assert_eq!(figures.ended()[0].failed, 2);
        tokio::time::advance(GRACE).await;
        let names: Vec<_> = figures
            .ended()
            .into_iter()
            .map(|ended| ended.name)
            .collect();
        assert_eq!(names, ["b"]);
        // A JobSet that comes again counts on.
        figures.gone(&b);
        figures.completed(&b);
        tokio::time::advance(GRACE * 2).await;
        assert_eq!(figures.ended()[0].completed, 2);
    }

    #[test]
    fn there_is_a_limit_to_rules() {
        let figures = JobSetFigures::default();
        for number in 0..2 * MOST_RULES {
            figures.restarted(&format!("rule{number}"), "RestartJobSet");
        }
        figures.restarted("rule1", "RestartJobSet");
        let restarts = figures.restarts();
        assert_eq!(restarts.len(), MOST_RULES + 1);
        assert_eq!(restarts.values().sum::<u64>(), 2 * MOST_RULES as u64 + 1);
        assert_eq!(
            restarts[&("rule1".to_owned(), "RestartJobSet".to_owned())],
            2
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_under_way() {
        let figures = QueueFigures::default();
        let first = figures.started(None, Instant::now());
        tokio::time::advance(Duration::from_secs(2)).await;
        let second = figures.started(Some(Instant::now()), Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        let (sum, longest) = figures.unfinished();
        assert_eq!((sum.as_secs(), longest.as_secs()), (4, 3));
        figures.ended(first, Instant::now());
        figures.ended(second, Instant::now());
        assert_eq!(figures.unfinished().0, Duration::ZERO);
        assert_eq!(figures.work().count, 2);
        assert_eq!(figures.wait().count, 1);
    }
}
