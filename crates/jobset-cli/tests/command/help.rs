//! That all commands explain themselves alike.

use std::fs;

use crate::golden::exact;
use crate::support::{Ended, Place};

/// Names of the commands, from the help of the whole.
fn commands(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let first = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    // A line that goes on a description is indented further.
    list.lines()
        .filter(|line| !line.starts_with("    "))
        .map(first)
        .collect()
}

#[test]
fn every_command_has_examples_and_exit_codes() {
    let place = Place::new();
    let whole = place.run(&["--help"]).expect_code(0).stdout.clone();
    exact("help", &whole);
    let names = commands(&whole);
    assert!(names.len() > 15, "{names:?}");
    for name in names.iter().filter(|name| *name != "help") {
        let ended = place.run(&[name.as_str(), "--help"]);
        let help = &ended.expect_code(0).stdout;
        let about = help.lines().next().unwrap();
        assert!(
            about.starts_with(|c: char| c.is_ascii_uppercase()),
            "{name}: {about}"
        );
        assert!(!about.ends_with('.'), "{name}: {about}");
        // What it costs a script to find out otherwise.
        for part in [
            "Examples:\n  ",
            "Exit codes: 0 ",
            &format!("  jobset {name}"),
        ] {
            assert!(help.contains(part), "{name}: {part:?} is missing in {help}");
        }
        let short = place.run(&[name.as_str(), "-h"]);
        assert!(short.stdout.contains("Examples:\n"), "{name}: {short:?}");
    }
}

#[test]
fn commands_that_talk_to_a_cluster_have_the_same_flags() {
    let place = Place::new();
    for name in [
        "list",
        "tree",
        "explain",
        "logs",
        "events",
        "watch",
        "dashboard",
        "timeline",
        "top",
        "wait",
        "suspend",
        "resume",
        "restart",
        "delete",
        "exec",
        "port-forward",
        "install",
    ] {
        let help = place.run(&[name, "--help"]).stdout;
        for flag in [
            "--kubeconfig <PATH>",
            "--context <NAME>",
            "-n, --namespace <NAME>",
        ] {
            assert!(help.contains(flag), "{name}: {flag}");
        }
    }
}

#[test]
fn every_command_has_a_page() {
    let place = Place::new();
    let page = |ended: Ended| ended.expect_code(0).stdout.clone();
    assert!(page(place.run(&["man"])).contains(".TH jobset 1"));
    place
        .run(&["man", "--directory", "pages/man1"])
        .expect_code(0);
    for name in commands(&page(place.run(&["--help"]))) {
        if name == "help" {
            continue;
        }
        let file = place.path(&format!("pages/man1/jobset-{name}.1"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains("Exit codes"), "{name}");
    }
    place.write("file", "");
    let refused = place.run(&["man", "--directory", "file/man1"]);
    assert!(
        refused
            .expect_code(1)
            .stderr
            .contains("cannot write to file/man1"),
        "{refused:?}"
    );
}
