//! Which short names Pods have.
//!
//! No short name may take anything away from a name that Pods have without this: within one
//! Service the long host names, `<jobset>-<replicated job>-<job index>-<pod index>`, come first,
//! then the short names of Pods, then those of Jobs. Two names are the same only if replicated jobs
//! are named like parts of each other, so this is decided by their names alone, and a name means
//! the same whatever the number of Jobs is.

use std::collections::HashSet;

use jobset_api::{JobSet, constants};
use k8s_openapi::api::core::v1::Pod;

/// Longest label of a DNS name.
const MAX_LABEL: usize = 63;

/// The replicated jobs of a JobSet, as far as their names matter.
#[derive(Debug)]
pub struct ShortNames<'a> {
    jobset: &'a str,
    roles: HashSet<&'a str>,
}

/// Where a Pod is in its JobSet, as its labels say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodPlace {
    /// Name of the JobSet.
    pub jobset: String,
    /// Name of the replicated job.
    pub role: String,
    /// Index of the Job.
    pub job_index: u32,
    /// Completion index of the Pod; none in a Job whose Pods are all alike.
    pub pod_index: Option<u32>,
}

impl<'a> ShortNames<'a> {
    /// The names of this JobSet.
    #[must_use]
    pub fn new(jobset: &'a JobSet) -> Self {
        let roles = jobset.spec.replicated_jobs.iter();
        Self {
            jobset: jobset.name(),
            roles: roles.map(|role| role.name.as_str()).collect(),
        }
    }

    /// The short names of a Pod: its own if it has one, then that of its Job. Empty if the Pod says
    /// that it is of a replicated job that the JobSet does not have.
    #[must_use]
    pub fn of(&self, place: &PodPlace) -> Vec<String> {
        let role = place.role.as_str();
        if !self.roles.contains(role) {
            return Vec::new();
        }
        let pod = place.pod_name().filter(|_| !self.is_long_name_of_pod(role));
        let job = Some(place.job_name()).filter(|_| !self.job_name_is_taken(role));
        let names = pod.into_iter().chain(job);
        names.filter(|name| is_label(name)).collect()
    }

    /// Whether `<role>-<i>-<j>` is the host name of another Pod: `role` is `<jobset>-<other role>`.
    fn is_long_name_of_pod(&self, role: &str) -> bool {
        role.strip_prefix(self.jobset)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|other| self.roles.contains(other))
    }

    /// Whether `<role>-<i>` is a name of a Pod, long or short: `role` is `<other role>-<number>`,
    /// with or without the name of the JobSet before it.
    fn job_name_is_taken(&self, role: &str) -> bool {
        role.rsplit_once('-').is_some_and(|(other, number)| {
            is_index(number) && (self.roles.contains(other) || self.is_long_name_of_pod(other))
        })
    }
}

impl PodPlace {
    /// The short name of the Pod, if it has an index.
    #[must_use]
    pub fn pod_name(&self) -> Option<String> {
        self.pod_index
            .map(|index| format!("{}-{}-{index}", self.role, self.job_index))
    }

    /// The short name of the Pod's Job.
    #[must_use]
    pub fn job_name(&self) -> String {
        format!("{}-{}", self.role, self.job_index)
    }
}

/// Where a Pod is, or `None` if it is no JobSet's Pod or does not say so properly.
#[must_use]
pub fn pod_place(pod: &Pod) -> Option<PodPlace> {
    let labels = pod.metadata.labels.as_ref()?;
    let annotations = pod.metadata.annotations.as_ref();
    let label = |key: &str| labels.get(key).filter(|value| !value.is_empty());
    // The label is there since Kubernetes 1.28, the annotation always.
    let pod_index = label(constants::JOB_COMPLETION_INDEX_KEY)
        .or_else(|| annotations?.get(constants::JOB_COMPLETION_INDEX_KEY));
    Some(PodPlace {
        jobset: label(constants::JOBSET_NAME_KEY)?.clone(),
        role: label(constants::REPLICATED_JOB_NAME_KEY)?.clone(),
        job_index: index(label(constants::JOB_INDEX_KEY)?)?,
        pod_index: match pod_index {
            Some(text) => Some(index(text)?),
            None => None,
        },
    })
}

fn index(text: &str) -> Option<u32> {
    is_index(text).then(|| text.parse().ok()).flatten()
}

