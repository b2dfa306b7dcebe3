//! The examples of the repository do what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use serde_json::json;

use crate::support::{Ended, Place, has, repository, said};

pub(crate) fn run(place: &Place, example: &str) -> Ended {
    run_with(place, &[example], &[])
}

fn run_with(place: &Place, examples: &[&str], options: &[&str]) -> Ended {
    let paths: Vec<_> = examples.iter().map(|example| repository(example)).collect();
    let mut arguments: Vec<&OsStr> = vec!["run".as_ref(), "-o".as_ref(), "json".as_ref()];
    arguments.extend(options.iter().map(OsStr::new));
    arguments.extend(paths.iter().map(AsRef::<OsStr>::as_ref));
    place.run(&arguments)
}

/// Runs an example in which one text is another.
fn run_changed(place: &Place, example: &str, options: &[&str], from: &str, to: &str) -> Ended {
    let manifest = std::fs::read_to_string(repository(example)).unwrap();
    assert_eq!(manifest.matches(from).count(), 1, "{from:?} in {example}");
    let mut arguments = vec!["run", "-o", "json", "-"];
    arguments.extend(options);
    place.run_with_input(&arguments, &manifest.replace(from, to))
}

#[test]
fn hello() {
    let ended = run(&Place::new(), "examples/hello.yaml");
    ended.expect_code(0);
    for index in 0..2 {
        let line = format!("greeter-{index}-0 │ Hello from hello-greeter-{index}-0\n");
        assert!(ended.stderr.contains(&line), "{}", ended.stderr);
    }
}

#[test]
fn a_failed_leader_fails_everything_at_once() {
    if !has("bash") {
        return;
    }
    let ended = run(&Place::new(), "examples/failjobset-action.yaml");
    let set = &ended.expect_code(1).json()["jobsets"][0];
    assert_eq!(set["reason"], "FailJobSetFailurePolicyAction");
    assert_eq!(set["restarts"], 0);
    assert_eq!(set["firstFailedJob"], "failjobset-action-leader-0");
    assert_eq!(set["firstFailure"]["exitCode"], 1);
}

#[test]
fn workers_reach_the_coordinator_by_name() {
    if !has("python3") {
        return;
    }
    let ended = run(&Place::new(), "examples/coordinator.yaml");
    ended.expect_code(0);
    for index in 0..4 {
        let line = format!(
            "workers-0-{index} │ coordinator-driver-0-0.coordinator says: welcome, worker {index}\n"
        );
        assert!(ended.stderr.contains(&line), "{}", ended.stderr);
    }
}

#[test]
fn each_job_has_a_rack_for_itself() {
    let path = repository("examples/exclusive-placement.yaml");
    let ended = Place::new().run(&[
        "run".as_ref(),
        "--nodes=16".as_ref(),
        "--topology=rack=4".as_ref(),
        path.as_os_str(),
    ]);
    ended.expect_code(0);
    let mut racks = BTreeMap::<usize, BTreeSet<usize>>::new();
    for job in 0..4 {
        for pod in 0..3 {
            let line = format!("workers-{job}-{pod} │ runs on node-");
            let node = ended.stdout.lines().find_map(|l| l.strip_prefix(&line));
            let node: usize = node
                .unwrap_or_else(|| panic!("{ended:#?}"))
                .parse()
                .unwrap();
            racks.entry(job).or_default().insert(node / 4);
        }
    }
    assert!(racks.values().all(|of_job| of_job.len() == 1), "{racks:?}");
    let distinct: BTreeSet<_> = racks.values().collect();
    assert_eq!(distinct.len(), 4, "{racks:?}");
    // That Pods wait for the first one of their Job is nothing to tell.
    assert!(!ended.stderr.contains("FailedCreate"), "{ended:#?}");
}

#[test]
fn log_analytics_survives_the_loss_of_a_worker() {
    if !has("python3") {
        return;
    }
    let ended = run(&Place::new(), "examples/log-analytics/jobset.yaml");
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(
        set["restarts"], 0,
        "the JobSet is not restarted for a worker"
    );
    let said = |line: &str| {
        ended
            .stderr
            .lines()
            .position(|l| l.ends_with(line))
            .unwrap_or_else(|| {
                panic!("{line:?} was not said: {}", ended.stderr);
            })
    };
    let ready = said("60000 lines in 12 shards, waiting for 3 workers");
    let first = said("worker 0 talks to log-analytics-leader-0-0.log-analytics");
    assert!(ready < first, "the leader starts first");
    said("in its hands");
    said("shards handed out again: 1");
    said("95th percentile of the response time: 163 ms");
    said("minutes with unusually many errors: 12:37, 12:38, 12:39, 12:40");
    said("compared with a sequential run: equal");
    let requests: u64 = ended
        .stderr
        .lines()
        .filter_map(|line| {
            line.split_once("│ status ")?
                .1
                .split_once(": ")?
                .1
                .strip_suffix(" requests")
        })
        .map(|number| number.parse::<u64>().unwrap())
        .sum();
    assert_eq!(requests, 60_000);
}

