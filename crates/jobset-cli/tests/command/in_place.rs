//! In-place restart on one machine: the whole way, from the worker that crashes to the one that runs
//! again in the same Pod.

use std::collections::BTreeSet;
use std::fs;

use jobset_api::{JobSet, conditions};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::support::{Ended, PATIENCE, Place};

const GATE: [&str; 2] = ["--feature-gates", "InPlaceRestart=true"];

/// What every worker begins with: notes in `runs-<role>-<job>-<pod>` that it runs, in which Pod, and
/// counts its runs in `n`.
const BEGIN: &str = r#"
    me=$ROLE-$JOB-$JOB_COMPLETION_INDEX
    echo "$POD_NAME" >> "runs-$me"
    n=$(wc -l < "runs-$me")
    : > "started-$me-$n"
    wait_for() { until [ -e "$1" ]; do sleep 0.02; done; }
"#;

fn variables() -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    json!([
        field("JOBSET_NAME", "metadata.annotations['jobset.sigs.k8s.io/jobset-name']"),
        field("POD_NAME", "metadata.name"),
        field("ROLE", "metadata.labels['jobset.sigs.k8s.io/replicatedjob-name']"),
        field("JOB", "metadata.labels['jobset.sigs.k8s.io/job-index']"),
        {"name": "SHELL", "value": "sh"},
    ])
}

/// A replicated job whose workers run this after [`BEGIN`].
fn role(name: &str, jobs: u32, pods: u32, pod: &Value) -> Value {
    json!({"name": name, "replicas": jobs, "template": {"spec": {
        "parallelism": pods, "completions": pods,
        "backoffLimit": i32::MAX, "podReplacementPolicy": "Failed",
        "template": {"spec": pod},
    }}})
}

/// Main-container mode: the agent starts the worker.
fn main_container(script: &str) -> Value {
    let mut env = variables();
    let command = json!({"name": "WORKER_COMMAND", "value": format!("{BEGIN}{script}")});
    env.as_array_mut().unwrap().push(command);
    json!({"restartPolicy": "OnFailure", "containers": [
        {"name": "main", "image": "agent", "command": ["jobset-agent"], "env": env}]})
}

/// Sidecar mode: the worker is a container of its own, and is started when the agent's probe passes.
fn sidecar(script: &str) -> Value {
    let agent = json!({
        "name": "agent", "image": "agent", "command": ["in-place-restart-agent"],
        "restartPolicy": "Always", "env": variables(),
        "startupProbe": {
            "httpGet": {"path": "/barrier-is-down", "port": 8081},
            "periodSeconds": 1, "failureThreshold": 1000,
        },
    });
    json!({"restartPolicy": "Never", "initContainers": [agent], "containers": [{
        "name": "main", "image": "worker", "env": variables(),
        "command": ["sh", "-c", format!("{BEGIN}{script}")],
    }]})
}

fn manifest(max_restarts: u32, roles: &[Value]) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "js"},
        "spec": {
            "failurePolicy": {"maxRestarts": max_restarts, "restartStrategy": "InPlaceRestart"},
            "replicatedJobs": roles,
        },
    })
}

/// Runs it and returns what is said at the end.
fn run(place: &Place, manifest: &Value) -> Ended {
    place.write("js.yaml", manifest.to_string());
    place.run(&[&["run", "js.yaml", "-o", "json"], &GATE[..]].concat())
}