/// Whether this is a number as names have it: without a sign and without needless zeros.
fn is_index(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

/// Whether DNS and the API accept this as a host name.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_LABEL).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{jobset, rjob};
    use serde_json::{Value, json};

    fn place(role: &str, job: u32, pod: Option<u32>) -> PodPlace {
        PodPlace {
            jobset: "test-jobset".to_owned(),
            role: role.to_owned(),
            job_index: job,
            pod_index: pod,
        }
    }

    #[test]
    fn names_of_pods() {
        let long = "a".repeat(60);
        for (roles, place, expected) in [
            (
                vec!["leader"],
                place("leader", 0, Some(1)),
                vec!["leader-0-1", "leader-0"],
            ),
            (vec!["leader"], place("leader", 12, None), vec!["leader-12"]),
            (vec!["leader"], place("other", 0, Some(1)), vec![]),
            // The name of Job 1 of `leader-0` is the Pod's of `leader`, which is not touched.
            (
                vec!["leader", "leader-0"],
                place("leader-0", 1, Some(2)),
                vec!["leader-0-1-2"],
            ),
            (
                vec!["leader", "leader-0"],
                place("leader", 0, Some(1)),
                vec!["leader-0-1", "leader-0"],
            ),
            // No index is written like this.
            (
                vec!["leader", "leader-00"],
                place("leader-00", 1, None),
                vec!["leader-00-1"],
            ),
            (
                vec!["leader-0"],
                place("leader-0", 1, Some(2)),
                vec!["leader-0-1-2", "leader-0-1"],
            ),
            // Its Pods have the host names of another replicated job's.
            (
                vec!["w", "test-jobset-w"],
                place("test-jobset-w", 0, Some(0)),
                vec!["test-jobset-w-0"],
            ),
            (
                vec!["w", "test-jobset-w-0"],
                place("test-jobset-w-0", 1, Some(0)),
                vec!["test-jobset-w-0-1-0"],
            ),
            (
                vec!["test-jobset-w"],
                place("test-jobset-w", 0, Some(0)),
                vec!["test-jobset-w-0-0", "test-jobset-w-0"],
            ),
            // A name that no host may have is left out.
            (
                vec![&*long],
                place(&long, 0, Some(10)),
                vec![&*format!("{long}-0")],
            ),
        ] {
            let roles: Vec<Value> = roles.iter().map(|name| rjob(name, 20)).collect();
            let jobset = jobset(json!({"replicatedJobs": roles}));
            assert_eq!(ShortNames::new(&jobset).of(&place), expected, "{place:?}");
        }
    }

    proptest::proptest! {
        /// However replicated jobs are named: a short name is never the host name of a Pod, that of
        /// a Pod is of no other Pod and of no Job, that of a Job of no other Job.
        #[test]
        fn names_are_of_one_thing(
            roles in proptest::collection::btree_set(
                "(test-jobset-){0,2}(a|b)(-0|-1|-x){0,3}", 1..8),
        ) {
            let values: Vec<Value> = roles.iter().map(|name| rjob(name, 2)).collect();
            let jobset = jobset(json!({"replicatedJobs": values}));
            let rules = ShortNames::new(&jobset);
            let mut owners = std::collections::BTreeMap::new();
            for role in &roles {
                for (job, pod) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let job_name = jobset_api::names::job_name("test-jobset", role, job);
                    let owner = (role, job, Some(pod));
                    owners.insert(jobset_api::names::pod_hostname(&job_name, pod), owner);
                }
            }
            for role in &roles {
                for (job, pod) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let place = place(role, job, Some(pod));
                    for name in rules.of(&place) {
                        let own = Some(&name) == place.pod_name().as_ref();
                        let owner = (role, job, own.then_some(pod));
                        let known = *owners.entry(name.clone()).or_insert(owner);
                        proptest::prop_assert_eq!(known, owner, "{}", name);
                    }
                }
            }
        }
    }

    #[test]
    fn places_of_pods() {
        let pod = |labels: Value, annotations: Value| -> Pod {
            serde_json::from_value(
                json!({"metadata": {"labels": labels, "annotations": annotations}}),
            )
            .unwrap()
        };
        let labels = |job: &str| {
            json!({constants::JOBSET_NAME_KEY: "js", constants::REPLICATED_JOB_NAME_KEY: "w",
                   constants::JOB_INDEX_KEY: job})
        };
        let found = |job: u32, pod: Option<u32>| {
            Some(PodPlace {
                jobset: "js".to_owned(),
                ..place("w", job, pod)
            })
        };
        assert_eq!(pod_place(&pod(labels("3"), json!({}))), found(3, None));
        let index = json!({constants::JOB_COMPLETION_INDEX_KEY: "7"});
        assert_eq!(
            pod_place(&pod(labels("3"), index.clone())),
            found(3, Some(7))
        );
        let mut with_label = labels("3");
        with_label[constants::JOB_COMPLETION_INDEX_KEY] = "8".into();
        assert_eq!(pod_place(&pod(with_label, index)), found(3, Some(8)));
        for broken in ["", "-1", "01", "x", "99999999999"] {
            assert_eq!(pod_place(&pod(labels(broken), json!({}))), None, "{broken}");
        }
        let broken = json!({constants::JOB_COMPLETION_INDEX_KEY: "x"});
        assert_eq!(pod_place(&pod(labels("3"), broken)), None);
        assert_eq!(pod_place(&Pod::default()), None);
        let nothing = pod(json!({constants::JOBSET_NAME_KEY: "js"}), json!({}));
        assert_eq!(pod_place(&nothing), None);
    }
}
