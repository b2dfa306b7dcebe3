//! What the webhook server has answered so far, readable at any time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Hook;
use crate::lock::lock;
use crate::stats::Counter;

/// Upper bounds of the latency histogram in seconds, without the infinite one.
pub const LATENCY_BOUNDS: [f64; 12] = [
    1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3,
];

/// Counters of the webhook server. For the metrics page:
///
/// | method | metric |
/// |---|---|
/// | [`Stats::requests`] | `controller_runtime_webhook_requests_total{webhook,code}` |
/// | [`Stats::in_flight`] | `controller_runtime_webhook_requests_in_flight{webhook}` |
/// | [`Stats::latency`] | `controller_runtime_webhook_latency_seconds{webhook}` |
/// | [`Stats::panics`] | `controller_runtime_webhook_panics_total` |
///
/// The label `webhook` is the path.
#[derive(Debug, Default)]
pub struct Stats {
    hooks: [HookStats; 4],
    panics: Counter,
    evictions: Counter,
}

#[derive(Debug, Default)]
struct HookStats {
    in_flight: AtomicU64,
    by_code: Mutex<BTreeMap<u16, u64>>,
    /// One per bound and one for what is above the last.
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// How long requests took.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Upper bound in seconds, and the number of requests that took at most so long. The last
    /// bound is infinite, its number that of all requests.
    pub buckets: Vec<(f64, u64)>,
    /// Seconds of all requests together.
    pub sum: f64,
}

impl Stats {
    /// Requests answered, by path and HTTP status. 200 and 500 are always there.
    pub fn requests(&self) -> BTreeMap<(&'static str, u16), u64> {
        let mut requests = BTreeMap::new();
        for hook in Hook::ALL {
            for code in [200, 500] {
                requests.insert((hook.path(), code), 0);
            }
            for (&code, &count) in &*lock(&self.of(hook).by_code) {
                requests.insert((hook.path(), code), count);
            }
        }
        requests
    }

    /// Requests that are being answered now, by path.
    pub fn in_flight(&self) -> BTreeMap<&'static str, u64> {
        let read = |hook: Hook| self.of(hook).in_flight.load(Ordering::Relaxed);
        Hook::ALL.map(|hook| (hook.path(), read(hook))).into()
    }

    /// Time from the head of a request to its answer, by path.
    pub fn latency(&self) -> BTreeMap<&'static str, Latency> {
        Hook::ALL
            .map(|hook| (hook.path(), self.of(hook).latency()))
            .into()
    }

    /// Panics caught while a review was answered.
    pub fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Idle connections that were closed because there were too many.
    pub fn evictions(&self) -> u64 {
        self.evictions.get()
    }

    pub(super) fn count_panic(&self) {
        self.panics.add_one();
    }

    pub(super) fn count_eviction(&self) {
        self.evictions.add_one();
    }

    /// A request begins.
    pub(super) fn begin(&self, hook: Hook) -> InFlight<'_> {
        let stats = self.of(hook);
        stats.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight {
            stats,
            begun: Instant::now(),
        }
    }

    fn of(&self, hook: Hook) -> &HookStats {
        &self.hooks[hook as usize]
    }
}

impl HookStats {
    fn latency(&self) -> Latency {
        let mut total = 0;
        let bounds = LATENCY_BOUNDS.iter().copied().chain([f64::INFINITY]);
        let buckets = bounds.zip(&self.buckets).map(|(bound, count)| {
            total += count.load(Ordering::Relaxed);
            (bound, total)
        });
        Latency {
            buckets: buckets.collect(),
            sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// A request that is being answered. Dropped without an answer (the client went away), it is
/// only no longer in flight.
pub(super) struct InFlight<'a> {
    stats: &'a HookStats,
    begun: Instant,
}

impl InFlight<'_> {
    /// It has been answered.
    pub(super) fn end(self, code: u16) {
        let elapsed = self.begun.elapsed();
        let seconds = elapsed.as_secs_f64();
        let bucket = LATENCY_BOUNDS.partition_point(|bound| *bound < seconds);
        self.stats.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.stats
            .nanoseconds
            .fetch_add(elapsed.as_nanos() as u64, Ordering::Relaxed);
        *lock(&self.stats.by_code).entry(code).or_default() += 1;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_path_and_code() {
        let stats = Stats::default();
        let pod = Hook::MutatePod.path();
        let first = stats.begin(Hook::MutatePod);
        let second = stats.begin(Hook::MutatePod);
        assert_eq!(stats.in_flight()[pod], 2);
        first.end(200);
        drop(second);
        stats.begin(Hook::MutatePod).end(408);
        assert_eq!(stats.in_flight()[pod], 0);
        let requests = stats.requests();
        assert_eq!(requests[&(pod, 200)], 1);
        assert_eq!(requests[&(pod, 500)], 0);
        assert_eq!(requests[&(pod, 408)], 1);
        assert_eq!(requests[&(Hook::ValidatePod.path(), 200)], 0);
        let latency = &stats.latency()[pod];
        assert_eq!(latency.buckets.len(), 13);
        assert_eq!(latency.buckets.last(), Some(&(f64::INFINITY, 2)));
        assert!(latency.buckets.is_sorted_by_key(|(_, count)| *count));
        assert!(latency.sum > 0.0);
    }
}
