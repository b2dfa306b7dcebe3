//! Looks at one object: asks after owners that are not known, then acts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::graph::{FOREGROUND, Graph, Node, ORPHAN, Uid};
use super::judge::{OwnerState, Verdict, judge};
use super::kinds::{Kind, Kinds, Meta};
use crate::shell::queue::{KeyedQueue, Outcome};

/// Longest time that one request may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a look at an object needs.
#[derive(Clone)]
pub struct Worker {
    /// Where requests go.
    pub client: Client,
    /// Who owns whom.
    pub graph: Arc<Mutex<Graph>>,
    /// What is served.
    pub kinds: Arc<Mutex<Kinds>>,
    /// Objects to look at.
    pub queue: KeyedQueue<Uid>,
    /// Asks for a new discovery.
    pub rediscover: Arc<Notify>,
}

/// How a request ended.
enum Answer<T> {
    Ok(T),
    /// The object is gone.
    Gone,
    /// It has changed meanwhile, or something else went wrong.
    Failed,
}

async fn ask<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Answer<T> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(Ok(value)) => Answer::Ok(value),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Answer::Gone,
        Ok(Err(error)) => {
            tracing::debug!(%error, "garbage collection request failed");
            Answer::Failed
        }
        Err(_) => Answer::Failed,
    }
}

fn outcome<T>(answer: &Answer<T>) -> Outcome {
    match answer {
        Answer::Ok(_) | Answer::Gone => Outcome::Done,
        Answer::Failed => Outcome::Retry,
    }
}

/// A list as a merge patch: an empty one is removed.
fn list<T: serde::Serialize>(items: &[T]) -> Value {
    if items.is_empty() {
        Value::Null
    } else {
        json!(items)
    }
}

