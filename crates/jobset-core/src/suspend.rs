//! Suspension: stop the Pods of every unfinished Job.

use jobset_api::constants;

use crate::buckets::Child;
use crate::conditions::Change;
use crate::draft::Draft;
use crate::model::Action;

/// Suspends every unfinished Job that is not suspended yet.
pub(crate) fn actions(active: &[Child<'_>], draft: &mut Draft) -> Vec<Action> {
    draft.work.jobs += active.len() as u64;
    active
        .iter()
        .filter(|child| !child.job.suspend)
        .map(|child| Action::SuspendJob {
            name: child.job.name.clone(),
            uid: child.job.uid.clone(),
        })
        .collect()
}

/// What holds once the Jobs are suspended. It does not wait for their Pods to end.
pub(crate) fn effects() -> [Change; 2] {
    [
        Change::normal(
            constants::SUSPENDED,
            constants::reasons::SUSPENDED_JOBS,
            constants::messages::JOBSET_SUSPENDED,
        ),
        Change::cleared(
            constants::RESTARTING_JOBSET,
            constants::reasons::JOBSET_SUSPENDED,
            constants::messages::JOBSET_SUSPENDED,
        ),
    ]
}

#[cfg(test)]
mod tests;
