//! What a new Pod gets, and whether it may be created now.
//!
//! Works on the JSON itself, so that nothing the object holds is lost. An object of the wrong
//! shape, which no API server sends, is refused rather than repaired.

use jobset_api::constants;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusDetails};
use serde_json::{Map, Value, json};

use super::leader::{self, Leader};
use super::{NodeTopology, PlacementView, TRANSIENT};

/// What exclusive placement calls for with a Pod.
enum Role<'a> {
    /// Nothing: no Pod of a JobSet, or placed by node selector.
    Stranger,
    /// The priority label only.
    Plain,
    /// Completion index 0. With its topology key.
    Leader(&'a str),
    /// Any other completion index, or none. With its topology key.
    Follower(&'a str),
}

fn role(pod: &Value) -> Role<'_> {
    if annotation(pod, constants::JOBSET_NAME_KEY).is_none()
        || annotation(pod, constants::NODE_SELECTOR_STRATEGY_KEY).is_some()
    {
        return Role::Stranger;
    }
    match annotation(pod, constants::EXCLUSIVE_TOPOLOGY_KEY) {
        None => Role::Plain,
        Some(key) if annotation(pod, constants::JOB_COMPLETION_INDEX_KEY) == Some("0") => {
            Role::Leader(key)
        }
        Some(key) => Role::Follower(key),
    }
}

/// What admission adds to a new Pod. Doing it twice adds nothing more.
///
/// # Errors
/// The Status to refuse the Pod with; the Job controller tries again later.
pub fn mutate_pod(pod: &mut Value, view: &dyn PlacementView) -> Result<(), Box<Status>> {
    let role = match role(pod) {
        Role::Stranger => return Ok(()),
        Role::Plain => None,
        Role::Leader(key) => Some((key.to_owned(), true)),
        Role::Follower(key) => Some((key.to_owned(), false)),
    };
    label_priority(pod)?;
    let Some((key, leads)) = role else {
        return Ok(());
    };
    // Asked for a leader as well: by the time its followers come, the view may be ready.
    let ready = view.ready();
    if leads {
        return keep_others_out(pod, &key);
    }
    if !ready {
        return Err(not_ready());
    }
    // Without a leader nothing is changed, and validation says why the Pod has to wait.
    match leader::find(pod, view) {
        Err(_) => Ok(()),
        Ok(Leader::Succeeded) => keep_others_out(pod, &key),
        Ok(Leader::Active(leader)) => {
            let Some(node) = &leader.node else {
                return Ok(());
            };
            let domain = domain_of(node, &key, view)?;
            let spec = object(pod, &["spec"])?;
            let selector = entry(spec, "nodeSelector", "spec.nodeSelector")?;
            selector.insert(key, Value::String(domain));
            Ok(())
        }
    }
}

/// Whether a new Pod may be created now.
///
/// # Errors
/// As [`mutate_pod`].
pub fn validate_pod(pod: &Value, view: &dyn PlacementView) -> Result<(), Box<Status>> {
    let Role::Follower(key) = role(pod) else {
        return Ok(());
    };
    let selector = pod["spec"]["nodeSelector"].as_object();
    let domain = selector.and_then(|selector| selector.get(key)?.as_str());
    // What mutation has left without a selector needs no look-up, unless it places itself.
    if domain.is_none() && !(keeps_others_out(pod, key) && view.ready()) {
        return Err(forbidden(match selector {
            None => format!(
                "follower pod node selector not set, because the leader pod has no node yet; \
                 {TRANSIENT}"
            ),
            Some(_) => no_selector_for(key),
        }));
    }
    if !view.ready() {
        return Err(not_ready());
    }
    let leader = match leader::find(pod, view).map_err(forbidden)? {
        Leader::Succeeded if keeps_others_out(pod, key) => return Ok(()),
        Leader::Succeeded => {
            return Err(forbidden(format!(
                "the leader pod has just succeeded; {TRANSIENT}"
            )));
        }
        Leader::Active(leader) => leader,
    };
    let Some(domain) = domain else {
        return Err(forbidden(no_selector_for(key)));
    };
    let Some(node) = &leader.node else {
        return Err(forbidden(format!(
            "leader pod {:?} is not scheduled yet; {TRANSIENT}",
            leader.name
        )));
    };
    match view.topology(node, key) {
        NodeTopology::Domain(current) if current != domain => Err(forbidden(format!(
            "follower pod is bound to {key}={domain}, but leader pod {:?} is in {current} now; \
             {TRANSIENT}",
            leader.name
        ))),
        _ => Ok(()),
    }
}

fn no_selector_for(key: &str) -> String {
    format!("follower pod node selector for topology {key} is missing; {TRANSIENT}")
}

/// Copies the Pod's priority to a label, where affinity terms can see it.
fn label_priority(pod: &mut Value) -> Result<(), Box<Status>> {
    let priority = match &pod["spec"]["priority"] {
        Value::Null => return Ok(()),
        Value::Number(number) if number.is_i64() => number.to_string(),
        _ => return Err(wrong_shape("spec.priority", "an integer")),
    };
    let labels = object(pod, &["metadata", "labels"])?;
    labels.insert(constants::PRIORITY_KEY.to_owned(), Value::String(priority));
    Ok(())
}

