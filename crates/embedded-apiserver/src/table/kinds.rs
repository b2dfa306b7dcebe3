//! The columns of built-in kinds. Priority 0 is always shown, 1 with `-o wide`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{
    age, at, condition, containers, count, list, name, or_none, pairs, selector, span,
};
use super::pod::Summary;
use super::{Cell, Column, since};
use crate::quantity::Quantity;
use crate::topology::Gvk;

fn column(name: &str, cell: Cell) -> Column {
    Column::new(name, 0, cell)
}

fn wide(name: &str, cell: Cell) -> Column {
    Column::new(name, 1, cell)
}

pub(super) fn columns(gvk: &Gvk) -> Vec<Column> {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => pod(),
        ("batch", "Job") => job(),
        ("", "Service") => service(),
        ("", "Node") => node(),
        ("" | "events.k8s.io", "Event") => event(),
        ("", "ConfigMap") => vec![
            name(),
            column("Data", |o, _| {
                json!(count(o.get("data")) + count(o.get("binaryData")))
            }),
            age(),
        ],
        ("", "Secret") => vec![
            name(),
            column("Type", |o, _| Value::from(at(o, "/type"))),
            column("Data", |o, _| json!(count(o.get("data")))),
            age(),
        ],
        ("", "Namespace") => {
            vec![
                name(),
                column("Status", |o, _| Value::from(at(o, "/status/phase"))),
                age(),
            ]
        }
        ("", "ServiceAccount") => vec![
            name(),
            column("Secrets", |o, _| json!(count(o.get("secrets")))),
            age(),
        ],
        ("", "PersistentVolumeClaim") => claim(),
        ("", "Endpoints") => vec![name(), column("Endpoints", endpoints), age()],
        ("discovery.k8s.io", "EndpointSlice") => vec![
            name(),
            column("AddressType", |o, _| Value::from(at(o, "/addressType"))),
            column("Ports", slice_ports),
            column("Endpoints", slice_addresses),
            age(),
        ],
        ("coordination.k8s.io", "Lease") => vec![
            name(),
            column("Holder", |o, _| Value::from(at(o, "/spec/holderIdentity"))),
            age(),
        ],
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => vec![
            name(),
            column("Webhooks", |o, _| json!(count(o.get("webhooks")))).typed("integer"),
            age(),
        ],
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => vec![
            name(),
            column("Validations", |o, _| {
                json!(count(o.pointer("/spec/validations")))
            })
            .typed("integer"),
            column("ParamKind", |_, _| Value::from("<unset>")),
            age(),
        ],
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => vec![
            name(),
            column("PolicyName", |o, _| Value::from(at(o, "/spec/policyName"))),
            column("ParamRef", |_, _| Value::from("<unset>")),
            age(),
        ],
        ("metrics.k8s.io", "NodeMetrics") => vec![
            name(),
            column("CPU", |o, _| Value::from(at(o, "/usage/cpu"))),
            column("Memory", |o, _| Value::from(at(o, "/usage/memory"))),
            column("Window", |o, _| Value::from(at(o, "/window"))),
        ],
        ("metrics.k8s.io", "PodMetrics") => vec![
            name(),
            column("CPU", |o, _| sum_of_containers(o, "cpu")),
            column("Memory", |o, _| sum_of_containers(o, "memory")),
            column("Window", |o, _| Value::from(at(o, "/window"))),
        ],
        _ => vec![
            name(),
            column("Created At", |o, _| {
                Value::from(at(o, "/metadata/creationTimestamp"))
            })
            .typed("date"),
        ],
    }
}

/// What the containers of a Pod use together.
fn sum_of_containers(object: &Value, resource: &str) -> Value {
    let amounts = list(object, "/containers")
        .iter()
        .filter_map(|one| Quantity::parse(one["usage"][resource].as_str()?).ok());
    let sum = amounts.reduce(Quantity::plus);
    Value::from(sum.map(|sum| sum.to_string()).unwrap_or_default())
}

