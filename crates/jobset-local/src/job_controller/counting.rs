//! Accounts for ended Pods, each exactly once.
//!
//! A Pod carries a finalizer until the Job's status accounts for it. The status write that adds
//! a Pod to the counters also lists its uid under `uncountedTerminatedPods`; only then is the
//! finalizer released. A listed uid is therefore *counted but not released yet*: whoever finds
//! the Pod still carrying the finalizer (a stale cache, another process after a crash) must not
//! count it again. The uid leaves the list once the Pod is seen without the finalizer. As the
//! status write has a resourceVersion precondition, no Pod can be counted twice.
//!
//! (Kubernetes lists a uid *before* it counts the Pod and so needs two writes per Pod; readers
//! cannot tell the difference, except that counters here are never late.)
//!
//! Succeeded Pods of an indexed Job need no list: a set of indexes cannot count twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::UncountedTerminatedPods;
use k8s_openapi::jiff::Timestamp;

use super::indexes::IndexSet;
use super::pod_failure_policy::{self, Verdict};
use super::view::{JobView, Phase, PodView};

/// What the ended Pods of a Job add up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Succeeded Pods, or succeeded indexes.
    pub succeeded: u32,
    /// Failed Pods that count.
    pub failed: i64,
    /// Succeeded indexes of an indexed Job.
    pub completed_indexes: Option<IndexSet>,
    /// Failed indexes of a Job with a limit per index.
    pub failed_indexes: Option<IndexSet>,
    /// Uids that the next status write has to list.
    pub uncounted: UncountedTerminatedPods,
    /// When the Pods that are new in this tally succeeded.
    pub new_successes: Vec<Timestamp>,
    /// When the Pods that are new in this tally failed (also ignored failures).
    pub new_failures: Vec<Timestamp>,
    /// The message of the first Pod that fails the Job by its failure policy.
    pub fail_job: Option<String>,
    /// Pods (positions) whose finalizer may go once the tally is written.
    pub release: Vec<usize>,
    /// Failures of an index so far, by its last failed Pod: its successor starts with these.
    pub index_failures: HashMap<u32, IndexFailures>,
}

/// Failures of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexFailures {
    /// Failures that count towards the limit.
    pub counted: i32,
    /// Failures that the policy ignores.
    pub ignored: i32,
    /// When the last one happened.
    pub last: Timestamp,
}

impl IndexFailures {
    /// All failures, counted or not.
    pub fn total(self) -> u32 {
        self.counted
            .max(0)
            .unsigned_abs()
            .saturating_add(self.ignored.max(0).unsigned_abs())
    }
}