/// Appends the terms that bring the Pods of one Job together and keep other Jobs of the same
/// priority out of their domain.
fn keep_others_out(pod: &mut Value, key: &str) -> Result<(), Box<Status>> {
    for (affinity, term) in terms(pod, key) {
        let affinity = object(pod, &["spec", "affinity", affinity])?;
        let list = affinity
            .entry(REQUIRED)
            .and_modify(|list| {
                if list.is_null() {
                    *list = json!([]);
                }
            })
            .or_insert_with(|| json!([]));
        let Some(list) = list.as_array_mut() else {
            return Err(wrong_shape("spec.affinity", "made of lists of terms"));
        };
        if !list.contains(&term) {
            list.push(term);
        }
    }
    Ok(())
}

/// Whether the Pod has the terms of [`keep_others_out`].
fn keeps_others_out(pod: &Value, key: &str) -> bool {
    let affinities = &pod["spec"]["affinity"];
    terms(pod, key).into_iter().all(|(affinity, term)| {
        affinities[affinity][REQUIRED]
            .as_array()
            .is_some_and(|list| list.contains(&term))
    })
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

fn terms(pod: &Value, key: &str) -> [(&'static str, Value); 2] {
    let job_key = label(pod, constants::JOB_KEY).unwrap_or_default();
    let priority = label(pod, constants::PRIORITY_KEY).unwrap_or_default();
    // An empty selector of namespaces means all of them; none at all would mean the Pod's own.
    let term = |expressions: Value| {
        json!({
            "labelSelector": {"matchExpressions": expressions},
            "topologyKey": key,
            "namespaceSelector": {},
        })
    };
    let together = term(json!([
        {"key": constants::JOB_KEY, "operator": "In", "values": [job_key]},
    ]));
    let apart = term(json!([
        {"key": constants::JOB_KEY, "operator": "Exists"},
        {"key": constants::JOB_KEY, "operator": "NotIn", "values": [job_key]},
        {"key": constants::PRIORITY_KEY, "operator": "In", "values": [priority]},
    ]));
    [("podAffinity", together), ("podAntiAffinity", apart)]
}

fn domain_of(node: &str, key: &str, view: &dyn PlacementView) -> Result<String, Box<Status>> {
    match view.topology(node, key) {
        NodeTopology::Domain(domain) => Ok(domain),
        NodeTopology::NoLabel => Err(forbidden(format!(
            "node {node:?} of the leader pod does not have topology label {key}"
        ))),
        NodeTopology::NoNode => Err(Box::new(Status {
            status: Some("Failure".to_owned()),
            code: Some(404),
            reason: Some("NotFound".to_owned()),
            message: Some(format!("nodes {node:?} not found")),
            details: Some(StatusDetails {
                kind: Some("nodes".to_owned()),
                name: Some(node.to_owned()),
                ..StatusDetails::default()
            }),
            ..Status::default()
        })),
    }
}

fn forbidden(message: impl Into<String>) -> Box<Status> {
    Box::new(Status {
        status: Some("Failure".to_owned()),
        code: Some(403),
        reason: Some("Forbidden".to_owned()),
        message: Some(message.into()),
        ..Status::default()
    })
}

fn not_ready() -> Box<Status> {
    forbidden(format!(
        "the state of the cluster is still being read, so the leader pod is not known; {TRANSIENT}"
    ))
}

fn wrong_shape(path: &str, expected: &str) -> Box<Status> {
    Box::new(Status {
        status: Some("Failure".to_owned()),
        code: Some(400),
        reason: Some("BadRequest".to_owned()),
        message: Some(format!(
            "the Pod cannot be decoded: {path} must be {expected}"
        )),
        ..Status::default()
    })
}

/// The object at `path`; what is missing on the way is made.
fn object<'a>(
    value: &'a mut Value,
    path: &[&str],
) -> Result<&'a mut Map<String, Value>, Box<Status>> {
    let mut here = value
        .as_object_mut()
        .ok_or_else(|| wrong_shape("it", "an object"))?;
    for key in path {
        here = entry(here, key, &path.join("."))?;
    }
    Ok(here)
}

fn entry<'a>(
    map: &'a mut Map<String, Value>,
    key: &str,
    path: &str,
) -> Result<&'a mut Map<String, Value>, Box<Status>> {
    let value = map.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value
        .as_object_mut()
        .ok_or_else(|| wrong_shape(path, "an object"))
}

pub(super) fn namespace(pod: &Value) -> &str {
    pod["metadata"]["namespace"].as_str().unwrap_or_default()
}

pub(super) fn label<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod["metadata"]["labels"].get(key)?.as_str()
}

fn annotation<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod["metadata"]["annotations"].get(key)?.as_str()
}

/// Uid of the owner that has `controller: true`.
pub(super) fn controller_uid(pod: &Value) -> Option<&str> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    let controller = owners.iter().find(|owner| owner["controller"] == true)?;
    controller["uid"].as_str()
}

#[cfg(test)]
mod tests;
