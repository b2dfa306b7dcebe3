//! What a JobSet that has not ended waits for.

use k8s_openapi::api::events::v1::Event;

use super::{Key, Model, Notice, SHOWN_PER_REASON, Set};

/// The reason of the events about probes that fail.
pub(super) const UNHEALTHY: &str = "Unhealthy";

/// A Pod's probe that has failed.
#[derive(Debug)]
pub(super) struct Probe {
    /// The event that told it first.
    first: String,
    /// What was said last.
    note: String,
}

/// Pods that are named; there may be thousands.
const NAMED: usize = 5;

impl Model {
    /// Takes note of a probe that has failed. Almost every Pod is not ready at first, so it is said only
    /// if it goes on, which the node tells by another event.
    pub(super) fn probe_failed(&mut self, event: &Event, note: &str) {
        let Some(about) = &event.regarding else {
            return;
        };
        let key: Key = (
            about.namespace.clone().unwrap_or_default(),
            about.name.clone().unwrap_or_default(),
        );
        let name = event.metadata.name.clone().unwrap_or_default();
        let known = self.unhealthy.entry(key.clone()).or_insert_with(|| Probe {
            first: name.clone(),
            note: String::new(),
        });
        note.clone_into(&mut known.note);
        // A watch that begins anew tells the first one again.
        let again = known.first != name;
        let Some(pod) = self.pods.get(&key) else {
            return;
        };
        let place = (pod.set, pod.short_name.clone());
        if !again || !self.unready.contains(&place) || !self.said.insert(format!("unready {key:?}"))
        {
            return;
        }
        let shown = self.obstacles.entry(UNHEALTHY.to_owned()).or_default();
        *shown += 1;
        if *shown > SHOWN_PER_REASON {
            return;
        }
        let set = &self.sets[place.0];
        let after: Vec<&str> = set.held_up().map(|(role, _)| role).collect();
        let held_up = if after.is_empty() {
            String::new()
        } else {
            format!("; not started yet: {}", after.join(", "))
        };
        self.notices.push(Notice {
            warning: true,
            text: format!("{} is still not ready: {note}{held_up}", place.1),
        });
    }

    /// What keeps a JobSet from going on, a line each; nothing if it has ended, or all Pods do their work.
    pub(in crate::run) fn waits_for(&self, index: usize) -> Vec<String> {
        let Some(set) = self.sets.get(index).filter(|set| set.ending.is_none()) else {
            return Vec::new();
        };
        if set.suspended {
            return vec!["it is suspended".to_owned()];
        }
        let mut lines = Vec::new();
        let unready: Vec<&str> = self
            .unready
            .iter()
            .filter(|(of, _)| *of == index)
            .map(|(_, pod)| pod.as_str())
            .collect();
        for pod in unready.iter().take(NAMED) {
            let why = self
                .pods
                .iter()
                .find(|(_, known)| known.set == index && known.short_name == **pod)
                .and_then(|(key, _)| self.unhealthy.get(key));
            lines.push(match why {
                Some(probe) => format!("{pod} is not ready: {}", probe.note),
                None => format!("{pod} is not ready"),
            });
        }
        if unready.len() > NAMED {
            let more = unready.len() - NAMED;
            lines.push(format!("… and {more} more Pods that are not ready"));
        }
        for (role, after) in set.held_up() {
            lines.push(format!("{role} starts after {after}"));
        }
        lines
    }
}

impl Set {
    /// The roles of which there is no Job yet because of others, and what they start after.
    fn held_up(&self) -> impl Iterator<Item = (&str, String)> {
        let none = |role: &&crate::view::RoleView| {
            role.active + role.ready + role.succeeded + role.failed + role.suspended == 0
        };
        self.roles
            .iter()
            .filter(none)
            .filter(|role| !role.after.is_empty())
            .map(|role| (role.name.as_str(), role.after.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::super::watch::Change;
    use super::super::Ending;
    use super::*;

    fn model() -> Model {
        let jobset = |status: Value| {
            serde_json::from_value(json!({
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                "metadata": {"name": "js", "namespace": "default", "uid": "u"},
                "spec": {"replicatedJobs": [
                    {"name": "leader", "template": {}},
                    {"name": "workers", "replicas": 2, "template": {},
                     "dependsOn": [{"name": "leader", "status": "Ready"}]},
                ]},
                "status": status,
            }))
            .unwrap()
        };
        let mut model = Model::new(&[jobset(json!({}))]);
        let status = json!({"restarts": 0, "replicatedJobsStatus": [
            {"name": "leader", "ready": 0, "active": 1, "succeeded": 0, "failed": 0, "suspended": 0},
            {"name": "workers", "ready": 0, "active": 0, "succeeded": 0, "failed": 0, "suspended": 0},
        ]});
        let change = Change::JobSet(Box::new(jobset(status)));
        model.apply(change, Duration::ZERO);
        model
    }

    fn pod(ready: &str) -> Change {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "js-leader-0-0-abcde", "namespace": "default", "uid": "p",
                "labels": {
                    "jobset.sigs.k8s.io/jobset-name": "js",
                    "jobset.sigs.k8s.io/replicatedjob-name": "leader",
                    "jobset.sigs.k8s.io/job-index": "0",
                    "batch.kubernetes.io/job-name": "js-leader-0",
                },
            },
            "spec": {},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        });
        Change::Pod(Box::new(serde_json::from_value(pod).unwrap()))
    }

    fn unhealthy(name: &str) -> Change {
        let event = json!({
            "metadata": {"name": name}, "eventTime": null, "type": "Warning", "reason": "Unhealthy",
            "note": "Readiness probe failed: refused",
            "regarding": {"kind": "Pod", "name": "js-leader-0-0-abcde", "namespace": "default"},
        });
        Change::Warning(Box::new(serde_json::from_value(event).unwrap()))
    }

    #[test]
    fn a_pod_that_does_not_become_ready_is_named_once_and_with_who_waits_for_it() {
        let mut model = model();
        model.apply(pod("False"), Duration::ZERO);
        model.apply(unhealthy("a"), Duration::ZERO);
        model.apply(unhealthy("a"), Duration::ZERO);
        assert_eq!(model.take_notices(), [], "every Pod begins like this");
        model.apply(unhealthy("b"), Duration::ZERO);
        model.apply(unhealthy("c"), Duration::ZERO);
        let said: Vec<String> = model.take_notices().into_iter().map(|n| n.text).collect();
        assert_eq!(
            said,
            [
                "leader-0-0 is still not ready: Readiness probe failed: refused; not started yet: workers"
            ]
        );
        assert_eq!(
            model.waits_for(0),
            [
                "leader-0-0 is not ready: Readiness probe failed: refused",
                "workers starts after leader (Ready)",
            ]
        );
        model.apply(pod("True"), Duration::ZERO);
        assert_eq!(model.waits_for(0), ["workers starts after leader (Ready)"]);
        model.sets[0].suspended = true;
        assert_eq!(model.waits_for(0), ["it is suspended"]);
        model.sets[0].ending = Some(Ending::Completed);
        assert_eq!(model.waits_for(0), [""; 0]);
    }

    #[test]
    fn a_pod_that_was_not_well_for_a_moment_is_not_named() {
        let mut model = model();
        model.apply(pod("True"), Duration::ZERO);
        model.apply(unhealthy("a"), Duration::ZERO);
        model.apply(unhealthy("b"), Duration::ZERO);
        assert_eq!(model.take_notices(), []);
    }
}
