//! Replicated jobs that wait for others to be ready or complete.

use jobset_api::DependsOnStatus;

use crate::counts::Counts;
use crate::roles::{Role, Roles};

/// Whether everything that this replicated job depends on has got far enough.
///
/// Only replicated jobs listed up to and including this one have replicas here; a later one counts
/// as having none, as the reference does. An unknown name or state is never reached. Nothing is
/// undone when a dependency falls back later.
pub(crate) fn reached(role: Role<'_, '_>, roles: &Roles<'_>, counts: &Counts) -> bool {
    role.spec.depends_on().iter().all(|dependency| {
        let Some(on) = roles.position(&dependency.name).and_then(|i| roles.get(i)) else {
            return false;
        };
        let replicas = if on.position <= role.position {
            on.place.replicas
        } else {
            0
        };
        let count = counts.get(on.position);
        match dependency.status {
            DependsOnStatus::Ready => replicas == count.started(),
            DependsOnStatus::Complete => replicas == i64::from(count.succeeded),
            DependsOnStatus::Unknown(_) => false,
        }
    })
}

#[cfg(test)]
mod tests;