fn pod() -> Vec<Column> {
    vec![
        name(),
        column("Ready", |o, _| {
            let sum = Summary::of(o);
            Value::from(format!("{}/{}", sum.ready, sum.total))
        }),
        column("Status", |o, _| Value::from(Summary::of(o).status)),
        column("Restarts", |o, now| {
            Value::from(Summary::of(o).restarts_text(now))
        }),
        age(),
        wide("IP", |o, _| {
            let first = at(o, "/status/podIPs/0/ip");
            or_none(if first.is_empty() {
                at(o, "/status/podIP")
            } else {
                first
            })
        }),
        wide("Node", |o, _| or_none(at(o, "/spec/nodeName"))),
        wide("Nominated Node", |o, _| {
            or_none(at(o, "/status/nominatedNodeName"))
        }),
        wide("Readiness Gates", |o, _| {
            let gates = list(o, "/spec/readinessGates");
            if gates.is_empty() {
                return Value::from("<none>");
            }
            let open = gates
                .iter()
                .filter(|gate| condition(o, gate["conditionType"].as_str().unwrap_or_default()))
                .count();
            Value::from(format!("{open}/{}", gates.len()))
        }),
    ]
}

fn job() -> Vec<Column> {
    vec![
        name(),
        column("Status", |o, _| {
            let word = if condition(o, "Complete") {
                "Complete"
            } else if condition(o, "Failed") {
                "Failed"
            } else if o["metadata"]["deletionTimestamp"].is_string() {
                "Terminating"
            } else if condition(o, "Suspended") {
                "Suspended"
            } else if condition(o, "FailureTarget") {
                "FailureTarget"
            } else if condition(o, "SuccessCriteriaMet") {
                "SuccessCriteriaMet"
            } else {
                "Running"
            };
            Value::from(word)
        }),
        column("Completions", |o, _| {
            let succeeded = o["status"]["succeeded"].as_i64().unwrap_or(0);
            let parallelism = o["spec"]["parallelism"].as_i64().unwrap_or(0);
            Value::from(match o["spec"]["completions"].as_i64() {
                Some(completions) => format!("{succeeded}/{completions}"),
                None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
                None => format!("{succeeded}/1"),
            })
        }),
        column("Duration", |o, now| {
            Value::from(span(
                at(o, "/status/startTime"),
                at(o, "/status/completionTime"),
                now,
            ))
        }),
        age(),
        wide("Containers", |o, _| {
            containers(o, "/spec/template/spec/containers", "name")
        }),
        wide("Images", |o, _| {
            containers(o, "/spec/template/spec/containers", "image")
        }),
        wide("Selector", |o, _| selector(o, "/spec/selector")),
    ]
}

fn service() -> Vec<Column> {
    vec![
        name(),
        column("Type", |o, _| Value::from(at(o, "/spec/type"))),
        column("Cluster-IP", |o, _| {
            let first = at(o, "/spec/clusterIPs/0");
            or_none(if first.is_empty() {
                at(o, "/spec/clusterIP")
            } else {
                first
            })
        }),
        column("External-IP", |o, _| {
            let kind = at(o, "/spec/type");
            if kind == "ExternalName" {
                return or_none(at(o, "/spec/externalName"));
            }
            let mut addresses: Vec<&str> = list(o, "/status/loadBalancer/ingress")
                .iter()
                .filter_map(|ingress| ingress["ip"].as_str().or(ingress["hostname"].as_str()))
                .collect();
            addresses.extend(
                list(o, "/spec/externalIPs")
                    .iter()
                    .filter_map(Value::as_str),
            );
            if addresses.is_empty() && kind == "LoadBalancer" {
                return Value::from("<pending>");
            }
            or_none(addresses.join(","))
        }),
        column("Port(s)", |o, _| {
            let ports: Vec<String> = list(o, "/spec/ports")
                .iter()
                .map(|port| {
                    let number = port["port"].as_i64().unwrap_or(0);
                    let protocol = port["protocol"].as_str().unwrap_or("TCP");
                    match port["nodePort"].as_i64() {
                        Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
                        _ => format!("{number}/{protocol}"),
                    }
                })
                .collect();
            or_none(ports.join(","))
        }),
        age(),
        wide("Selector", |o, _| {
            or_none(pairs(o.pointer("/spec/selector")))
        }),
    ]
}

