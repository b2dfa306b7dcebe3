//! `status.replicatedJobsStatus`: how many Jobs of each replicated job are in which state.

use jobset_api::{JobSetStatus, ReplicatedJobStatus};

use crate::buckets::{Buckets, Child};
use crate::draft::Draft;
use crate::model::ChildJob;
use crate::roles::Roles;

/// The numbers of one replicated job. They count Jobs, not Pods, and only Jobs of the present
/// attempt. `ready`, `active` and `suspended` are independent views of the unfinished ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) ready: i32,
    pub(crate) succeeded: i32,
    pub(crate) failed: i32,
    pub(crate) active: i32,
    pub(crate) suspended: i32,
}

impl Count {
    /// Jobs that have got as far as the startup policy wants them: ready or past it.
    pub(crate) fn started(&self) -> i64 {
        i64::from(self.ready) + i64::from(self.succeeded) + i64::from(self.failed)
    }
}

/// The numbers of all replicated jobs, in spec order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(pub(crate) Vec<Count>);

impl Counts {
    /// One pass over the Jobs of the present attempt.
    pub(crate) fn of(buckets: &Buckets<'_>, roles: &Roles<'_>, draft: &mut Draft) -> Self {
        let mut counts = vec![Count::default(); roles.len()];
        let mut each = |children: &[Child<'_>], add: fn(&mut Count, &ChildJob)| {
            for child in children {
                draft.work.jobs += 1;
                match child.role.and_then(|role| counts.get_mut(role)) {
                    Some(count) => add(count, child.job),
                    None => draft.warn(|| {
                        format!(
                            "job {:?} is labelled with replicated job {:?}, which is not in the \
                             spec; it is not counted",
                            child.job.name, child.job.replicated_job
                        )
                    }),
                }
            }
        };
        each(&buckets.active, |count, job| {
            count.ready += i32::from(is_ready(job));
            count.active += i32::from(job.active > 0);
            count.suspended += i32::from(job.suspend);
        });
        each(&buckets.successful, |count, _| count.succeeded += 1);
        each(&buckets.failed, |count, _| count.failed += 1);
        Self(counts)
    }

    /// The numbers of the replicated job at this position.
    pub(crate) fn get(&self, role: usize) -> Count {
        self.0.get(role).copied().unwrap_or_default()
    }

    /// Whether every replica of every replicated job is ready or has succeeded; true of none.
    pub(crate) fn all_ready(&self, roles: &Roles<'_>) -> bool {
        let ready: i64 = self
            .0
            .iter()
            .map(|c| i64::from(c.ready) + i64::from(c.succeeded))
            .sum();
        ready == roles.total()
    }

    /// The list as it is stored: one entry for every replicated job, sorted by name, descending.
    /// Restart counters are carried over from the stored entries.
    pub(crate) fn to_status(
        &self,
        roles: &Roles<'_>,
        stored: &JobSetStatus,
    ) -> Vec<ReplicatedJobStatus> {
        // A name that occurs twice, which the API does not admit, gets one entry.
        let mut list: Vec<ReplicatedJobStatus> = roles
            .iter()
            .filter(|role| roles.position(role.place.name) == Some(role.position))
            .map(|role| (role.place.name, self.get(role.position)))
            .map(|(name, count)| ReplicatedJobStatus {
                name: name.to_owned(),
                ready: count.ready,
                succeeded: count.succeeded,
                failed: count.failed,
                active: count.active,
                suspended: count.suspended,
                ..ReplicatedJobStatus::default()
            })
            .collect();
        sort(&mut list);
        for old in &stored.replicated_jobs_status {
            if let Ok(i) = list.binary_search_by(|new| old.name.cmp(&new.name)) {
                list[i].job_restarts = old.job_restarts.clone();
                list[i].job_restarts_count_towards_max = old.job_restarts_count_towards_max.clone();
            }
        }
        list
    }
}

/// Replaces the stored list if it differs in more than order; returns whether it did.
pub(crate) fn update(status: &mut JobSetStatus, new: Vec<ReplicatedJobStatus>) -> bool {
    let mut old = status.replicated_jobs_status.clone();
    sort(&mut old);
    if old == new {
        return false;
    }
    status.replicated_jobs_status = new;
    true
}

fn sort(list: &mut [ReplicatedJobStatus]) {
    list.sort_by(|a, b| b.name.cmp(&a.name));
}

/// Whether enough of the Job's Pods are ready or have succeeded: as many as may run at once.
/// Parallelism that is not set is 1, as the API server would default it.
fn is_ready(job: &ChildJob) -> bool {
    let parallelism = job.parallelism.unwrap_or(1);
    let wanted = job.completions.map_or(parallelism, |c| c.min(parallelism));
    i64::from(job.succeeded) + i64::from(job.ready) >= i64::from(wanted)
}

#[cfg(test)]
mod tests;
