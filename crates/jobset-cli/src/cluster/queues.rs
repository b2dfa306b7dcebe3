//! Asking Kueue, where there is one, about JobSets that wait in its queues.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

use super::Connection;
use crate::view::SetView;

/// Versions of Kueue's API, newest first.
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// Fills in the places of suspended JobSets in their queues. That there is no Kueue, or that it may not
/// be asked, leaves them unknown. `uid` gives the uid of the JobSet at a place of the list.
pub(crate) async fn look_up_queues(
    at: &Connection,
    sets: &mut [SetView],
    uid: impl Fn(usize) -> String,
) {
    let mut known: Vec<(String, Vec<Value>)> = Vec::new();
    for (place, set) in sets.iter_mut().enumerate() {
        let Some(queue) = set.queue.as_mut().filter(|_| set.state == "Suspended") else {
            continue;
        };
        if !known
            .iter()
            .any(|(namespace, _)| *namespace == set.namespace)
        {
            let workloads = workloads(at, &set.namespace).await;
            known.push((set.namespace.clone(), workloads));
        }
        if let Some((_, workloads)) = known
            .iter()
            .find(|(namespace, _)| *namespace == set.namespace)
        {
            queue.look_up(&uid(place), workloads);
        }
    }
}

async fn workloads(at: &Connection, namespace: &str) -> Vec<Value> {
    for version in VERSIONS {
        let kind = GroupVersionKind::gvk("kueue.x-k8s.io", version, "Workload");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::namespaced_with(at.client.clone(), namespace, &resource);
        match api.list(&ListParams::default()).await {
            Ok(list) => {
                let objects = list.items.iter();
                return objects
                    .filter_map(|one| serde_json::to_value(one).ok())
                    .collect();
            }
            Err(error) => tracing::debug!(version, %error, "Kueue does not answer"),
        }
    }
    Vec::new()
}
