//! The deprecated startup policy: replicated jobs start one after the other.

use jobset_api::{JobSetSpec, StartupPolicyOrder, constants};

use crate::conditions::Change;
use crate::counts::Count;

/// Whether replicated jobs start in spec order, each when the one before it has started.
pub(crate) fn in_order(spec: &JobSetSpec) -> bool {
    spec.startup_policy
        .as_ref()
        .is_some_and(|policy| policy.startup_policy_order == StartupPolicyOrder::InOrder)
}

/// Whether every Job of a replicated job is ready, succeeded or failed.
pub(crate) fn started(replicas: i64, count: Count) -> bool {
    replicas == count.started()
}

/// Some replicated job has not started yet.
pub(crate) fn in_progress() -> Change {
    Change::normal(
        constants::STARTUP_POLICY_IN_PROGRESS,
        constants::reasons::STARTUP_POLICY_IN_PROGRESS,
        constants::messages::STARTUP_POLICY_IN_PROGRESS,
    )
}

/// All replicated jobs have started.
pub(crate) fn completed() -> Change {
    Change::normal(
        constants::STARTUP_POLICY_COMPLETED,
        constants::reasons::STARTUP_POLICY_COMPLETED,
        constants::messages::STARTUP_POLICY_COMPLETED,
    )
}

#[cfg(test)]
mod tests;
