//! What commands print, whole, and that none of them is left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use regex::Regex;
use serde_json::{Value, json};

use crate::golden::{Transcript, exact, golden};
use crate::support::{Cluster, Ended, Place, jobset};

const FAKE: &[&str] = &["--runtime", "fake", "--fake-duration", "1h"];

/// Types commands one after the other.
fn type_all(cluster: &Cluster, lines: &[&[&str]]) -> Transcript {
    let mut transcript = Transcript::default();
    for line in lines {
        transcript.add(line, &cluster.run(line));
    }
    transcript
}

fn ready(cluster: &Cluster, name: &str) {
    cluster.until(&["wait", name, "--for", "ready"], |ended| {
        ended.code() == Some(0)
    });
}

#[test]
fn running() {
    let place = Place::new();
    // One of them speaks, so that the order of what is said is certain.
    let roles = [("leader", "echo step 1; echo all done"), ("worker", "true")];
    place.write(
        "train.yaml",
        jobset("train", &roles, &json!({})).to_string(),
    );
    let fails = jobset(
        "broken",
        &[("main", "echo no data >&2; exit 7")],
        &json!({}),
    );
    place.write("broken.yaml", fails.to_string());
    let mut transcript = Transcript::default();
    for line in [
        ["run", "train.yaml"],
        ["run", "broken.yaml"],
        ["run", "absent.yaml"],
    ] {
        transcript.add(&line, &place.run(&line));
    }
    transcript.compare("run");
}

#[test]
fn a_cluster_of_ones_own() {
    let place = Place::new();
    let line = ["up", "--runtime", "fake"];
    let mut running = place.start(&line);
    running.wait_for("export KUBECONFIG=");
    running.signal(Signal::SIGINT);
    let ended = running.wait();
    let directory = Regex::new(r"/\S*/kubeconfig").unwrap();
    let port = Regex::new(r"127\.0\.0\.1:[0-9]+").unwrap();
    let certain = |text: &str| {
        let text = directory.replace_all(text, "<directory>/kubeconfig");
        port.replace_all(&text, "127.0.0.1:<port>").into_owned()
    };
    let mut transcript = Transcript::default();
    let ended = Ended {
        stdout: certain(&ended.stdout),
        stderr: certain(&ended.stderr),
        ..ended
    };
    transcript.add(&line, &ended);
    transcript.compare("up");
}

#[test]
fn a_page_for_the_browser() {
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    let line = ["dashboard", "--port", "0"];
    let mut running = cluster.start(&line);
    running.wait_for("/?token=");
    running.signal(Signal::SIGINT);
    let ended = running.wait();
    let secret = Regex::new(r":[0-9]+/\?token=[0-9a-f]{48}\b").unwrap();
    let mut transcript = Transcript::default();
    let ended = Ended {
        stdout: secret
            .replace_all(&ended.stdout, ":<port>/?token=<token>")
            .into_owned(),
        ..ended
    };
    transcript.add(&line, &ended);
    transcript.compare("dashboard");
}

#[test]
fn checking_and_rendering() {
    let place = Place::new();
    let mut manifest = jobset(
        "train",
        &[("leader", "true"), ("workers", "true")],
        &json!({}),
    );
    manifest["spec"]["replicatedJobs"][1]["replicas"] = 2.into();
    manifest["spec"]["replicatedJobs"][1]["dependsOn"] =
        json!([{"name": "leader", "status": "Ready"}]);
    place.write("train.json", manifest.to_string());
    manifest["spec"]["replicatedJobs"][0]["replica"] = 1.into();
    manifest["spec"]["managedBy"] = "me".into();
    place.write("wrong.json", manifest.to_string());
    let mut transcript = Transcript::default();
    for line in [
        &["validate", "train.json"][..],
        &["validate", "wrong.json"],
        &["validate", "absent.json"],
    ] {
        transcript.add(line, &place.run(line));
    }
    transcript.compare("validate");
    let mut transcript = Transcript::default();
    for line in [
        &["render", "train.json"][..],
        &["render", "train.json", "--role", "other"],
    ] {
        transcript.add(line, &place.run(line));
    }
    transcript.compare("render");
}