/// The Pods of a worker's runs, in order.
fn runs(place: &Place, worker: &str) -> Vec<String> {
    let text = fs::read_to_string(place.path(&format!("runs-{worker}"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn distinct(runs: &[String]) -> usize {
    runs.iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn all_workers_restart_in_the_pods_they_have() {
    let place = Place::new();
    // The first run of both waits for the other; then one crashes, and the other would go on for
    // ever.
    let script = r#"
        wait_for "started-w-0-$((1 - JOB_COMPLETION_INDEX))-$n"
        [ "$n" = 1 ] || exit 0
        [ "$JOB_COMPLETION_INDEX" = 1 ] || exit 3
        wait_for never"#;
    let ended = run(
        &place,
        &manifest(1, &[role("w", 1, 2, &main_container(script))]),
    );
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(
        (&set["result"], &set["restarts"]),
        (&json!("Completed"), &json!(0))
    );
    for worker in ["w-0-0", "w-0-1"] {
        let runs = runs(&place, worker);
        assert_eq!((runs.len(), distinct(&runs)), (2, 1), "{worker}: {runs:?}");
    }
}

#[test]
fn the_budget_of_restarts_holds() {
    let place = Place::new();
    let script = r#"
        wait_for "started-w-0-$((1 - JOB_COMPLETION_INDEX))-$n"
        [ "$JOB_COMPLETION_INDEX" = 1 ] || exit 3
        wait_for never"#;
    let ended = run(
        &place,
        &manifest(0, &[role("w", 1, 2, &main_container(script))]),
    );
    let set = &ended.expect_code(1).json()["jobsets"][0];
    assert_eq!(set["reason"], "ReachedMaxRestarts");
}

/// Spec, "Limits and defects": a Pod that has succeeded cannot restart in place, and the others
/// would wait for it for ever.
#[test]
fn a_job_that_has_succeeded_is_done_again_when_the_others_restart() {
    let place = Place::new();
    let script = r#"
        [ "$n" = 1 ] || exit 0
        [ "$JOB" = 1 ] || { : > done; exit 0; }
        wait_for done
        exit 3"#;
    let ended = run(
        &place,
        &manifest(1, &[role("w", 2, 1, &main_container(script))]),
    );
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(set["restarts"], 0);
    let (first, second) = (runs(&place, "w-0-0"), runs(&place, "w-1-0"));
    assert_eq!((first.len(), distinct(&first)), (2, 2), "{first:?}");
    assert_eq!((second.len(), distinct(&second)), (2, 1), "{second:?}");
}

/// Spec, "Limits and defects": who waits for others to be ready, or complete, is not waited for.
#[test]
fn replicated_jobs_that_wait_for_others_deadlock_nobody() {
    let script = "exit 0";
    for (status, startup) in [
        (Some("Complete"), false),
        (Some("Ready"), false),
        (None, true),
    ] {
        let place = Place::new();
        // Ready means that the barrier is down, and the worker stays until the other one has begun.
        let first = match status {
            Some("Complete") => script,
            _ => "wait_for started-b-0-0-1",
        };
        let mut second = role("b", 1, 1, &sidecar(script));
        if let Some(status) = status {
            second["dependsOn"] = json!([{"name": "a", "status": status}]);
        }
        let mut manifest = manifest(0, &[role("a", 1, 2, &sidecar(first)), second]);
        if startup {
            manifest["spec"]["startupPolicy"] = json!({"startupPolicyOrder": "InOrder"});
        }
        let ended = run(&place, &manifest);
        ended.expect_code(0);
        for worker in ["a-0-0", "a-0-1", "b-0-0"] {
            assert_eq!(runs(&place, worker).len(), 1, "{status:?}: {worker}");
        }
    }
}

/// Spec, "Limits and defects": resumption is no restart.
#[tokio::test]
async fn suspensions_consume_no_budget() {
    let place = Place::new();
    let config = place.path("kubeconfig");
    let arguments = [&["up", "--kubeconfig", "kubeconfig"], &GATE[..]].concat();
    let mut running = place.start(&arguments);
    running.wait_for("export KUBECONFIG=");
    let client = client(&config).await;
    let (jobsets, pods): (Api<JobSet>, Api<Pod>) = (
        Api::default_namespaced(client.clone()),
        Api::default_namespaced(client),
    );
    let script = "wait_for may-end";
    let jobset = manifest(0, &[role("w", 1, 2, &main_container(script))]);
    let jobset: JobSet = serde_json::from_value(jobset).unwrap();
    jobsets
        .create(&kube::api::PostParams::default(), &jobset)
        .await
        .unwrap();
    let suspend = async |suspend: bool| {
        let patch = json!({"spec": {"suspend": suspend}});
        let params = PatchParams::default();
        let patched = jobsets.patch("js", &params, &Patch::Merge(&patch)).await;
        patched.unwrap();
    };
    for lives in 1..=3 {
        until("both run", async || {
            ["w-0-0", "w-0-1"]
                .iter()
                .all(|worker| runs(&place, worker).len() == lives)
        })
        .await;
        if lives < 3 {
            suspend(true).await;
            until("the Pods are gone", async || {
                pods.list(&ListParams::default())
                    .await
                    .unwrap()
                    .items
                    .is_empty()
            })
            .await;
            suspend(false).await;
        }
    }
    place.write("may-end", "");
    until("it has ended", async || {
        let jobset = jobsets.get("js").await.unwrap();
        assert!(!conditions::is_true(&jobset, "Failed"), "{jobset:?}");
        conditions::is_true(&jobset, "Completed")
    })
    .await;
}

async fn client(kubeconfig: &std::path::Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(read, &options)
        .await
        .unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::try_from(config).unwrap()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn containers_find_the_api_as_in_any_cluster() {
    let place = Place::new();
    let script = r#"
        account=/var/run/secrets/kubernetes.io/serviceaccount
        if [ -z "$KUBECONFIG" ]; then
            echo "namespace $(cat $account/namespace)"
            grep -q 'BEGIN CERTIFICATE' $account/ca.crt
            [ -s $account/token ]
        else
            echo "namespace $(sed -n 's/.*"namespace": "\(.*\)".*/\1/p' "$KUBECONFIG")"
        fi
        echo "server $KUBERNETES_SERVICE_HOST"
        [ "$KUBERNETES_SERVICE_PORT" -gt 0 ]
        echo "last on PATH: $(basename "${PATH##*:}")""#;
    let manifest = crate::support::jobset("js", &[("w", &format!("set -e{script}"))], &json!({}));
    let ended = place.run_with_input(&["run", "-"], &manifest.to_string());
    ended.expect_code(0);
    for line in [
        "namespace default",
        "server 127.0.0.1",
        "last on PATH: tools",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended:?}");
    }
}

#[test]
fn the_manifests_of_the_guide_are_valid() {
    let guide = fs::read_to_string(crate::support::repository("docs/in-place-restart.md")).unwrap();
    let manifests: Vec<&str> = guide
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        let place = Place::new();
        let arguments = [&["validate", "-", "--runtime", "process"], &GATE[..]].concat();
        let ended = place.run_with_input(&arguments, manifest);
        ended.expect_code(0);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    }
}