/// The run of a training that is to survive its three failures.
fn expect_trained(ended: &Ended) {
    assert_eq!(
        ended.expect_code(0).json()["jobsets"][0]["result"],
        "Completed"
    );
    let failures = [
        ("workers-1-0", "worker 1 crashes at step 13"),
        ("leader-0-0", "the leader crashes at step 27"),
        ("workers-0-0", "worker 0 crashes at step 44"),
    ];
    for (pod, text) in failures {
        assert_eq!(said(ended, pod, text), 1, "{text}: {}", ended.stderr);
    }
    // The claim outlives the restarts: each goes on from the last checkpoint.
    for text in [
        "begins at step 0, failures so far: 0",
        "begins at step 10, failures so far: 1",
        "begins at step 20, failures so far: 2",
        "begins at step 40, failures so far: 3",
        "failures survived: 3",
        "compared with an uninterrupted run: equal",
    ] {
        assert_eq!(
            said(ended, "leader-0-0", text),
            1,
            "{text}: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_training_survives_three_failures() {
    if !has("python3") {
        return;
    }
    for strategy in ["recreate", "blocking-recreate"] {
        let manifest = format!("examples/checkpointed-training/{strategy}.yaml");
        let files = ["examples/checkpointed-training/code.yaml", &manifest];
        let ended = run_with(&Place::new(), &files, &[]);
        expect_trained(&ended);
        assert_eq!(ended.json()["jobsets"][0]["restarts"], 3);
    }
}

#[test]
fn a_training_survives_three_failures_in_place() {
    if !has("python3") {
        return;
    }
    let files = ["code", "in-place"].map(|f| format!("examples/checkpointed-training/{f}.yaml"));
    let files = files.each_ref().map(String::as_str);
    let gate = ["--feature-gates", "InPlaceRestart=true"];
    let ended = run_with(&Place::new(), &files, &gate);
    expect_trained(&ended);
    let document = ended.json();
    assert_eq!(document["jobsets"][0]["restarts"], 0);
    let created = &document["api"]["requests"]["create pods"];
    assert_eq!(*created, 3, "the Pods stay");
}

#[test]
fn maintenance_does_not_count_but_everything_else_does() {
    let example = "examples/host-maintenance/jobset.yaml";
    let ended = run(&Place::new(), example);
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(
        (&set["result"], &set["restarts"]),
        (&json!("Completed"), &json!(2))
    );
    let down = "the host goes down for maintenance";
    assert_eq!(said(&ended, "workers-1-0", down), 2, "{}", ended.stderr);
    for pod in ["workers-0-0", "workers-1-0", "workers-2-0"] {
        assert_eq!(
            said(&ended, pod, "has done its work"),
            1,
            "{}",
            ended.stderr
        );
    }

    let (good, bad) = (r#"BUG, value: "no""#, r#"BUG, value: "yes""#);
    let ended = run_changed(&Place::new(), example, &[], good, bad);
    let set = &ended.expect_code(1).json()["jobsets"][0];
    assert_eq!(set["reason"], "ReachedMaxRestarts");
    assert_eq!(set["restarts"], 2, "the bug itself restarts nothing");
    assert_eq!(set["firstFailedJob"], "host-maintenance-workers-2");
}

#[test]
fn a_worker_is_restarted_alone_and_a_leader_ends_everything() {
    if !has("python3") {
        return;
    }
    let example = "examples/leader-fails-all/jobset.yaml";
    let gate = ["--feature-gates", "RestartJob=true"];
    let ended = run_with(&Place::new(), &[example], &gate);
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(set["restarts"], 0, "the JobSet as a whole is not restarted");
    let once = [
        ("leader-0-0", "the leader is there"),
        (
            "leader-0-0",
            "the sum of the squares is 8995500500, expected 8995500500",
        ),
        ("workers-0-0", "worker 0 begins, restarts so far: 0"),
        ("workers-1-0", "worker 1 begins, restarts so far: 0"),
        (
            "workers-1-0",
            "worker 1 crashes with its result in its hands",
        ),
        ("workers-1-0", "worker 1 begins, restarts so far: 1"),
        ("workers-2-0", "worker 2 begins, restarts so far: 0"),
    ];
    for (pod, text) in once {
        assert_eq!(said(&ended, pod, text), 1, "{text}: {}", ended.stderr);
    }
    let begun = ended.stderr.matches(" begins, restarts so far: ").count();
    assert_eq!(begun, 4, "only worker 1 begins again: {}", ended.stderr);

    let (good, bad) = (
        r#"LEADER_FAILS, value: "no""#,
        r#"LEADER_FAILS, value: "yes""#,
    );
    let ended = run_changed(&Place::new(), example, &gate, good, bad);
    let set = &ended.expect_code(1).json()["jobsets"][0];
    assert_eq!(set["reason"], "FailJobSetFailurePolicyAction");
    assert_eq!(set["restarts"], 0);
    assert_eq!(set["firstFailedJob"], "leader-fails-all-leader-0");
    assert_eq!(said(&ended, "leader-0-0", "the leader is there"), 1);

    // The gate is off unless it is asked for.
    let ended = run(&Place::new(), example);
    let refused = &ended.expect_code(2).stderr;
    assert!(refused.contains("feature gate RestartJob"), "{refused}");
}
