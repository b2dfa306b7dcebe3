//! What the guide in docs/ shows is valid, and does what the guide says.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Cluster, Ended, Place, has, repository, said};

/// Every gate that a manifest of the guide needs.
const GATES: &str =
    "InPlaceRestart=true,RestartJob=true,ElasticJobSet=true,JobSetActiveDeadlineSeconds=true";

/// Pages whose YAML is cut out of manifests, so that readers see what has been run.
const PAGES_WITH_EXCERPTS: [&str; 5] = [
    "quick-start",
    "concepts",
    "capabilities",
    "laptop-to-cluster",
    "kueue",
];

/// The files of a folder of the repository with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(repository(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {ending} in {folder}");
    files
}

/// The fenced blocks of a language, without the indentation they have in lists.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(block) = &mut open {
            if line.trim_start() == "```" {
                blocks.extend(open.take());
            } else {
                block.push_str(line);
                block.push('\n');
            }
        } else if line.trim_start() == opening {
            open = Some(String::new());
        }
    }
    blocks
}

/// The lines of a text without what indents all of them.
fn dedented(lines: &[&str]) -> Vec<String> {
    let indents = lines.iter().filter(|line| !line.trim().is_empty());
    let indents = indents.map(|line| line.len() - line.trim_start().len());
    let all = indents.min().unwrap_or_default();
    let cut = lines.iter().map(|line| line.get(all..).unwrap_or_default());
    cut.map(ToOwned::to_owned).collect()
}

/// Whether a text contains these lines one after the other, at any depth.
fn contains_lines(text: &str, block: &str) -> bool {
    let wanted = dedented(&block.lines().collect::<Vec<_>>());
    let lines: Vec<&str> = text.lines().collect();
    let mut windows = lines.windows(wanted.len().max(1));
    windows.any(|window| dedented(window) == wanted)
}

#[test]
fn every_manifest_is_valid() {
    let files = files("docs/manifests", "yaml");
    let mut arguments = vec!["validate".into(), "--feature-gates".into(), GATES.into()];
    arguments.extend(files);
    let ended = Place::new().run(&arguments);
    ended.expect_code(0);
    // The one that shows what is deprecated is told so; no other deserves a warning.
    for line in ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("warning:"))
    {
        assert!(line.contains("in-order.yaml"), "{line}");
    }
    assert!(
        ended.stdout.contains(" 0 errors, 1 warning,"),
        "{}",
        ended.stdout
    );
}

#[test]
fn every_jobset_that_a_page_shows_is_valid() {
    let mut count = 0;
    for page in files("docs", "md") {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks(&text, "yaml") {
            if block.starts_with("apiVersion: jobset.x-k8s.io/") {
                let arguments = ["validate", "--feature-gates", GATES, "-"];
                let ended = Place::new().run_with_input(&arguments, &block);
                assert_eq!(ended.code(), Some(0), "{}: {ended:#?}", page.display());
                count += 1;
            }
        }
    }
    assert!(count >= 2, "docs/in-place-restart.md alone has two");
}

#[test]
fn excerpts_are_those_of_the_manifests() {
    let mut manifests = files("docs/manifests", "yaml");
    manifests.extend(files("docs/manifests", "json"));
    manifests.extend(files("examples", "yaml"));
    manifests.push(repository("examples/checkpointed-training/in-place.yaml"));
    manifests.push(repository("examples/leader-fails-all/jobset.yaml"));
    let manifests: Vec<_> = manifests
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for page in PAGES_WITH_EXCERPTS {
        let text = fs::read_to_string(repository(&format!("docs/{page}.md"))).unwrap();
        for language in ["yaml", "json"] {
            for block in blocks(&text, language) {
                let known = manifests.iter().any(|text| contains_lines(text, &block));
                assert!(known, "docs/{page}.md: in no manifest:\n{block}");
            }
        }
    }
}

fn run(manifest: &str, gates: &[&str]) -> Ended {
    let path = repository(&format!("docs/manifests/{manifest}.yaml"));
    let path = path.to_str().unwrap();
    let mut arguments = vec!["run", path, "-o", "json"];
    arguments.extend(gates);
    Place::new().run(&arguments)
}

fn place_of(ended: &Ended, line: &str) -> usize {
    let mut lines = ended.stderr.lines();
    lines
        .position(|l| l.ends_with(&format!("│ {line}")))
        .unwrap_or_else(|| panic!("{line:?} was not said: {}", ended.stderr))
}

#[test]
fn quick_start() {
    if !has("python3") {
        return;
    }
    let ended = run("quick-start", &[]);
    ended.expect_code(0);
    assert_eq!(said(&ended, "leader-0-0", "the sum is 499500"), 1);
    let ready = place_of(&ended, "waiting for the workers");
    assert!(ready < place_of(&ended, "worker 0 has sent 166833"));
}

#[test]
fn short_names() {
    if !has("python3") {
        return;
    }
    let ended = run("short-names", &[]);
    ended.expect_code(0);
    assert_eq!(said(&ended, "leader-0-0", "workers-1 has 2 Pods"), 1);
    for worker in ["workers-0-0", "workers-0-1", "workers-1-0", "workers-1-1"] {
        let line = format!("{worker} is short-names-{worker}");
        assert_eq!(said(&ended, "leader-0-0", &line), 1, "{}", ended.stderr);
    }
}

