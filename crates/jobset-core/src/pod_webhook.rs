//! Exclusive placement where no Pod webhook runs.
//!
//! Placement by Pod affinity is made by admission, Pod by Pod. Without the webhook such Pods would
//! run anywhere, two Jobs in one domain, and nobody would notice. So the Jobs that ask for it are
//! neither created nor resumed, and a condition with a Warning event says why. The strategy by
//! node selector needs no webhook and goes on.

use jobset_api::{JobSet, JobTemplate, constants};

use crate::conditions::Change;
use crate::construct::placement_annotations;
use crate::model::Observed;
use crate::roles::Roles;

/// Whether any Pod of the JobSet is placed by the Pod webhook.
#[must_use]
pub fn needs_pod_webhook(jobset: &JobSet) -> bool {
    let roles = jobset.spec.replicated_jobs.iter();
    roles
        .map(|role| &role.template)
        .any(|template| is_placed_by_webhook(jobset, template))
}

/// Whether the Pods of this template are: they carry the topology and not the other strategy.
fn is_placed_by_webhook(jobset: &JobSet, template: &JobTemplate) -> bool {
    let placement = placement_annotations(jobset, template);
    let carried = |key: &str| {
        placement.contains_key(key) || template.pod_annotations().any(|(own, _)| own == key)
    };
    carried(constants::EXCLUSIVE_TOPOLOGY_KEY) && !carried(constants::NODE_SELECTOR_STRATEGY_KEY)
}

/// The replicated jobs whose Jobs must not start.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    /// By position; empty where a webhook runs.
    by_position: Vec<bool>,
}

impl Withheld {
    pub(crate) fn of(observed: &Observed<'_>, roles: &Roles<'_>) -> Self {
        if observed.pod_webhook {
            return Self::default();
        }
        let jobset = observed.jobset;
        Self {
            by_position: roles
                .iter()
                .map(|role| is_placed_by_webhook(jobset, &role.spec.template))
                .collect(),
        }
    }

    /// Whether the Jobs of the replicated job at this position must not start.
    pub(crate) fn holds(&self, position: usize) -> bool {
        self.by_position.get(position).copied().unwrap_or(false)
    }

    /// The condition that tells of it, or that it is over.
    pub(crate) fn condition(&self) -> Change {
        if self.by_position.contains(&true) {
            Change::warning(
                constants::EXCLUSIVE_PLACEMENT_UNAVAILABLE,
                constants::reasons::POD_WEBHOOK_DISABLED,
                constants::messages::POD_WEBHOOK_DISABLED,
            )
        } else {
            Change::cleared(
                constants::EXCLUSIVE_PLACEMENT_UNAVAILABLE,
                constants::reasons::EXCLUSIVE_PLACEMENT_AVAILABLE,
                constants::messages::EXCLUSIVE_PLACEMENT_AVAILABLE,
            )
        }
    }
}

#[cfg(test)]
mod tests;
