//! Pods that do not go: on a dead node nobody confirms that a Pod has ended, so its Job is never
//! gone and a restart would wait for ever. Where an annotation of the JobSet asks for it, such Pods
//! are removed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jobset_api::recovery::Recovery;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::draft::Draft;
use crate::model::{Action, Observed};
use crate::pods::ChildPod;

/// When to look again at a Pod that is overdue on a node that lives.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Nodes with Pods that are overdue: whoever plans has to find out which of these are dead, for
/// [`Observed::dead_nodes`]. Empty unless an annotation of the JobSet asks for it.
#[must_use]
pub fn nodes_in_question(observed: &Observed<'_>, now: Timestamp) -> BTreeSet<String> {
    let (recovery, _) = Recovery::of(observed.jobset);
    let Some(after) = recovery.force_delete else {
        return BTreeSet::new();
    };
    let nodes = terminating(observed)
        .filter(|(_, end)| left(*end, after, now).is_zero())
        .filter_map(|(pod, _)| pod.node.clone());
    nodes.collect()
}

/// Removes Pods that are overdue on dead nodes, and looks again when the next one may be.
pub(crate) fn actions(
    observed: &Observed<'_>,
    recovery: &Recovery,
    now: Timestamp,
    draft: &mut Draft,
) -> Vec<Action> {
    let Some(after) = recovery.force_delete else {
        return Vec::new();
    };
    draft.work.pods += observed.pods.map_or(0, <[_]>::len) as u64;
    let mut actions = Vec::new();
    for (pod, end) in terminating(observed) {
        let left = left(end, after, now);
        let node = pod.node.as_deref();
        if !left.is_zero() {
            draft.requeue(left);
        } else if node.is_some_and(|node| observed.dead_nodes.iter().any(|dead| dead == node)) {
            actions.push(Action::RemovePod {
                name: pod.name.clone(),
                uid: pod.uid.clone(),
            });
        } else {
            draft.requeue(LOOK_AGAIN);
        }
    }
    actions
}

/// Pods of Jobs of this JobSet that are to go, with the time by which they should have gone.
fn terminating<'a>(
    observed: &Observed<'a>,
) -> impl Iterator<Item = (&'a Arc<ChildPod>, Timestamp)> + use<'a> {
    let jobs: HashSet<&str> = observed.jobs.iter().map(|job| job.uid.as_str()).collect();
    let pods = observed.pods.into_iter().flatten();
    pods.filter(move |pod| {
        let job = pod.job_uid.as_deref();
        job.is_some_and(|uid| jobs.contains(uid))
    })
    .filter_map(|pod| Some((pod, pod.deletion?)))
}

fn left(end: Timestamp, after: Duration, now: Timestamp) -> Duration {
    let over = now.duration_since(end);
    if over < SignedDuration::ZERO {
        return after.saturating_add(over.unsigned_abs());
    }
    after.saturating_sub(over.unsigned_abs())
}

#[cfg(test)]
mod tests;
