//! Pods that wait behind a gate, so that nobody else touches them.

use serde_json::{Value, json};

use crate::differential::requests::Step;

const PODS: &str = "/api/v1/namespaces/{ns}/pods";
const POD: &str = "/api/v1/namespaces/{ns}/pods/p";
const STATUS: &str = "/api/v1/namespaces/{ns}/pods/p/status";

fn pod(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": false,
            "schedulingGates": [{"name": "example.com/wait"}],
            "containers": [{"name": "c", "image": "i"}],
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

pub(super) fn steps() -> Vec<Step> {
    let refused = |name, spec| Step::post(name, PODS, pod(name, spec));
    let merge = |name, patch| Step::patch(name, "merge", POD, patch);
    vec![
        Step::post("create", PODS, pod("p", json!({}))),
        Step::post(
            "create-full",
            PODS,
            pod(
                "q",
                json!({
                    "restartPolicy": "Never", "hostname": "h", "subdomain": "s",
                    "terminationGracePeriodSeconds": 5,
                    "initContainers": [{"name": "i", "image": "i:latest"}],
                    "volumes": [{"name": "e", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x"}}],
                    "containers": [{
                        "name": "c", "image": "i@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                        "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "1Gi"}},
                        "livenessProbe": {"tcpSocket": {"port": 80}},
                        "lifecycle": {"preStop": {"exec": {"command": ["x"]}}},
                    }],
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "rack", "labelSelector": {"matchLabels": {"a": "b"}}},
                    ]}},
                }),
            ),
        ),
        refused("no-containers", json!({"containers": []})),
        refused("no-image", json!({"containers": [{"name": "c"}]})),
        refused(
            "same-names",
            json!({"containers": [
                {"name": "c", "image": "i"}, {"name": "c", "image": "i"},
            ]}),
        ),
        refused(
            "bad-container-name",
            json!({"containers": [{"name": "C", "image": "i"}]}),
        ),
        refused("bad-restart-policy", json!({"restartPolicy": "Maybe"})),
        refused("bad-hostname", json!({"hostname": "a.b"})),
        refused(
            "unknown-volume",
            json!({"containers": [{
                "name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }]}),
        ),
        refused(
            "bad-quantity",
            json!({"containers": [{
                "name": "c", "image": "i", "resources": {"limits": {"cpu": "many"}},
            }]}),
        ),
        refused("gated-with-node", json!({"nodeName": "n"})),
        merge("labels", json!({"metadata": {"labels": {"x": "y"}}})),
        merge(
            "image",
            json!({"spec": {"containers": [{"name": "c", "image": "other"}]}}),
        ),
        merge("subdomain", json!({"spec": {"subdomain": "other"}})),
        merge("node-name", json!({"spec": {"nodeName": "n"}})),
        merge(
            "selector-behind-gate",
            json!({"spec": {"nodeSelector": {"a": "b"}}}),
        ),
        merge(
            "new-gate",
            json!({"spec": {"schedulingGates": [
                {"name": "example.com/wait"}, {"name": "example.com/more"},
            ]}}),
        ),
        merge("status-in-spec", json!({"status": {"phase": "Running"}})),
        Step::patch(
            "strategic-image",
            "strategic",
            POD,
            json!({
                "spec": {"containers": [{"name": "c", "image": "third"}]},
            }),
        ),
        Step::patch(
            "strategic-toleration",
            "strategic",
            POD,
            json!({
                "spec": {"tolerations": [{"key": "t", "operator": "Exists"}]},
            }),
        ),
        Step::patch(
            "status",
            "strategic",
            STATUS,
            json!({
                "status": {"conditions": [{"type": "example.com/odd", "status": "True",
                                           "reason": "R", "message": "m"}]},
            }),
        ),
        Step::get(
            "running-ones",
            &format!("{PODS}?fieldSelector=status.phase%3DRunning"),
        ),
        Step::get(
            "unassigned-ones",
            &format!("{PODS}?fieldSelector=spec.nodeName%3D&labelSelector=app%3Dp"),
        ),
        Step::get("logs", &format!("{POD}/log")),
        Step::post(
            "bind-gated",
            &format!("{POD}/binding"),
            json!({
                "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"},
            }),
        ),
        Step::delete("delete", POD, json!({"gracePeriodSeconds": 10})),
        Step::get("deleted", POD),
    ]
}
