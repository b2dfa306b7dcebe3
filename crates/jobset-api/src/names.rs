//! Names, hashes, indices and totals that follow from a JobSet.
//!
//! Nothing here checks lengths or characters; admission does.

use std::collections::HashMap;

use sha1::{Digest, Sha1};

use crate::{resource::JobSet, types::Coordinator};

/// Name of a child Job: `<jobset>-<replicated job>-<index>`.
pub fn job_name(jobset: &str, replicated_job: &str, index: impl std::fmt::Display) -> String {
    format!("{jobset}-{replicated_job}-{index}")
}

/// Value of the label [`JOB_KEY`](crate::constants::JOB_KEY): SHA-1 of `<namespace>/<job name>`
/// in 40 lower-case hexadecimal digits. It identifies the Job where its name would be too long
/// for a label, and stays the same over restarts.
pub fn job_key(namespace: &str, job_name: &str) -> String {
    use std::fmt::Write as _;
    let digest = Sha1::new()
        .chain_update(namespace)
        .chain_update("/")
        .chain_update(job_name);
    digest
        .finalize()
        .iter()
        .fold(String::with_capacity(40), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Host name of the Pod with a completion index, `<job name>-<index>`.
pub fn pod_hostname(job_name: &str, pod_index: impl std::fmt::Display) -> String {
    format!("{job_name}-{pod_index}")
}

/// Name of the headless Service and subdomain of the Pods: `spec.network.subdomain` when it is
/// given and not empty, else the name of the JobSet.
pub fn subdomain(jobset: &JobSet) -> &str {
    let given = jobset
        .spec
        .network
        .as_ref()
        .and_then(|network| network.subdomain.as_deref());
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| jobset.name())
}

/// Whether Pods get host names: a headless Service exists and Pods carry its name as subdomain.
/// False when `network` is absent, which is so only for objects stored without defaulting.
pub fn dns_hostnames_enabled(jobset: &JobSet) -> bool {
    let network = jobset.spec.network.as_ref();
    network
        .and_then(|network| network.enable_dns_hostnames)
        .unwrap_or_default()
}

/// Network name of the coordinator Pod, when the spec names a coordinator.
pub fn coordinator_endpoint(jobset: &JobSet) -> Option<String> {
    let coordinator = jobset.spec.coordinator.as_ref()?;
    Some(endpoint(jobset.name(), coordinator, subdomain(jobset)))
}

/// `<jobset>-<replicated job>-<job index>-<pod index>.<subdomain>`.
pub(crate) fn endpoint(jobset: &str, coordinator: &Coordinator, subdomain: &str) -> String {
    let job = job_name(jobset, &coordinator.replicated_job, coordinator.job_index());
    format!(
        "{}.{subdomain}",
        pod_hostname(&job, coordinator.pod_index())
    )
}

/// Name of the claim made from a template: `<template>-<jobset>`.
pub fn claim_name(template: &str, jobset: &str) -> String {
    format!("{template}-{jobset}")
}

/// Indices and totals of all replicated jobs, computed once per JobSet in O(replicated jobs), so
/// that each Job's labels cost O(1).
///
/// Sums are of 64 bits: no number of replicated jobs with 32-bit replicas that fits an object
/// overflows them.
#[derive(Clone, Debug, Default)]
pub struct Layout<'a> {
    entries: Vec<LayoutEntry<'a>>,
    by_name: HashMap<&'a str, usize>,
    group_replicas: HashMap<&'a str, i64>,
    global_replicas: i64,
}

/// Where the Jobs of one replicated job are in the whole and in their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutEntry<'a> {
    /// Name of the replicated job.
    pub name: &'a str,
    /// Its group.
    pub group: &'a str,
    /// Its number of Jobs.
    pub replicas: i64,
    /// Global index of its first Job.
    pub global_offset: i64,
    /// Group index of its first Job.
    pub group_offset: i64,
}

impl<'a> Layout<'a> {
    /// Computes the layout of this JobSet.
    pub fn new(jobset: &'a JobSet) -> Self {
        let mut layout = Self::default();
        for (position, job) in jobset.spec.replicated_jobs.iter().enumerate() {
            let replicas = i64::from(job.replicas());
            let in_group = layout.group_replicas.entry(job.group_name()).or_default();
            layout.entries.push(LayoutEntry {
                name: &job.name,
                group: job.group_name(),
                replicas,
                global_offset: layout.global_replicas,
                group_offset: *in_group,
            });
            *in_group += replicas;
            layout.global_replicas += replicas;
            // The schema forbids a name to occur twice; the first one counts.
            layout.by_name.entry(&job.name).or_insert(position);
        }
        layout
    }

