//! Exclusive placement: one Job per topology domain, decided Pod by Pod.
//!
//! A Pod whose Job asks for exclusive placement is a *leader* (completion index 0) or a
//! *follower*. The leader gets rules that keep Pods of other Jobs out of its domain; followers are
//! admitted only once their leader has a node, and are bound to its domain. What got into the
//! wrong domain all the same, because admission decides from what it knows at one moment, is found
//! and deleted by the repair. Source: spec `admission.md` §6 to §8, `reconcile.md` §16.
//!
//! | file | decides |
//! |---|---|
//! | `admit` | what a new Pod gets, and whether it may be created now |
//! | `leader` | who the leader of a follower is |
//! | `pod` | what is kept of a Pod |
//! | `repair` | which Pods are in the wrong domain |
//!
//! Pure and total: what there is beside the Pod itself is read through a [`PlacementView`].
//!
//! # Where this is more than the reference
//!
//! * A leader that has *succeeded* is never made anew, so a follower that has to be replaced after
//!   that would wait for ever. It is admitted, and places itself by the rules of leaders.
//! * A follower whose domain is not the one its leader has at validation is refused, so a leader
//!   that is replaced between the two calls does no harm.
//! * Followers that keep their leader from being placed, because another Job holds their domain,
//!   are repaired too; see [`repair`].

mod admit;
mod leader;
mod pod;
mod repair;
#[cfg(test)]
mod view;

pub use admit::{mutate_pod, validate_pod};
pub use pod::PlacedPod;
pub use repair::{Repair, holds, repair};

use std::sync::Arc;

use jobset_api::{JobSet, constants};

use crate::construct::placement_annotations;

/// Part of the message of each refusal that only asks to wait, which is how leaders come before
/// followers: no reason to alarm anybody.
pub const TRANSIENT: &str = "this error is expected and transient";

/// The domain a node lies in, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeTopology {
    /// No node has the name.
    NoNode,
    /// The node lacks the topology label.
    NoLabel,
    /// Value of the topology label.
    Domain(String),
}

/// The cluster as placement needs to see it: a cache, or the store itself.
pub trait PlacementView {
    /// Whether the answers can be relied upon. Asked whenever a Pod with exclusive placement is
    /// admitted, so a view may take the first question as the reason to become ready. A view that
    /// is ready once stays so.
    fn ready(&self) -> bool {
        true
    }

    /// The Pods of a namespace that carry the annotation `exclusive-topology` and whose name
    /// without its last segment is `prefix`, in any state.
    fn pods_named(&self, namespace: &str, prefix: &str) -> Vec<Arc<PlacedPod>>;

    /// The node's value of the label `key`.
    fn topology(&self, node: &str, key: &str) -> NodeTopology;
}

/// Whether Pods of this JobSet are placed by the rules of this module.
pub fn concerns(jobset: &JobSet) -> bool {
    jobset.spec.replicated_jobs.iter().any(|job| {
        let annotations = placement_annotations(jobset, &job.template);
        annotations.contains_key(constants::EXCLUSIVE_TOPOLOGY_KEY)
            && !annotations.contains_key(constants::NODE_SELECTOR_STRATEGY_KEY)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_strategy_decides_which_jobsets_are_concerned() {
        let (topology, strategy) = (
            constants::EXCLUSIVE_TOPOLOGY_KEY,
            constants::NODE_SELECTOR_STRATEGY_KEY,
        );
        for (of_jobset, of_template, expected) in [
            (json!({}), json!({}), false),
            (json!({topology: "rack"}), json!({}), true),
            (json!({}), json!({topology: "rack"}), true),
            (json!({topology: "rack", strategy: ""}), json!({}), false),
            (json!({}), json!({topology: "rack", strategy: ""}), false),
            (
                json!({topology: "a", strategy: ""}),
                json!({topology: "b"}),
                false,
            ),
            // Beside no topology of its own level the flag does not reach the Pods.
            (json!({topology: "rack"}), json!({strategy: ""}), true),
            (json!({strategy: ""}), json!({}), false),
        ] {
            let jobset: Value = json!({
                "metadata": {"name": "js", "annotations": of_jobset},
                "spec": {"replicatedJobs": [
                    {"name": "w", "template": {"metadata": {"annotations": of_template}}},
                ]},
            });
            let jobset: JobSet = serde_json::from_value(jobset).unwrap();
            assert_eq!(concerns(&jobset), expected, "{of_jobset} {of_template}");
        }
    }
}
