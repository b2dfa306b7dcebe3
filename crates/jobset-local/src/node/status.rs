//! The status a Pod shows: a pure function of its state.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::lifecycle::{ContainerState, Ended, Outcome, PodState, RestartBackoff, Role, Run, Unit};

/// Reason of a container that waits to be started again.
pub(crate) const BACKS_OFF: &str = "CrashLoopBackOff";

/// What a status shows beside the state of the containers.
pub(crate) struct Surroundings<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ip: Option<&'a str>,
    pub(crate) host_ip: &'a str,
    pub(crate) started_at: Timestamp,
    pub(crate) backoff: &'a RestartBackoff,
}

/// The node's part of `status`. Conditions keep the transition times of `previous` (the value this
/// function returned last) where nothing changed; conditions of other owners are not in it, so it
/// has to be written with a strategic merge patch.
pub(crate) fn build(
    state: &PodState,
    around: &Surroundings<'_>,
    previous: Option<&Value>,
    now: Timestamp,
) -> Value {
    let phase = phase(state);
    let mut status = Map::new();
    status.insert("phase".to_owned(), json!(phase));
    if let Some(Outcome::Failed { reason, message }) = &state.outcome {
        if let Some(reason) = reason {
            status.insert("reason".to_owned(), json!(reason));
        }
        if let Some(message) = message {
            status.insert("message".to_owned(), json!(message));
        }
    }
    status.insert("startTime".to_owned(), time(around.started_at));
    status.insert("hostIP".to_owned(), json!(around.host_ip));
    status.insert("hostIPs".to_owned(), json!([{"ip": around.host_ip}]));
    if let Some(ip) = around.pod_ip {
        status.insert("podIP".to_owned(), json!(ip));
        status.insert("podIPs".to_owned(), json!([{"ip": ip}]));
    }
    status.insert("qosClass".to_owned(), json!(qos_class(around.pod)));
    let mut list = conditions(state, phase, previous, now);
    if let (false, Value::Array(list)) = (is_marked_scheduled(around.pod), &mut list) {
        // The user has named the node: no scheduler will say that it is decided.
        list.push(condition("PodScheduled", (true, None, None), previous, now));
    }
    status.insert("conditions".to_owned(), list);
    let list = |init: bool| -> Vec<Value> {
        let pairs = state.units.iter().zip(&state.containers);
        pairs
            .filter(|(u, _)| (u.role != Role::Main) == init)
            .map(|(u, c)| container(u, c, state, around))
            .collect()
    };
    let init = list(true);
    if !init.is_empty() {
        status.insert("initContainerStatuses".to_owned(), Value::Array(init));
    }
    status.insert("containerStatuses".to_owned(), Value::Array(list(false)));
    Value::Object(status)
}

fn time(at: Timestamp) -> Value {
    // The API's times have whole seconds.
    Timestamp::from_second(at.as_second()).map_or(Value::Null, |t| json!(t.to_string()))
}

fn phase(state: &PodState) -> &'static str {
    match &state.outcome {
        Some(Outcome::Succeeded) => return "Succeeded",
        Some(Outcome::Failed { .. }) => return "Failed",
        None => {}
    }
    let pairs = || state.units.iter().zip(&state.containers);
    let waits_for_first =
        |c: &ContainerState| matches!(c.run, Run::Waiting | Run::Starting) && c.last.is_none();
    let never_ran = pairs().any(|(u, c)| u.role == Role::Main && waits_for_first(c));
    // Also when all containers begin anew, as long as there is something to see of it.
    let initializing = pairs().any(|(u, c)| {
        let runs = matches!(c.run, Run::Running { .. });
        match u.role {
            Role::Init => runs || waits_for_first(c),
            Role::Sidecar => (runs && !c.started) || waits_for_first(c),
            Role::Main => false,
        }
    });
    if never_ran || (!state.initialized && initializing) {
        "Pending"
    } else {
        "Running"
    }
}

fn conditions(state: &PodState, phase: &str, previous: Option<&Value>, now: Timestamp) -> Value {
    let unready: Vec<&str> = state
        .units
        .iter()
        .zip(&state.containers)
        .filter(|(u, c)| u.role != Role::Init && !c.ready)
        .map(|(u, _)| u.name.as_str())
        .collect();
    let uninitialized: Vec<&str> = state
        .units
        .iter()
        .zip(&state.containers)
        .filter(|(u, c)| {
            u.role == Role::Init && !matches!(&c.run, Run::Ended(e) if e.exit_code == 0)
        })
        .map(|(u, _)| u.name.as_str())
        .collect();
    let ready = match phase {
        "Succeeded" => (false, Some("PodCompleted"), None),
        "Failed" => (false, Some("PodFailed"), None),
        _ if unready.is_empty() && state.initialized => (true, None, None),
        _ => {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            (false, Some("ContainersNotReady"), Some(message))
        }
    };
    let initialized = match phase {
        "Succeeded" => (true, Some("PodCompleted"), None),
        _ if state.once_initialized => (true, None, None),
        _ => {
            let message = format!(
                "containers with incomplete status: [{}]",
                uninitialized.join(" ")
            );
            (false, Some("ContainersNotInitialized"), Some(message))
        }
    };
    let prepared = state.outcome.is_none();
    let mut list = vec![
        ("PodReadyToStartContainers", (prepared, None, None)),
        ("Initialized", initialized),
        ("Ready", ready.clone()),
        ("ContainersReady", ready),
    ];
    if state.units.iter().any(Unit::can_restart_all) {
        let restarting = match phase {
            "Succeeded" => (false, Some("PodCompleted"), None),
            "Failed" => (false, Some("PodFailed"), None),
            _ if state.restarting_all => {
                let message = "container exited with restart policy rule".to_owned();
                (true, Some("RestartAllContainersStarted"), Some(message))
            }
            _ => (false, None, None),
        };
        list.push(("AllContainersRestarting", restarting));
    }
    list.into_iter()
        .map(|(kind, value)| condition(kind, value, previous, now))
        .collect()
}

