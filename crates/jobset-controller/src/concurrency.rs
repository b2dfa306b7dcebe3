//! How many writes may be in flight, learnt from the server's answers.
//!
//! The limit starts small and grows by one for each success until it has doubled per round trip up
//! to the maximum (slow start); an overload answer (429, 5xx, time-out) halves it, and from then on
//! it grows by one per round trip (additive increase). Answers to requests that were sent before a
//! cut do not cut again. A `Retry-After` holds every request back until then. Waiters are served
//! first come, first served.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::lock::lock;

/// In-flight writes at the start.
const INITIAL: f64 = 10.0;

/// Bounds the requests in flight. See the module documentation.
pub(crate) struct Limiter {
    state: Mutex<State>,
}

struct State {
    limit: f64,
    /// Below it the limit grows by one per success, above by one per round trip.
    threshold: f64,
    max: f64,
    in_flight: usize,
    waiters: VecDeque<oneshot::Sender<Permit>>,
    /// Number of cuts so far.
    cuts: u64,
    held_until: Option<Instant>,
}

/// The right to have one request in flight; given back on drop.
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    cuts_at_start: u64,
    /// Whether giving it back hands it to the next waiter.
    serves: bool,
}

impl Limiter {
    /// At most `max` requests in flight (at least one).
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let max = max.max(1) as f64;
        Arc::new(Self {
            state: Mutex::new(State {
                limit: INITIAL.min(max),
                threshold: max,
                max,
                in_flight: 0,
                waiters: VecDeque::new(),
                cuts: 0,
                held_until: None,
            }),
        })
    }

    /// The present limit.
    #[cfg(test)]
    pub(crate) fn limit(&self) -> usize {
        lock(&self.state).limit as usize
    }

    /// Waits until a request may be sent.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Permit {
        let mut permit = loop {
            match self.take_or_wait() {
                Ok(permit) => break permit,
                Err(turn) => {
                    if let Ok(permit) = turn.await {
                        break permit;
                    }
                }
            }
        };
        loop {
            let held = lock(&self.state)
                .held_until
                .filter(|&until| until > Instant::now());
            match held {
                Some(until) => sleep_until(until).await,
                None => break,
            }
        }
        permit.cuts_at_start = lock(&self.state).cuts;
        permit
    }

    fn take_or_wait(self: &Arc<Self>) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut state = lock(&self.state);
        if state.waiters.is_empty() && state.in_flight < state.limit as usize {
            state.in_flight += 1;
            return Ok(self.permit());
        }
        let (sender, receiver) = oneshot::channel();
        state.waiters.push_back(sender);
        Err(receiver)
    }

    fn permit(self: &Arc<Self>) -> Permit {
        Permit {
            limiter: self.clone(),
            cuts_at_start: 0,
            serves: true,
        }
    }

    fn serve_waiters(self: &Arc<Self>) {
        loop {
            let waiter = {
                let mut state = lock(&self.state);
                if state.in_flight >= state.limit as usize {
                    return;
                }
                let Some(waiter) = state.waiters.pop_front() else {
                    return;
                };
                state.in_flight += 1;
                waiter
            };
            if let Err(mut permit) = waiter.send(self.permit()) {
                // The waiter has gone away: this loop goes on, the permit's drop must not recurse.
                permit.serves = false;
            }
        }
    }
}

impl Permit {
    /// The request was answered normally.
    pub(crate) fn succeeded(self) {
        let mut state = lock(&self.limiter.state);
        let step = if state.limit < state.threshold {
            1.0
        } else {
            1.0 / state.limit
        };
        state.limit = (state.limit + step).min(state.max);
    }

    /// The server is overloaded, and perhaps said for how long.
    pub(crate) fn overloaded(self, retry_after: Option<Duration>) {
        let mut state = lock(&self.limiter.state);
        if self.cuts_at_start == state.cuts {
            state.cuts += 1;
            state.limit = (state.limit / 2.0).max(1.0);
            state.threshold = state.limit;
        }
        if let Some(until) = retry_after.and_then(|pause| Instant::now().checked_add(pause)) {
            state.held_until = state.held_until.max(Some(until));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.limiter.state).in_flight -= 1;
        if self.serves {
            self.limiter.serve_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn acquire_now(limiter: &Arc<Limiter>) -> Option<Permit> {
        tokio::time::timeout(Duration::from_nanos(1), limiter.acquire())
            .await
            .ok()
    }

    #[tokio::test(start_paused = true)]
    async fn starts_small_and_doubles_per_round_trip_up_to_the_maximum() {
        let limiter = Limiter::new(50);
        let mut limits = vec![limiter.limit()];
        for _ in 0..4 {
            let mut permits = Vec::new();
            for _ in 0..limiter.limit() {
                permits.push(limiter.acquire().await);
            }
            permits.into_iter().for_each(Permit::succeeded);
            limits.push(limiter.limit());
        }
        assert_eq!(limits, [10, 20, 40, 50, 50]);
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_than_the_limit_and_waiters_in_order() {
        let limiter = Limiter::new(2);
        let first = limiter.acquire().await;
        let _second = limiter.acquire().await;
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..5 {
            let (limiter, sender) = (limiter.clone(), sender.clone());
            tokio::spawn(async move {
                let _permit = limiter.acquire().await;
                sender.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        assert!(receiver.try_recv().is_err());
        drop(first);
        for number in 0..5 {
            assert_eq!(receiver.recv().await, Some(number));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_overload_halves_once_however_many_answers_report_it() {
        let limiter = Limiter::new(50);
        for _ in 0..60 {
            limiter.acquire().await.succeeded();
        }
        assert_eq!(limiter.limit(), 50);
        let mut permits = Vec::new();
        for _ in 0..50 {
            permits.push(limiter.acquire().await);
        }
        for permit in permits {
            permit.overloaded(None);
        }
        assert_eq!(limiter.limit(), 25);
        limiter.acquire().await.overloaded(None);
        assert_eq!(limiter.limit(), 12);
        for _ in 0..13 {
            limiter.acquire().await.succeeded();
        }
        assert_eq!(
            limiter.limit(),
            13,
            "grows by one per round trip after a cut"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_never_falls_below_one() {
        let limiter = Limiter::new(4);
        for _ in 0..20 {
            limiter.acquire().await.overloaded(None);
        }
        assert_eq!(limiter.limit(), 1);
        assert!(acquire_now(&limiter).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_holds_everyone_back() {
        let limiter = Limiter::new(4);
        limiter
            .acquire()
            .await
            .overloaded(Some(Duration::from_secs(3)));
        let start = Instant::now();
        drop(limiter.acquire().await);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_leaks_nothing() {
        let limiter = Limiter::new(1);
        let held = limiter.acquire().await;
        for _ in 0..1000 {
            assert!(acquire_now(&limiter).await.is_none());
        }
        drop(held);
        assert!(acquire_now(&limiter).await.is_some());
        assert!(acquire_now(&limiter).await.is_some());
    }
}
