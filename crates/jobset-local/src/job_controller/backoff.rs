//! How long a Job waits before it replaces a failed Pod.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// The delay after the first failure and the longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffLimits {
    /// Delay after one failure; doubled with each further one.
    pub base: Duration,
    /// Longest delay.
    pub cap: Duration,
}

/// Failures of one Job since its last success.
///
/// It is kept in memory only, as in Kubernetes; after a restart it is built again from the
/// ended Pods that still exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackoffRecord {
    /// Failures since the last success.
    pub failures: u32,
    /// When the last of them happened.
    pub last_failure: Option<Timestamp>,
}

impl BackoffRecord {
    /// The record after Pods have ended at these times.
    pub fn after(self, succeeded: &[Timestamp], failed: &[Timestamp]) -> Self {
        let start = if succeeded.is_empty() {
            self
        } else {
            Self::default()
        };
        let last_success = succeeded.iter().max();
        failed
            .iter()
            .filter(|time| last_success.is_none_or(|success| *time > success))
            .fold(start, |record, time| Self {
                failures: record.failures.saturating_add(1),
                last_failure: record.last_failure.max(Some(*time)),
            })
    }

    /// How long to wait from `now` until the next Pod may be created.
    pub fn remaining(self, limits: BackoffLimits, now: Timestamp) -> Duration {
        match self.last_failure {
            Some(time) => remaining(self.failures, time, limits, now),
            None => Duration::ZERO,
        }
    }
}

/// How long to wait from `now` after `failures` failures, the last at `last`.
pub fn remaining(
    failures: u32,
    last: Timestamp,
    limits: BackoffLimits,
    now: Timestamp,
) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let factor = 2_u32.saturating_pow(failures - 1);
    let delay = limits.base.saturating_mul(factor).min(limits.cap);
    // A failure "in the future" is a clock jump; it must not stretch the delay.
    let elapsed = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    delay.saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const LIMITS: BackoffLimits = BackoffLimits {
        base: Duration::from_secs(10),
        cap: Duration::from_mins(6),
    };

    #[test]
    fn delays_double_up_to_the_cap() {
        for (failures, seconds) in [
            (0, 0),
            (1, 10),
            (2, 20),
            (3, 40),
            (4, 80),
            (5, 160),
            (6, 320),
            (7, 360),
            (999, 360),
        ] {
            let wait = remaining(failures, at(1000), LIMITS, at(1000));
            assert_eq!(wait.as_secs(), seconds, "{failures}");
        }
        assert_eq!(remaining(2, at(1000), LIMITS, at(1015)).as_secs(), 5);
        assert_eq!(remaining(2, at(1000), LIMITS, at(1020)).as_secs(), 0);
        assert_eq!(remaining(2, at(1000), LIMITS, at(5000)).as_secs(), 0);
        assert_eq!(remaining(2, at(1000), LIMITS, at(500)).as_secs(), 20);
    }

    #[test]
    fn a_success_forgets_the_failures_before_it() {
        let record = BackoffRecord::default().after(&[], &[at(5), at(3)]);
        assert_eq!(
            record,
            BackoffRecord {
                failures: 2,
                last_failure: Some(at(5))
            }
        );
        assert_eq!(record.after(&[], &[]), record);
        assert_eq!(record.after(&[at(9)], &[]), BackoffRecord::default());
        let mixed = record.after(&[at(9)], &[at(8), at(9), at(11), at(12)]);
        assert_eq!(
            mixed,
            BackoffRecord {
                failures: 2,
                last_failure: Some(at(12))
            }
        );
    }
}
