//! What the planner is told from outside.

use jobset_api::{Feature, FeatureGates};

/// How to plan: feature gates, and options that change when or how much is done, never what a
/// JobSet means. The default plans as the reference does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Feature gates.
    pub gates: FeatureGates,
    /// A Job counts as failed as soon as it has condition `FailureTarget`, while its last Pods are
    /// still being stopped.
    pub fast_failure_detection: bool,
    /// A suspended JobSet that has never run gets its Jobs and its Service when it is resumed.
    pub lean_suspend: bool,
    /// `ttlSecondsAfterFinished` applies also to JobSets that another controller manages.
    pub clean_up_managed_elsewhere: bool,
}

impl PlanOptions {
    /// Whether the gate is on.
    pub(crate) fn enabled(self, feature: Feature) -> bool {
        self.gates.enabled(feature)
    }
}

impl From<FeatureGates> for PlanOptions {
    fn from(gates: FeatureGates) -> Self {
        Self {
            gates,
            ..Self::default()
        }
    }
}
