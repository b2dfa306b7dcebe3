//! Who the leader of a follower is.

use std::sync::Arc;

use jobset_api::constants;
use serde_json::Value;

use super::admit::{controller_uid, label, namespace};
use super::{PlacedPod, PlacementView, TRANSIENT};

/// The leader, as far as a follower has to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// It runs or is about to.
    Active(Arc<PlacedPod>),
    /// It has done its work and will not be made again.
    Succeeded,
}

/// The name of a follower's leader without the random part.
///
/// # Errors
/// Names the label that is missing.
pub(super) fn prefix(follower: &Value) -> Result<String, String> {
    let part = |key: &str| label(follower, key).ok_or_else(|| format!("pod has no label {key}"));
    Ok(format!(
        "{}-{}-{}-0",
        part(constants::JOBSET_NAME_KEY)?,
        part(constants::REPLICATED_JOB_NAME_KEY)?,
        part(constants::JOB_INDEX_KEY)?
    ))
}

/// Finds the leader of a new follower.
///
/// Of Pods that end or have ended none is a leader. Should leaders of several incarnations of the
/// Job exist, the one with the follower's own owner counts.
///
/// # Errors
/// Why there is none to go by, in words for the creator. All but a missing label pass with time.
pub(super) fn find(follower: &Value, view: &dyn PlacementView) -> Result<Leader, String> {
    let prefix = prefix(follower)?;
    let own = controller_uid(follower);
    let found = view.pods_named(namespace(follower), &prefix);
    let is_own = |pod: &PlacedPod| own.is_some() && pod.owner_uid.as_deref() == own;
    let mut active: Vec<_> = found.iter().filter(|pod| pod.is_active()).collect();
    if active.len() > 1 && active.iter().any(|pod| is_own(pod)) {
        active.retain(|pod| is_own(pod));
    }
    let [leader] = active[..] else {
        let done = |pod: &Arc<PlacedPod>| pod.succeeded && is_own(pod);
        if active.is_empty() && found.iter().any(done) {
            return Ok(Leader::Succeeded);
        }
        return Err(format!(
            "expected 1 leader pod ({prefix}), but got {}; {TRANSIENT}",
            active.len()
        ));
    };
    let own = own.ok_or("follower pod has no controller owner reference")?;
    let theirs = leader.owner_uid.as_deref().ok_or_else(|| {
        format!(
            "leader pod {:?} has no controller owner reference",
            leader.name
        )
    })?;
    if own != theirs {
        return Err(format!(
            "follower and leader pods have different owners: follower's owner uid is {own}, \
             leader's is {theirs}"
        ));
    }
    Ok(Leader::Active(leader.clone()))
}
