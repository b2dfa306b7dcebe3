//! `jobset init` and `jobset install`.

use std::fs;

use crate::golden::exact;
use crate::support::{Cluster, Place, jobset};

const TEMPLATES: [&str; 6] = [
    "leader-worker",
    "torchrun",
    "mpi",
    "parameter-server",
    "etl",
    "in-place-restart",
];

#[test]
fn every_template_is_valid_and_most_run_to_their_end() {
    let place = Place::new();
    for template in TEMPLATES {
        let file = format!("{template}.yaml");
        let words = [
            "init",
            template,
            "--name",
            "mine",
            "--workers",
            "2",
            "--file",
            &file,
        ];
        place.run(&words).expect_code(0);
        let checked = place.run(&["validate", &file, "--feature-gates", "InPlaceRestart=true"]);
        assert!(
            checked
                .expect_code(0)
                .stdout
                .contains("0 errors, 0 warnings, 0 skipped"),
            "{checked:?}"
        );
        // Without processes there is no agent that would lift the barrier.
        if template != "in-place-restart" {
            let ended = place.run(&[
                "run",
                &file,
                "--runtime",
                "fake",
                "--fake-duration",
                "100ms",
            ]);
            assert!(
                ended.expect_code(0).stderr.contains("Completed"),
                "{ended:?}"
            );
        }
    }
}

#[test]
fn a_manifest_to_begin_with_is_printed_and_never_overwrites() {
    let place = Place::new();
    exact(
        "init-etl",
        &place.run(&["init", "etl"]).expect_code(0).stdout,
    );
    place.write("mine.yaml", "precious");
    let refused = place.run(&["init", "etl", "--file", "mine.yaml"]);
    assert!(
        refused.expect_code(1).stderr.contains("--force"),
        "{refused:?}"
    );
    assert_eq!(
        fs::read_to_string(place.path("mine.yaml")).unwrap(),
        "precious"
    );
    place
        .run(&["init", "etl", "--file", "mine.yaml", "--force"])
        .expect_code(0);
    assert!(
        fs::read_to_string(place.path("mine.yaml"))
            .unwrap()
            .starts_with("# A pipeline")
    );
    // Nobody is there to be asked.
    let unasked = place.run(&["init"]);
    assert!(
        unasked
            .expect_code(2)
            .stderr
            .contains("leader-worker, torchrun"),
        "{unasked:?}"
    );
    let bad = place.run(&["init", "etl", "--name", "No Name"]);
    assert!(
        bad.expect_code(2).stderr.contains("\"No Name-extract-0\""),
        "{bad:?}"
    );
    // What would be two YAML fields is found out.
    let bad = place.run(&["init", "etl", "--image", "a\nb: c"]);
    bad.expect_code(2);
}

#[test]
fn the_operators_manifests_are_printed() {
    let place = Place::new();
    let image = "registry.example.com/jobset-controller:v9";
    for variant in ["default", "ha", "cert-manager", "no-webhook"] {
        let words = ["install", "--variant", variant, "--image", image];
        let text = place.run(&words).expect_code(0).stdout.clone();
        assert!(
            text.contains(image) && !text.contains("registry.invalid"),
            "{variant}"
        );
        assert!(
            text.contains("kind: CustomResourceDefinition\n"),
            "{variant}"
        );
        assert!(
            text.contains("x-kubernetes-list-map-keys"),
            "{variant}: the schema is in it"
        );
    }
    let small = place.run(&["install", "--without-crd"]);
    let text = &small.expect_code(0).stdout;
    assert!(text.starts_with("# The image registry.invalid"), "{text}");
    assert!(!text.contains("CustomResourceDefinition\n"));
    place.run(&["install", "--apply"]).expect_code(2);
}

#[test]
fn a_cluster_without_the_kinds_gets_nothing() {
    let cluster = Cluster::of(
        &[jobset("js", &[("a", "true")], &serde_json::json!({}))],
        &["--runtime", "fake"],
    );
    let ended = cluster.run(&["install", "--apply", "--image", "i"]);
    assert!(
        ended.expect_code(1).stderr.contains("nothing was applied"),
        "{ended:?}"
    );
    let namespaces = cluster.get("/api/v1/namespaces").to_string();
    assert!(!namespaces.contains("jobset-system"), "{namespaces}");
}
