//! get, describe, logs, wait, explain, api-resources, events.

use serde_json::json;

use crate::fixture::{job, kubectl, widget};

#[test]
fn get_prints_tables_and_documents() {
    let Some(k) = kubectl("get") else { return };
    k.ok_with(&["create", "-f", "-"], &widget("one", 1));
    k.ok_with(&["create", "-f", "-"], &widget("two", 2));
    k.set_status(
        "/apis/example.com/v1/namespaces/get/widgets/one",
        &json!({"conditions": [{"type": "Ready", "status": "True"}]}),
    );
    let table = k.ok(&["get", "widgets"]);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..3], ["NAME", "SIZE", "READY"], "{table}");
    assert_eq!(lines[1][..3], ["one", "1", "True"], "{table}");
    assert_eq!(lines[2][..2], ["two", "2"], "{table}");
    assert!(!table.contains("COLOR"), "{table}");
    assert!(k.ok(&["get", "wd", "-o", "wide"]).contains("red"));
    assert!(
        k.ok(&["get", "widget", "one", "-o", "yaml"])
            .contains("size: 1")
    );
    assert_eq!(k.get("widget/two")["spec"]["size"], 2);
    let path = "-o=jsonpath={.items[*].spec.size}";
    assert_eq!(k.ok(&["get", "widgets", path]), "1 2");
    assert_eq!(k.ok(&["get", "widgets", "-o", "name"]).lines().count(), 2);
    assert!(k.ok(&["get", "widgets", "-A"]).contains("NAMESPACE"));
    assert!(k.refused(&["get", "widget", "none"]).contains("NotFound"));
    assert!(k.ok(&["get", "namespaces"]).contains("Active"));
}

#[test]
fn get_selects_by_label_and_field() {
    let Some(k) = kubectl("select") else { return };
    k.running_pod("a", &["main"]);
    k.ok_with(&["create", "-f", "-"], &crate::fixture::pod("b", &["main"]));
    let names = |args: &[&str]| -> String {
        let mut all = vec!["get", "pods", "-o", "name"];
        all.extend(args);
        k.ok(&all)
    };
    assert_eq!(names(&["-l", "app=test"]), "pod/a\npod/b\n");
    assert_eq!(names(&["-l", "pod in (b,c)"]), "pod/b\n");
    assert_eq!(names(&["-l", "pod notin (b)"]), "pod/a\n");
    assert_eq!(names(&["-l", "!app"]), "");
    assert_eq!(
        names(&["--field-selector", "status.phase=Running"]),
        "pod/a\n"
    );
    assert_eq!(
        names(&["--field-selector", "spec.nodeName!=node-1"]),
        "pod/b\n"
    );
    assert!(
        k.refused(&["get", "pods", "--field-selector", "spec.x=1"])
            .contains("not supported")
    );
    let wide = k.ok(&["get", "pods", "-o", "wide"]);
    assert!(
        wide.contains("node-1") && wide.contains("127.1.0.1"),
        "{wide}"
    );
    assert!(wide.contains("1/1") && wide.contains("Running"), "{wide}");
}

#[test]
fn get_watches() {
    let Some(k) = kubectl("watch") else { return };
    k.ok_with(&["create", "-f", "-"], &job("first"));
    let mut watch = k.start(&["get", "jobs", "-w"]);
    assert!(watch.line().starts_with("NAME"));
    watch.line_with("first");
    k.ok_with(&["create", "-f", "-"], &job("second"));
    watch.line_with("second");
    let mut objects = k.start(&["get", "jobs", "-w", "-o", "name"]);
    objects.line_with("second");
}

