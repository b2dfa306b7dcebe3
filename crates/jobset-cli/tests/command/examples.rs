//! The examples of the repository do what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::Command;

use crate::support::{Ended, Place, repository};

fn run(place: &Place, example: &str) -> Ended {
    let path = repository(example);
    place.run(&[
        "run".as_ref(),
        path.as_os_str(),
        "-o".as_ref(),
        "json".as_ref(),
    ])
}

/// Whether the machine has what an example needs; says so loudly if not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        // Written directly, because the test harness captures what the macros print.
        let _ = writeln!(
            std::io::stderr(),
            "\n### {program} IS NOT INSTALLED: a test of the examples DID NOT RUN ###"
        );
    }
    found
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
