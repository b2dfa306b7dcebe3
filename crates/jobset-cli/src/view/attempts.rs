//! Which attempt of a JobSet a time belongs to, by the events that tell of restarts.

use jobset_api::JobSet;
use jobset_api::constants as keys;
use k8s_openapi::jiff::Timestamp;

use super::Happening;

/// The restarts that are known.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    restarts: Vec<Timestamp>,
    first_known: i32,
}

impl Attempts {
    /// What is told of a JobSet. Some restarts may have been forgotten, or be folded into a series: those
    /// that are known are the last ones.
    pub(crate) fn of(jobset: &JobSet, told: &[Happening]) -> Self {
        let restarts: Vec<Timestamp> = told
            .iter()
            .filter(|event| Self::is_restart(event))
            .map(|event| event.at)
            .collect();
        let all = jobset.status.as_ref().map_or(0, |status| status.restarts);
        Self {
            first_known: (all - restarts.len() as i32).max(0),
            restarts,
        }
    }

    /// Whether an event tells of a restart of the whole set.
    pub(crate) fn is_restart(event: &Happening) -> bool {
        let actions = [
            keys::events::RESTART_JOBSET,
            keys::events::RESTART_JOBSET_AND_IGNORE_MAX_RESTARTS,
        ];
        event.kind == "JobSet" && actions.contains(&event.reason.as_str())
    }

    /// The attempt at a time; at the time of a restart, that which ended with it.
    pub(crate) fn at(&self, time: Timestamp) -> i32 {
        let before = self.restarts.iter().filter(|restart| **restart < time);
        self.first_known + before.count() as i32
    }

    /// The attempts that something may belong to whose time is known to the second only: those at the
    /// beginning and at the end of that second.
    pub(crate) fn within(&self, time: Timestamp) -> (i32, i32) {
        let count = |wanted: fn(i64, i64) -> bool| {
            let restarts = self.restarts.iter();
            restarts
                .filter(|restart| wanted(restart.as_second(), time.as_second()))
                .count() as i32
        };
        (
            self.first_known + count(|restart, time| restart < time),
            self.first_known + count(|restart, time| restart <= time),
        )
    }

    /// When an attempt began, unless it is the first or its beginning has been forgotten.
    pub(crate) fn began(&self, attempt: i32) -> Option<Timestamp> {
        let place = attempt.checked_sub(self.first_known)?.checked_sub(1)?;
        self.restarts.get(usize::try_from(place).ok()?).copied()
    }

    /// When the known restarts were.
    pub(crate) fn known(&self) -> &[Timestamp] {
        &self.restarts
    }
}
