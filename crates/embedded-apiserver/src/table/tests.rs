use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::patch::tests::any_json;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

const HOUR_AGO: &str = "2026-01-01T00:00:00Z";

fn cells(columns: &Columns, object: &Value) -> Vec<Value> {
    columns.row(object, now(), Include::None)["cells"]
        .as_array()
        .unwrap()
        .clone()
}

fn pod_status(mut pod: Value) -> (String, String, String) {
    let columns = Columns::built_in(&Gvk::new("", "v1", "Pod"));
    if pod["spec"].is_null() {
        pod["spec"] = json!({"containers": [{"name": "a"}]});
    }
    let cells = cells(&columns, &pod);
    let text = |index: usize| cells[index].as_str().unwrap().to_owned();
    (text(1), text(2), text(3))
}

#[test]
fn pods_say_what_they_are_up_to() {
    let container = |state: Value| json!([{"name": "a", "state": state, "ready": false}]);
    for (pod, ready, status) in [
        (json!({"status": {"phase": "Pending"}}), "0/1", "Pending"),
        (
            json!({"status": {"phase": "Failed", "reason": "Evicted"}}),
            "0/1",
            "Evicted",
        ),
        (
            json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}}),
            "0/1",
            "SchedulingGated",
        ),
        (
            json!({"status": {"phase": "Running", "containerStatuses":
            container(json!({"waiting": {"reason": "CrashLoopBackOff"}}))}}),
            "0/1",
            "CrashLoopBackOff",
        ),
        (
            json!({"status": {"phase": "Succeeded", "containerStatuses":
            container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))}}),
            "0/1",
            "Completed",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses":
            container(json!({"terminated": {"exitCode": 3}}))}}),
            "0/1",
            "ExitCode:3",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses":
            container(json!({"terminated": {"exitCode": 137, "signal": 9}}))}}),
            "0/1",
            "Signal:9",
        ),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [
            {"name": "a", "ready": true, "state": {"running": {}}}]}}),
            "1/1",
            "Running",
        ),
        (
            json!({"metadata": {"deletionTimestamp": HOUR_AGO}, "status": {"phase": "Running"}}),
            "0/1",
            "Terminating",
        ),
        (
            json!({"metadata": {"deletionTimestamp": HOUR_AGO}, "status": {"phase": "Succeeded"}}),
            "0/1",
            "Succeeded",
        ),
        (
            json!({"spec": {"containers": [{}], "initContainers": [{"name": "i"}, {"name": "j"}]},
            "status": {"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                {"name": "j", "state": {"running": {}}}]}}),
            "0/1",
            "Init:1/2",
        ),
        (
            json!({"spec": {"containers": [{}], "initContainers": [{"name": "i"}]},
            "status": {"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
            "0/1",
            "Init:CrashLoopBackOff",
        ),
        (
            json!({"spec": {"containers": [{}], "initContainers": [{"name": "i"}]},
            "status": {"phase": "Failed", "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}}),
            "0/1",
            "Init:Error",
        ),
        (
            json!({"spec": {"containers": [{"name": "a"}],
                "initContainers": [{"name": "s", "restartPolicy": "Always"}]},
            "status": {"phase": "Running",
                "initContainerStatuses": [
                    {"name": "s", "started": true, "ready": true, "state": {"running": {}}}],
                "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}]}}),
            "2/2",
            "Running",
        ),
        (
            json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
                {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                {"ready": true, "state": {"running": {}}}]}}),
            "1/2",
            "NotReady",
        ),
    ] {
        let (found_ready, found, _) = pod_status(pod.clone());
        assert_eq!(
            (found_ready.as_str(), found.as_str()),
            (ready, status),
            "{pod}"
        );
    }
    let (.., restarts) = pod_status(
        json!({"status": {"phase": "Running", "containerStatuses": [{
            "restartCount": 2, "ready": true, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}},
        }]}}),
    );
    assert_eq!(restarts, "2 (5m ago)");
}

#[test]
fn built_in_rows() {
    let meta = json!({"name": "x", "creationTimestamp": HOUR_AGO});
    for (group, kind, object, expected) in [
        (
            "",
            "Pod",
            json!({"status": {"phase": "Running", "podIP": "10.0.0.1"},
            "spec": {"nodeName": "n", "containers": [{}]}}),
            json!([
                "x", "0/1", "Running", "0", "60m", "10.0.0.1", "n", "<none>", "<none>"
            ]),
        ),
        (
            "batch",
            "Job",
            json!({
            "spec": {"completions": 3, "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {"containers": [{"name": "c", "image": "i"},
                    {"name": "d", "image": "j"}]}}},
            "status": {"succeeded": 1, "startTime": HOUR_AGO,
                "completionTime": "2026-01-01T00:00:10Z",
                "conditions": [{"type": "Failed", "status": "True"}]}}),
            json!(["x", "Failed", "1/3", "10s", "60m", "c,d", "i,j", "a=b"]),
        ),
        (
            "batch",
            "Job",
            json!({"spec": {"parallelism": 2}}),
            json!(["x", "Running", "0/1 of 2", "", "60m", "", "", "<none>"]),
        ),
        (
            "",
            "Service",
            json!({"spec": {"type": "ClusterIP", "clusterIP": "None",
            "selector": {"a": "b"}, "ports": [{"port": 80}]}}),
            json!(["x", "ClusterIP", "None", "<none>", "80/TCP", "60m", "a=b"]),
        ),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": "", "b": ""}}),
            json!(["x", 2, "60m"]),
        ),
        (
            "",
            "Secret",
            json!({"type": "Opaque", "data": {"a": ""}}),
            json!(["x", "Opaque", 1, "60m"]),
        ),
        (
            "",
            "Namespace",
            json!({"status": {"phase": "Active"}}),
            json!(["x", "Active", "60m"]),
        ),
        (
            "",
            "Node",
            json!({"spec": {"unschedulable": true}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1"}}}),
            json!([
                "x",
                "Ready,SchedulingDisabled",
                "<none>",
                "60m",
                "v1",
                "127.0.0.1",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>"
            ]),
        ),
        (
            "",
            "Event",
            json!({"type": "Normal", "reason": "R", "message": "m ", "count": 2,
            "lastTimestamp": HOUR_AGO, "involvedObject": {"kind": "Pod", "name": "p"},
            "source": {"component": "c"}}),
            json!([
                "60m",
                "Normal",
                "R",
                "pod/p",
                "",
                "c",
                "m",
                "<unknown>",
                2,
                "x"
            ]),
        ),
        (
            "events.k8s.io",
            "Event",
            json!({"type": "Normal", "reason": "R", "note": "n",
            "eventTime": HOUR_AGO, "regarding": {"kind": "JobSet", "name": "p"},
            "reportingController": "c"}),
            json!([
                "60m", "Normal", "R", "jobset/p", "", "c", "n", "60m", 1, "x"
            ]),
        ),
        (
            "",
            "Endpoints",
            json!({"subsets": [{"addresses": [{"ip": "1"}, {"ip": "2"}],
            "ports": [{"port": 1}, {"port": 2}]}]}),
            json!(["x", "1:1,1:2,2:1 + 1 more...", "60m"]),
        ),
        (
            "discovery.k8s.io",
            "EndpointSlice",
            json!({"addressType": "IPv4",
            "endpoints": [{"addresses": ["1"]}, {"addresses": ["2"]}]}),
            json!(["x", "IPv4", "<unset>", "1,2", "60m"]),
        ),
        (
            "coordination.k8s.io",
            "Lease",
            json!({"spec": {"holderIdentity": "h"}}),
            json!(["x", "h", "60m"]),
        ),
        ("", "ServiceAccount", json!({}), json!(["x", 0, "60m"])),
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
            json!({"webhooks": [{}, {}]}),
            json!(["x", 2, "60m"]),
        ),
        (
            "",
            "PersistentVolumeClaim",
            json!({"status": {"phase": "Bound",
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}),
            json!([
                "x", "Bound", "", "1Gi", "RWO", "", "<unset>", "60m", "<unset>"
            ]),
        ),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            json!({}),
            json!(["x", HOUR_AGO]),
        ),
    ] {
        let mut object = object;
        object["metadata"] = meta.clone();
        let columns = Columns::built_in(&Gvk::new(group, "v1", kind));
        assert_eq!(Value::from(cells(&columns, &object)), expected, "{kind}");
    }
}

#[test]
fn custom_columns_follow_their_paths() {
    let columns = Columns::custom(&json!([
        {"name": "State", "type": "string", "jsonPath": ".status.state"},
        {"name": "Ready", "type": "string", "priority": 1,
            "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Restarts", "type": "integer", "jsonPath": ".status.restarts"},
        {"name": "Names", "type": "string", "jsonPath": ".spec.items[*].name"},
        {"name": "Broken", "type": "string", "jsonPath": ".spec["},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]));
    let object = json!({
        "metadata": {"name": "x", "creationTimestamp": HOUR_AGO},
        "spec": {"items": [{"name": "a"}, {"name": "b"}]},
        "status": {"restarts": 0, "conditions": [
            {"type": "Other", "status": "no"}, {"type": "Ready", "status": "True"}]},
    });
    assert_eq!(
        cells(&columns, &object),
        [
            json!("x"),
            Value::Null,
            json!("True"),
            json!(0),
            json!("a b"),
            Value::Null,
            json!("60m"),
        ]
    );
    assert_eq!(columns.definitions()[2]["priority"], 1);
    assert_eq!(cells(&Columns::custom(&Value::Null), &object), ["x", "60m"]);
}

#[test]
fn tables_have_heads_once_and_objects_as_asked() {
    let columns = Columns::custom(&json!([]));
    let object = json!({"metadata": {"name": "x"}, "spec": {}});
    let table = |include, heads| {
        render(
            &columns,
            &[&object],
            now(),
            include,
            &json!({"resourceVersion": "7"}),
            heads,
        )
    };
    let full = table(Include::Object, true);
    assert_eq!(full["rows"][0]["object"], object);
    assert_eq!(full["metadata"]["resourceVersion"], "7");
    assert_eq!(full["columnDefinitions"][0]["format"], "name");
    let slim = table(Include::Metadata, false);
    assert_eq!(slim["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(slim["columnDefinitions"], json!([]));
    assert_eq!(table(Include::None, true)["rows"][0].get("object"), None);
}

#[test]
fn durations_have_two_units_at_most() {
    for (seconds, text) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (100_000, "27h"),
        (187_200, "2d4h"),
        (864_000, "10d"),
        (366 * 86_400, "366d"),
        (731 * 86_400, "2y1d"),
        (3000 * 86_400, "8y"),
    ] {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
    assert_eq!(since("", now()), "<unknown>");
}

#[test]
fn paths_are_parsed() {
    let object = json!({"a": {"b.c": [1, 2, {"d": "x"}], "n": [{"v": 1}, {"v": 5}]}});
    for (path, expected) in [
        (".a['b.c'][0]", json!([1])),
        (r".a.b\.c[1]", json!([2])),
        ("{.a['b.c'][-1].d}", json!(["x"])),
        ("$.a.n[?(@.v>2)].v", json!([5])),
        (".a.n[?(@.v)].v", json!([1, 5])),
        (".a.n[?(@.v != 5)].v", json!([1])),
        (".a.missing.deeper", json!([])),
        ("", json!([object])),
    ] {
        let found: Vec<Value> = JsonPath::parse(path)
            .unwrap()
            .find(&object)
            .into_iter()
            .cloned()
            .collect();
        assert_eq!(Value::from(found), expected, "{path}");
    }
    for bad in [".a[", ".a[x]", ".a[?(b)]", ".a[?(@.b==c)]", ".a..b", r".a\"] {
        assert!(JsonPath::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn never_panics(object in any_json(), path in "[.a\\[\\]*?(@=\"'\\\\é0-9-]{0,12}") {
        for (group, version, kind) in [
            ("", "v1", "Pod"), ("batch", "v1", "Job"), ("", "v1", "Service"), ("", "v1", "Node"),
            ("", "v1", "Event"), ("", "v1", "Endpoints"), ("discovery.k8s.io", "v1", "EndpointSlice"),
            ("", "v1", "PersistentVolumeClaim"), ("", "v1", "ConfigMap"),
        ] {
            let _ = cells(&Columns::built_in(&Gvk::new(group, version, kind)), &object);
        }
        if let Ok(path) = JsonPath::parse(&path) {
            let _ = path.find(&object);
        }
    }
}