    /// The replicated jobs in the order of the spec.
    pub fn entries(&self) -> &[LayoutEntry<'a>] {
        &self.entries
    }

    /// The replicated job of this name.
    pub fn get(&self, name: &str) -> Option<&LayoutEntry<'a>> {
        self.entries.get(*self.by_name.get(name)?)
    }

    /// Number of Jobs of the whole JobSet.
    pub fn global_replicas(&self) -> i64 {
        self.global_replicas
    }

    /// Number of Jobs of the group; 0 when there is no such group.
    pub fn group_replicas(&self, group: &str) -> i64 {
        self.group_replicas.get(group).copied().unwrap_or_default()
    }

    /// Index of a Job in the whole JobSet; `None` when there is no such replicated job.
    pub fn global_job_index(&self, replicated_job: &str, job_index: i64) -> Option<i64> {
        Some(
            self.get(replicated_job)?
                .global_offset
                .saturating_add(job_index),
        )
    }

    /// Index of a Job in the group; `None` when the group has no such replicated job.
    pub fn group_job_index(
        &self,
        group: &str,
        replicated_job: &str,
        job_index: i64,
    ) -> Option<i64> {
        let entry = self
            .get(replicated_job)
            .filter(|entry| entry.group == group)?;
        Some(entry.group_offset.saturating_add(job_index))
    }
}

/// An index as label value: decimal, or empty when there is none.
pub fn index_label(index: Option<i64>) -> String {
    index.map(|index| index.to_string()).unwrap_or_default()
}

/// Number of Jobs of the whole JobSet. For many look-ups use [`Layout`].
pub fn global_replicas(jobset: &JobSet) -> i64 {
    Layout::new(jobset).global_replicas()
}

/// Index of a Job in the whole JobSet. For many look-ups use [`Layout`].
pub fn global_job_index(jobset: &JobSet, replicated_job: &str, job_index: i64) -> Option<i64> {
    Layout::new(jobset).global_job_index(replicated_job, job_index)
}

/// Number of Jobs of a group. For many look-ups use [`Layout`].
pub fn group_replicas(jobset: &JobSet, group: &str) -> i64 {
    Layout::new(jobset).group_replicas(group)
}

