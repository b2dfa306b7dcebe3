//! The client-side limit on requests: a token bucket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests per second, and how many at once after a pause. Cloning gives the same bucket.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    bucket: Arc<Mutex<Bucket>>,
    interval: Duration,
}

#[derive(Debug)]
struct Bucket {
    /// When the bucket would be full; each request moves it into the future.
    full_at: Instant,
    burst: Duration,
}

impl Rate {
    /// A limit; `None` for a rate below 0, which means no limit. A rate or burst of 0 gets the value
    /// that Kubernetes' Go client puts in its place: 5 per second, 10 at once.
    pub(crate) fn new(qps: f32, burst: i32) -> Option<Self> {
        if qps < 0.0 || !qps.is_finite() {
            return None;
        }
        let qps = if qps == 0.0 { 5.0 } else { qps };
        let burst = u32::try_from(burst)
            .ok()
            .filter(|&burst| burst > 0)
            .unwrap_or(10);
        let interval = Duration::from_secs_f64(1.0 / f64::from(qps));
        Some(Self {
            bucket: Arc::new(Mutex::new(Bucket {
                full_at: Instant::now(),
                burst: interval.saturating_mul(burst),
            })),
            interval,
        })
    }

    /// Waits for a token. Who comes first is served first.
    pub(crate) async fn take(&self) {
        let wait_until = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            bucket.full_at = bucket.full_at.max(now) + self.interval;
            // Tokens left: the part of the burst that does not lie in the future.
            bucket.full_at.checked_sub(bucket.burst).unwrap_or(now)
        };
        tokio::time::sleep_until(wait_until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_is_paced() {
        let rate = Rate::new(10.0, 5).unwrap();
        let start = Instant::now();
        for _ in 0..5 {
            rate.take().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            rate.take().await;
        }
        assert_eq!(start.elapsed().as_millis() / 10, 100);
        tokio::time::advance(Duration::from_secs(10)).await;
        let start = Instant::now();
        for _ in 0..6 {
            rate.take().await;
        }
        assert_eq!(start.elapsed().as_millis() / 10, 10);
    }

    #[test]
    fn limits_that_are_none() {
        assert!(Rate::new(-1.0, 5).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn zero_is_the_go_clients_default() {
        let rate = Rate::new(0.0, 0).unwrap();
        let start = Instant::now();
        for _ in 0..15 {
            rate.take().await;
        }
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