#[test]
fn comparing_with_the_cluster() {
    let stored = jobset("js", &[("one", "true")], &json!({}));
    let cluster = Cluster::of(std::slice::from_ref(&stored), FAKE);
    ready(&cluster, "js");
    let mut forbidden = stored.clone();
    forbidden["spec"]["replicatedJobs"][0]["replicas"] = 2.into();
    let mut allowed = stored.clone();
    allowed["spec"]["suspend"] = true.into();
    let new = jobset("new", &[("one", "true")], &json!({}));
    let mut transcript = Transcript::default();
    for manifest in [stored, allowed, forbidden, new] {
        let line = ["render", "--diff", "-"];
        transcript.add(&line, &cluster.run_with_input(&line, &manifest.to_string()));
    }
    transcript.compare("render-diff");
}

#[test]
fn waiting() {
    let cluster = Cluster::of(
        &[
            jobset("ends", &[("one", "true")], &json!({})),
            jobset("runs", &[("one", "exec sleep 1000")], &json!({})),
        ],
        &[],
    );
    ready(&cluster, "runs");
    let lines: &[&[&str]] = &[
        &["wait", "ends"],
        &["wait", "ends", "--for", "failed"],
        &["wait", "runs", "--for", "ready"],
        &["wait", "runs", "--timeout", "100ms"],
        &["wait", "other"],
        &["wait", "other", "--for", "deleted"],
    ];
    type_all(&cluster, lines).compare("wait");
}

#[test]
fn suspending_and_resuming() {
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    ready(&cluster, "js");
    let lines: &[&[&str]] = &[
        &["suspend", "js"],
        &["suspend", "js", "other"],
        &["wait", "js", "--for", "suspended"],
        &["restart", "js"],
    ];
    type_all(&cluster, lines).compare("suspend");
    let lines: &[&[&str]] = &[&["resume", "js"], &["resume", "js"], &["resume", "other"]];
    type_all(&cluster, lines).compare("resume");
}

#[test]
fn restarting_and_deleting() {
    let mut manifest = jobset("js", &[("leader", "true"), ("workers", "true")], &json!({}));
    manifest["spec"]["replicatedJobs"][1]["replicas"] = 2.into();
    let cluster = Cluster::of(&[manifest], FAKE);
    let mut transcript = Transcript::default();
    for line in [
        &["restart", "js", "--job", "workers/1"][..],
        &["restart", "js"],
        &["restart", "js", "--role", "other"],
        &["restart", "other"],
    ] {
        // All Jobs are there again.
        ready(&cluster, "js");
        cluster.until(&["tree", "js", "-o", "json"], |ended| {
            ended.stdout.matches("\"state\": \"Running\"").count() == 7
                && !ended.stdout.contains("Terminating")
        });
        transcript.add(line, &cluster.run(line));
    }
    transcript.compare("restart");
    let lines: &[&[&str]] = &[&["delete", "js"], &["delete", "js"]];
    type_all(&cluster, lines).compare("delete");
}

#[test]
fn watching_line_by_line() {
    let place = Place::new();
    let gate = place.path("gate");
    let script = format!("while ! test -e {}; do sleep 0.02; done", gate.display());
    let cluster = Cluster::of(&[jobset("js", &[("one", &script)], &json!({}))], &[]);
    ready(&cluster, "js");
    let line = ["watch", "js", "--plain"];
    let mut watching = cluster.start(&line);
    watching.wait_for("js: Running, 0 restarts; one 1/1\n");
    fs::write(&gate, "").unwrap();
    let mut ended = watching.wait();
    // Its end may be told in steps.
    let first = ended.stdout.lines().next().unwrap();
    let last = ended.stdout.lines().last().unwrap();
    ended.stdout = format!("{first}\n{last}\n");
    let mut transcript = Transcript::default();
    transcript.add(&line, &ended);
    transcript.add(&["watch", "other"], &cluster.run(&["watch", "other"]));
    // One that is deleted meanwhile.
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    ready(&cluster, "js");
    let mut watching = cluster.start(&line);
    watching.wait_for("js: Running, 0 restarts; one 1/1\n");
    cluster.run(&["delete", "js"]).expect_code(0);
    let ended = watching.wait();
    assert!(
        ended
            .expect_code(0)
            .stdout
            .ends_with("\nJobSet js: deleted\n"),
        "{ended:?}"
    );
    transcript.compare("watch-plain");
}

