//! From executed steps to the status write: Rule E and Rule S.
//!
//! A condition such as `Suspended` may be written only if the step that makes it true succeeded;
//! the counts, on the other hand, must reach the status even while creation keeps failing. So each
//! change that depends on a step remembers which, and [`Plan::settle`] leaves out those whose step
//! failed or never ran.

use jobset_api::JobSetStatus;
use k8s_openapi::jiff::Timestamp;

use crate::conditions::{self, Change};
use crate::model::{Event, Plan, Terminal};

/// What to write and send after the steps were executed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// The status to write, or `None` if it would not change.
    pub status: Option<JobSetStatus>,
    /// Events to send after the write succeeded.
    pub events: Vec<Event>,
    /// Final state that the status puts the JobSet into, to be counted after the write succeeded.
    pub terminal: Option<Terminal>,
}

/// The recipe from which [`Plan::settle`] cooks the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settlement {
    /// Status with everything that holds whatever happens to the steps.
    pub(crate) base: JobSetStatus,
    /// Whether `base` differs from the stored status.
    pub(crate) dirty: bool,
    /// Effects in the order in which they were decided.
    pub(crate) effects: Vec<Effect>,
    /// Time of the plan.
    pub(crate) now: Timestamp,
    /// Final state, holds whatever happens to the steps.
    pub(crate) terminal: Option<Terminal>,
    /// Nothing is written: the JobSet is being deleted by this very plan.
    pub(crate) muted: bool,
}

/// Something that becomes true, perhaps only with a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effect {
    /// Index of the step that must have succeeded, `None` = holds in any case.
    pub(crate) requires: Option<usize>,
    pub(crate) what: What,
}

/// The kinds of [`Effect`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// Upsert of a condition, with an event if it changes anything.
    Condition(Change),
    /// An event in any case.
    Event(Event),
}

impl Settlement {
    /// Applies the effects whose step succeeded.
    pub(crate) fn settle(&self, succeeded: impl Fn(usize) -> bool) -> Settled {
        if self.muted {
            return Settled::default();
        }
        let mut status = self.base.clone();
        let mut dirty = self.dirty;
        let mut events = Vec::new();
        for effect in &self.effects {
            if effect.requires.is_some_and(|step| !succeeded(step)) {
                continue;
            }
            match &effect.what {
                What::Condition(change) => {
                    if conditions::upsert(&mut status.conditions, change, self.now) {
                        dirty = true;
                        events.push(change.event());
                    }
                }
                What::Event(event) => events.push(event.clone()),
            }
        }
        if dirty {
            Settled {
                status: Some(status),
                events,
                terminal: self.terminal,
            }
        } else {
            Settled::default()
        }
    }
}

impl Plan {
    /// What to write and send after the steps were executed; `succeeded(i)` says whether step `i`
    /// ran and all its actions succeeded. With every step succeeded it equals [`Plan::status`],
    /// [`Plan::events`] and [`Plan::terminal`].
    #[must_use]
    pub fn settle(&self, succeeded: impl Fn(usize) -> bool) -> Settled {
        self.settlement.settle(succeeded)
    }
}

#[cfg(test)]
mod tests;
