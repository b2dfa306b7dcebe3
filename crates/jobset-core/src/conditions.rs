//! Conditions of a JobSet: how one is set, and which one means "finished".

use jobset_api::{JobSetStatus, constants};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::model::{Event, EventType, Terminal};
use crate::note;

/// A condition to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) type_: &'static str,
    /// True or False; the planner never writes Unknown.
    pub(crate) status: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Type of the event that reports the change.
    pub(crate) event_type: EventType,
}

impl Change {
    /// A change to status `True` with a Normal event.
    pub(crate) fn normal(type_: &'static str, reason: &str, message: &str) -> Self {
        Self {
            type_,
            status: true,
            reason: reason.to_owned(),
            message: message.to_owned(),
            event_type: EventType::Normal,
        }
    }

    /// A change to status `True` with a Warning event.
    pub(crate) fn warning(type_: &'static str, reason: &str, message: &str) -> Self {
        Self {
            event_type: EventType::Warning,
            ..Self::normal(type_, reason, message)
        }
    }

    /// A change to status `False` with a Normal event. It never adds a condition.
    pub(crate) fn cleared(type_: &'static str, reason: &str, message: &str) -> Self {
        Self {
            status: false,
            ..Self::normal(type_, reason, message)
        }
    }

    /// The event that reports this change.
    pub(crate) fn event(&self) -> Event {
        Event {
            type_: self.event_type,
            reason: self.reason.clone(),
            note: note::truncated(&self.message),
        }
    }
}

/// Sets a condition; returns whether anything changed.
///
/// The transition time moves only when the status does. Progress and completion of the startup
/// policy exclude each other: setting one to True turns the other one False in place. A False
/// condition is never created from nothing.
pub(crate) fn upsert(conditions: &mut Vec<Condition>, change: &Change, now: Timestamp) -> bool {
    let status = if change.status { "True" } else { "False" };
    let mut changed = false;
    let mut found = false;
    for c in conditions.iter_mut() {
        if c.type_ == change.type_ {
            found = true;
            let same_status = c.status == status;
            if same_status && c.reason == change.reason && c.message == change.message {
                continue;
            }
            let time = if same_status {
                c.last_transition_time.clone()
            } else {
                Time(seconds(now))
            };
            *c = build(change, status, time);
            changed = true;
        } else if change.status && c.status == "True" && exclusive(&c.type_, change.type_) {
            c.status = "False".to_owned();
            changed = true;
        }
    }
    if !found && change.status {
        conditions.push(build(change, status, Time(seconds(now))));
        changed = true;
    }
    changed
}

fn build(change: &Change, status: &str, time: Time) -> Condition {
    Condition {
        type_: change.type_.to_owned(),
        status: status.to_owned(),
        reason: change.reason.clone(),
        message: change.message.clone(),
        last_transition_time: time,
        observed_generation: None,
    }
}

fn exclusive(a: &str, b: &str) -> bool {
    let pair = [
        constants::STARTUP_POLICY_IN_PROGRESS,
        constants::STARTUP_POLICY_COMPLETED,
    ];
    a != b && pair.contains(&a) && pair.contains(&b)
}

/// Kubernetes stores times in whole seconds; comparing what was written with what is read back
/// must not find a difference.
fn seconds(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_second()).unwrap_or(t)
}

/// The condition that makes a JobSet finished: the first, in list order, that is `Completed` or
/// `Failed` with status `True`. `terminalState` is not consulted.
pub(crate) fn finished(status: &JobSetStatus) -> Option<(Terminal, &Condition)> {
    status
        .conditions
        .iter()
        .filter(|c| c.status == "True")
        .find_map(|c| {
            if c.type_ == constants::COMPLETED {
                Some((Terminal::Completed, c))
            } else if c.type_ == constants::FAILED {
                Some((Terminal::Failed, c))
            } else {
                None
            }
        })
}

#[cfg(test)]
mod tests;
