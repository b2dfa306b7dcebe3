//! Subresources of Pods: binding and log.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::output::{self, json_response};
use super::webhooks::Question;
use super::{Call, body};
use crate::admission::Operation;
use crate::pod_logs::LogOptions;
use crate::status::Status;
use crate::store::{Draft, Refused};

/// POST pods/NAME/binding: gives the Pod its node.
pub(crate) async fn bind(call: &Call, bytes: &Bytes) -> Result<Response, Status> {
    let mut binding = body::object(&call.parts.headers, bytes)?;
    let mut warnings = Vec::new();
    let name = call.key()?.name;
    let question = Question::write(call, Operation::Create, &name);
    let asked = async {
        question
            .mutate(Some(&mut binding), None, &mut warnings)
            .await?;
        question.validate(Some(&binding), None, &mut warnings).await
    };
    let bound = asked.await.and_then(|()| assign(call, &binding));
    Ok(output::with_warnings(bound, &warnings))
}

fn assign(call: &Call, binding: &Value) -> Result<Response, Status> {
    let node = binding["target"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = call.key()?.name;
    if node.is_empty() {
        return Err(Status::bad_request("target.name is required"));
    }
    let uid = binding["metadata"]["uid"].as_str().unwrap_or_default();
    let annotations = binding["metadata"]["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let now = call.core.now();
    // Binding is the one write that may set the node's name, so it does not take the way of
    // ordinary updates with their rules.
    let core = &call.core;
    let resource = &call.resource;
    let key = call.key()?;
    loop {
        let stored = core
            .store
            .get(&resource.collection, &key)
            .ok_or_else(|| call.not_found(&name))?;
        let mut pod = stored.value();
        let found = pod["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() && uid != found {
            return Err(call.conflict(
                &name,
                format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
                ),
            ));
        }
        if let Some(why) = unbindable(&pod) {
            // Named so in Kubernetes, too.
            return Err(Status::conflict("pods/binding", "", &name, why));
        }
        pod["spec"]["nodeName"] = json!(node);
        for (key, value) in &annotations {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        set_scheduled(&mut pod, &now);
        let fields = resource.selectable_fields(&pod);
        let draft = Draft {
            key: key.clone(),
            fields,
            value: &mut pod,
        };
        match core
            .store
            .update(&resource.collection, stored.revision, draft)
        {
            Ok(_) => break,
            Err(Refused::Changed | Refused::Exists) => {}
            Err(Refused::Disk) => return Err(super::disk_failed()),
            Err(Refused::Missing) => return Err(call.not_found(&name)),
        }
    }
    let status = Status::success(201);
    Ok(json_response(StatusCode::CREATED, status.to_json()))
}

/// Why a Pod cannot be given a node, if it cannot.
fn unbindable(pod: &Value) -> Option<String> {
    let name = &pod["metadata"]["name"];
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let gates = pod["spec"]["schedulingGates"].as_array();
    if pod["metadata"].get("deletionTimestamp").is_some() {
        Some(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ))
    } else if !node.is_empty() {
        Some(format!("pod {name} is already assigned to node {node:?}"))
    } else if gates.is_some_and(|gates| !gates.is_empty()) {
        Some(format!("pod {name} has non-empty .spec.schedulingGates"))
    } else {
        None
    }
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    });
    let mut conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.retain(|c| c["type"] != "PodScheduled");
    conditions.push(condition);
    pod["status"]["conditions"] = Value::Array(conditions);
}

/// GET pods/NAME/log.
pub(crate) async fn log(call: &Call) -> Result<Response, Status> {
    let key = call.key()?;
    let pod = call
        .core
        .store
        .get(&call.resource.collection, &key)
        .ok_or_else(|| call.not_found(&key.name))?
        .value();
    let logs = call
        .core
        .logs()
        .ok_or_else(|| Status::not_implemented("pods/log"))?;
    let params = &call.params;
    let natural = |key: &str| -> Result<Option<u64>, Status> {
        match params.number(key)? {
            Some(n) if n < 0 => Err(Status::bad_request(format!(
                "{key} must be greater than or equal to 0"
            ))),
            n => Ok(n.map(i64::unsigned_abs)),
        }
    };
    let container = choose_container(call, &pod, params.get("container"))?;
    let since_time = params
        .get("sinceTime")
        .map(|text| {
            text.parse()
                .map_err(|_| Status::bad_request(format!("invalid sinceTime: {text:?}")))
        })
        .transpose()?;
    let options = LogOptions {
        container: Some(container),
        follow: params.flag("follow"),
        previous: params.flag("previous"),
        tail_lines: natural("tailLines")?,
        since_seconds: natural("sinceSeconds")?,
        since_time,
        timestamps: params.flag("timestamps"),
        limit_bytes: natural("limitBytes")?,
    };
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let stream = logs.open(&key.namespace, &key.name, uid, options).await?;
    let mut response = Response::new(Body::from_stream(stream));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn choose_container(call: &Call, pod: &Value, asked: Option<&str>) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers
            .filter_map(|c| c["name"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let main = names("containers");
    let init = names("initContainers");
    let pod_name = call.name.as_deref().unwrap_or_default();
    match asked {
        Some(name) if main.iter().chain(&init).any(|n| n == name) => Ok(name.to_owned()),
        Some(name) => Err(Status::bad_request(format!(
            "container {name} is not valid for pod {pod_name}"
        ))),
        None => match main.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(Status::bad_request(format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                main.join(" ")
            ))),
        },
    }
}
