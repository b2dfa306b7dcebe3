//! Commands that change JobSets, against the embedded cluster.

use std::collections::BTreeSet;

use serde_json::json;

use crate::golden::golden;
use crate::support::{Cluster, jobset};

const FAKE: &[&str] = &["--runtime", "fake", "--fake-duration", "1h"];

#[test]
fn a_jobset_is_suspended_and_resumed() {
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    cluster.until(&["wait", "js", "--for", "ready"], |ended| {
        ended.code() == Some(0)
    });
    let ended = cluster.run(&["suspend", "js"]);
    assert_eq!(ended.expect_code(0).stdout, "JobSet js suspended\n");
    cluster
        .run(&["wait", "js", "--for", "suspended"])
        .expect_code(0);
    let again = cluster.run(&["suspend", "js", "other"]);
    assert_eq!(
        again.expect_code(1).stdout,
        "JobSet js is suspended already\n"
    );
    assert!(again.stderr.contains("no JobSet \"other\""), "{again:?}");
    let refused = cluster.run(&["restart", "js"]);
    assert!(
        refused.expect_code(1).stderr.contains("jobset resume js"),
        "{refused:?}"
    );
    let ended = cluster.run(&["resume", "js"]);
    assert_eq!(ended.expect_code(0).stdout, "JobSet js resumed\n");
    cluster
        .run(&["wait", "js", "--for", "ready"])
        .expect_code(0);
}

#[test]
fn restarted_jobs_are_new_ones_and_nothing_is_counted() {
    let mut manifest = jobset("js", &[("leader", "true"), ("workers", "true")], &json!({}));
    manifest["spec"]["replicatedJobs"][1]["replicas"] = 2.into();
    let cluster = Cluster::of(&[manifest], FAKE);
    cluster.until(&["wait", "js", "--for", "ready"], |ended| {
        ended.code() == Some(0)
    });
    // The Pods, which are new when their Jobs are.
    let pods = || -> BTreeSet<String> {
        let tree = cluster.run(&["tree", "js", "-o", "json"]).json();
        let roles = tree["roles"].as_array().unwrap().iter();
        let jobs = roles.flat_map(|role| role["jobs"].as_array().cloned().unwrap_or_default());
        let pods = jobs.flat_map(|job| job["pods"].as_array().cloned().unwrap_or_default());
        pods.filter(|pod| pod["state"] == "Running")
            .map(|pod| pod["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut before = pods();
    assert_eq!(before.len(), 3);
    for (words, said, same) in [
        (vec!["restart", "js", "--job", "workers/1"], "1 Job of", 2),
        (vec!["restart", "js", "--role", "workers"], "2 Jobs of", 1),
        (vec!["restart", "js"], "3 Jobs of", 0),
    ] {
        let ended = cluster.run(&words);
        assert!(ended.expect_code(0).stdout.starts_with(said), "{ended:?}");
        let mut after = BTreeSet::new();
        let settled = crate::support::eventually(|| {
            after = pods();
            after.len() == 3 && after.intersection(&before).count() == same
        });
        assert!(settled, "{words:?}: {before:?}, {after:?}");
        before = after;
    }
    let tree = cluster.run(&["tree", "js", "-o", "json"]).json();
    assert_eq!(tree["restarts"], 0);
    let wrong = cluster.run(&["restart", "js", "--role", "other"]);
    assert!(
        wrong
            .expect_code(1)
            .stderr
            .contains("it has leader, workers"),
        "{wrong:?}"
    );
    cluster
        .run(&["restart", "js", "--job", "workers"])
        .expect_code(2);
}

#[test]
fn a_deleted_jobset_is_gone_with_its_children() {
    let one = |name| jobset(name, &[("one", "true")], &json!({}));
    let cluster = Cluster::of(&[one("first"), one("second"), one("third")], FAKE);
    cluster.until(&["wait", "third", "--for", "ready"], |ended| {
        ended.code() == Some(0)
    });
    let ended = cluster.run(&["delete", "first", "other"]);
    assert_eq!(ended.expect_code(1).stdout, "JobSet first deleted\n");
    assert!(ended.stderr.contains("no JobSet \"other\""), "{ended:?}");
    cluster.run(&["tree", "first"]).expect_code(1);
    let ended = cluster.run(&["delete", "second", "--no-wait"]);
    assert_eq!(
        ended.expect_code(0).stdout,
        "JobSet second is being deleted\n"
    );
    cluster
        .run(&["wait", "second", "--for", "deleted"])
        .expect_code(0);
    let left = cluster.run(&["list", "-o", "json"]).json();
    assert_eq!(left["jobsets"].as_array().unwrap().len(), 1);
}

#[test]
fn what_has_finished_is_neither_suspended_nor_restarted() {
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], &[]);
    cluster.until(&["wait", "js"], |ended| ended.code() == Some(0));
    for command in ["suspend", "resume", "restart"] {
        let ended = cluster.run(&[command, "js"]);
        assert!(
            ended
                .expect_code(1)
                .stderr
                .contains("JobSet js has finished"),
            "{ended:?}"
        );
    }
}

#[test]
fn what_is_terminating_is_seen() {
    // Deaf to SIGTERM, with a grace period nobody wants to wait for.
    let script = "trap '' TERM; echo here; while :; do sleep 1; done";
    let mut deaf = jobset("deaf", &[("one", script)], &json!({}));
    let pod = &mut deaf["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = 3600.into();
    let cluster = Cluster::of(&[deaf], &[]);
    cluster.until(&["logs", "deaf"], |ended| ended.stdout.contains("here"));
    // A Job that is restarted is not gone at once.
    cluster
        .run(&["restart", "deaf", "--role", "one"])
        .expect_code(0);
    let restarting = cluster.until(&["tree", "deaf"], |ended| {
        // The count of ready Jobs follows.
        let settled = ended.stdout.contains("0/1") && !ended.stdout.contains("Running");
        settled && ended.stdout.matches("Terminating").count() == 2
    });
    golden("tree-terminating", &restarting.stdout);
    let explained = cluster.run(&["explain", "deaf"]);
    assert!(
        explained
            .expect_code(0)
            .stdout
            .contains("\nTerminating\n  Job deaf-one-0 of attempt 0 for "),
        "{explained:?}"
    );
    let refused = cluster.run(&["restart", "deaf"]);
    assert!(
        refused
            .expect_code(1)
            .stderr
            .contains("being deleted already"),
        "{refused:?}"
    );
    let ended = cluster.run(&["delete", "deaf", "--timeout", "100ms"]);
    assert!(
        ended
            .expect_code(124)
            .stderr
            .contains("JobSet deaf is still being deleted"),
        "{ended:?}"
    );
    let tree = cluster.run(&["tree", "deaf"]);
    assert_eq!(tree.stdout.matches("Terminating").count(), 3, "{tree:?}");
}

#[test]
fn a_cluster_without_jobsets_says_so() {
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    cluster.run(&["delete", "js"]).expect_code(0);
    cluster
        .delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobsets.jobset.x-k8s.io");
    let unknown = |ended: &crate::support::Ended| ended.code() == Some(1);
    let ended = cluster.until(&["list"], unknown);
    assert!(
        ended.stderr.contains("the cluster does not know JobSets"),
        "{ended:?}"
    );
}
