//! What an edit of a JobSet means: pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use jobset_api::validation::validate_update;
use jobset_api::{FeatureGates, JobSet, defaulting};
use jobset_core::{Action, ChildJob, Observed, ServiceState, plan};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::edits::{self, Edit};
use crate::manifest;

/// Whether an edit is permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// Refused now, and why; but not while the JobSet is suspended.
    WhileSuspended(Vec<String>),
    Forbidden(Vec<String>),
}

/// Edits that are judged together.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) edits: Vec<Edit>,
    pub(super) verdict: Verdict,
}

/// What differs between a stored JobSet and the one that a file wants.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) judged: Vec<Judged>,
    /// Why the edits as a whole would be refused; empty if they would not.
    pub(super) refusals: Vec<String>,
}

impl Comparison {
    /// A stored JobSet with the edits, and without defaults that nobody has asked for: where they are not
    /// stored, they would be edits themselves.
    pub(super) fn applied_to(&self, stored: &Value) -> Value {
        let mut edited = stored.clone();
        for edit in self.judged.iter().flat_map(|judged| &judged.edits) {
            edit.apply(&mut edited);
        }
        edited
    }
}

/// What happens to an object of the JobSet's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) action: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) note: String,
}

/// The stored JobSet with what the file says: its spec as a whole, and of labels and annotations
/// those that it names.
fn edited(live: &Value, file: &Value) -> Value {
    let mut new = live.clone();
    new["spec"] = file.get("spec").cloned().unwrap_or_default();
    manifest::default_jobset(&mut new);
    for key in ["labels", "annotations"] {
        let wanted = file.pointer(&format!("/metadata/{key}"));
        for (name, value) in wanted.and_then(Value::as_object).into_iter().flatten() {
            new["metadata"][key][name.as_str()] = value.clone();
        }
    }
    new
}

/// A stored JobSet and what a file would make of it.
#[derive(Debug)]
pub(super) struct Edition {
    /// What is stored and what would be, alike where they mean the same: with the defaults of admission,
    /// which an installation without webhooks does not store, and without `suspend: false`, which is left
    /// over when a JobSet is resumed.
    pub(super) live: Value,
    pub(super) new: Value,
}

impl Edition {
    /// Of a JobSet as it is stored, and the file as it is written.
    pub(super) fn of(live: &Value, file: &Value) -> Self {
        let comparable = |jobset: &Value| {
            let mut jobset = jobset.clone();
            defaulting::default_value(&mut jobset);
            manifest::default_jobset(&mut jobset);
            if jobset["spec"]["suspend"] == false
                && let Some(spec) = jobset["spec"].as_object_mut()
            {
                spec.remove("suspend");
            }
            jobset
        };
        let live = comparable(live);
        let new = edited(&live, &comparable(file));
        Self { live, new }
    }
}

/// Finds and judges the edits. Both are JobSets in JSON.
pub(super) fn compare(
    live: &Value,
    new: &Value,
    gates: FeatureGates,
) -> Result<Comparison, serde_json::Error> {
    let mut old = live.clone();
    manifest::default_jobset(&mut old);
    let all = edits::between(&old, new);
    let mut groups: Vec<Vec<Edit>> = Vec::new();
    for edit in all {
        match groups.last_mut() {
            Some(group) if group.iter().any(|other| other.belongs_to(&edit)) => group.push(edit),
            _ => groups.push(vec![edit]),
        }
    }
    let mut comparison = Comparison::default();
    if groups.is_empty() {
        return Ok(comparison);
    }
    comparison.refusals = refusals(&old, new, gates)?;
    let mut suspended = old.clone();
    suspended["spec"]["suspend"] = true.into();
    for edits in groups {
        // Suspending with the same request counts as being suspended.
        let alone = |from: &Value| {
            let mut to = from.clone();
            if new["spec"]["suspend"] == true {
                to["spec"]["suspend"] = true.into();
            }
            for edit in &edits {
                edit.apply(&mut to);
            }
            refusals(from, &to, gates)
        };
        let reasons = alone(&old)?;
        let verdict = if reasons.is_empty() {
            Verdict::Allowed
        } else if alone(&suspended)?.is_empty() {
            Verdict::WhileSuspended(reasons)
        } else {
            Verdict::Forbidden(reasons)
        };
        comparison.judged.push(Judged { edits, verdict });
    }
    Ok(comparison)
}

/// Why admission and the schema refuse a change.
fn refusals(
    old: &Value,
    new: &Value,
    gates: FeatureGates,
) -> Result<Vec<String>, serde_json::Error> {
    let rules = manifest::forbidden_changes(old, new).into_iter();
    let mut found: Vec<String> = rules
        .map(|(path, message)| format!("{path}: {}", meaning(&message)))
        .collect();
    let (old, new): (JobSet, JobSet) = (
        serde_json::from_value(old.clone())?,
        serde_json::from_value(new.clone())?,
    );
    for error in validate_update(&old, &new, &gates) {
        found.push(format!("{}: {}", error.path, error.detail));
    }
    found.dedup();
    Ok(found)
}

/// The last part of a message: without the value, which may be a whole spec and is shown anyway.
fn meaning(message: &str) -> &str {
    message.rsplit(": ").next().unwrap_or(message)
}

/// What the controller sees beside the JobSet.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) jobs: Vec<Arc<ChildJob>>,
    pub(super) service: bool,
    pub(super) claims: BTreeSet<String>,
}

/// What the controller would do because of the edit: its plan for the new JobSet, without what it
/// is about to do for the old one anyway.
pub(super) fn consequences(
    live: &JobSet,
    new: &JobSet,
    around: &Surroundings,
    gates: FeatureGates,
    now: Timestamp,
) -> Vec<Change> {
    let actions = |jobset: &JobSet| -> Vec<Action> {
        let service = if around.service {
            ServiceState::Exists
        } else {
            ServiceState::Missing
        };
        let observed = Observed {
            jobset,
            jobs: &around.jobs,
            service,
            claims: &around.claims,
            pods: None,
            dead_nodes: &[],
            pod_webhook: true,
        };
        plan(&observed, &gates.into(), now)
            .actions()
            .cloned()
            .collect()
    };
    let anyway = actions(live);
    actions(new)
        .into_iter()
        .filter(|action| !anyway.contains(action))
        .map(|action| change(&action))
        .collect()
}

fn change(action: &Action) -> Change {
    let (what, kind, note) = match action {
        Action::CreateJob { .. } => ("create", "Job", ""),
        Action::CreateService { .. } => ("create", "Service", ""),
        Action::CreateClaim { .. } => ("create", "PersistentVolumeClaim", ""),
        Action::DeleteJob { .. } => ("delete", "Job", ""),
        Action::SuspendJob { .. } => ("suspend", "Job", "its Pods are deleted"),
        Action::ResumeJob { .. } => (
            "resume",
            "Job",
            "with the labels, annotations, node selector, tolerations and scheduling gates of \
             the template",
        ),
        Action::DeleteJobSet { .. } => ("delete", "JobSet", "its time to live is over"),
        #[allow(unreachable_patterns, reason = "kinds of actions to come")]
        _ => ("change", "Job", ""),
    };
    Change {
        action: what,
        kind,
        name: action.name().to_owned(),
        note: note.to_owned(),
    }
}

#[cfg(test)]
mod tests;
