//! Execution attempts (gate `ExecutionAttemptsTracking`): how often the JobSet has started anew.
//!
//! `status.executionAttempts` is absent until the first run, which is 0, and grows by one with each
//! restart of the whole JobSet and each resumption. A JobSet that already runs without the field
//! begins at its number of restarts. Jobs and Pods carry the number as an annotation.
//!
//! A restart is counted by the decision, in the same write as `restarts`. A resumption is counted in
//! the write that turns the condition `Suspended` false, before any Job is resumed or created: that
//! write succeeds once, so the resumption counts once.

use jobset_api::constants::{self, EXECUTION_ATTEMPT_KEY};
use jobset_api::{Feature, JobSetStatus};
use serde_json::{Value, json};

use crate::draft::Draft;

/// Counts the beginning of a run that is not a restart. Whether the plan has to end here, because
/// the count must be stored before anything runs under it.
pub(crate) fn begin(draft: &mut Draft) -> bool {
    if !draft.options.enabled(Feature::ExecutionAttemptsTracking) {
        return false;
    }
    let resumed = is_marked_suspended(draft.status());
    draft.change_status(|status| {
        let attempts = match (status.execution_attempts, resumed) {
            (None, true) => 0,
            (None, false) => status.restarts,
            (Some(attempts), true) => attempts.saturating_add(1),
            (Some(_), false) => return false,
        };
        status.execution_attempts = Some(attempts);
        true
    });
    resumed
}

/// Counts a restart of the whole JobSet, which `restarts` counts already.
pub(crate) fn restarted(draft: &mut Draft) {
    if draft.options.enabled(Feature::ExecutionAttemptsTracking) {
        draft.change_status(|status| {
            let before = status.execution_attempts;
            let attempts = before.unwrap_or(status.restarts.saturating_sub(1));
            status.execution_attempts = Some(attempts.saturating_add(1));
            true
        });
    }
}

/// The annotation for Jobs and Pods of this attempt.
pub(crate) fn annotation(draft: &Draft) -> Option<(&'static str, Value)> {
    let tracked = draft.options.enabled(Feature::ExecutionAttemptsTracking);
    let attempts = draft.status().execution_attempts.filter(|_| tracked)?;
    Some((EXECUTION_ATTEMPT_KEY, attempts.to_string().into()))
}

/// Writes an annotation on a Job, or a patch of one, and on its Pod template.
pub(crate) fn annotate(job: &mut Value, (key, value): &(&'static str, Value)) {
    for parent in ["/metadata", "/spec/template/metadata"] {
        if job
            .pointer(parent)
            .is_none_or(|metadata| !metadata.is_object())
            && let Some((above, last)) = parent.rsplit_once('/')
            && let Some(above) = job.pointer_mut(above).and_then(Value::as_object_mut)
        {
            above.insert(last.to_owned(), json!({}));
        }
        let metadata = job.pointer_mut(parent).and_then(Value::as_object_mut);
        let Some(metadata) = metadata else { continue };
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert((*key).to_owned(), value.clone());
        }
    }
}

fn is_marked_suspended(status: &JobSetStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|c| c.type_ == constants::SUSPENDED && c.status == "True")
}

#[cfg(test)]
mod tests;