impl Worker {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        // Every method of the graph leaves it usable, so a panic elsewhere does not matter.
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kind_of(&self, owner: &OwnerReference) -> Option<Arc<Kind>> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.of_owner(owner).map(Arc::clone)
    }

    /// Looks at the object with this uid.
    pub async fn look(&self, uid: Uid) -> Outcome {
        let Some(node) = self.graph().get(&uid).cloned() else {
            return Outcome::Done;
        };
        if node.lets_dependents_go() {
            return self.let_dependents_go(&uid, &node).await;
        }
        if node.waits_for_dependents() {
            return self.delete_dependents_first(&uid, &node).await;
        }
        if node.meta.deleting() || node.meta.owners().is_empty() {
            return Outcome::Done;
        }
        self.look_at_owners(&uid, &node).await
    }

    /// Foreground deletion: the object goes when no dependent that blocks it is left.
    async fn delete_dependents_first(&self, uid: &Uid, node: &Node) -> Outcome {
        if self.blocking(uid).is_empty() && !self.catch_up(node).await {
            return Outcome::Retry;
        }
        let blocking = self.blocking(uid);
        if blocking.is_empty() {
            return self.remove_finalizer(node, FOREGROUND).await;
        }
        for (uid, other) in blocking {
            if !other.meta.deleting() {
                self.queue.add(uid);
            }
        }
        // The last of them to go, or to change owners, brings us back here.
        Outcome::Done
    }

    /// Orphan deletion: the dependents forget the object, then it goes.
    async fn let_dependents_go(&self, uid: &Uid, node: &Node) -> Outcome {
        if !self.catch_up(node).await {
            return Outcome::Retry;
        }
        let dependents = self.dependents(uid);
        let tasks = dependents.iter().map(|(_, other)| async {
            let kept: Vec<OwnerReference> = other
                .meta
                .owners()
                .iter()
                .filter(|owner| owner.uid != node.meta.uid())
                .cloned()
                .collect();
            self.set_owners(other, &kept).await
        });
        let results = futures::future::join_all(tasks.collect::<Vec<_>>()).await;
        if results.contains(&Outcome::Retry) {
            return Outcome::Retry;
        }
        self.remove_finalizer(node, ORPHAN).await
    }

    fn dependents(&self, uid: &Uid) -> Vec<(Uid, Node)> {
        let graph = self.graph();
        graph
            .dependents(uid)
            .map(|(uid, node)| (Arc::clone(uid), node.clone()))
            .collect()
    }

    fn blocking(&self, uid: &Uid) -> Vec<(Uid, Node)> {
        let mut dependents = self.dependents(uid);
        dependents.retain(|(_, other)| other.blocks(uid));
        dependents
    }

    /// Makes sure that every dependent that existed at `node`'s present version is known.
    /// Returns whether it is.
    async fn catch_up(&self, node: &Node) -> bool {
        let lagging = self.graph().lagging(node);
        for kind in lagging {
            // Of all namespaces, so that one list serves every owner that waits now.
            let api: Api<Meta> = Api::all_with(self.client.clone(), &kind.resource);
            match ask(api.list(&ListParams::default())).await {
                Answer::Ok(list) => {
                    let at = list.metadata.resource_version.as_deref();
                    let touched = self.graph().absorb(&kind, list.items, at);
                    for uid in touched {
                        self.queue.add(uid);
                    }
                }
                Answer::Gone => {}
                Answer::Failed => return false,
            }
        }
        true
    }

    async fn look_at_owners(&self, uid: &Uid, node: &Node) -> Outcome {
        let mut owners = Vec::with_capacity(node.meta.owners().len());
        for owner in node.meta.owners() {
            match self.owner_state(node, owner).await {
                Some(state) => owners.push((owner.clone(), state)),
                None => return Outcome::Retry,
            }
        }
        let dependents: Vec<Node> = self
            .dependents(uid)
            .into_iter()
            .map(|(_, node)| node)
            .collect();
        match judge(node, &owners, &dependents) {
            Verdict::Keep => Outcome::Done,
            Verdict::SetOwners(owners) => self.set_owners(node, &owners).await,
            Verdict::Delete(policy) => self.delete(node, policy).await,
        }
    }

    /// How an owner is doing, or `None` if that cannot be told now.
    async fn owner_state(&self, node: &Node, owner: &OwnerReference) -> Option<OwnerState> {
        {
            let graph = self.graph();
            if let Some(known) = graph.get(&owner.uid) {
                return Some(if known.waits_for_dependents() {
                    OwnerState::Waiting
                } else {
                    OwnerState::Solid
                });
            }
            // Its deletion was seen, and a uid never comes back.
            if graph.is_gone(&owner.uid) {
                return Some(OwnerState::Absent);
            }
        }
        let Some(kind) = self.kind_of(owner) else {
            self.rediscover.notify_one();
            return None;
        };
        // An owner in a namespace owns only within it.
        let namespace = if kind.namespaced {
            match &node.meta.metadata.namespace {
                Some(namespace) => Some(namespace.as_str()),
                None => return Some(OwnerState::Solid),
            }
        } else {
            None
        };
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        };
        match ask(api.get_metadata(&owner.name)).await {
            Answer::Ok(found) if found.metadata.uid.as_deref() == Some(owner.uid.as_str()) => {
                let waits = found.metadata.deletion_timestamp.is_some()
                    && found
                        .metadata
                        .finalizers
                        .iter()
                        .flatten()
                        .any(|name| name == FOREGROUND);
                Some(if waits {
                    OwnerState::Waiting
                } else {
                    OwnerState::Solid
                })
            }
            Answer::Ok(_) | Answer::Gone => {
                self.graph().remember_gone(&owner.uid);
                Some(OwnerState::Absent)
            }
            Answer::Failed => None,
        }
    }

    fn api(&self, node: &Node) -> Api<Meta> {
        let resource = &node.kind.resource;
        match &node.meta.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    async fn patch(&self, node: &Node, mut fields: Value) -> Outcome {
        // Both decide on what we have seen; if it has changed, the watch brings us back.
        fields["uid"] = json!(node.meta.uid());
        fields["resourceVersion"] = json!(node.meta.metadata.resource_version);
        let patch = Patch::Merge(json!({ "metadata": fields }));
        let api = self.api(node);
        outcome(&ask(api.patch(node.meta.name(), &PatchParams::default(), &patch)).await)
    }

    async fn remove_finalizer(&self, node: &Node, finalizer: &str) -> Outcome {
        let kept: Vec<&String> = node
            .meta
            .metadata
            .finalizers
            .iter()
            .flatten()
            .filter(|name| *name != finalizer)
            .collect();
        self.patch(node, json!({ "finalizers": list(&kept) })).await
    }

    async fn set_owners(&self, node: &Node, owners: &[OwnerReference]) -> Outcome {
        self.patch(node, json!({ "ownerReferences": list(owners) }))
            .await
    }

    async fn delete(&self, node: &Node, policy: PropagationPolicy) -> Outcome {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions {
                uid: Some(node.meta.uid().to_owned()),
                resource_version: node.meta.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let api = self.api(node);
        outcome(&ask(api.delete(node.meta.name(), &params)).await)
    }
}
