//! What to do with one object. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PropagationPolicy;

use super::graph::{FOREGROUND, Node, ORPHAN};

/// How an owner of an object is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// It exists.
    Solid,
    /// It does not exist.
    Absent,
    /// It exists and waits for its dependents to be deleted.
    Waiting,
}

/// What to do with an object that has owners and is not being deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It stays as it is.
    Keep,
    /// It stays, with these owners only.
    SetOwners(Vec<OwnerReference>),
    /// It goes.
    Delete(PropagationPolicy),
}

/// Judges an object by its owners (each with its state) and its own dependents.
pub fn judge(node: &Node, owners: &[(OwnerReference, OwnerState)], dependents: &[Node]) -> Verdict {
    if owners.is_empty() {
        return Verdict::Keep;
    }
    let solid: Vec<OwnerReference> = owners
        .iter()
        .filter(|(_, state)| *state == OwnerState::Solid)
        .map(|(owner, _)| owner.clone())
        .collect();
    if solid.len() == owners.len() {
        return Verdict::Keep;
    }
    if !solid.is_empty() {
        // One owner that stays is enough; the others must not wait for this object.
        return Verdict::SetOwners(solid);
    }
    let waiting = owners
        .iter()
        .any(|(_, state)| *state == OwnerState::Waiting);
    if waiting && !dependents.is_empty() {
        // A circle of owners would wait for itself for ever: break it here.
        let blocking = owners
            .iter()
            .any(|(owner, _)| owner.block_owner_deletion == Some(true));
        if blocking && dependents.iter().any(Node::waits_for_dependents) {
            let unblocked = owners.iter().map(|(owner, _)| OwnerReference {
                block_owner_deletion: Some(false),
                ..owner.clone()
            });
            return Verdict::SetOwners(unblocked.collect());
        }
        return Verdict::Delete(PropagationPolicy::Foreground);
    }
    // What an earlier deletion asked for is kept.
    Verdict::Delete(if node.meta.has_finalizer(ORPHAN) {
        PropagationPolicy::Orphan
    } else if node.meta.has_finalizer(FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::core::ApiResource;
    use serde_json::json;

    use super::*;
    use crate::garbage_collector::kinds::Kind;

    fn node(deleting: bool, finalizers: &[&str]) -> Node {
        let resource = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            plural: "pods".to_owned(),
        };
        let meta = serde_json::from_value(json!({"metadata": {
            "name": "n", "uid": "n", "finalizers": finalizers,
            "deletionTimestamp": deleting.then_some("2026-01-01T00:00:00Z"),
        }}));
        Node {
            kind: Arc::new(Kind {
                resource,
                namespaced: true,
            }),
            meta: Arc::new(meta.unwrap()),
        }
    }

    fn owner(uid: &str, block: bool) -> OwnerReference {
        OwnerReference {
            uid: uid.to_owned(),
            block_owner_deletion: Some(block),
            ..OwnerReference::default()
        }
    }

    #[test]
    fn table() {
        use OwnerState::{Absent, Solid, Waiting};
        let (plain, orphan, foreground) = (
            node(false, &[]),
            node(false, &[ORPHAN]),
            node(false, &[FOREGROUND]),
        );
        let stays =
            |uids: &[&str]| Verdict::SetOwners(uids.iter().map(|uid| owner(uid, true)).collect());
        let delete = Verdict::Delete;
        let child = node(false, &[]);
        let waiting_child = node(true, &[FOREGROUND]);
        for (subject, owners, dependents, expected) in [
            (&plain, vec![], vec![], Verdict::Keep),
            (&plain, vec![("a", Solid)], vec![], Verdict::Keep),
            (
                &plain,
                vec![("a", Solid), ("b", Absent)],
                vec![],
                stays(&["a"]),
            ),
            (
                &plain,
                vec![("a", Waiting), ("b", Solid)],
                vec![&child],
                stays(&["b"]),
            ),
            (
                &plain,
                vec![("a", Absent)],
                vec![&child],
                delete(PropagationPolicy::Background),
            ),
            (
                &orphan,
                vec![("a", Absent)],
                vec![],
                delete(PropagationPolicy::Orphan),
            ),
            (
                &foreground,
                vec![("a", Absent)],
                vec![],
                delete(PropagationPolicy::Foreground),
            ),
            (
                &plain,
                vec![("a", Waiting)],
                vec![],
                delete(PropagationPolicy::Background),
            ),
            (
                &plain,
                vec![("a", Waiting)],
                vec![&child],
                delete(PropagationPolicy::Foreground),
            ),
            (
                &plain,
                vec![("a", Waiting), ("b", Absent)],
                vec![&child],
                delete(PropagationPolicy::Foreground),
            ),
            (
                &plain,
                vec![("a", Waiting)],
                vec![&waiting_child],
                Verdict::SetOwners(vec![owner("a", false)]),
            ),
        ] {
            let owners: Vec<_> = owners
                .into_iter()
                .map(|(uid, state)| (owner(uid, true), state))
                .collect();
            let dependents: Vec<Node> = dependents.into_iter().cloned().collect();
            assert_eq!(judge(subject, &owners, &dependents), expected, "{owners:?}");
        }
    }

    #[test]
    fn a_broken_circle_is_not_broken_again() {
        let owners = [(owner("a", false), OwnerState::Waiting)];
        assert_eq!(
            judge(&node(false, &[]), &owners, &[node(true, &[FOREGROUND])]),
            Verdict::Delete(PropagationPolicy::Foreground)
        );
    }
}
