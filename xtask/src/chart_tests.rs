//! The Helm chart, rendered by the real Helm: the acceptance list of the reference's chart line by
//! line, whole files for typical values, and every object against its type.
//!
//! After a wanted change, `JOBSET_UPDATE_GOLDEN=1 cargo test -p xtask golden` writes the files anew.

use std::{fs, path::PathBuf, process::Command, sync::LazyLock};

use serde_json::{Value, json};

use crate::strict;

mod checklist;

/// Helm, or nothing with a word about it.
static HELM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let helm = crate::helm::find();
    if helm.is_none() {
        eprintln!("SKIPPED: there is no helm on PATH; `cargo xtask helm` builds one");
    }
    helm
});

fn chart() -> PathBuf {
    crate::root().join("charts/jobset")
}

/// What Helm says: the rendered text, or why not. Nothing where there is no Helm.
fn template(arguments: &[&str]) -> Option<Result<String, String>> {
    let helm = HELM.as_ref()?;
    let output = Command::new(helm)
        .args(["template", "test"])
        .arg(chart())
        .args(["--namespace", "jobset-system"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some(if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    })
}

/// The objects with these values, each in the form of `--set-json`'s argument.
fn objects(values: &[&str]) -> Option<Vec<Value>> {
    let mut arguments = vec!["--api-versions", "monitoring.coreos.com/v1/ServiceMonitor"];
    for value in values {
        arguments.extend(["--set-json", value]);
    }
    let text = template(&arguments)?.unwrap_or_else(|error| panic!("{values:?}: {error}"));
    Some(strict::documents(&text))
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

const MATRIX: &[&str] = &["default", "no-webhook", "cert-manager", "everything"];

fn rendered(name: &str) -> Option<String> {
    let values = chart().join(format!("ci/{name}-values.yaml"));
    let values = values.to_str().unwrap();
    let arguments = [
        "--values",
        values,
        "--api-versions",
        "monitoring.coreos.com/v1/ServiceMonitor",
    ];
    Some(template(&arguments)?.unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[test]
fn golden_files() {
    let mut different = Vec::new();
    for name in MATRIX {
        let Some(text) = rendered(name) else { return };
        let path = chart().join(format!("tests/golden/{name}.yaml"));
        if std::env::var_os("JOBSET_UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            different.push(path);
        }
    }
    assert!(
        different.is_empty(),
        "{different:?} differ; look at what changed, then JOBSET_UPDATE_GOLDEN=1 cargo test -p \
         xtask golden"
    );
}

#[test]
fn every_object_is_one_that_an_api_server_knows() {
    for name in MATRIX {
        let Some(text) = rendered(name) else { return };
        let objects = strict::documents(&text);
        assert!(objects.len() > 10, "{name}");
        for object in objects {
            match strict::check(&object) {
                strict::Outcome::Fits => {}
                strict::Outcome::NoType(kind) => assert!(
                    ["Certificate", "Issuer", "PrometheusRule", "ServiceMonitor"]
                        .contains(&kind.as_str()),
                    "{kind}"
                ),
                strict::Outcome::Wrong(why) => panic!("{name}: {why}"),
            }
        }
    }
}

/// Objects in a namespace are in the release's, and every object is found by the release's labels.
#[test]
fn namespaces_and_labels() {
    let cluster_wide = [
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    for name in MATRIX {
        let Some(text) = rendered(name) else { return };
        for object in strict::documents(&text) {
            let kind = object["kind"].as_str().unwrap();
            let metadata = &object["metadata"];
            if cluster_wide.contains(&kind) {
                assert!(metadata.get("namespace").is_none(), "{kind}");
            } else {
                assert_eq!(metadata["namespace"], "jobset-system", "{kind}");
            }
            let labels = &metadata["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], "test", "{kind}");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
            assert!(
                labels["helm.sh/chart"]
                    .as_str()
                    .unwrap()
                    .starts_with("jobset-")
            );
            if *name == "everything" {
                assert_eq!(labels["team"], "batch", "{kind}");
            }
        }
    }
}

#[test]
fn lint() {
    let Some(helm) = HELM.as_ref() else { return };
    for name in MATRIX {
        let output = Command::new(helm)
            .args(["lint", "--strict", "--quiet", "--values"])
            .arg(chart().join(format!("ci/{name}-values.yaml")))
            .arg(chart())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        // The linter has no way to pretend that the Prometheus operator is installed.
        if !output.status.success() {
            assert!(
                text.contains("does not serve monitoring.coreos.com/v1"),
                "{name}: {text}"
            );
        }
    }
}

/// The names of metrics that dashboards and alerts may use: those of the reference, and our own.
const METRICS: &[&str] = &[
    "controller_runtime_active_workers",
    "controller_runtime_max_concurrent_reconciles",
    "controller_runtime_reconcile_errors_total",
    "controller_runtime_reconcile_panics_total",
    "controller_runtime_reconcile_time_seconds_bucket",
    "controller_runtime_reconcile_total",
    "controller_runtime_webhook_latency_seconds_bucket",
    "controller_runtime_webhook_requests_total",
    "jobset_api_request_duration_seconds_bucket",
    "jobset_api_requests_total",
    "jobset_completed_total",
    "jobset_controller_operations_total",
    "jobset_failed_total",
    "jobset_jobs_created_seconds_bucket",
    "jobset_ready_seconds_bucket",
    "jobset_restart_lost_seconds_total",
    "jobset_restarts_total",
    "leader_election_master_status",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "rest_client_requests_total",
    "workqueue_depth",
    "workqueue_queue_duration_seconds_bucket",
    "workqueue_retries_total",
];

#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    let files = chart().join("files");
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(files.join("dashboard.json")).unwrap()).unwrap();
    let alerts: Value =
        serde_saphyr::from_str(&fs::read_to_string(files.join("alerts.yaml")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    let mut expressions: Vec<_> = targets.chain(rules).map(|item| &item["expr"]).collect();
    // What fills the choice of a job.
    expressions.push(&dashboard["templating"]["list"][1]["query"]["query"]);
    let mut seen = std::collections::BTreeSet::new();
    for expression in expressions {
        let text = expression.as_str().unwrap();
        // Values of labels stand between quotes.
        let outside = text.split('"').step_by(2);
        let words =
            outside.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        for word in words {
            // Names of metrics have several words; those of labels and functions are these.
            let known = ["label_values", "histogram_quantile", "__rate_interval"];
            if word.contains('_') && !known.contains(&word) {
                assert!(METRICS.contains(&word), "{word} in {text}");
                seen.insert(word);
            }
        }
    }
    assert_eq!(seen.len(), METRICS.len(), "unused: look at {seen:?}");
    for rule in rules {
        assert!(
            rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string()
        );
    }
}