fn node() -> Vec<Column> {
    fn address(node: &Value, kind: &str) -> Value {
        let addresses = list(node, "/status/addresses");
        let found = addresses.iter().find(|address| address["type"] == kind);
        or_none(
            found
                .and_then(|found| found["address"].as_str())
                .unwrap_or_default(),
        )
    }
    fn info(node: &Value, field: &str) -> Value {
        let text = node["status"]["nodeInfo"][field]
            .as_str()
            .unwrap_or_default();
        Value::from(if text.is_empty() { "<unknown>" } else { text })
    }
    vec![
        name(),
        column("Status", |o, _| {
            let ready = list(o, "/status/conditions")
                .iter()
                .find(|c| c["type"] == "Ready");
            let mut words = vec![match ready {
                Some(condition) if condition["status"] == "True" => "Ready",
                Some(_) => "NotReady",
                None => "Unknown",
            }];
            if o["spec"]["unschedulable"] == true {
                words.push("SchedulingDisabled");
            }
            Value::from(words.join(","))
        }),
        column("Roles", |o, _| {
            let labels = o["metadata"]["labels"].as_object();
            let roles: Vec<&str> = labels
                .into_iter()
                .flatten()
                .filter_map(
                    |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                        Some(role) => (!role.is_empty()).then_some(role),
                        None if key == "kubernetes.io/role" => value.as_str(),
                        None => None,
                    },
                )
                .collect();
            or_none(roles.join(","))
        }),
        age(),
        column("Version", |o, _| {
            Value::from(at(o, "/status/nodeInfo/kubeletVersion"))
        }),
        wide("Internal-IP", |o, _| address(o, "InternalIP")),
        wide("External-IP", |o, _| address(o, "ExternalIP")),
        wide("OS-Image", |o, _| info(o, "osImage")),
        wide("Kernel-Version", |o, _| info(o, "kernelVersion")),
        wide("Container-Runtime", |o, _| {
            info(o, "containerRuntimeVersion")
        }),
    ]
}

/// The first text that is not empty, of a core Event's fields and then the newer ones.
fn first<'a>(event: &'a Value, pointers: &[&str]) -> &'a str {
    pointers
        .iter()
        .map(|pointer| at(event, pointer))
        .find(|text| !text.is_empty())
        .unwrap_or("")
}

fn event() -> Vec<Column> {
    fn seen_first(event: &Value, now: Timestamp) -> String {
        let time = first(
            event,
            &["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"],
        );
        since(time, now)
    }
    vec![
        column("Last Seen", |o, now| {
            let series = first(o, &["/series/lastObservedTime"]);
            let last = first(o, &["/lastTimestamp", "/deprecatedLastTimestamp"]);
            let time = if !series.is_empty() { series } else { last };
            Value::from(if time.is_empty() {
                seen_first(o, now)
            } else {
                since(time, now)
            })
        }),
        column("Type", |o, _| Value::from(at(o, "/type"))),
        column("Reason", |o, _| Value::from(at(o, "/reason"))),
        column("Object", |o, _| {
            let kind = first(o, &["/involvedObject/kind", "/regarding/kind"]).to_lowercase();
            let name = first(o, &["/involvedObject/name", "/regarding/name"]);
            Value::from(if name.is_empty() {
                kind
            } else {
                format!("{kind}/{name}")
            })
        }),
        wide("Subobject", |o, _| {
            Value::from(first(
                o,
                &["/involvedObject/fieldPath", "/regarding/fieldPath"],
            ))
        }),
        wide("Source", |o, _| {
            let component = first(
                o,
                &[
                    "/source/component",
                    "/deprecatedSource/component",
                    "/reportingComponent",
                    "/reportingController",
                ],
            );
            let host = first(
                o,
                &[
                    "/source/host",
                    "/deprecatedSource/host",
                    "/reportingInstance",
                ],
            );
            Value::from(match (component, host) {
                (component, "") => component.to_owned(),
                (component, host) => format!("{component}, {host}"),
            })
        }),
        column("Message", |o, _| {
            Value::from(first(o, &["/message", "/note"]).trim())
        }),
        wide("First Seen", |o, now| Value::from(seen_first(o, now))),
        wide("Count", |o, _| {
            let found = ["/series/count", "/count", "/deprecatedCount"]
                .iter()
                .find_map(|pointer| o.pointer(pointer).and_then(Value::as_i64));
            json!(found.unwrap_or(1))
        })
        .typed("integer"),
        wide("Name", |o, _| Value::from(at(o, "/metadata/name"))),
    ]
}

