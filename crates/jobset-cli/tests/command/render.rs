//! `jobset render`, alone and with `--diff`.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Cluster, Place, eventually, jobset};

fn items(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let name = &item["metadata"]["name"];
            format!(
                "{} {}",
                item["kind"].as_str().unwrap(),
                name.as_str().unwrap()
            )
        })
        .collect()
}

/// A driver, and workers that wait for it.
fn manifest() -> Value {
    let mut manifest = jobset("js", &[("driver", "true"), ("workers", "true")], &json!({}));
    let roles = &mut manifest["spec"]["replicatedJobs"];
    roles[1]["replicas"] = 2.into();
    roles[1]["dependsOn"] = json!([{"name": "driver", "status": "Ready"}]);
    manifest
}

#[test]
fn objects_are_printed_in_the_order_of_their_creation() {
    let place = Place::new();
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}});
    place.write("js.json", format!("{}\n---\n{settings}\n", manifest()));
    let ended = place.run(&["render", "js.json", "--output", "json"]);
    let list = ended.expect_code(0).json();
    assert_eq!(
        items(&list),
        [
            "Service js",
            "Job js-driver-0",
            "Job js-workers-0",
            "Job js-workers-1"
        ]
    );
    assert!(
        ended
            .stderr
            .contains("skipped: js.json: document 2 (ConfigMap \"s\")"),
        "{ended:?}"
    );
    let job = &list["items"][3];
    assert_eq!(
        job["metadata"]["labels"]["jobset.sigs.k8s.io/job-global-index"],
        "2"
    );
    assert_eq!(job["metadata"].get("ownerReferences"), None);

    // The same as YAML, twice, and what the workers wait for.
    let yaml = || {
        place
            .run(&["render", "js.json", "-n", "team"])
            .expect_code(0)
            .stdout
            .clone()
    };
    let text = yaml();
    assert_eq!(text, yaml());
    assert!(
        text.starts_with("# JobSet team/js\napiVersion: v1\n"),
        "{text}"
    );
    let waits =
        "---\n# waits until every Job of \"driver\" is ready or has ended\napiVersion: batch/v1\n";
    assert_eq!(text.matches(waits).count(), 2, "{text}");
    // It is input again.
    let checked = place.run_with_input(&["validate", "-"], &text);
    assert!(
        checked
            .expect_code(0)
            .stdout
            .contains("4 documents checked, 0 errors"),
        "{checked:?}"
    );

    let ended = place.run(&[
        "render", "js.json", "-o", "json", "--role", "workers", "--job", "1",
    ]);
    assert_eq!(items(&ended.expect_code(0).json()), ["Job js-workers-1"]);
    place
        .run(&["render", "js.json", "--role", "nix"])
        .expect_code(2);
}

#[test]
fn what_validate_refuses_is_not_rendered() {
    let place = Place::new();
    let mut wrong = manifest();
    wrong["spec"]["managedBy"] = "x".into();
    place.write("wrong.json", wrong.to_string());
    let ended = place.run(&["render", "wrong.json"]);
    ended.expect_code(2);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("spec.managedBy: "), "{ended:?}");
    let mut gated = manifest();
    gated["spec"]["failurePolicy"] = json!({"maxRestarts": 1, "rules": [{"action": "RestartJob"}]});
    place.write("gated.json", gated.to_string());
    place.run(&["render", "gated.json"]).expect_code(2);
    let gate = "--feature-gates=RestartJob=true";
    let ended = place.run(&["render", "gated.json", gate]);
    assert!(
        ended.expect_code(0).stdout.contains("job-restart-attempt"),
        "{ended:?}"
    );
    place.run(&["validate", "gated.json", gate]).expect_code(0);
}

#[test]
fn a_cluster_that_cannot_be_reached_is_trouble() {
    let place = Place::new();
    place.write("js.json", manifest().to_string());
    let ended = place.run(&["render", "--diff", "js.json", "--kubeconfig", "absent"]);
    ended.expect_code(2);
    assert!(ended.stderr.contains("kubeconfig absent"), "{ended:?}");
}