#[test]
fn installing() {
    let place = Place::new();
    let line = ["install", "--variant", "no-webhook", "--without-crd"];
    let ended = place.run(&line);
    // The manifests are compared elsewhere; here it is which there are.
    let mut found = String::new();
    for document in ended.expect_code(0).stdout.split("\n---\n") {
        let field = |name: &str| {
            let mut lines = document.lines().map(str::trim_start);
            let value = lines.find_map(|line| line.strip_prefix(name));
            value.unwrap_or_default().trim().to_owned()
        };
        found.push_str(&format!("{} {}\n", field("kind:"), field("name:")));
    }
    let mut transcript = Transcript::default();
    let listed = Ended {
        stdout: found,
        ..ended
    };
    transcript.add(&line, &listed);
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    let lines = ["install", "--apply", "--image", "i"];
    transcript.add(&lines, &cluster.run(&lines));
    transcript.compare("install");
}

#[test]
fn scripts_and_pages() {
    let place = Place::new();
    let script = place.run(&["completion", "bash"]);
    let program = Regex::new(r#""?/[^ "]*/jobset"?"#).unwrap();
    golden(
        "completion",
        &program.replace_all(&script.expect_code(0).stdout, "<program>"),
    );
    let page = place.run(&["man"]);
    exact(
        "man",
        &page
            .expect_code(0)
            .stdout
            .replace(env!("CARGO_PKG_VERSION"), "<version>"),
    );
}

/// The names of the commands, as a person finds them.
fn commands(place: &Place) -> Vec<String> {
    let help = place.run(&["--help"]).expect_code(0).stdout.clone();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter_map(|line| {
        let line = line.strip_prefix("  ")?;
        // A line that goes on a description is indented further.
        (!line.starts_with(' ')).then(|| line.split_whitespace().next().unwrap().to_owned())
    });
    names.filter(|name| name != "help").collect()
}

/// The files that tests compare with: every call of a comparing function names one.
fn compared() -> BTreeSet<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command");
    let call = Regex::new(r#"\b(?:golden|exact|compare)\(\s*"([a-z-]+)""#).unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(here).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        names.extend(call.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    names
}

#[test]
fn no_command_is_without_a_golden_output() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files: BTreeSet<String> = fs::read_dir(goldens)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".txt").map(str::to_owned)
        })
        .collect();
    assert_eq!(files, compared(), "files, and what tests compare with");
    let names = commands(&Place::new());
    assert!(names.len() > 15, "{names:?}");
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| {
            let more = format!("{name}-");
            !files
                .iter()
                .any(|file| file == *name || file.starts_with(&more))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "commands without a golden output: {missing:?}"
    );
}

/// The answer to `-o json` is one document for every command that has it.
#[test]
fn every_document_is_one() {
    let cluster = Cluster::of(&[jobset("js", &[("one", "true")], &json!({}))], FAKE);
    ready(&cluster, "js");
    for line in [
        &["list"][..],
        &["tree", "js"],
        &["explain", "js"],
        &["events", "js"],
        &["top", "js"],
        &["timeline", "js"],
    ] {
        let mut line = line.to_vec();
        line.extend(["--output", "json"]);
        let document: Value = cluster.run(&line).expect_code(0).json();
        assert!(document.is_object(), "{line:?}");
    }
}
