//! Builds child Jobs from the template of their replicated job.
//!
//! The template is raw JSON and passes through untouched: a Pod field newer than this program
//! reaches the Job. What all Jobs of a replicated job share is prepared once; each Job is a copy
//! of that with its own name, index and key.

use jobset_api::{JobSet, JobTemplate, constants, names};
use serde_json::{Map, Value, json};

use crate::claims;
use crate::execution;
use crate::roles::{Role, Roles};

/// Prepared Jobs of one replicated job.
#[derive(Debug, PartialEq)]
pub(crate) struct JobFactory {
    namespace: String,
    /// Name of the JobSet.
    jobset: String,
    /// The Job with everything but what differs from index to index.
    base: Value,
    role_name: String,
    global_offset: i64,
    group_offset: i64,
    by_node_selector: bool,
    /// Individual restart counters by index, if Jobs are to carry them.
    job_restarts: Option<Vec<i32>>,
}

impl JobFactory {
    /// Prepares the Jobs of a replicated job for this attempt. `job_restarts` are the individual
    /// restart counters by index, or `None` if the gate `RestartJob` is off.
    pub(crate) fn new<'a>(
        jobset: &'a JobSet,
        roles: &Roles<'a>,
        role: Role<'_, 'a>,
        restarts: i32,
        job_restarts: Option<Vec<i32>>,
    ) -> Self {
        let template = &role.spec.template;
        let place = role.place;

        let mut shared = Map::new();
        let mut put = |key: &str, value: String| {
            shared.insert(key.to_owned(), Value::String(value));
        };
        put(constants::JOBSET_NAME_KEY, jobset.name().to_owned());
        put(constants::JOBSET_UID_KEY, jobset.uid().to_owned());
        put(constants::REPLICATED_JOB_NAME_KEY, place.name.to_owned());
        put(constants::RESTART_ATTEMPT_KEY, restarts.to_string());
        put(
            constants::REPLICATED_JOB_REPLICAS_KEY,
            place.replicas.to_string(),
        );
        put(constants::GLOBAL_REPLICAS_KEY, roles.total().to_string());
        put(constants::GROUP_NAME_KEY, place.group.to_owned());
        put(
            constants::GROUP_REPLICAS_KEY,
            roles.group_total(place.group).to_string(),
        );
        if let Some(endpoint) = names::coordinator_endpoint(jobset) {
            put(constants::COORDINATOR_KEY, endpoint);
        }
        let placement = placement_annotations(jobset, template);

        let mut metadata = Map::new();
        for key in ["labels", "annotations"] {
            if let Some(own) = template.as_value().pointer(&format!("/metadata/{key}")) {
                metadata.insert(key.to_owned(), own.clone());
            }
        }
        stamp(&mut metadata, &shared, &placement);
        metadata.insert("namespace".to_owned(), jobset.namespace().into());
        metadata.insert(
            "ownerReferences".to_owned(),
            json!([jobset.owner_reference()]),
        );
        let by_node_selector = placed_by_node_selector(jobset, template);

        let mut spec = template.spec().cloned().unwrap_or_default();
        spec.insert("suspend".to_owned(), jobset.is_suspended().into());
        let pod = object(&mut spec, "template");
        stamp(object(pod, "metadata"), &shared, &placement);
        let pod_spec = object(pod, "spec");
        if names::dns_hostnames_enabled(jobset) {
            pod_spec.insert("subdomain".to_owned(), names::subdomain(jobset).into());
        }
        if by_node_selector {
            list(pod_spec, "tolerations").push(no_schedule_toleration());
        }
        let volumes = claims::volumes(jobset, template);
        if !volumes.is_empty() {
            list(pod_spec, "volumes").extend(volumes);
        }

        Self {
            namespace: jobset.namespace().to_owned(),
            jobset: jobset.name().to_owned(),
            base: json!({
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": metadata,
                "spec": spec,
            }),
            role_name: place.name.to_owned(),
            global_offset: place.global_offset,
            group_offset: place.group_offset,
            by_node_selector,
            job_restarts,
        }
    }

    /// Gives all Jobs and their Pods this annotation.
    pub(crate) fn annotate(&mut self, annotation: &(&'static str, Value)) {
        execution::annotate(&mut self.base, annotation);
    }

    /// The Job of this index and its name.
    pub(crate) fn build(&self, index: i64) -> (String, Value) {
        let name = names::job_name(&self.jobset, &self.role_name, index);
        let mut own = Map::new();
        let mut put = |key: &str, value: String| {
            own.insert(key.to_owned(), Value::String(value));
        };
        put(constants::JOB_INDEX_KEY, index.to_string());
        put(constants::JOB_KEY, names::job_key(&self.namespace, &name));
        put(
            constants::JOB_GLOBAL_INDEX_KEY,
            self.global_offset.saturating_add(index).to_string(),
        );
        put(
            constants::JOB_GROUP_INDEX_KEY,
            self.group_offset.saturating_add(index).to_string(),
        );
        if let Some(counters) = &self.job_restarts {
            let counter = usize::try_from(index).ok().and_then(|i| counters.get(i));
            put(
                constants::JOB_RESTART_ATTEMPT_KEY,
                counter.unwrap_or(&0).to_string(),
            );
        }

        let mut body = self.base.clone();
        if let Some(job) = body.as_object_mut() {
            let metadata = object(job, "metadata");
            stamp(metadata, &own, &Map::new());
            metadata.insert("name".to_owned(), name.as_str().into());
            let pod = object(object(job, "spec"), "template");
            stamp(object(pod, "metadata"), &own, &Map::new());
            if self.by_node_selector {
                object(object(pod, "spec"), "nodeSelector").insert(
                    constants::NAMESPACED_JOB_KEY.to_owned(),
                    namespaced_job(&self.namespace, &name).into(),
                );
            }
        }
        (name, body)
    }
}

