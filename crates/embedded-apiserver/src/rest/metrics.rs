//! `metrics.k8s.io`: what Pods and nodes use at this moment, as metrics-server tells it. Nothing of it is
//! stored: the objects are made of the figures of [`Metrics`](crate::Metrics) when they are asked for.
//!
//! A node uses what its Pods use: several nodes may be simulated by one machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::output::{Format, json_response, partial_metadata, to_bytes};
use super::selection::Selection;
use super::{Call, format_time, read};
use crate::metrics::{PodUsage, Usage};
use crate::status::Status;
use crate::store::Object;

/// get and list.
pub(crate) async fn serve(call: &Call, verb: &str) -> Result<Response, Status> {
    if !call.subresource.is_empty() {
        return Err(Status::no_such_path());
    }
    if !["get", "list"].contains(&verb) {
        return Err(Status::method_not_allowed(call.parts.method.as_str()));
    }
    let hook = call.core.metrics().ok_or_else(Status::no_such_path)?;
    let format = Format::negotiate(&call.parts.headers)?;
    let usage = hook.usage().await;
    let objects = match call.resource.kind.as_str() {
        "NodeMetrics" => nodes(call, &usage)?,
        _ => pods(call, &usage)?,
    };
    if verb == "get" {
        let name = call.key()?.name;
        let object = objects
            .into_iter()
            .next()
            .ok_or_else(|| call.not_found(&name))?;
        let body = read::render_one(call, format, &object)?;
        return Ok(json_response(StatusCode::OK, body));
    }
    let items: Vec<&Value> = objects.iter().collect();
    let body = match format {
        Format::Full => json!({
            "kind": call.resource.list_kind,
            "apiVersion": call.resource.api_version(),
            "metadata": {},
            "items": items,
        }),
        Format::Metadata => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {},
            "items": items.into_iter().map(partial_metadata).collect::<Vec<_>>(),
        }),
        Format::Table => read::render_table(call, &items, &json!({}))?,
    };
    Ok(json_response(StatusCode::OK, to_bytes(&body)))
}

/// The stored objects of a collection that the request is about.
fn selected(call: &Call, collection: &str) -> Result<Vec<Arc<Object>>, Status> {
    let selection = Selection::parse(
        &call.resource,
        call.namespace.clone(),
        call.name.as_deref(),
        &call.params,
    )?;
    let listed = call
        .core
        .store
        .list(collection, call.namespace.as_deref(), None);
    let mut objects = listed.objects;
    objects.retain(|object| selection.matches(object));
    Ok(objects)
}

fn pods(call: &Call, usage: &Usage) -> Result<Vec<Value>, Status> {
    let mut found = Vec::new();
    for object in selected(call, "pods")? {
        let pod = object.value();
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let Some(used) = usage.get(uid) else {
            continue;
        };
        let containers: Vec<Value> = used
            .containers
            .iter()
            .map(|one| json!({"name": one.name, "usage": amounts(one.nano_cpus, one.memory_bytes)}))
            .collect();
        let mut object = head(call, &pod, used.at, used.window);
        object["containers"] = containers.into();
        found.push(object);
    }
    Ok(found)
}

fn nodes(call: &Call, usage: &Usage) -> Result<Vec<Value>, Status> {
    let pods = call.core.store.list("pods", None, None);
    let mut on_nodes: HashMap<String, Vec<&PodUsage>> = HashMap::new();
    for object in pods.objects {
        let pod = object.value();
        let text = |pointer| pod.pointer(pointer).and_then(Value::as_str);
        let used = text("/metadata/uid").and_then(|uid| usage.get(uid));
        if let (Some(used), Some(node)) = (used, text("/spec/nodeName")) {
            on_nodes.entry(node.to_owned()).or_default().push(used);
        }
    }
    let mut found = Vec::new();
    for object in selected(call, "nodes")? {
        let node = object.value();
        let used = on_nodes.remove(&*object.key.name).unwrap_or_default();
        let (mut cpu, mut memory) = (0, 0);
        for one in used.iter().flat_map(|pod| &pod.containers) {
            cpu += one.nano_cpus;
            memory += one.memory_bytes;
        }
        let at = used.iter().map(|pod| pod.at).max();
        let window = used.iter().map(|pod| pod.window).max();
        let mut object = head(
            call,
            &node,
            at.unwrap_or_else(|| (call.core.clock)()),
            window.unwrap_or_default(),
        );
        object["usage"] = amounts(cpu, memory);
        found.push(object);
    }
    Ok(found)
}

fn head(call: &Call, object: &Value, at: jiff::Timestamp, window: Duration) -> Value {
    let of = &object["metadata"];
    let mut metadata = json!({"name": of["name"], "creationTimestamp": call.core.now()});
    for key in ["namespace", "labels"] {
        if let Some(value) = of.get(key) {
            metadata[key] = value.clone();
        }
    }
    json!({
        "kind": call.resource.kind,
        "apiVersion": call.resource.api_version(),
        "metadata": metadata,
        "timestamp": format_time(at),
        "window": format!("{:.3}s", window.as_secs_f64()),
    })
}

fn amounts(nano_cpus: u64, memory_bytes: u64) -> Value {
    json!({
        "cpu": format!("{nano_cpus}n"),
        "memory": format!("{}Ki", memory_bytes.div_ceil(1024)),
    })
}
