//! The headless Service that gives Pods their names.

use jobset_api::{JobSet, constants, names};
use serde_json::{Value, json};

use crate::model::{Action, ServiceState};

/// The Service to create, if the JobSet wants host names and none of that name exists.
///
/// It is created while suspended too. An existing Service is used whoever owns it and never
/// changed.
pub(crate) fn missing(jobset: &JobSet, service: ServiceState) -> Option<Action> {
    if service == ServiceState::Exists || !names::dns_hostnames_enabled(jobset) {
        return None;
    }
    let name = names::subdomain(jobset);
    Some(Action::CreateService {
        name: name.to_owned(),
        body: body(jobset, name),
    })
}

fn body(jobset: &JobSet, name: &str) -> Value {
    let network = jobset.spec.network.as_ref();
    let not_ready = network
        .and_then(|n| n.publish_not_ready_addresses)
        .unwrap_or(true);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": jobset.namespace(),
            "ownerReferences": [jobset.owner_reference()],
        },
        "spec": {
            "clusterIP": "None",
            "selector": { constants::JOBSET_NAME_KEY: jobset.name() },
            "publishNotReadyAddresses": not_ready,
        },
    })
}

#[cfg(test)]
mod tests;