fn condition(
    kind: &str,
    (status, reason, message): (bool, Option<&str>, Option<String>),
    previous: Option<&Value>,
    now: Timestamp,
) -> Value {
    let status = if status { "True" } else { "False" };
    let before = previous
        .and_then(|p| p.get("conditions")?.as_array())
        .and_then(|l| l.iter().find(|c| c.get("type") == Some(&json!(kind))));
    let since = before
        .filter(|c| c.get("status") == Some(&json!(status)))
        .and_then(|c| c.get("lastTransitionTime").cloned())
        .unwrap_or_else(|| time(now));
    // Null rather than absent: a merge has to remove what stood there.
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": since})
}

fn is_marked_scheduled(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|l| {
        l.iter()
            .any(|c| c.type_ == "PodScheduled" && c.status == "True")
    })
}

fn container(
    unit: &Unit,
    c: &ContainerState,
    state: &PodState,
    around: &Surroundings<'_>,
) -> Value {
    let spec = around.pod.spec.as_ref();
    let mut all = spec
        .iter()
        .flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    let image = all
        .find(|s| s.name == unit.name)
        .and_then(|s| s.image.clone())
        .unwrap_or_default();
    let mut last = c.last.as_ref();
    let shown = match &c.run {
        Run::Running { since } => json!({"running": {"startedAt": time(*since)}}),
        Run::Ended(ended) if state.will_restart(unit, c) => {
            last = Some(ended);
            let delay = c.backoff(around.backoff).as_secs();
            let meta = &around.pod.metadata;
            let message = format!(
                "back-off {delay}s restarting failed container={} pod={}_{}({})",
                unit.name,
                meta.name.as_deref().unwrap_or_default(),
                meta.namespace.as_deref().unwrap_or_default(),
                meta.uid.as_deref().unwrap_or_default(),
            );
            json!({"waiting": {"reason": BACKS_OFF, "message": message}})
        }
        Run::Ended(ended) => json!({"terminated": terminated(ended)}),
        Run::Waiting | Run::Starting => match &c.blocked {
            Some(b) => json!({"waiting": {"reason": b.reason, "message": b.message}}),
            None if state.initialized || unit.role != Role::Main => {
                json!({"waiting": {"reason": "ContainerCreating"}})
            }
            None => json!({"waiting": {"reason": "PodInitializing"}}),
        },
    };
    let last = last.map_or_else(|| json!({}), |e| json!({"terminated": terminated(e)}));
    // An init container is ready when it has done its work.
    let done = unit.role == Role::Init && matches!(&c.run, Run::Ended(e) if e.exit_code == 0);
    let mut status = json!({
        "name": unit.name,
        "image": image,
        "imageID": "",
        "ready": c.ready || done,
        "started": c.started,
        "restartCount": c.restarts,
        "state": shown,
        "lastState": last,
    });
    if !matches!(c.run, Run::Waiting) {
        status["containerID"] = json!(container_id(unit, around, c.restarts));
    }
    status
}

fn terminated(ended: &Ended) -> Value {
    let mut value = json!({
        "exitCode": ended.exit_code,
        "reason": ended.reason,
        "finishedAt": time(ended.finished_at),
        "startedAt": time(ended.started_at.unwrap_or(ended.finished_at)),
    });
    if let Some(message) = &ended.message {
        value["message"] = json!(message);
    }
    value
}

/// Not an engine's id: the Pod's uid, the container's name and the number of the run.
fn container_id(unit: &Unit, around: &Surroundings<'_>, attempt: i32) -> String {
    let uid = around.pod.metadata.uid.as_deref().unwrap_or_default();
    format!("process://{uid}/{}/{attempt}", unit.name)
}

/// Quality of service as Kubernetes derives it from requests and limits.
fn qos_class(pod: &Pod) -> &'static str {
    let spec = pod.spec.as_ref();
    let containers = || {
        spec.iter()
            .flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers))
    };
    let (mut any, mut guaranteed) = (false, true);
    for resources in containers().map(|c| c.resources.as_ref()) {
        for name in ["cpu", "memory"] {
            let limit = resources.and_then(|r| r.limits.as_ref()?.get(name));
            let request = resources.and_then(|r| r.requests.as_ref()?.get(name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|r| Some(r) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
