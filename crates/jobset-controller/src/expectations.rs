//! Jobs that were written and that the watch has not shown yet.
//!
//! The answer to a creation goes into the cache at once, so that the next plan does not create the
//! Job again although the watch lags. That leaves one doubt: if the Job is deleted in the gap of a
//! relist, no event ever takes it out. So each such Job is expected here until a watch event shows
//! it; if none does in time, the Job is looked up.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Jobs by the uid of their JobSet, then by their own name.
#[derive(Default)]
pub(crate) struct Expectations {
    by_owner: HashMap<String, HashMap<String, Expected>>,
}

struct Expected {
    uid: String,
    since: Instant,
}

impl Expectations {
    /// A Job was written; counts from `now`, also if it is expected already.
    pub(crate) fn expect(&mut self, owner: &str, name: &str, uid: &str, now: Instant) {
        let expected = Expected {
            uid: uid.to_owned(),
            since: now,
        };
        self.by_owner
            .entry(owner.to_owned())
            .or_default()
            .insert(name.to_owned(), expected);
    }

    /// The watch has shown the Job, or its end; it is no longer expected.
    pub(crate) fn confirm(&mut self, owner: &str, name: &str, uid: &str) {
        if let Some(of_owner) = self.by_owner.get_mut(owner) {
            if of_owner
                .get(name)
                .is_some_and(|expected| expected.uid == uid)
            {
                of_owner.remove(name);
            }
            if of_owner.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }

    /// Whether this Job is expected.
    pub(crate) fn is_expected(&self, owner: &str, name: &str, uid: &str) -> bool {
        self.by_owner
            .get(owner)
            .and_then(|of_owner| of_owner.get(name))
            .is_some_and(|expected| expected.uid == uid)
    }

    /// Names of the owner's Jobs that have been expected for `patience`, and when the next of the
    /// others will have been.
    pub(crate) fn overdue(
        &self,
        owner: &str,
        now: Instant,
        patience: Duration,
    ) -> (Vec<String>, Option<Duration>) {
        let mut names = Vec::new();
        let mut next: Option<Duration> = None;
        for (name, expected) in self.by_owner.get(owner).into_iter().flatten() {
            let left = patience.saturating_sub(now.saturating_duration_since(expected.since));
            if left.is_zero() {
                names.push(name.clone());
            } else {
                next = Some(next.map_or(left, |next| next.min(left)));
            }
        }
        names.sort_unstable();
        (names, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_is_not_confirmed_becomes_overdue() {
        let mut expectations = Expectations::default();
        expectations.expect("js", "a", "1", Instant::now());
        tokio::time::advance(Duration::from_secs(4)).await;
        expectations.expect("js", "b", "2", Instant::now());
        assert_eq!(
            expectations.overdue("js", Instant::now(), PATIENCE),
            (vec![], Some(Duration::from_secs(6)))
        );
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(
            expectations.overdue("js", Instant::now(), PATIENCE),
            (vec!["a".to_owned()], Some(Duration::from_secs(4)))
        );
        assert_eq!(
            expectations.overdue("other", Instant::now(), PATIENCE),
            (vec![], None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_same_incarnation_confirms() {
        let mut expectations = Expectations::default();
        expectations.expect("js", "a", "new", Instant::now());
        expectations.confirm("js", "a", "old");
        assert!(expectations.is_expected("js", "a", "new"));
        expectations.confirm("js", "a", "new");
        assert!(!expectations.is_expected("js", "a", "new"));
        assert!(expectations.by_owner.is_empty());
    }
}