/// Adds the ended ones of `pods` to what `job`'s status says.
pub fn tally(job: &JobView, pods: &[Arc<PodView>], now: Timestamp) -> Tally {
    let rules = &job.spec;
    let status = &job.status;
    let limit = rules.indexes();
    let listed = status.uncounted_terminated_pods.as_ref();
    let listed_succeeded = listed
        .and_then(|l| l.succeeded.as_deref())
        .unwrap_or_default();
    let listed_failed = listed.and_then(|l| l.failed.as_deref()).unwrap_or_default();
    let counted: HashSet<&str> = listed_succeeded
        .iter()
        .chain(listed_failed)
        .map(String::as_str)
        .collect();

    let mut completed =
        limit.map(|n| IndexSet::parse(status.completed_indexes.as_deref().unwrap_or(""), n));
    let mut failed_indexes = limit
        .filter(|_| rules.per_index_limit().is_some())
        .map(|n| IndexSet::parse(status.failed_indexes.as_deref().unwrap_or(""), n));
    let mut tally = Tally {
        failed: i64::from(status.failed.unwrap_or(0)),
        ..Tally::default()
    };
    let mut succeeded = i64::from(status.succeeded.unwrap_or(0));
    let (mut list_succeeded, mut list_failed) = (Vec::new(), Vec::new());

    for (position, pod) in pods.iter().enumerate() {
        let in_range = limit.is_none_or(|n| pod.index.is_some_and(|index| index < n));
        let known = counted.contains(pod.uid());
        let time = pod.finished_at.unwrap_or(now);
        if pod.phase == Phase::Succeeded {
            if !pod.tracked {
                continue;
            }
            tally.release.push(position);
            match (&mut completed, pod.index) {
                (Some(set), Some(index)) if in_range => {
                    if !set.contains(index) {
                        tally.new_successes.push(time);
                    }
                    set.insert(index);
                }
                (Some(_), _) => {}
                (None, _) => {
                    if !known {
                        succeeded = succeeded.saturating_add(1);
                        tally.new_successes.push(time);
                    }
                    list_succeeded.push(pod.uid().to_owned());
                }
            }
        } else if pod.failed(rules) {
            let verdict = pod_failure_policy::judge(rules.pod_failure_policy.as_ref(), pod);
            if rules.per_index_limit().is_some()
                && let Some(index) = pod.index.filter(|_| in_range)
            {
                note_index_failure(&mut tally.index_failures, index, pod, &verdict, time);
            }
            if !pod.tracked {
                continue;
            }
            tally.release.push(position);
            if !in_range {
                continue;
            }
            if let (Some(limit), Some(set), Some(index)) =
                (rules.per_index_limit(), &mut failed_indexes, pod.index)
            {
                let failures = pod
                    .index_failures
                    .saturating_add(i32::from(verdict.counts()));
                if verdict == Verdict::FailIndex || failures > limit {
                    set.insert(index);
                }
            }
            if known {
                list_failed.push(pod.uid().to_owned());
            } else {
                tally.new_failures.push(time);
                if verdict.counts() {
                    tally.failed = tally.failed.saturating_add(1);
                    list_failed.push(pod.uid().to_owned());
                }
            }
            if let Verdict::FailJob(message) = verdict {
                tally.fail_job.get_or_insert(message);
            }
        }
    }

    tally.succeeded = match &completed {
        Some(set) => set.len(),
        None => u32::try_from(succeeded.max(0)).unwrap_or(u32::MAX),
    };
    if rules.per_index_limit().is_some() {
        let done = |index: u32| {
            completed.as_ref().is_some_and(|set| set.contains(index))
                || failed_indexes
                    .as_ref()
                    .is_some_and(|set| set.contains(index))
        };
        hold_unreplaced(&mut tally.release, pods, done);
    }
    tally.completed_indexes = completed;
    tally.failed_indexes = failed_indexes;
    tally.uncounted = UncountedTerminatedPods {
        succeeded: (!list_succeeded.is_empty()).then_some(list_succeeded),
        failed: (!list_failed.is_empty()).then_some(list_failed),
    };
    tally
}

fn note_index_failure(
    all: &mut HashMap<u32, IndexFailures>,
    index: u32,
    pod: &PodView,
    verdict: &Verdict,
    last: Timestamp,
) {
    let counts = verdict.counts();
    let failures = IndexFailures {
        counted: pod.index_failures.saturating_add(i32::from(counts)),
        ignored: pod
            .index_ignored_failures
            .saturating_add(i32::from(!counts)),
        last,
    };
    let entry = all.entry(index).or_insert(failures);
    if failures.total() > entry.total() {
        *entry = failures;
    }
}

/// Keeps the last failed Pod of an index that will be tried again: its successor takes the
/// failure count from it, so it must not be deleted before the successor exists.
fn hold_unreplaced(release: &mut Vec<usize>, pods: &[Arc<PodView>], done: impl Fn(u32) -> bool) {
    let total = |pod: &PodView| {
        pod.index_failures
            .saturating_add(pod.index_ignored_failures)
    };
    let mut newest: HashMap<u32, i32> = HashMap::new();
    for pod in pods {
        if let Some(index) = pod.index {
            let entry = newest.entry(index).or_insert(i32::MIN);
            *entry = (*entry).max(total(pod));
        }
    }
    release.retain(|&position| {
        let pod = &pods[position];
        let Some(index) = pod.index else {
            return true;
        };
        pod.phase == Phase::Succeeded
            || done(index)
            || newest
                .get(&index)
                .is_some_and(|latest| *latest > total(pod))
    });
}
