//! Which Pods are in the wrong domain.

use std::sync::Arc;

use super::{NodeTopology, PlacedPod};

/// What is to be done about the Pods of one Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// All is well, or will be without us.
    Nothing,
    /// It cannot be said yet, because of this; nothing is deleted. To be looked at again.
    Unknown(String),
    /// The leader waits for a place, and followers have one. To be looked at again after a while,
    /// even if nothing of this Job changes.
    Waiting,
    /// These followers get the condition `DisruptionTarget` and are deleted.
    Delete(Vec<Arc<PlacedPod>>),
}

/// Judges the Pods of one Job, those with the same owner.
///
/// Pods that end or have ended are left alone, and so are Pods placed by node selector. A follower
/// is in the wrong domain if
/// * its leader has a node, in another domain than the follower is bound to; or
/// * its leader waits for a place while `contested` says of the follower that another Job holds
///   its domain. The leader has to join its followers and has to stay clear of other Jobs, so it
///   would wait for as long as the other Job runs; and two such Jobs would wait for each other.
///   This comes about when all but a follower that is just being scheduled are deleted, and the
///   domain is taken before the follower arrives.
pub fn repair(
    pods: &[Arc<PlacedPod>],
    topology: impl Fn(&str, &str) -> NodeTopology,
    contested: impl Fn(&PlacedPod) -> bool,
) -> Repair {
    let active = || {
        pods.iter()
            .filter(|pod| pod.is_active() && pod.is_exclusive())
    };
    let followers: Vec<_> = active().filter(|pod| !pod.leader).collect();
    if followers.is_empty() {
        return Repair::Nothing;
    }
    let mut leaders = active().filter(|pod| pod.leader);
    let Some(first) = leaders.next() else {
        // There will be one, or it has succeeded and followers place themselves.
        return Repair::Nothing;
    };
    let mut placed = [first]
        .into_iter()
        .chain(leaders)
        .filter_map(|pod| pod.node.as_deref());
    let wrong: Vec<_> = match (placed.next(), placed.next()) {
        (None, _) => {
            let wrong: Vec<_> = followers.into_iter().filter(|pod| contested(pod)).collect();
            if wrong.is_empty() {
                return Repair::Waiting;
            }
            wrong
        }
        // The Job controller is about to delete one of them.
        (Some(_), Some(_)) => return Repair::Waiting,
        (Some(node), None) => {
            let mut wrong = Vec::new();
            for follower in followers {
                let key = follower.topology_key.as_deref().unwrap_or_default();
                match topology(node, key) {
                    NodeTopology::Domain(domain) if follower.domain.as_ref() == Some(&domain) => {}
                    NodeTopology::Domain(_) => wrong.push(follower),
                    NodeTopology::NoNode => {
                        return Repair::Unknown(format!(
                            "leader topology is unknown (node {node:?} not found)"
                        ));
                    }
                    NodeTopology::NoLabel => {
                        return Repair::Unknown(format!(
                            "node {node:?} does not have topology label: {key}"
                        ));
                    }
                }
            }
            wrong
        }
    };
    if wrong.is_empty() {
        Repair::Nothing
    } else {
        Repair::Delete(wrong.into_iter().cloned().collect())
    }
}

/// Whether the Pods of one Job hold the domain that a Pod of another one is bound to, so that a
/// leader of the latter's Job has no place there: by their leader, or by their followers while the
/// leader has no place.
pub fn holds<'a>(
    pods: impl Iterator<Item = &'a PlacedPod> + Clone,
    other: &PlacedPod,
    topology: impl Fn(&str, &str) -> NodeTopology,
) -> bool {
    let (Some(key), Some(domain), Some(_)) = (&other.topology_key, &other.domain, &other.priority)
    else {
        return false;
    };
    let mut rivals = pods.filter(|pod| {
        pod.is_active()
            && pod.is_exclusive()
            && pod.topology_key.as_ref() == Some(key)
            && pod.priority == other.priority
            && pod.job_key.is_some()
            && pod.job_key != other.job_key
    });
    let mut placed = rivals.clone().filter(|pod| pod.leader);
    if let Some(node) = placed.find_map(|pod| pod.node.as_deref()) {
        return topology(node, key) == NodeTopology::Domain(domain.clone());
    }
    rivals.any(|pod| pod.node.is_some() && pod.domain.as_ref() == Some(domain))
}

#[cfg(test)]
mod tests;
