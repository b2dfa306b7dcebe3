//! What the program says about its own usage.

use std::process::{Command, Output};

use crate::replica::program;

fn run(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn version_and_help() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    let version = text(&output.stdout);
    assert!(version.starts_with("jobset-controller v"), "{version}");
    assert!(version.contains("(commit "), "{version}");
    let output = run(&["-help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    for part in [
        "--leader-elect",
        "--zap-log-level",
        "Examples:",
        "--kubeconfig",
    ] {
        assert!(help.contains(part), "{part} in {help}");
    }
}

#[test]
fn an_unknown_flag_is_wrong_usage() {
    let output = run(&["-nonsense=1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--nonsense"), "{output:?}");
}

#[test]
fn a_cluster_that_cannot_be_found_is_an_error() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot find the API server"),
        "{output:?}"
    );
}

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("kubeconfig");
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let head = "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Configuration\n";
    let path = directory.path().join("config.yaml");
    let argument = format!("--config={}", path.display());
    for (rest, expected) in [
        (
            "invalidField: 1\n",
            "config.yaml:3:1: strict decoding error: unknown field",
        ),
        ("webhook:\n  port: x\n", "webhook.port"),
        ("featureGates: {Nonsense: true}\n", "unknown feature gate"),
        ("featureGates: {TLSOptions: false}\n", "locked"),
        (
            "internalCertManagement: {webhookServiceName: 0-invalid}\n",
            "internalCertManagement.webhookServiceName",
        ),
        (
            "leaderElection: {resourceNamespace: a, resourceLock: endpoints}\n",
            "resourceLock",
        ),
        (
            "leaderElection: {resourceNamespace: a, leaseDuration: 5s}\n",
            "leaseDuration",
        ),
        ("", "leaderElection.resourceNamespace"),
    ] {
        std::fs::write(&path, format!("{head}{rest}")).unwrap();
        let output = run(&[&kubeconfig, &argument]);
        assert_eq!(output.status.code(), Some(1), "{rest}: {output:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{expected} in {error}");
    }
    let output = run(&[
        &kubeconfig,
        &format!("--config={}", directory.path().display()),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("is a directory"),
        "{output:?}"
    );
}
