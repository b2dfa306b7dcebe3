//! A JobSet as a tree: roles, their Jobs, their Pods.

use k8s_openapi::jiff::Timestamp;

use super::job::JobView;
use super::set::{RoleView, SetView};
use super::{age, count, table};

/// The tree as a table whose first column is the branch.
pub(crate) fn tree(set: &SetView, now: Timestamp, colored: bool) -> String {
    let head = "NAME STATE READY RESTARTS NODE REASON";
    let mut rows: Vec<Vec<String>> = vec![head.split(' ').map(str::to_owned).collect()];
    let (ready, all) = set.ready();
    rows.push(vec![
        format!("JobSet {}", set.name),
        set.state.to_owned(),
        format!("{ready}/{all}"),
        set.restarts.to_string(),
        String::new(),
        set.reason.clone(),
    ]);
    let last = set.roles.len().saturating_sub(1);
    for (at, role) in set.roles.iter().enumerate() {
        let (branch, below) = branches(at == last);
        rows.push(role_row(role, branch));
        let last = role.jobs.len().saturating_sub(1);
        for (at, job) in role.jobs.iter().enumerate() {
            let (branch, deeper) = branches(at == last);
            rows.push(job_row(job, &format!("{below}{branch}"), set.restarts, now));
            let below = format!("{below}{deeper}");
            let last = job.pods.len().saturating_sub(1);
            for (at, pod) in job.pods.iter().enumerate() {
                let (branch, _) = branches(at == last);
                let mut reason = Vec::new();
                if let Some(since) = &pod.terminating_since {
                    reason.push(format!("for {}", age(Some(since.0), now)));
                }
                if !pod.reason.is_empty() {
                    reason.push(pod.reason.clone());
                }
                rows.push(vec![
                    format!("{below}{branch}Pod {}", pod.name),
                    pod.state.clone(),
                    pod.ready.clone(),
                    pod.restarts.to_string(),
                    pod.node.clone().unwrap_or_default(),
                    reason.join("; "),
                ]);
            }
        }
    }
    table(&rows, colored)
}

fn branches(last: bool) -> (&'static str, &'static str) {
    if last {
        ("└─ ", "   ")
    } else {
        ("├─ ", "│  ")
    }
}

fn role_row(role: &RoleView, branch: &str) -> Vec<String> {
    let there = role.jobs.len() as i64;
    let mut reason = Vec::new();
    if there < i64::from(role.replicas) {
        let missing = i64::from(role.replicas) - there;
        let mut text = format!("{} not there", count(missing, "Job"));
        if !role.after.is_empty() {
            text.push_str(&format!("; starts after {}", role.after.join(", ")));
        }
        reason.push(text);
    }
    if role.terminating > 0 {
        reason.push(format!("{} terminating", role.terminating));
    }
    vec![
        format!(
            "{branch}{}",
            if role.name.is_empty() {
                "(no role)"
            } else {
                &role.name
            }
        ),
        String::new(),
        format!("{}/{}", role.ready + role.succeeded, role.replicas),
        String::new(),
        String::new(),
        reason.join("; "),
    ]
}

fn job_row(job: &JobView, branch: &str, attempt: i32, now: Timestamp) -> Vec<String> {
    let mut reason = Vec::new();
    if let Some(since) = &job.terminating_since {
        reason.push(format!("for {}", age(Some(since.0), now)));
    }
    if job.attempt < attempt {
        reason.push(format!("of attempt {}", job.attempt));
    }
    if !job.reason.is_empty() {
        reason.push(job.reason.clone());
    }
    vec![
        format!("{branch}Job {}", job.name),
        job.state.to_owned(),
        String::new(),
        if job.own_attempt > 0 {
            job.own_attempt.to_string()
        } else {
            String::new()
        },
        String::new(),
        reason.join("; "),
    ]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn the_tree_shows_what_is_there_and_what_is_not() {
        let mut leaving = testing::job("leader", 0, &json!({}));
        leaving.metadata.deletion_timestamp = Some(Time("2026-01-01T00:09:30Z".parse().unwrap()));
        let snapshot = testing::snapshot(
            testing::jobset(&json!({"restarts": 1, "replicatedJobsStatus": []})),
            vec![leaving],
            vec![testing::pod("leader", 0, 0, &json!({"phase": "Running"}))],
            vec![],
        );
        let text = tree(&SetView::with_children(&snapshot), testing::now(), false);
        assert_eq!(
            text,
            "\
NAME                              STATE        READY  RESTARTS  NODE    REASON
JobSet js                         Starting     0/3    1
├─ leader                                      0/1                      1 terminating
│  └─ Job js-leader-0             Terminating                           for 30s; of attempt 0
│     └─ Pod js-leader-0-0-abcde  Running      0/1    0         node-0
└─ workers                                     0/2                      2 Jobs not there; starts after leader (Ready)
"
        );
    }
}
