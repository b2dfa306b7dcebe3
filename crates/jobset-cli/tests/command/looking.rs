//! Commands that look at JobSets, against the embedded cluster.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::golden::{golden, sorted_after};
use crate::support::{Cluster, eventually, jobset};

/// Restarts once, then fails: the leader waits for ever, the worker says why it gives up.
fn failing() -> Value {
    // One stream, so that the order of the lines is certain.
    let worker = "exec 2>&1; echo loading the model; echo '/data: no such directory' >&2; exit 7";
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    let roles = [
        ("leader", "sleep 1000"),
        ("workers", worker),
        ("late", "true"),
    ];
    let mut manifest = jobset("train", &roles, &spec);
    // As long as this one is not there, the Jobs are never all ready, not even for a moment, which may
    // or may not be seen.
    manifest["spec"]["replicatedJobs"][2]["dependsOn"] =
        json!([{"name": "leader", "status": "Complete"}]);
    manifest
}

/// Whether the table of roles says that nothing of a role is there any more.
fn is_idle(ended: &crate::support::Ended, role: &str) -> bool {
    ended.stdout.lines().any(|line| {
        line.split_whitespace()
            .eq([role, "1", "0", "0", "0", "0", "0", "0"])
    })
}

#[test]
fn a_failure_is_explained_with_its_last_lines() {
    let cluster = Cluster::of(&[failing()], &[]);
    cluster.until(&["wait", "train", "--for", "failed"], |ended| {
        ended.code() == Some(0)
    });
    // Events come after the status.
    let told = |ended: &crate::support::Ended| {
        ended.stdout.matches("FailurePolicyDecision").count() == 2
            && ended
                .stdout
                .contains("ReachedMaxRestarts: jobset failed due to reaching")
            && ended.stdout.matches("BackoffLimitExceeded:").count() >= 2
            && !ended.stdout.contains("Terminating\n")
            && is_idle(ended, "leader")
    };
    let ended = cluster.until(&["explain", "train"], told);
    golden(
        "explain-failed",
        &sorted_after(&ended.stdout, "What happened\n"),
    );
    // The same by its other name, and as a document.
    let alias = cluster.run(&["describe", "train", "--log-lines", "1", "-o", "json"]);
    let document = alias.expect_code(0).json();
    assert_eq!(document["state"], "Failed");
    assert_eq!(document["restarts"], 1);
    let first = &document["failures"][document["firstFailure"].as_u64().unwrap() as usize];
    assert_eq!(first["job"], "train-workers-0");
    assert_eq!(first["attempt"], 1);
    assert_eq!(first["exitCode"], 7);
    assert_eq!(first["lastLines"], json!(["/data: no such directory"]));
    let history = document["history"].as_array().unwrap();
    assert!(
        history
            .iter()
            .any(|entry| entry["reason"] == "FailurePolicyDecision")
    );
    // What is not there is an error, and says so.
    let absent = cluster.run(&["explain", "other"]);
    assert_eq!(
        absent.expect_code(1).stderr,
        "error: there is no JobSet \"other\" in namespace \"default\"\n"
    );
}