/// Index of a Job in its group. For many look-ups use [`Layout`].
pub fn group_job_index(
    jobset: &JobSet,
    group: &str,
    replicated_job: &str,
    job_index: i64,
) -> Option<i64> {
    Layout::new(jobset).group_job_index(group, replicated_job, job_index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{JobSetSpec, Network, ReplicatedJob};

    /// A JobSet from (name, group, replicas).
    fn jobset(jobs: &[(&str, &str, i32)]) -> JobSet {
        let replicated_jobs = jobs.iter().map(|&(name, group, replicas)| ReplicatedJob {
            name: name.into(),
            group_name: Some(group.into()),
            replicas: Some(replicas),
            ..ReplicatedJob::default()
        });
        JobSet::new(
            "js",
            JobSetSpec {
                replicated_jobs: replicated_jobs.collect(),
                ..JobSetSpec::default()
            },
        )
    }

    fn global(jobset: &JobSet, name: &str, index: i64) -> String {
        index_label(global_job_index(jobset, name, index))
    }

    fn in_group(jobset: &JobSet, group: &str, name: &str, index: i64) -> String {
        index_label(group_job_index(jobset, group, name, index))
    }

    #[test]
    fn job_key_vector() {
        assert_eq!(
            job_key("default", "js-rjob-0"),
            "594cb5c93756409379daf5f78db3fa5c78663cd1"
        );
    }

    #[test]
    fn simple_names() {
        assert_eq!(job_name("js", "workers", 3), "js-workers-3");
        assert_eq!(job_name("js", "rjob", -1), "js-rjob--1");
        assert_eq!(pod_hostname("js-workers-3", 2), "js-workers-3-2");
        assert_eq!(claim_name("data", "js"), "data-js");
    }

    #[test]
    fn subdomain_is_the_given_one_or_the_name() {
        let mut jobset = jobset(&[]);
        assert_eq!(subdomain(&jobset), "js");
        jobset.spec.network = Some(Network {
            subdomain: Some(String::new()),
            ..Network::default()
        });
        assert_eq!(subdomain(&jobset), "js");
        jobset.spec.network = Some(Network {
            subdomain: Some("net".into()),
            ..Network::default()
        });
        assert_eq!(subdomain(&jobset), "net");
    }

    #[test]
    fn dns_hostnames_need_the_network_section() {
        let mut jobset = jobset(&[]);
        assert!(!dns_hostnames_enabled(&jobset));
        for (value, enabled) in [(None, false), (Some(false), false), (Some(true), true)] {
            jobset.spec.network = Some(Network {
                enable_dns_hostnames: value,
                ..Network::default()
            });
            assert_eq!(dns_hostnames_enabled(&jobset), enabled);
        }
    }

    #[test]
    fn coordinator_endpoint_has_the_form_of_the_specification() {
        let mut jobset = jobset(&[]);
        assert_eq!(coordinator_endpoint(&jobset), None);
        jobset.spec.coordinator = Some(Coordinator {
            replicated_job: "driver".into(),
            ..Coordinator::default()
        });
        assert_eq!(coordinator_endpoint(&jobset).unwrap(), "js-driver-0-0.js");
        jobset.spec = serde_json::from_value(json!({
            "coordinator": {"replicatedJob": "driver", "jobIndex": 1, "podIndex": 2},
            "network": {"subdomain": "net"},
        }))
        .unwrap();
        assert_eq!(coordinator_endpoint(&jobset).unwrap(), "js-driver-1-2.net");
    }

    #[test]
    fn gi1_only_replicated_job() {
        assert_eq!(global(&jobset(&[("a", "", 3)]), "a", 1), "1");
    }

    #[test]
    fn gi2_replicated_jobs_before_count() {
        let jobset = jobset(&[("a", "", 2), ("b", "", 4), ("c", "", 1)]);
        assert_eq!(global(&jobset, "b", 3), "5");
    }

    #[test]
    fn gi3_unknown_replicated_job() {
        assert_eq!(global(&jobset(&[("a", "", 3)]), "b", 0), "");
    }

    #[test]
    fn gr1_no_replicated_jobs() {
        assert_eq!(global_replicas(&jobset(&[])), 0);
    }

    #[test]
    fn gr2_one_replicated_job() {
        assert_eq!(global_replicas(&jobset(&[("a", "", 3)])), 3);
    }

    #[test]
    fn gr3_two_replicated_jobs() {
        assert_eq!(global_replicas(&jobset(&[("a", "", 2), ("b", "", 5)])), 7);
    }

    #[test]
    fn pi1_only_replicated_job_of_the_group() {
        assert_eq!(in_group(&jobset(&[("a", "A", 3)]), "A", "a", 1), "1");
    }

    #[test]
    fn pi2_other_groups_do_not_count() {
        let jobset = jobset(&[("a", "A", 1), ("b", "B", 2), ("c", "A", 3)]);
        assert_eq!(in_group(&jobset, "A", "c", 1), "2");
    }

    #[test]
    fn pi3_replicated_job_of_another_group() {
        assert_eq!(
            in_group(&jobset(&[("a", "A", 1), ("b", "B", 1)]), "A", "b", 0),
            ""
        );
    }

    #[test]
    fn pi4_unknown_replicated_job() {
        assert_eq!(in_group(&jobset(&[("a", "A", 1)]), "A", "b", 0), "");
    }

    #[test]
    fn pi5_unknown_group() {
        assert_eq!(in_group(&jobset(&[("a", "A", 1)]), "B", "a", 0), "");
    }

    #[test]
    fn pr1_no_replicated_jobs() {
        assert_eq!(group_replicas(&jobset(&[]), "A"), 0);
    }

    #[test]
    fn pr2_one_replicated_job() {
        assert_eq!(group_replicas(&jobset(&[("a", "A", 1)]), "A"), 1);
    }

    #[test]
    fn pr3_two_of_the_group() {
        assert_eq!(
            group_replicas(&jobset(&[("a", "A", 1), ("b", "A", 2)]), "A"),
            3
        );
    }

    #[test]
    fn pr4_other_groups_do_not_count() {
        let jobset = jobset(&[("a", "A", 1), ("b", "B", 2), ("c", "A", 3), ("d", "A", 4)]);
        assert_eq!(group_replicas(&jobset, "B"), 2);
    }

    #[test]
    fn pr5_unknown_group() {
        assert_eq!(group_replicas(&jobset(&[("a", "A", 1)]), "B"), 0);
    }

    #[test]
    fn absent_replicas_count_as_one_and_extremes_do_not_overflow() {
        let mut jobset = jobset(&[
            ("a", "A", i32::MAX),
            ("b", "A", i32::MAX),
            ("c", "A", i32::MIN),
        ]);
        assert_eq!(global_job_index(&jobset, "c", i64::MAX), Some(i64::MAX));
        assert_eq!(global_replicas(&jobset), i64::from(i32::MAX) - 1);
        jobset.spec.replicated_jobs[0].replicas = None;
        assert_eq!(global_job_index(&jobset, "b", 0), Some(1));
    }
}
