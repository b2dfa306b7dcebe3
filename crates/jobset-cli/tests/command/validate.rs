//! `jobset validate`.

use serde_json::json;

use crate::support::{Place, jobset, repository};

const WRONG: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {number: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: js}
spec:
  replicatedJobs:
  - name: workers
    replica: 3
    template: {spec: {template: {spec: {containers: [{name: main, command: ['true']}]}}}}
";

#[test]
fn everything_wrong_is_named_and_the_rest_is_skipped() {
    let place = Place::new();
    place.write("wrong.yaml", WRONG);
    let ended = place.run(&["validate", "wrong.yaml"]);
    ended.expect_code(2);
    for part in [
        "wrong.yaml:4:16: document 1 (ConfigMap \"settings\"): data.number: must be of type string, not 1",
        "skipped: wrong.yaml:7:7: document 2: kind: \"Deployment\"",
        "wrong.yaml:16:14: document 3 (JobSet \"js\"): spec.replicatedJobs[0].replica: unknown field; did you mean \"replicas\"?",
        "2 documents checked, 2 errors, 0 warnings, 1 skipped",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} in {}", ended.stdout);
    }
}

#[test]
fn a_document_that_is_no_yaml_hides_none_before_it() {
    let place = Place::new();
    place.write("torn.yaml", format!("{WRONG}---\nkind: [JobSet\n"));
    let ended = place.run(&["validate", "torn.yaml"]);
    ended.expect_code(2);
    for part in [
        "torn.yaml:4:16: document 1 (ConfigMap \"settings\"): data.number",
        "torn.yaml:16:14: document 3 (JobSet \"js\"): spec.replicatedJobs[0].replica",
        "document 4: is not valid YAML",
        "2 documents checked, 3 errors, 0 warnings, 1 skipped",
    ] {
        assert!(ended.stdout.contains(part), "{part:?} in {}", ended.stdout);
    }
}

#[test]
fn what_is_surely_not_meant_is_a_warning() {
    let place = Place::new();
    let text = jobset(
        "js",
        &[("main", "true")],
        &json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}}),
    );
    place.write("odd.json", text.to_string());
    let ended = place.run(&["validate", "odd.json"]);
    ended.expect_code(0);
    assert!(
        ended
            .stdout
            .contains("document 1 (JobSet \"js\"): spec.startupPolicy"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("0 errors, 1 warning,"),
        "{}",
        ended.stdout
    );
}

#[test]
fn the_result_is_machine_readable() {
    let place = Place::new();
    place.write("wrong.yaml", WRONG);
    let ended = place.run(&["validate", "wrong.yaml", "--output", "json"]);
    let result = ended.expect_code(2).json();
    assert_eq!(result["valid"], false);
    assert_eq!(result["errors"][0]["line"], 4);
    assert_eq!(result["errors"][0]["path"], "data.number");
    assert_eq!(result["skipped"].as_array().unwrap().len(), 1);
}

#[test]
fn right_manifests_pass_from_files_and_standard_input() {
    let place = Place::new();
    let examples = ["examples/hello.yaml", "examples/log-analytics/jobset.yaml"].map(repository);
    let mut arguments = vec!["validate".into()];
    arguments.extend(examples);
    place.run(&arguments).expect_code(0);
    let text = jobset("js", &[("main", "true")], &json!({})).to_string();
    place
        .run_with_input(&["validate", "-"], &text)
        .expect_code(0);
}

#[test]
fn containers_without_a_command_are_warned_of_where_they_are_to_be_processes() {
    let place = Place::new();
    let mut manifest = jobset("js", &[("main", "true")], &json!({}));
    let pod = &mut manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    pod["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("command");
    place.write("js.json", manifest.to_string());
    let plain = place.run(&["validate", "js.json"]);
    assert!(
        plain.expect_code(0).stdout.contains("0 warnings"),
        "{plain:?}"
    );
    let warned = place.run(&["validate", "js.json", "--runtime", "process"]);
    let part = "spec.replicatedJobs[0].template.spec.template.spec.containers[0]: has no command";
    assert!(warned.expect_code(0).stdout.contains(part), "{warned:?}");
}

#[test]
fn a_kind_that_is_miswritten_is_not_skipped() {
    let place = Place::new();
    let object = |api_version: &str, kind: &str| {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        object.to_string()
    };
    for (api_version, kind, meant) in [
        (
            "jobset.x-k8s.io/v1alpha2",
            "Jobset",
            "JobSet (jobset.x-k8s.io/v1alpha2)",
        ),
        (
            "jobset.x-k8s.io/v1alpha2",
            "JobSets",
            "JobSet (jobset.x-k8s.io/v1alpha2)",
        ),
        (
            "jobset.x-k8s.io/v1",
            "Jobset",
            "JobSet (jobset.x-k8s.io/v1alpha2)",
        ),
        ("v1", "Configmap", "ConfigMap (v1)"),
        ("batch/v1", "job", "Job (batch/v1)"),
    ] {
        let ended = place.run_with_input(&["validate", "-"], &object(api_version, kind));
        ended.expect_code(2);
        let line = format!("did you mean {meant}?");
        assert!(ended.stdout.contains(&line), "{line}: {}", ended.stdout);
    }
    // What is called alike and belongs to others is none of our business.
    for (api_version, kind) in [("batch.volcano.sh/v1alpha1", "Job"), ("v2", "configmap")] {
        let ended = place.run_with_input(&["validate", "-"], &object(api_version, kind));
        assert!(
            ended.expect_code(0).stdout.contains("1 skipped"),
            "{ended:?}"
        );
    }
}
