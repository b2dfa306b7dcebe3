//! What people are shown of a JobSet: a model built from plain objects, and the model as text.
//!
//! Pure: no client, no clock, no terminal. A [`Snapshot`] is what was read and when;
//! [`SetView`] is the JobSet with its roles, Jobs and Pods and the state of each; [`Explanation`]
//! adds what failed and what has happened. All of them serialise to the JSON that commands print.

mod attempts;
mod events;
mod explanation;
mod failure;
mod job;
mod pod;
mod queue;
mod set;
mod snapshot;
mod table;
mod tree;
mod usage;

pub(crate) use attempts::Attempts;
pub(crate) use events::{Gathered, Happening, gathered, happenings};
pub(crate) use explanation::Explanation;
pub(crate) use failure::Failure;
pub(crate) use job::{JobView, wanted_pods};
pub(crate) use pod::{PodPlace, PodView, label};
pub(crate) use queue::QueueState;
pub(crate) use set::{PodViews, RoleView, SetView, roles};
pub(crate) use snapshot::Snapshot;
pub(crate) use table::table;
pub(crate) use tree::tree;
pub(crate) use usage::{Usage, usage};

use jobset_api::JobSet;
use k8s_openapi::jiff::Timestamp;

/// How long ago a time was, as kubectl shows it: `95s`, `3h`, `2d4h`.
pub(crate) fn age(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(
        || "<unknown>".to_owned(),
        |time| {
            // A clock that is a little behind the server's is no reason to look broken.
            let seconds = (now.as_second() - time.as_second()).max(0);
            embedded_apiserver::table::human_duration(seconds)
        },
    )
}

/// `1 restart`, `2 restarts`.
pub(crate) fn count(number: impl Into<i64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

/// A text of the cluster's in one line, without what a terminal would act on.
pub(crate) fn one_line(text: &str) -> String {
    crate::manifest::printable(text.trim_end()).replace('\n', "; ")
}

/// Columns that `<role>-<job index>-<pod index>` takes for the Pods of a JobSet, or of one role.
pub(crate) fn label_width(jobset: &JobSet, role: Option<&str>) -> usize {
    /// More would push the text off the screen.
    const WIDEST: usize = 40;
    let digits = |number: i32| number.max(1).ilog10() as usize + 1;
    let roles = jobset.spec.replicated_jobs.iter();
    let widths = roles
        .filter(|one| role.is_none_or(|role| one.name == role))
        .map(|one| {
            let completions = one.template.completions().unwrap_or(1);
            one.name.len() + digits(one.replicas() - 1) + digits(completions - 1) + 2
        });
    widths.max().unwrap_or(0).min(WIDEST)
}

#[cfg(test)]
pub(crate) mod testing;