#[test]
fn differences_to_a_cluster_are_shown_and_judged() {
    let place = Place::new();
    let mut running = manifest();
    running["spec"]["replicatedJobs"][1]
        .as_object_mut()
        .unwrap()
        .remove("dependsOn");
    place.write("js.json", running.to_string());
    let cluster = place.start(&[
        "run",
        "js.json",
        "--runtime",
        "fake",
        "--fake-duration",
        "1h",
        "--kubeconfig",
        "kc",
    ]);
    let diff = |file: &str, more: &[&str]| {
        let mut arguments = vec!["render", "--diff", file, "--kubeconfig", "kc"];
        arguments.extend(more);
        place.run(&arguments)
    };
    let mut last = None;
    assert!(
        eventually(|| last.insert(diff("js.json", &[])).code() == Some(0)),
        "{last:#?}"
    );
    assert!(
        last.unwrap()
            .stdout
            .contains("JobSet default/js (js.json: document 1 (JobSet \"js\")): no difference")
    );

    let edited = |name: &str, edit: &dyn Fn(&mut Value)| {
        let mut manifest = running.clone();
        edit(&mut manifest);
        place.write(name, manifest.to_string());
    };
    let select = |manifest: &mut Value| {
        let job = &mut manifest["spec"]["replicatedJobs"][0]["template"]["spec"];
        job["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
    };
    // Allowed, with what it does to the Jobs, once these are there.
    edited("suspended.json", &|manifest| {
        manifest["spec"]["suspend"] = true.into();
        select(manifest);
    });
    let mut last = None;
    assert!(
        eventually(|| {
            let ended = last.insert(diff("suspended.json", &[]));
            ended.stdout.matches("~ suspend Job js-").count() == 3
        }),
        "{last:#?}"
    );
    let ended = last.unwrap();
    ended.expect_code(1);
    for part in [
        "+  suspend: true",
        "allowed: spec.suspend: nothing → true",
        "allowed: spec.replicatedJobs[0].template.spec.template.spec.nodeSelector: ",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {ended:#?}");
    }
    // Not while it runs; and never.
    edited("selected.json", &select);
    let ended = diff("selected.json", &[]);
    ended.expect_code(2);
    for part in [
        "only while suspended: ",
        "field is immutable",
        "the server refuses it: ",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {ended:#?}");
    }
    edited("larger.json", &|manifest| {
        manifest["spec"]["replicatedJobs"][0]["replicas"] = 7.into();
    });
    let result = diff("larger.json", &["-o", "json"]).expect_code(2).json();
    let set = &result["jobsets"][0];
    assert_eq!(set["state"], "forbidden");
    assert_eq!(set["edits"][0]["path"], "spec.replicatedJobs[0].replicas");
    assert_eq!(set["edits"][0]["verdict"], "forbidden");
    assert_eq!(set["server"]["verdict"], "refuses");
    // One that is not there.
    edited("other.json", &|manifest| {
        manifest["metadata"]["name"] = "other".into();
    });
    let ended = diff("other.json", &[]);
    for part in [
        "does not exist; it would be created",
        "+ create Job other-workers-1",
    ] {
        assert!(
            ended.expect_code(1).stdout.contains(part),
            "{part}: {ended:#?}"
        );
    }
    cluster.signal(Signal::SIGINT);
    cluster.wait().expect_code(130);
}

#[test]
fn a_webhook_that_cannot_be_reached_is_one_clear_message() {
    let cluster = Cluster::of(
        &[jobset("js", &[("one", "true")], &json!({}))],
        &["--runtime", "fake", "--fake-duration", "1h"],
    );
    let nobody = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "down"},
        "webhooks": [{
            // Nothing listens at this port.
            "name": "vjobset.kb.io", "clientConfig": {"url": "https://127.0.0.1:1/validate"},
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
            "rules": [{"apiGroups": ["jobset.x-k8s.io"], "apiVersions": ["*"],
                "operations": ["UPDATE"], "resources": ["jobsets"]}],
        }],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    cluster.create(path, &nobody);
    let changed = jobset("js", &[("one", "true")], &json!({"suspend": true}));
    let ended = cluster.run_with_input(&["render", "--diff", "-"], &changed.to_string());
    ended.expect_code(1);
    let said: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("the server could not be asked: "))
        .collect();
    let [said] = said[..] else {
        panic!("{ended:#?}");
    };
    assert!(
        said.contains("the admission webhook \"vjobset.kb.io\" does not answer")
            && said
                .ends_with("; see whether its Pods are running: kubectl get pods --all-namespaces"),
        "{said}"
    );
    assert!(!said.contains("Status {") && said.len() < 400, "{said}");
}
