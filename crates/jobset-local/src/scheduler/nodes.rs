//! The nodes of the cluster: this machine, once or several times.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::{Timestamp, Unit};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::SchedulerOptions;
use crate::node::quantity::Quantity;

/// Pods a node takes, as the kubelet's default would be were it made for this.
const MAX_PODS: usize = 10_000;
/// Where nodes say that they are alive.
const LEASES: &str = "kube-node-lease";
/// Time between two heartbeats of a node, the kubelet's default.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Heartbeats in flight.
const BEATS_AT_ONCE: usize = 16;

/// What this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of processors this process may use.
    pub milli_cpus: u64,
    /// Bytes of main memory.
    pub memory: u64,
}

impl Machine {
    /// Looks at the machine.
    pub fn detect() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            milli_cpus: cpus as u64 * 1000,
            memory: total_memory(&meminfo).unwrap_or(1 << 30),
        }
    }
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// A taint, written as kubectl does: `KEY[=VALUE]:EFFECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTaint {
    /// The key.
    pub key: String,
    /// The value, often empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; this scheduler does not evict, so the last
    /// one means the same as the first.
    pub effect: String,
}

impl NodeTaint {
    /// Reads the form of kubectl.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not of the form KEY[=VALUE]:EFFECT, such as gpu=yes:NoSchedule")
        };
        let (head, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (key, value) = head.split_once('=').unwrap_or((head, ""));
        if key.is_empty() || !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            return Err(wrong());
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        })
    }
}

/// Whether a text is an amount of a resource.
pub fn is_quantity(text: &str) -> bool {
    Quantity::parse(text).is_some()
}

/// Creates the nodes that do not exist yet and reports all of them as ready.
pub async fn ensure_nodes(client: &Client, options: &SchedulerOptions) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let machine = Machine::detect();
    let taints: Vec<Value> = options
        .taints
        .iter()
        .map(|t| json!({"key": t.key, "value": t.value, "effect": t.effect}))
        .collect();
    for (name, labels) in layout(options) {
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints},
        });
        let object: Node = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let mut patch = json!({"metadata": {"labels": labels}});
                if !taints.is_empty() {
                    patch["spec"]["taints"] = taints.clone().into();
                }
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await?;
            }
            Err(error) => return Err(error),
        }
        let status = json!({"status": status(&name, machine, &options.resources)});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await?;
    }
    Ok(())
}

/// Says until `shutdown` that the nodes are alive, as their kubelets would: a node that is silent
/// for long is given up by a cluster that watches its nodes.
pub async fn keep_alive(client: Client, options: SchedulerOptions, shutdown: CancellationToken) {
    let api: Api<Lease> = Api::namespaced(client, LEASES);
    let names: Vec<String> = layout(&options).into_iter().map(|(name, _)| name).collect();
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let beats = futures::stream::iter(&names).for_each_concurrent(BEATS_AT_ONCE, |name| {
            let (api, lease) = (&api, lease(name, Timestamp::now()));
            async move {
                let params = PatchParams::apply("kubelet").force();
                if let Err(error) = api.patch(name, &params, &Patch::Apply(&lease)).await {
                    tracing::debug!(node = name, %error, "heartbeat not sent");
                }
            }
        });
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = beats => {}
        }
    }
}

fn lease(node: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node, "namespace": LEASES},
        "spec": {
            "holderIdentity": node, "leaseDurationSeconds": 40,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        },
    })
}

/// Names and labels of all nodes.
fn layout(options: &SchedulerOptions) -> Vec<(String, BTreeMap<String, String>)> {
    let nodes = options.nodes.max(1);
    (0..nodes)
        .map(|i| {
            let name = format!("node-{i}");
            let mut labels = BTreeMap::from([
                ("kubernetes.io/hostname".to_owned(), name.clone()),
                ("kubernetes.io/os".to_owned(), "linux".to_owned()),
                ("kubernetes.io/arch".to_owned(), architecture().to_owned()),
            ]);
            labels.extend(options.labels.iter().cloned());
            for (key, domains) in &options.topology {
                let domain = i * (*domains).clamp(1, nodes) / nodes;
                let stem = key.rsplit('/').next().unwrap_or(key);
                labels.insert(key.clone(), format!("{stem}-{domain}"));
            }
            (name, labels)
        })
        .collect()
}

/// The name Kubernetes uses.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(name: &str, machine: Machine, resources: &[(String, String)]) -> Value {
    let now = Timestamp::now()
        .round(Unit::Second)
        .map(|t| t.to_string())
        .unwrap_or_default();
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
               "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    let mut amounts = BTreeMap::from([
        ("cpu".to_owned(), format!("{}m", machine.milli_cpus)),
        ("memory".to_owned(), machine.memory.to_string()),
        ("pods".to_owned(), MAX_PODS.to_string()),
    ]);
    amounts.extend(resources.iter().cloned());
    json!({
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"},
                      {"type": "Hostname", "address": name}],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady"),
        ],
        "nodeInfo": {
            "architecture": architecture(), "operatingSystem": "linux",
            "kubeletVersion": format!("jobset-{}", env!("CARGO_PKG_VERSION")),
            "containerRuntimeVersion": "process://1",
            "bootID": "", "machineID": "", "systemUUID": "", "kernelVersion": kernel(),
            "kubeProxyVersion": "", "osImage": "",
        },
    })
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_nodes_share_a_domain() {
        let options = SchedulerOptions {
            nodes: 6,
            topology: vec![("example.com/rack".to_owned(), 3), ("zone".to_owned(), 2)],
            ..SchedulerOptions::default()
        };
        let got: Vec<String> = layout(&options)
            .iter()
            .map(|(name, labels)| {
                format!("{name} {} {}", labels["example.com/rack"], labels["zone"])
            })
            .collect();
        assert_eq!(
            got,
            [
                "node-0 rack-0 zone-0",
                "node-1 rack-0 zone-0",
                "node-2 rack-1 zone-0",
                "node-3 rack-1 zone-1",
                "node-4 rack-2 zone-1",
                "node-5 rack-2 zone-1",
            ]
        );
    }

    #[test]
    fn no_domain_is_empty() {
        for domains in [0, 1, 5] {
            let options = SchedulerOptions {
                nodes: 2,
                topology: vec![("k".to_owned(), domains)],
                ..SchedulerOptions::default()
            };
            assert_eq!(layout(&options)[0].1["k"], "k-0");
        }
    }

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        let taint = |key: &str, value: &str, effect: &str| NodeTaint {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        };
        assert_eq!(
            NodeTaint::parse("gpu=yes:NoSchedule"),
            Ok(taint("gpu", "yes", "NoSchedule"))
        );
        assert_eq!(
            NodeTaint::parse("a/b:NoExecute"),
            Ok(taint("a/b", "", "NoExecute"))
        );
        for text in [
            "",
            "gpu",
            "gpu=yes",
            ":NoSchedule",
            "=x:NoSchedule",
            "a:Never",
        ] {
            assert!(NodeTaint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn heartbeats_carry_microseconds() {
        let lease = lease("node-1", "2026-01-02T03:04:05.678Z".parse().unwrap());
        assert_eq!(lease["spec"]["renewTime"], "2026-01-02T03:04:05.678000Z");
        assert!(serde_json::from_value::<Lease>(lease).is_ok());
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(total_memory("X: 1 kB\nMemTotal:   2 kB\n"), Some(2048));
        assert!(Machine::detect().memory > 0);
    }
}