#[test]
fn the_order_of_the_start() {
    let ended = run("depends-on", &[]);
    ended.expect_code(0);
    let ready = place_of(&ended, "the server is ready");
    assert!(ready < place_of(&ended, "working"));
    assert_eq!(said(&ended, "workers-1-0", "working"), 1);

    let ended = run("in-order", &[]);
    ended.expect_code(0);
    assert!(place_of(&ended, "first") < place_of(&ended, "second"));
}

#[test]
fn what_success_and_failure_mean() {
    let ended = run("success-policy", &[]);
    ended.expect_code(0);
    assert_eq!(said(&ended, "trainer-0-0", "trained"), 1);

    let ended = run("failure-policy", &[]);
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(set["restarts"], 1, "{set}");
    assert_eq!(said(&ended, "workers-0-0", "attempt 1"), 1);

    let ended = run("restart-backoff", &[]);
    let set = &ended.expect_code(0).json()["jobsets"][0];
    assert_eq!(set["restarts"], 2, "{set}");

    let gate = ["--feature-gates", "JobSetActiveDeadlineSeconds=true"];
    let ended = run("deadline", &gate);
    let set = &ended.expect_code(1).json()["jobsets"][0];
    assert_eq!(set["reason"], "DeadlineExceeded");
}

#[test]
fn volumes_and_the_time_to_live() {
    let ended = run("volumes", &[]);
    ended.expect_code(0);
    for reader in ["readers-0-0", "readers-1-0"] {
        assert_eq!(said(&ended, reader, "written once"), 1, "{}", ended.stderr);
    }
    run("ttl", &[]).expect_code(0);
}

/// A cluster that runs a manifest, and stays.
fn cluster(manifest: &str, options: &[&str]) -> Cluster {
    let path = repository(&format!("docs/manifests/{manifest}.yaml"));
    let manifest: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    Cluster::of(&[manifest], options)
}

#[test]
fn a_suspended_one_waits_to_be_resumed() {
    let cluster = cluster("suspend", &[]);
    let suspended = ["wait", "suspend", "--for", "suspended"];
    cluster.run(&suspended).expect_code(0);
    assert_eq!(cluster.get("/api/v1/pods")["items"], serde_json::json!([]));
    cluster.run(&["resume", "suspend"]).expect_code(0);
    let completed = ["wait", "suspend", "--for", "completed"];
    cluster.run(&completed).expect_code(0);
}

#[test]
fn an_elastic_one_is_scaled_while_it_runs() {
    let cluster = cluster("elastic", &["--feature-gates", "ElasticJobSet=true"]);
    let patch = fs::read(repository("docs/manifests/elastic-patch.json")).unwrap();
    let path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets/elastic";
    cluster.patch(path, patch);
    // It ends only if there is a third Pod.
    let completed = ["wait", "elastic", "--for", "completed"];
    cluster.run(&completed).expect_code(0);
}

/// Each line in both, the page and what is said.
#[track_caller]
fn said_as_in(page: &str, ended: &Ended, lines: &[&str]) {
    let text = fs::read_to_string(repository(&format!("docs/{page}.md"))).unwrap();
    for line in lines {
        assert!(ended.stdout.contains(line), "{line:?}: {}", ended.stdout);
        assert!(text.contains(line), "docs/{page}.md does not have {line:?}");
    }
}

#[test]
fn mistakes_are_told_as_the_pages_say() {
    let manifest = fs::read_to_string(repository("docs/manifests/quick-start.yaml")).unwrap();
    let validate = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{from}");
        let ended = Place::new().run_with_input(&["validate", "-"], &manifest.replace(from, to));
        ended.expect_code(2);
        ended
    };
    let ended = validate("parallelism: 3", "paralellism: 3");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    said_as_in("quick-start", &ended, &lines);

    for (from, to, parts) in [
        (
            "  - name: workers",
            " - name: workers",
            &[
                "is not valid YAML: ",
                "; look at the indentation of this line and of the one before",
            ][..],
        ),
        (
            "    dependsOn:",
            "\tdependsOn:",
            &["; YAML is indented with spaces, not with tabs"],
        ),
        (
            "parallelism: 3",
            "parallelism: 3\n        backOffLimit: 1",
            &["backOffLimit: unknown field; did you mean \"backoffLimit\"?"],
        ),
        (
            "kind: JobSet",
            "kind: Jobset",
            &[
                "\"Jobset\" is no kind of apiVersion \"jobset.x-k8s.io/v1alpha2\"; did you mean JobSet (jobset.x-k8s.io/v1alpha2)?",
            ],
        ),
        (
            "maxRestarts: 2",
            "maxRestarts: \"2\"",
            &["must be of type integer, not \"2\""],
        ),
        (
            "  name: quick-start",
            "  name: a-name-that-is-surely-too-long-for-the-jobs-that-are-made-of-it",
            &["JobSet name is too long, generated job names would exceed 63 characters"],
        ),
        (
            "    - name: leader\n      status",
            "    - name: master\n      status",
            &["replicatedJob: workers cannot depend on replicatedJob: master"],
        ),
    ] {
        said_as_in("first-run", &validate(from, to), parts);
    }
}
