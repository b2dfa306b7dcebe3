//! The commands whose objects kubectl builds itself, and sends in protobuf.

use std::io::Write;

use serde_json::json;

use crate::fixture::kubectl;

#[test]
fn create_namespace() {
    let Some(k) = kubectl("typed-namespace") else {
        return;
    };
    let said = k.ok(&["create", "namespace", "typed-namespace-2"]);
    assert_eq!(said, "namespace/typed-namespace-2 created\n");
    let namespace = k.get("namespace/typed-namespace-2");
    assert_eq!(namespace["status"]["phase"], "Active");
    let refused = k.refused(&["create", "namespace", "typed-namespace-2"]);
    assert!(refused.contains("AlreadyExists"), "{refused}");
}

#[test]
fn create_configmap_and_secret() {
    let Some(k) = kubectl("typed-config") else {
        return;
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\0\xff").unwrap();
    let from_file = format!("--from-file=bin={}", file.path().display());
    k.ok(&["create", "configmap", "c", "--from-literal=a=b", &from_file]);
    let map = k.get("configmap/c");
    assert_eq!(map["data"], json!({"a": "b"}));
    assert_eq!(map["binaryData"], json!({"bin": "AP8="}));
    k.ok(&[
        "create",
        "secret",
        "generic",
        "s",
        "--from-literal=a=b",
        &from_file,
    ]);
    let secret = k.get("secret/s");
    assert_eq!(secret["data"], json!({"a": "Yg==", "bin": "AP8="}));
    assert_eq!(secret["type"], "Opaque");
}

#[test]
fn create_serviceaccount_and_service() {
    let Some(k) = kubectl("typed-service") else {
        return;
    };
    k.ok(&["create", "serviceaccount", "a"]);
    assert_eq!(k.get("serviceaccount/a")["metadata"]["name"], "a");
    k.ok(&["create", "service", "clusterip", "s", "--tcp=80:8080"]);
    let service = k.get("service/s");
    assert_eq!(service["spec"]["type"], "ClusterIP");
    assert_eq!(service["spec"]["selector"], json!({"app": "s"}));
    assert_eq!(service["spec"]["ports"][0]["port"], 80);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    k.ok(&[
        "create",
        "service",
        "clusterip",
        "headless",
        "--clusterip=None",
    ]);
    assert_eq!(k.get("service/headless")["spec"]["clusterIP"], "None");
}

#[test]
fn create_job_and_run_pod() {
    let Some(k) = kubectl("typed-job") else {
        return;
    };
    k.ok(&[
        "create",
        "job",
        "j",
        "--image=busybox",
        "--",
        "echo",
        "a",
        "",
    ]);
    let job = k.get("job/j");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "j");
    assert_eq!(container["image"], "busybox");
    assert_eq!(container["command"], json!(["echo", "a", ""]));
    assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    k.ok(&[
        "run",
        "p",
        "--image=busybox",
        "--env=A=b",
        "--command",
        "--",
        "true",
    ]);
    let pod = k.get("pod/p");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["true"]));
    assert_eq!(container["env"], json!([{"name": "A", "value": "b"}]));
    k.ok(&["delete", "pod", "p", "--now"]);
    let dry = k.ok(&["create", "namespace", "typed-job-dry", "--dry-run=server"]);
    assert!(dry.contains("server dry run"), "{dry}");
    k.refused(&["get", "namespace", "typed-job-dry"]);
}

#[test]
fn may_i() {
    let Some(k) = kubectl("typed-auth") else {
        return;
    };
    assert_eq!(k.ok(&["auth", "can-i", "create", "pods"]), "yes\n");
    assert_eq!(k.ok(&["auth", "can-i", "get", "/livez"]), "yes\n");
    assert!(k.ok(&["auth", "can-i", "--list"]).contains("*.*"));
}