fn claim() -> Vec<Column> {
    vec![
        name(),
        column("Status", |o, _| {
            let deleting = o["metadata"]["deletionTimestamp"].is_string();
            Value::from(if deleting {
                "Terminating"
            } else {
                at(o, "/status/phase")
            })
        }),
        column("Volume", |o, _| Value::from(at(o, "/spec/volumeName"))),
        column("Capacity", |o, _| {
            Value::from(at(o, "/status/capacity/storage"))
        }),
        column("Access Modes", |o, _| {
            let modes: Vec<&str> = list(o, "/status/accessModes")
                .iter()
                .filter_map(Value::as_str)
                .map(|mode| match mode {
                    "ReadWriteOnce" => "RWO",
                    "ReadOnlyMany" => "ROX",
                    "ReadWriteMany" => "RWX",
                    "ReadWriteOncePod" => "RWOP",
                    other => other,
                })
                .collect();
            Value::from(modes.join(","))
        }),
        column("StorageClass", |o, _| {
            Value::from(at(o, "/spec/storageClassName"))
        }),
        column("VolumeAttributesClass", |o, _| {
            let class = at(o, "/spec/volumeAttributesClassName");
            Value::from(if class.is_empty() { "<unset>" } else { class })
        }),
        age(),
        wide("VolumeMode", |o, _| {
            let mode = at(o, "/spec/volumeMode");
            Value::from(if mode.is_empty() { "<unset>" } else { mode })
        }),
    ]
}

/// At most three, then how many more.
fn some_of(all: &[String]) -> Value {
    const SHOWN: usize = 3;
    let shown = all[..all.len().min(SHOWN)].join(",");
    if all.len() > SHOWN {
        Value::from(format!("{shown} + {} more...", all.len() - SHOWN))
    } else {
        or_none(shown)
    }
}

fn endpoints(object: &Value, _: Timestamp) -> Value {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        for address in list(subset, "/addresses") {
            let ip = address["ip"].as_str().unwrap_or_default();
            let ports = list(subset, "/ports");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            let numbers = ports.iter().map(|port| port["port"].as_i64().unwrap_or(0));
            all.extend(numbers.map(|port| format!("{ip}:{port}")));
        }
    }
    some_of(&all)
}

fn slice_ports(object: &Value, _: Timestamp) -> Value {
    let ports = list(object, "/ports");
    if ports.is_empty() {
        return Value::from("<unset>");
    }
    let numbers: Vec<String> = ports
        .iter()
        .map(|port| {
            port["port"]
                .as_i64()
                .map_or("*".to_owned(), |number| number.to_string())
        })
        .collect();
    some_of(&numbers)
}

fn slice_addresses(object: &Value, _: Timestamp) -> Value {
    let all: Vec<String> = list(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if all.is_empty() {
        Value::from("<unset>")
    } else {
        some_of(&all)
    }
}