#[test]
fn the_timeline_tells_what_was_when() {
    let cluster = Cluster::of(&[failing()], &[]);
    cluster.until(&["wait", "train", "--for", "failed"], |ended| {
        ended.code() == Some(0)
    });
    // Events come after the status.
    let told = |ended: &crate::support::Ended| {
        ended.stdout.contains("restart 1:") && ended.stdout.matches("1 failed\n").count() == 2
    };
    let drawn = cluster.until(&["timeline", "train"], told);
    // How far the other roles have come, and which phases took long enough to be explained, depends on
    // the machine.
    let others = ["leader", "·", "░", "▒", "█", "=", "x ", "- "];
    let certain: Vec<&str> = drawn
        .stdout
        .lines()
        .filter(|line| {
            !others
                .iter()
                .any(|other| line.trim_start().starts_with(other))
        })
        .collect();
    golden("timeline", &(certain.join("\n") + "\n"));

    let document = cluster
        .run(&["timeline", "train", "--format", "json"])
        .json();
    assert_eq!(document["restarts"], 1);
    assert_eq!(document["marks"][0]["kind"], "restart");
    let groups = document["groups"].as_array().unwrap();
    let workers: Vec<&Value> = groups
        .iter()
        .filter(|group| group["role"] == "workers")
        .collect();
    let attempts: Vec<&Value> = workers.iter().map(|group| &group["attempt"]).collect();
    assert_eq!(attempts, [0, 1]);
    for group in workers {
        let phases = group["rows"][0]["spans"].as_array().unwrap();
        assert!(
            phases.iter().any(|span| span["phase"] == "failed"),
            "{group}"
        );
    }
    let picture = cluster.run(&["timeline", "train", "--format", "svg"]);
    let picture = &picture.expect_code(0).stdout;
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    let page = cluster.run(&["timeline", "train", "-o", "html", "--rows", "0"]);
    let page = &page.expect_code(0).stdout;
    assert!(page.starts_with("<!doctype html>") && page.contains("workers-0: failed"));
    cluster
        .run(&["timeline", "train", "--format", "png"])
        .expect_code(2);
    let absent = cluster.run(&["timeline", "other"]);
    assert_eq!(
        absent.expect_code(1).stderr,
        "error: there is no JobSet \"other\" in namespace \"default\"\n"
    );
}

#[test]
fn without_a_terminal_watching_prints_a_line_for_each_change() {
    let place = crate::support::Place::new();
    let gate = place.path("gate");
    let script = format!("while ! test -e {}; do sleep 0.02; done", gate.display());
    let cluster = Cluster::of(&[jobset("js", &[("one", &script)], &json!({}))], &[]);
    let mut watching = cluster.start(&["watch", "js", "--interval", "20ms"]);
    watching.wait_for("js: Running, 0 restarts; one 1/1\n");
    std::fs::write(&gate, "").unwrap();
    let ended = watching.wait();
    let lines: Vec<&str> = ended.expect_code(0).stdout.lines().collect();
    let last = lines.last().unwrap();
    assert!(
        last.ends_with("Z js: Completed, 0 restarts; one 1/1 1 succeeded"),
        "{ended:?}"
    );
    let changes: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert!(
        changes.windows(2).all(|pair| pair[0] != pair[1]),
        "{changes:?}"
    );
    cluster.run(&["watch", "other"]).expect_code(1);
}

