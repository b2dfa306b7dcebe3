//! Pauses between tries.

use std::time::{Duration, Instant};

/// The first pause: others wait at the barrier.
const FIRST: Duration = Duration::from_millis(100);
/// The longest one: a server that comes back meets all agents at once.
const LONGEST: Duration = Duration::from_secs(30);
/// What goes on failing shortly after each success gets no shorter pauses.
const CALM: Duration = Duration::from_mins(1);

/// The pause after so many failures in a row, at least one, before jitter.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST)
}

/// The pause after so many failures in a row, at least one.
pub(crate) fn after(failures: u32) -> Duration {
    pause(failures).mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// The pauses of a watch.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    last: Option<Instant>,
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(Instant::now());
        Some(after(self.failures))
    }
}

impl kube::runtime::utils::Backoff for Backoff {
    fn reset(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() > CALM) {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let seconds: Vec<f64> = (1..=11).map(|n| pause(n).as_secs_f64()).collect();
        let expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0];
        assert_eq!(seconds, expected);
        assert_eq!(pause(u32::MAX), LONGEST);
        for failures in 1..20 {
            let (with_jitter, full) = (after(failures), pause(failures));
            assert!(with_jitter >= full / 2 && with_jitter <= full);
        }
    }
}