/// Writes system keys as labels and as annotations, and the placement keys as annotations only.
/// They win over the user's.
fn stamp(
    metadata: &mut Map<String, Value>,
    keys: &Map<String, Value>,
    annotations_only: &Map<String, Value>,
) {
    let all = |map: &Map<String, Value>| {
        map.iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    object(metadata, "labels").extend(all(keys));
    let annotations = object(metadata, "annotations");
    annotations.extend(all(keys));
    annotations.extend(all(annotations_only));
}

/// The exclusive-placement annotations that Jobs and Pods get: those of the JobSet, overridden by
/// those of the Job template. On each level the strategy counts only beside the topology.
pub(crate) fn placement_annotations(jobset: &JobSet, template: &JobTemplate) -> Map<String, Value> {
    let mut found = Map::new();
    let mut level = |get: &dyn Fn(&str) -> Option<String>| {
        if let Some(topology) = get(constants::EXCLUSIVE_TOPOLOGY_KEY) {
            found.insert(
                constants::EXCLUSIVE_TOPOLOGY_KEY.to_owned(),
                topology.into(),
            );
            if let Some(flag) = get(constants::NODE_SELECTOR_STRATEGY_KEY) {
                found.insert(
                    constants::NODE_SELECTOR_STRATEGY_KEY.to_owned(),
                    flag.into(),
                );
            }
        }
    };
    level(&|key| jobset.metadata.annotations.as_ref()?.get(key).cloned());
    level(&|key| annotation(template, key).map(str::to_owned));
    found
}

/// Whether the Jobs of this template are placed by node selector: the *Job's* annotations, its
/// template's own ones included, hold both keys.
pub(crate) fn placed_by_node_selector(jobset: &JobSet, template: &JobTemplate) -> bool {
    let placement = placement_annotations(jobset, template);
    [
        constants::EXCLUSIVE_TOPOLOGY_KEY,
        constants::NODE_SELECTOR_STRATEGY_KEY,
    ]
    .iter()
    .all(|key| placement.contains_key(*key) || annotation(template, key).is_some())
}

fn annotation<'t>(template: &'t JobTemplate, key: &str) -> Option<&'t str> {
    template
        .annotations()
        .find(|(k, _)| *k == key)
        .map(|(_, value)| value)
}

/// Value of the node selector that ties a Job's Pods to the nodes prepared for it.
pub(crate) fn namespaced_job(namespace: &str, job: &str) -> String {
    format!("{namespace}_{job}")
}

/// The toleration of the taint that such nodes carry.
pub(crate) fn no_schedule_toleration() -> Value {
    json!({
        "key": constants::NO_SCHEDULE_TAINT_KEY,
        "operator": "Exists",
        "effect": "NoSchedule",
    })
}

/// The object under this key; what is there and is no object is replaced by an empty one.
fn object<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let slot = map.entry(key).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(object) => object,
        _ => unreachable!("made an object just above"),
    }
}

/// The list under this key; what is there and is no list is replaced by an empty one.
fn list<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Vec<Value> {
    let slot = map.entry(key).or_insert(Value::Null);
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(list) => list,
        _ => unreachable!("made a list just above"),
    }
}

#[cfg(test)]
mod tests;
