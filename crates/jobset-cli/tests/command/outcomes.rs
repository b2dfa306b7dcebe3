//! Exit codes, and what is printed.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Place, jobset};

#[test]
fn success_is_zero_and_streams_logs() {
    let place = Place::new();
    let manifest = jobset(
        "fine",
        &[("one", "echo first; echo $((40 + 2))"), ("two", "true")],
        &json!({}),
    );
    let ended = place.run_with_input(&["run", "-"], &manifest.to_string());
    ended.expect_code(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines, ["one-0-0 │ first", "one-0-0 │ 42"]);
    for word in ["fine", "one", "two", "Completed"] {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    assert!(
        !format!("{ended:?}").contains("\\u{1b}"),
        "colours without a terminal"
    );
}

#[test]
fn failure_is_one_and_explained() {
    let place = Place::new();
    let script = "for i in 1 2 3; do echo line $i; done; echo the end >&2; exit 7";
    place.write(
        "f.yaml",
        jobset(
            "broken",
            &[("one", script), ("two", "sleep 1000")],
            &json!({}),
        )
        .to_string(),
    );
    let ended = place.run(&["run", "f.yaml"]);
    ended.expect_code(1);
    for part in [
        "broken failed",
        "FailedJobs",
        "broken-one-0",
        "exit code 7",
        "node              node-0",
        "attempt 0, rule: none matched, action: the JobSet fails",
        "line 3",
        "the end",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn json_is_one_document_with_the_first_failure() {
    let place = Place::new();
    place.write(
        "f.yaml",
        jobset("broken", &[("one", "echo gone; exit 7")], &json!({})).to_string(),
    );
    let ended = place.run(&["run", "f.yaml", "--output", "json"]);
    let document = ended.expect_code(1).json();
    assert!(
        ended.stderr.contains("one-0-0 │ gone"),
        "logs go to standard error"
    );
    let set = &document["jobsets"][0];
    assert_eq!(document["result"], "Failed");
    assert_eq!(document["exitCode"], 1);
    assert_eq!(set["name"], "broken");
    assert_eq!(set["reason"], "FailedJobs");
    assert_eq!(set["restarts"], 0);
    assert_eq!(set["replicatedJobs"][0]["name"], "one");
    assert_eq!(set["replicatedJobs"][0]["failed"], 1);
    assert_eq!(set["firstFailedJob"], "broken-one-0");
    let failure = &set["firstFailure"];
    assert_eq!(failure["job"], "broken-one-0");
    assert_eq!(failure["container"], "main");
    assert_eq!(failure["exitCode"], 7);
    assert_eq!(failure["node"], "node-0");
    assert_eq!(set["decisions"].as_array().map(Vec::len), Some(1));
    assert_eq!(failure["lastLogLines"], json!(["gone"]));
    assert!(document["api"]["requests"]["create jobs"].as_u64() >= Some(1));
    assert_eq!(
        document["api"]["noOpWrites"],
        json!({}),
        "a write that changed nothing"
    );

    let silent = place.run(&["run", "f.yaml", "--output", "json", "--no-logs"]);
    assert!(!silent.expect_code(1).stderr.contains("gone"));
    silent.json();
}

#[test]
fn the_worst_of_several_jobsets_decides() {
    let place = Place::new();
    place.write(
        "good.yaml",
        jobset("good", &[("a", "echo hello")], &json!({})).to_string(),
    );
    place.write(
        "bad.yaml",
        jobset("bad", &[("a", "exit 3")], &json!({})).to_string(),
    );
    let ended = place.run(&["run", "good.yaml", "bad.yaml", "-o", "json"]);
    let sets = ended.expect_code(1).json()["jobsets"].clone();
    assert_eq!(sets[0]["result"], "Completed");
    assert_eq!(sets[1]["result"], "Failed");
    assert!(
        ended.stderr.contains("good/a-0-0 │ hello"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_restart_is_counted_and_can_succeed() {
    let place = Place::new();
    let flag = place.path("flag");
    let script = format!("test -e {0} || {{ touch {0}; exit 1; }}", flag.display());
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    place.write(
        "r.yaml",
        jobset("again", &[("one", &script)], &spec).to_string(),
    );
    let ended = place.run(&["run", "r.yaml", "-o", "json"]);
    let document = ended.expect_code(0).json();
    assert_eq!(document["jobsets"][0]["restarts"], 1);
    assert!(ended.stderr.contains("restart 1"), "{}", ended.stderr);
}

#[test]
fn a_report_tells_the_whole_run_in_one_file() {
    let place = Place::new();
    let flag = place.path("flag");
    let script = format!(
        "test -e {0} || {{ touch {0}; exit 1; }}; echo '<i>' >&2; exit 7",
        flag.display()
    );
    let spec = json!({"failurePolicy": {"maxRestarts": 1}});
    place.write(
        "r.yaml",
        jobset("again", &[("one", &script)], &spec).to_string(),
    );
    let ended = place.run(&["run", "r.yaml", "--report", "run.html", "-o", "json"]);
    let document = ended.expect_code(1).json();
    assert!(document["processorSeconds"]["containers"].as_f64() >= Some(0.0));
    let report = std::fs::read_to_string(place.path("run.html")).unwrap();
    for part in [
        "<title>again: Failed</title>",
        "<h2>Summary</h2>",
        "ReachedMaxRestarts",
        "exit code 7",
        "    &lt;i&gt;</span>",
        ">one, attempt 0</tspan>",
        ">one, attempt 1</tspan>",
        "<td>restart 1</td>",
        "lost to a restart</title>",
        "<td>largest memory of the cluster itself</td>",
        "<td>create jobs</td><td class=\"number\">2</td>",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(!report.contains("<i>") && !report.contains("<script"));
    // It is there after a run that was given up as well, and takes the place of an older one.
    place.write(
        "s.yaml",
        jobset("slow", &[("one", "sleep 1000")], &json!({})).to_string(),
    );
    let words = ["run", "s.yaml", "--timeout", "1s", "--report", "run.html"];
    place.run(&words).expect_code(124);
    let report = std::fs::read_to_string(place.path("run.html")).unwrap();
    assert!(report.contains("<title>slow: TimedOut</title>"), "{report}");
    let files = std::fs::read_dir(place.path("")).unwrap();
    assert_eq!(files.count(), 4, "nothing is left beside it");
}

#[test]
fn a_report_that_cannot_be_written_is_said_before_the_run() {
    let place = Place::new();
    place.write(
        "f.yaml",
        jobset("js", &[("one", "echo ran")], &json!({})).to_string(),
    );
    for (path, why) in [
        ("absent/run.html", "cannot write the report absent/run.html"),
        (".", "cannot write the report .: it is a directory"),
    ] {
        let ended = place.run(&["run", "f.yaml", "--report", path]);
        assert!(ended.expect_code(2).stderr.contains(why), "{ended:?}");
        assert!(!ended.stdout.contains("ran"), "{ended:?}");
    }
}

#[test]
fn a_timeout_is_124() {
    let place = Place::new();
    place.write(
        "s.yaml",
        jobset("slow", &[("one", "sleep 1000")], &json!({})).to_string(),
    );
    let ended = place.run(&["run", "s.yaml", "--timeout", "1s", "-o", "json"]);
    assert_eq!(ended.expect_code(124).json()["result"], "TimedOut");
}

#[test]
fn an_interrupt_is_130() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::new();
        place.write(
            "s.yaml",
            jobset("slow", &[("one", "echo here; sleep 1000")], &json!({})).to_string(),
        );
        let mut running = place.start(&["run", "s.yaml"]);
        running.wait_for("one-0-0 │ here");
        running.signal(signal);
        running.wait().expect_code(130);
    }
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let place = Place::new();
    // Deaf to SIGTERM, with a grace period nobody wants to wait for.
    let mut manifest = jobset(
        "deaf",
        &[("one", "trap '' TERM; echo here; while :; do sleep 1; done")],
        &json!({}),
    );
    manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] =
        3600.into();
    place.write("d.yaml", manifest.to_string());
    let mut running = place.start(&["run", "d.yaml"]);
    running.wait_for("one-0-0 │ here");
    running.signal(Signal::SIGINT);
    running.signal(Signal::SIGINT);
    running.wait().expect_code(130);
    assert_eq!(place.temporary_files(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn many_jobs_without_processes() {
    let place = Place::new();
    let mut manifest = jobset("many", &[("worker", "true")], &json!({}));
    manifest["spec"]["replicatedJobs"][0]["replicas"] = 100.into();
    place.write("m.yaml", manifest.to_string());
    let ended = place.run(&[
        "run",
        "m.yaml",
        "--runtime",
        "fake",
        "-o",
        "json",
        "--nodes",
        "8",
        "--topology",
        "rack=2",
    ]);
    let document = ended.expect_code(0).json();
    assert_eq!(
        document["jobsets"][0]["replicatedJobs"][0]["succeeded"],
        100
    );
    assert_eq!(document["api"]["controllerRequests"]["create jobs"], 100);
    assert_eq!(document["api"]["noOpWrites"], json!({}));
}

#[test]
fn supporting_objects_reach_the_containers() {
    let place = Place::new();
    place.write(
        "objects.yaml",
        r"
kind: List
apiVersion: v1
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: settings}
  data: {greeting: hello}
- apiVersion: v1
  kind: Secret
  metadata: {name: secret}
  stringData: {word: sesame}
",
    );
    let mut manifest = jobset(
        "reader",
        &[("one", "echo $GREETING $(cat /etc/word/word)")],
        &json!({}),
    );
    let pod = &mut manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    pod["containers"][0]["env"] = json!([{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "greeting"}}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/etc/word"}]);
    pod["volumes"] = json!([{"name": "v", "secret": {"secretName": "secret"}}]);
    place.write("reader.json", manifest.to_string());
    // The order of the files does not matter.
    let ended = place.run(&["run", "reader.json", "objects.yaml"]);
    assert_eq!(ended.expect_code(0).stdout, "one-0-0 │ hello sesame\n");
}

#[test]
fn what_keeps_a_jobset_from_starting_is_said() {
    let place = Place::new();
    // A Job of somebody else's has the name that the JobSet's own needs.
    let manifest = jobset("stuck", &[("one", "true")], &json!({}));
    let template = &manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"];
    let foreign = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "stuck-one-0"},
        "spec": {"suspend": true, "template": template},
    });
    place.write("stuck.json", format!("{manifest}\n---\n{foreign}\n"));
    let mut running = place.start(&["run", "stuck.json"]);
    let (_, said) = running.wait_for("JobCreationFailed");
    assert!(said.contains("stuck-one-0"), "{said}");
    running.signal(Signal::SIGINT);
    running.wait().expect_code(130);

    // A volume that does not exist.
    let mut manifest = jobset("lost", &[("one", "true")], &json!({}));
    let pod = &mut manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    pod["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    pod["volumes"] = json!([{"name": "v", "configMap": {"name": "absent"}}]);
    place.write("lost.json", manifest.to_string());
    let mut running = place.start(&["run", "lost.json"]);
    let (_, said) = running.wait_for("FailedMount");
    assert!(said.contains("absent"), "{said}");
    running.signal(Signal::SIGINT);
    running.wait().expect_code(130);
}

#[test]
fn a_demand_that_no_node_meets_is_explained_when_requests_are_enforced() {
    let place = Place::new();
    let mut manifest = jobset("large", &[("one", "true")], &json!({}));
    let pod = &mut manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
    pod["containers"][0]["resources"] = json!({"limits": {"nvidia.com/gpu": 8}});
    place.write("large.json", manifest.to_string());
    let with = |more: &[&'static str]| {
        let mut arguments = vec!["run", "large.json", "--runtime", "fake", "--nodes", "3"];
        arguments.extend(more);
        arguments
    };
    // Requests are not enforced unless asked for.
    place.run(&with(&[])).expect_code(0);
    let enough = [
        "--enforce-requests",
        "--node-resources",
        "cpu=8,nvidia.com/gpu=8",
    ];
    place.run(&with(&enough)).expect_code(0);
    for (arguments, reason) in [
        (
            vec!["--enforce-requests", "--node-resources", "nvidia.com/gpu=4"],
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        ),
        (
            vec!["--node-taint", "gpu=yes:NoSchedule"],
            "0/3 nodes are available: 3 node(s) had untolerated taint {gpu: yes}.",
        ),
    ] {
        let mut running = place.start(&with(&arguments));
        let (_, said) = running.wait_for(reason);
        assert!(said.contains("one-0-0: Unschedulable"), "{said}");
        running.signal(Signal::SIGINT);
        running.wait().expect_code(130);
    }
}

#[test]
fn a_role_that_never_becomes_ready_is_named_with_those_that_wait_for_it() {
    let place = Place::new();
    let mut manifest = jobset(
        "stuck",
        &[("leader", "sleep 1000"), ("workers", "true")],
        &json!({}),
    );
    let roles = &mut manifest["spec"]["replicatedJobs"];
    let leader = &mut roles[0]["template"]["spec"]["template"]["spec"]["containers"][0];
    leader["readinessProbe"] = json!({
        "exec": {"command": ["sh", "-c", "echo no model yet; exit 1"]}, "periodSeconds": 1,
    });
    roles[1]["dependsOn"] = json!([{"name": "leader", "status": "Ready"}]);
    place.write("stuck.json", manifest.to_string());
    let mut running = place.start(&["run", "stuck.json"]);
    let (_, said) = running.wait_for("leader-0-0 is still not ready: Readiness probe failed");
    assert!(said.contains("no model yet"), "{said}");
    let (_, said) = running.wait_for("not started yet: workers");
    assert_eq!(said.matches("still not ready").count(), 1, "{said}");
    running.signal(Signal::SIGINT);
    let ended = running.wait();
    let stderr = &ended.expect_code(130).stderr;
    for line in [
        "stuck has not ended; it waits for\n  leader-0-0 is not ready: Readiness probe failed",
        "\n  workers starts after leader (Ready)\n",
    ] {
        assert!(stderr.contains(line), "{line:?} in {stderr}");
    }
}

#[test]
fn a_port_that_another_pod_has_taken_is_explained() {
    let place = Place::new();
    let script = "echo 'OSError: [Errno 98] Address already in use'; exit 1";
    let manifest = jobset("ports", &[("servers", script)], &json!({}));
    let ended = place.run_with_input(&["run", "-"], &manifest.to_string());
    let stderr = &ended.expect_code(1).stderr;
    let hint =
        "  hint              Pods share this machine's network: let the server listen on its";
    assert!(stderr.contains(hint), "{stderr}");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    place.write(
        "js.json",
        jobset("js", &[("one", "echo said")], &json!({})).to_string(),
    );
    for options in [&["-o", "json"][..], &[]] {
        let mut command = place.command(&[&["run", "js.json"][..], options].concat());
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = command.stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("error: cannot write to standard output: No space left"),
            "{stderr}"
        );
    }
}