#[test]
fn describe_shows_the_object_and_its_events() {
    let Some(k) = kubectl("describe") else { return };
    k.running_pod("p", &["main"]);
    k.ok_with(&["create", "-f", "-"], &job("j"));
    k.ok_with(&["create", "-f", "-"], &widget("w", 3));
    let uid = k.get("pod/p")["metadata"]["uid"].clone();
    k.ok_with(
        &["create", "-f", "-"],
        &json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "p.1"},
            "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "describe",
                "uid": uid},
            "reason": "Started", "note": "Started container main", "type": "Normal",
            "action": "Start", "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "test", "reportingInstance": "test-1",
        }),
    );
    let pod = k.ok(&["describe", "pod", "p"]);
    assert!(
        pod.contains("node-1") && pod.contains("Started container main"),
        "{pod}"
    );
    assert!(k.ok(&["describe", "job", "j"]).contains("Completions:"));
    assert!(k.ok(&["describe", "widget", "w"]).contains("Size:"));
    let events = k.ok(&["events"]);
    assert!(
        events.contains("Started container main") && events.contains("Pod/p"),
        "{events}"
    );
    assert!(k.ok(&["events", "--for", "pod/p"]).contains("Started"));
    assert!(k.ok(&["get", "events"]).contains("Started container main"));
}

#[test]
fn logs_of_containers() {
    let Some(k) = kubectl("logs") else { return };
    k.running_pod("one", &["main"]);
    k.running_pod("two", &["main", "side"]);
    assert_eq!(k.ok(&["logs", "one"]).lines().count(), 3);
    assert_eq!(
        k.ok(&["logs", "one", "--tail", "1"]),
        "one main current line 3\n"
    );
    assert!(
        k.ok(&["logs", "two", "-c", "side"])
            .contains("two side current line 1")
    );
    assert!(k.ok(&["logs", "one", "--previous"]).contains("previous"));
    assert!(k.ok(&["logs", "-f", "one"]).contains("followed"));
    assert!(
        k.refused(&["logs", "two", "-c", "none"])
            .contains("not valid")
    );
    let all = k.ok(&["logs", "-l", "app=test", "--all-containers", "--prefix"]);
    assert!(
        all.contains("one main") && all.contains("two side"),
        "{all}"
    );
    assert!(
        k.ok(&["logs", "two", "--all-containers"])
            .contains("two main")
    );
}

#[test]
fn wait_for_conditions_and_deletion() {
    let Some(k) = kubectl("wait") else { return };
    k.ok_with(&["create", "-f", "-"], &job("j"));
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| k.ok(&["wait", "--for=condition=Complete", "job/j", "--timeout=20s"]));
        k.set_status(
            "/apis/batch/v1/namespaces/wait/jobs/j",
            &json!({"conditions": [{"type": "Complete", "status": "True"}]}),
        );
        assert!(waiting.join().unwrap().contains("condition met"));
    });
    let jsonpath = "--for=jsonpath={.spec.suspend}=false";
    assert!(
        k.ok(&["wait", jsonpath, "job/j", "--timeout=20s"])
            .contains("condition met")
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| k.ok(&["wait", "--for=delete", "job/j", "--timeout=20s"]));
        k.ok(&["delete", "job", "j"]);
        waiting.join().unwrap();
    });
}

#[test]
fn explain_and_api_resources() {
    let Some(k) = kubectl("explain") else { return };
    let text = k.ok(&["explain", "widget.spec"]);
    assert!(
        text.contains("What is wanted.") && text.contains("How large."),
        "{text}"
    );
    assert!(
        k.ok(&["explain", "widget.spec", "--recursive"])
            .contains("parts")
    );
    assert!(
        k.ok(&["explain", "job.spec.backoffLimit"])
            .contains("backoffLimit")
    );
    assert!(k.ok(&["explain", "pod.spec.containers"]).contains("image"));
    let resources = k.ok(&["api-resources"]);
    for name in [
        "widgets",
        "pods",
        "jobs",
        "endpointslices",
        "customresourcedefinitions",
    ] {
        assert!(resources.contains(name), "{name}: {resources}");
    }
    assert!(k.ok(&["api-versions"]).contains("example.com/v1"));
    assert!(k.ok(&["version"]).contains("Server Version"));
}
