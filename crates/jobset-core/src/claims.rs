//! Volume claims shared by the Pods of a JobSet.

use std::collections::{BTreeSet, HashSet};

use jobset_api::{
    ClaimTemplate, JobSet, JobTemplate, RetentionPolicyType, VolumeClaimPolicy, constants, names,
};
use serde_json::{Map, Value, json};

use crate::draft::Draft;
use crate::model::Action;

/// The claims to create: one for every template whose claim is not known to exist.
///
/// Asking the snapshot first keeps a running JobSet from sending one request per template on every
/// event. Claims are never changed, adopted or deleted, and outlive restarts.
pub(crate) fn missing(jobset: &JobSet, known: &BTreeSet<String>, draft: &mut Draft) -> Vec<Action> {
    let mut planned = HashSet::new();
    let mut actions = Vec::new();
    for policy in &jobset.spec.volume_claim_policies {
        for template in &policy.templates {
            if template.name().is_empty() {
                draft.warn(|| "a volume claim template has no name; it is ignored".to_owned());
                continue;
            }
            let name = names::claim_name(template.name(), jobset.name());
            if known.contains(&name) || !planned.insert(name.clone()) {
                continue;
            }
            draft.work.bodies += 1;
            let body = body(jobset, policy, template, &name);
            actions.push(Action::CreateClaim { name, body });
        }
    }
    actions
}

fn body(
    jobset: &JobSet,
    policy: &VolumeClaimPolicy,
    template: &ClaimTemplate,
    name: &str,
) -> Value {
    let text = |(key, value): (&str, &str)| (key.to_owned(), Value::from(value));
    let mut labels: Map<String, Value> = template.labels().map(text).collect();
    labels.insert(constants::JOBSET_NAME_KEY.to_owned(), jobset.name().into());
    let annotations: Map<String, Value> = template.annotations().map(text).collect();

    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), name.into());
    metadata.insert("namespace".to_owned(), jobset.namespace().into());
    metadata.insert("labels".to_owned(), labels.into());
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), annotations.into());
    }
    let retention = policy
        .retention_policy
        .as_ref()
        .and_then(|r| r.when_deleted.as_ref());
    if retention == Some(&RetentionPolicyType::Delete) {
        metadata.insert(
            "ownerReferences".to_owned(),
            json!([jobset.owner_reference()]),
        );
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.as_value().get("spec").cloned().unwrap_or_else(|| json!({})),
    })
}

/// The volumes that Pods of this template need: one for every claim template whose name one of
/// their containers or init containers mounts, in policy order, then template order.
pub(crate) fn volumes(jobset: &JobSet, template: &JobTemplate) -> Vec<Value> {
    let policies = &jobset.spec.volume_claim_policies;
    if policies.is_empty() {
        return Vec::new();
    }
    let mounted: HashSet<&str> = template.mounted_volume_names().collect();
    policies
        .iter()
        .flat_map(|policy| &policy.templates)
        .map(ClaimTemplate::name)
        .filter(|name| mounted.contains(name))
        .map(|name| {
            let claim = names::claim_name(name, jobset.name());
            json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } })
        })
        .collect()
}

#[cfg(test)]
mod tests;