#[test]
fn running_jobsets_are_listed_and_shown_as_trees() {
    let mut running = jobset(
        "busy",
        &[("driver", "true"), ("workers", "true")],
        &json!({}),
    );
    let roles = &mut running["spec"]["replicatedJobs"];
    roles[1]["replicas"] = 2.into();
    roles[1]["dependsOn"] = json!([{"name": "driver", "status": "Complete"}]);
    let mut queued = jobset("queued", &[("one", "true")], &json!({"suspend": true}));
    queued["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "gpus"});
    let cluster = Cluster::of(
        &[running, queued],
        &["--runtime", "fake", "--fake-duration", "1h"],
    );
    cluster.until(&["list"], |ended| {
        ended.stdout.contains("driver 1/1") && ended.stdout.contains("Suspended")
    });
    golden("list", &cluster.run(&["list"]).expect_code(0).stdout);
    golden(
        "list-all",
        &cluster
            .run(&["ls", "-A", "-l", "kueue.x-k8s.io/queue-name=gpus"])
            .stdout,
    );
    let none = cluster.run(&["list", "-n", "other"]);
    assert_eq!(
        none.expect_code(0).stderr,
        "no JobSets in namespace \"other\"\n"
    );
    let document = cluster.run(&["list", "-o", "json"]).json();
    assert_eq!(document["jobsets"][0]["roles"][0]["ready"], 1);
    assert_eq!(document["jobsets"][1]["queue"]["queue"], "gpus");

    let tree = cluster.until(&["tree", "busy"], |ended| ended.stdout.contains("Running"));
    golden("tree", &tree.stdout);
    let document = cluster.run(&["tree", "busy", "-o", "json"]).json();
    assert_eq!(
        document["roles"][0]["jobs"][0]["pods"][0]["state"],
        "Running"
    );
    golden(
        "explain-suspended",
        &cluster
            .until(&["explain", "queued"], |ended| {
                // The counts come with another write than the condition.
                let counted = ["one", "1", "0", "0", "0", "0", "1", "0"];
                ended.stdout.contains("SuspendedJobs: jobset is suspended")
                    && ended.stdout.contains("Created")
                    && ended
                        .stdout
                        .lines()
                        .any(|line| line.split_whitespace().eq(counted))
            })
            .stdout,
    );

    golden(
        "exec",
        &cluster
            .run(&["exec", "busy", "--role", "driver"])
            .expect_code(0)
            .stdout,
    );
    let words = ["port-forward", "busy", "--role", "driver", "8080:80"];
    golden("port-forward", &cluster.run(&words).expect_code(0).stdout);
    let nobody = cluster.run(&["exec", "busy", "--role", "workers"]);
    assert!(
        nobody.expect_code(1).stderr.contains("no such Pod"),
        "{nobody:?}"
    );
}

#[test]
fn logs_of_all_pods_are_merged_and_filtered() {
    let mut chatty = jobset(
        "chatty",
        &[
            ("leader", "echo one; sleep 0.01; echo two"),
            ("workers", "echo hello; exec sleep 1000"),
        ],
        &json!({}),
    );
    chatty["spec"]["replicatedJobs"][1]["replicas"] = 2.into();
    let cluster = Cluster::of(&[chatty], &[]);
    let all = cluster.until(&["logs", "chatty"], |ended| {
        ended.stdout.contains("two") && ended.stdout.matches("hello").count() == 2
    });
    let mut lines: Vec<&str> = all.stdout.lines().collect();
    lines.sort_unstable();
    let expected = [
        "leader-0-0  │ one",
        "leader-0-0  │ two",
        "workers-0-0 │ hello",
        "workers-1-0 │ hello",
    ];
    assert_eq!(lines, expected, "{all:?}");
    let one = cluster.run(&[
        "logs", "chatty", "--role", "workers", "--job", "1", "--pod", "0",
    ]);
    assert_eq!(one.expect_code(0).stdout, "workers-1-0 │ hello\n");
    let some = cluster.run(&["logs", "chatty", "--grep", "^tw", "--timestamps"]);
    golden("logs-timestamps", &some.expect_code(0).stdout);
    let last = cluster.run(&[
        "logs", "chatty", "--role", "leader", "--tail", "1", "-o", "json",
    ]);
    let document = last.expect_code(0).json();
    assert_eq!(
        (&document["line"], &document["role"]),
        (&json!("two"), &json!("leader"))
    );
    let wrong = cluster.run(&["logs", "chatty", "--role", "other"]);
    assert!(
        wrong
            .expect_code(1)
            .stderr
            .contains("no replicated job \"other\""),
        "{wrong:?}"
    );
    cluster
        .run(&["logs", "chatty", "--grep", "("])
        .expect_code(2);
    let many = cluster.run(&["logs", "chatty", "--max-containers", "2"]);
    assert!(
        many.expect_code(1)
            .stderr
            .contains("the logs of 3 containers"),
        "{many:?}"
    );
}

#[test]
fn followed_logs_end_with_the_jobset() {
    let place = crate::support::Place::new();
    let gate = place.path("gate");
    // Prints its second line when the test has seen the first.
    let script = format!(
        "echo first; while ! test -e {}; do sleep 0.02; done; echo last",
        gate.display()
    );
    let cluster = Cluster::of(&[jobset("js", &[("one", &script)], &json!({}))], &[]);
    cluster.until(&["list"], |ended| ended.stdout.contains("js"));
    let mut following = cluster.start(&["logs", "js", "--follow"]);
    following.wait_for("one-0-0 │ first");
    std::fs::write(&gate, "").unwrap();
    let ended = following.wait();
    assert_eq!(
        ended.expect_code(0).stdout,
        "one-0-0 │ first\none-0-0 │ last\n"
    );
}

#[test]
fn earlier_runs_of_containers_are_read_when_asked_for() {
    let mut again = jobset("again", &[("one", "echo run; exit 1")], &json!({}));
    let job = &mut again["spec"]["replicatedJobs"][0]["template"]["spec"];
    job["backoffLimit"] = 3.into();
    job["template"]["spec"]["restartPolicy"] = "OnFailure".into();
    let cluster = Cluster::of(&[again], &[]);
    let ended = cluster.until(
        &["logs", "again", "--previous-attempts", "-o", "json"],
        |ended| ended.stdout.contains("\"previousRun\":true"),
    );
    assert!(ended.stdout.contains("\"line\":\"run\""), "{ended:?}");
}

#[test]
fn events_are_shown_and_followed() {
    let cluster = Cluster::of(&[failing()], &[]);
    cluster.until(&["events", "train", "--warnings"], |ended| {
        ended.stdout.contains("ReachedMaxRestarts")
            && ended.stdout.matches("FailurePolicyDecision").count() == 2
    });
    let warnings = cluster.run(&["events", "train", "--warnings"]);
    let jobset: Vec<&str> = warnings
        .stdout
        .lines()
        .filter(|line| line.contains("JobSet train"))
        .collect();
    golden(
        "events-warnings",
        &sorted_after(&format!("{}\n", jobset.join("\n")), ""),
    );
    let document = cluster.run(&["events", "train", "-o", "json"]).json();
    assert!(
        document["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["kind"] == "Pod")
    );
    let mut following = cluster.start(&["events", "train", "--follow", "-o", "json"]);
    following.wait_for("ReachedMaxRestarts");
    following.signal(Signal::SIGINT);
    let ended = following.wait();
    let first = ended.expect_code(130).stdout.lines().next().unwrap();
    assert!(serde_json::from_str::<Value>(first).is_ok(), "{first}");
}

#[test]
fn a_wait_ends_with_the_state_or_when_it_cannot_come() {
    let cluster = Cluster::of(
        &[
            jobset("ends", &[("a", "true")], &json!({})),
            jobset("runs", &[("a", "sleep 1000")], &json!({})),
        ],
        &[],
    );
    let wait = |words: &[&str]| {
        let mut all = vec!["wait"];
        all.extend(words);
        cluster.run(&all)
    };
    let ready = || wait(&["runs", "--for", "ready"]).code() == Some(0);
    assert!(eventually(ready));
    let completed = wait(&["ends"]);
    assert_eq!(completed.expect_code(0).stdout, "JobSet ends: completed\n");
    let never = wait(&["ends", "--for", "failed"]);
    assert!(
        never
            .expect_code(1)
            .stderr
            .contains("JobSet ends: completed"),
        "{never:?}"
    );
    wait(&["runs", "--timeout", "100ms"]).expect_code(124);
    wait(&["other"]).expect_code(1);
    wait(&["other", "--for", "deleted"]).expect_code(0);
}

#[test]
fn what_pods_use_is_shown() {
    let mut manifest = jobset(
        "js",
        &[("busy", "while :; do :; done"), ("idle", "exec sleep 1000")],
        &json!({}),
    );
    manifest["spec"]["replicatedJobs"][1]["replicas"] = 2.into();
    let cluster = Cluster::of(&[manifest], &[]);
    // Pods that have just started have no figures.
    let measured = |ended: &crate::support::Ended| {
        let lines = ended.stdout.lines();
        lines.count() == 6 && !ended.stdout.contains('?')
    };
    let shown = cluster.until(&["top", "js"], measured);
    let figures = regex::Regex::new(r"\b[0-9]+(m|Mi)\b").unwrap();
    golden("top", &figures.replace_all(&shown.stdout, "<figure>$1"));
    let busy = |ended: &crate::support::Ended| {
        let pod = &ended.json()["pods"][0];
        pod["role"] == "busy" && pod["milliCpu"].as_u64().is_some_and(|milli| milli > 0)
    };
    let document = cluster.until(&["top", "js", "-o", "json"], busy).json();
    for pod in document["pods"].as_array().unwrap() {
        let memory = pod["memoryBytes"].as_u64().unwrap();
        assert!(memory > 10_000, "{document}");
    }
    cluster.run(&["top", "other"]).expect_code(1);
}

#[test]
fn the_place_in_a_queue_is_shown() {
    let mut queued = jobset("queued", &[("one", "true")], &json!({"suspend": true}));
    queued["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "gpus"});
    let cluster = Cluster::of(&[queued], &["--runtime", "fake"]);
    cluster.serve_kind("kueue.x-k8s.io", "v1beta1", "Workload", "workloads");
    let uid =
        cluster.get("/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets/queued")["metadata"]
            ["uid"]
            .clone();
    let workload = json!({
        "apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload",
        "metadata": {"name": "jobset-queued", "ownerReferences": [{"apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet", "name": "queued", "uid": uid}]},
        "status": {"conditions": [{"type": "QuotaReserved", "status": "False", "reason": "Pending",
            "message": "couldn't assign flavors to pod set one: insufficient unused quota"}]},
    });
    cluster.create(
        "/apis/kueue.x-k8s.io/v1beta1/namespaces/default/workloads",
        &workload,
    );
    let settled = |ended: &crate::support::Ended| ended.stdout.contains("Suspended");
    golden("list-queued", &cluster.until(&["list"], settled).stdout);
    let ended = cluster.run(&["explain", "queued"]);
    for part in ["  queue gpus (pending)\n", "    couldn't assign flavors"] {
        assert!(ended.stdout.contains(part), "{ended:?}");
    }
    let warned = cluster.run(&["resume", "queued"]);
    assert!(
        warned
            .expect_code(0)
            .stderr
            .contains("Kueue may change this again"),
        "{warned:?}"
    );
}

#[test]
fn shells_are_told_the_names_that_are_there() {
    let cluster = Cluster::of(
        &[
            jobset(
                "train",
                &[("leader", "true"), ("workers", "true")],
                &json!({}),
            ),
            jobset("test", &[("a", "true")], &json!({})),
        ],
        &["--runtime", "fake"],
    );
    let completed = |line: &[&str]| {
        let mut words = vec!["--", "jobset"];
        words.extend(line);
        let mut command = cluster.command(&words);
        command
            .env("JOBSET_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", line.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed(&["explain", "tr"]), "train");
    let both = completed(&["delete", "t"]);
    assert_eq!(both.lines().collect::<Vec<_>>(), ["test", "train"]);
    assert_eq!(completed(&["logs", "train", "--role", "w"]), "workers");
    assert_eq!(completed(&["list", "-n", "def"]), "default");
    assert_eq!(completed(&["explain", "-n", "other", "t"]), "");
    assert_eq!(completed(&["expl"]), "explain");
}

#[test]
fn a_cluster_that_is_not_there_is_a_clear_error() {
    let place = crate::support::Place::new();
    let ended = place.run(&["list", "--kubeconfig", "absent"]);
    let said = &ended.expect_code(1).stderr;
    assert!(
        said.starts_with("error: cannot find the cluster: there is no kubeconfig absent; name one"),
        "{said}"
    );
}
