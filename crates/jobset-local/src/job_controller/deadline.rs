//! `spec.activeDeadlineSeconds`.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// Where a Job stands with respect to its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// It has none, or has not started.
    None,
    /// It passes after this time.
    In(Duration),
    /// It has passed.
    Passed,
}

/// Compares the time since `start` with the deadline of `seconds`.
pub fn check(seconds: Option<i64>, start: Option<Timestamp>, now: Timestamp) -> Deadline {
    let (Some(seconds), Some(start)) = (seconds, start) else {
        return Deadline::None;
    };
    let allowed = Duration::from_secs(seconds.max(0).unsigned_abs());
    let active = Duration::try_from(now.duration_since(start)).unwrap_or_default();
    match allowed.checked_sub(active) {
        Some(left) if !left.is_zero() => Deadline::In(left),
        _ => Deadline::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, start, now, expected) in [
            (None, Some(0), 99, Deadline::None),
            (Some(10), None, 99, Deadline::None),
            (
                Some(10),
                Some(100),
                104,
                Deadline::In(Duration::from_secs(6)),
            ),
            (Some(10), Some(100), 110, Deadline::Passed),
            (Some(10), Some(100), 999, Deadline::Passed),
            (
                Some(10),
                Some(100),
                50,
                Deadline::In(Duration::from_secs(10)),
            ),
            (Some(-1), Some(100), 100, Deadline::Passed),
        ] {
            assert_eq!(check(seconds, start.map(at), at(now)), expected);
        }
    }
}
