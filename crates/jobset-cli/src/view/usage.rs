//! What Pods use, from the metrics API.

use std::sync::Arc;

use embedded_apiserver::quantity::Quantity;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;

use super::pod::PodPlace;

/// What one Pod uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    pub(crate) role: String,
    pub(crate) pod: String,
    pub(crate) node: Option<String>,
    /// Thousandths of a processor; absent if there are no figures of the Pod.
    pub(crate) milli_cpu: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
}

/// Puts the figures of containers together by Pod, in the order of roles and indices. Pods that are over
/// use nothing and are left out.
pub(crate) fn usage(pods: &[Arc<Pod>], metrics: &[Value]) -> Vec<Usage> {
    let mut running: Vec<&Pod> = pods
        .iter()
        .filter(|pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            phase == Some("Running")
        })
        .map(Arc::as_ref)
        .collect();
    running.sort_by_cached_key(|pod| {
        let place = PodPlace::of(*pod);
        let number = |index: &str| index.parse::<i64>().unwrap_or(i64::MAX);
        (
            place.role.clone(),
            number(&place.job_index),
            number(&place.pod_index),
            pod.name_any(),
        )
    });
    running
        .into_iter()
        .map(|pod| {
            let name = pod.name_any();
            let of_pod = metrics
                .iter()
                .find(|one| one["metadata"]["name"] == name.as_str());
            let sum = |resource: &str, unit: i128| -> Option<u64> {
                let containers = of_pod?["containers"].as_array()?;
                let amounts = containers.iter().filter_map(|container| {
                    let amount = container["usage"][resource].as_str()?;
                    Some(Quantity::parse(amount).ok()?.nano())
                });
                u64::try_from(amounts.sum::<i128>() / unit).ok()
            };
            Usage {
                role: PodPlace::of(pod).role,
                node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
                milli_cpu: sum("cpu", 1_000_000),
                memory_bytes: sum("memory", 1_000_000_000),
                pod: name,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn the_containers_of_a_pod_are_added_up() {
        let running = json!({"phase": "Running"});
        let pods = [
            testing::pod("workers", 10, 0, &running),
            testing::pod("workers", 2, 0, &running),
            testing::pod("leader", 0, 0, &json!({"phase": "Succeeded"})),
        ];
        let metrics = json!({"metadata": {"name": "js-workers-2-0-abcde"}, "containers": [
            {"name": "a", "usage": {"cpu": "1500m", "memory": "1Mi"}},
            {"name": "b", "usage": {"cpu": "12345678n", "memory": "1024Ki"}},
        ]});
        let found = usage(&pods.map(Arc::new), &[metrics]);
        assert_eq!(found.len(), 2, "what is over uses nothing");
        assert_eq!(found[0].pod, "js-workers-2-0-abcde");
        assert_eq!(
            (found[0].milli_cpu, found[0].memory_bytes),
            (Some(1512), Some(2 << 20))
        );
        assert_eq!((found[1].milli_cpu, found[1].memory_bytes), (None, None));
    }
}
