//! Manifests and command lines that are wrong: one screen that says where and what, exit code 2.

use std::fs;

use crate::support::{Ended, Place};

const GOOD: &str = "\
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: js
spec:
  replicatedJobs:
  - name: workers
    template:
      spec:
        parallelism: 1
        completions: 1
        template:
          spec:
            containers:
            - name: main
              image: busybox
              command: ['true']
";

/// A second role of the same name, to be put behind [`GOOD`].
const SAME_ROLE: &str = "  - name: workers
    template: {spec: {template: {spec: {containers: [{name: main, command: ['true']}]}}}}
";

#[track_caller]
fn check(ended: &Ended, parts: &[&str]) {
    ended.expect_code(2);
    assert_eq!(ended.stdout, "");
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} in {}", ended.stderr);
    }
    let wrapped: usize = ended
        .stderr
        .lines()
        .map(|line| line.chars().count() / 80 + 1)
        .sum();
    assert!(wrapped <= 24, "more than a screen:\n{}", ended.stderr);
    assert!(!ended.stderr.contains('\x1b'), "colours without a terminal");
}

#[test]
fn each_problem_is_named_with_its_place() {
    let second_wrong = format!(
        "{GOOD}---\n{}",
        GOOD.replace("name: js", "name: js2\n  label: {}")
    );
    let cases: &[(&str, String, &[&str])] = &[
        (
            "indentation.yaml",
            GOOD.replace("        parallelism", "       parallelism"),
            &["indentation.yaml:11:", "document 1", "YAML"],
        ),
        (
            "unknown.yaml",
            GOOD.replace("parallelism", "paralellism"),
            &[
                "unknown.yaml:10:",
                "document 1 (JobSet \"js\")",
                "spec.replicatedJobs[0].template.spec.paralellism: unknown field",
                "did you mean \"parallelism\"?",
            ],
        ),
        (
            "type.yaml",
            GOOD.replace("parallelism: 1", "parallelism: one"),
            &[
                "type.yaml:10:",
                "document 1 (JobSet \"js\")",
                "spec.replicatedJobs[0].template.spec.parallelism",
                "integer",
            ],
        ),
        (
            "role.yaml",
            format!("{GOOD}{SAME_ROLE}"),
            &[
                "role.yaml:18:",
                "spec.replicatedJobs[1]",
                "Duplicate value",
                "workers",
            ],
        ),
        (
            "key.yaml",
            GOOD.replace(
                "spec:\n  rep",
                "spec:\n  suspend: true\n  suspend: false\n  rep",
            ),
            &["key.yaml:7:", "duplicate", "suspend"],
        ),
        (
            "second.yaml",
            second_wrong,
            &[
                "second.yaml:",
                "document 2 (JobSet \"js2\")",
                "metadata.label: unknown field",
            ],
        ),
        (
            "kind.yaml",
            GOOD.replace("kind: JobSet", "kind: Jobset"),
            &[
                "kind.yaml:2:",
                "\"Jobset\"",
                "did you mean JobSet (jobset.x-k8s.io/v1alpha2)?",
            ],
        ),
        (
            "nothing.yaml",
            "a: 1\n".to_owned(),
            &["nothing.yaml:1:1", "apiVersion", "kind"],
        ),
        (
            "twice.yaml",
            format!("{GOOD}---\n{GOOD}"),
            &[
                "twice.yaml:",
                "document 2",
                "metadata.name",
                "another JobSet of this name",
            ],
        ),
        (
            "rule.yaml",
            format!("{GOOD}    dependsOn: [{{name: nobody, status: Ready}}]\n"),
            &[
                "rule.yaml:",
                "document 1 (JobSet \"js\")",
                "workers cannot depend on",
                "nobody",
            ],
        ),
        (
            // Jobs of JobSets are Indexed, and those need completions.
            "job.yaml",
            GOOD.replace("        completions: 1\n", ""),
            &[
                "job.yaml:",
                "spec.replicatedJobs[0].template.spec.completions",
            ],
        ),
        (
            "no-jobset.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n".to_owned(),
            &["no-jobset.yaml", "JobSet"],
        ),
        ("empty.yaml", String::new(), &["empty.yaml", "empty"]),
        (
            "comment.yaml",
            "# nothing\n---\n".to_owned(),
            &["comment.yaml"],
        ),
    ];
    let place = Place::new();
    for (name, content, parts) in cases {
        place.write(name, content);
        check(&place.run(&["run", name]), parts);
    }
}

#[test]
fn files_that_are_no_manifests_are_refused() {
    let place = Place::new();
    let binary: Vec<u8> = (0..=255).cycle().take(5000).collect();
    place.write("binary.yaml", binary);
    check(
        &place.run(&["run", "binary.yaml"]),
        &["binary.yaml", "not a text file"],
    );

    // Ten megabytes of printable nonsense, the same every time.
    let mut state = 1_u32;
    let garbage: Vec<u8> = (0..10_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 26 == 0 {
                b'\n'
            } else {
                b' ' + (state >> 16) as u8 % 95
            }
        })
        .collect();
    place.write("garbage.yaml", garbage);
    check(&place.run(&["run", "garbage.yaml"]), &["garbage.yaml:"]);

    // Small files that a careless reader would blow up.
    place.write("deep.yaml", "[".repeat(100_000));
    check(&place.run(&["run", "deep.yaml"]), &["deep.yaml:"]);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let inner = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            inner.trim_end_matches(", ")
        ));
    }
    place.write("bomb.yaml", bomb);
    check(&place.run(&["run", "bomb.yaml"]), &["bomb.yaml"]);

    check(
        &place.run(&["run", "missing.yaml"]),
        &["missing.yaml: no such file"],
    );
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("folder/good.yaml"), GOOD).unwrap();
    check(
        &place.run(&["run", "folder"]),
        &["folder", "directory", "folder/good.yaml"],
    );
}

#[test]
fn all_problems_of_all_files_are_listed() {
    let place = Place::new();
    place.write("one.yaml", GOOD.replace("parallelism", "paralellism"));
    place.write("two.yaml", GOOD.replace("completions: 1", "completions: x"));
    let ended = place.run(&["run", "one.yaml", "two.yaml", "missing.yaml"]);
    check(&ended, &["one.yaml:10:", "two.yaml:11:", "missing.yaml"]);
}

#[test]
fn standard_input_is_named_in_problems() {
    let place = Place::new();
    let text = GOOD.replace("parallelism", "paralellism");
    check(
        &place.run_with_input(&["run", "-"], &text),
        &["paralellism"],
    );
}

#[test]
fn a_wrong_command_line_is_bad_input() {
    let place = Place::new();
    place.write("good.yaml", GOOD);
    let cases: &[&[&str]] = &[
        &["run"],
        &["jump"],
        &["run", "good.yaml", "--timeout", "soon"],
        &["run", "good.yaml", "--topology", "rack"],
        &["run", "good.yaml", "--nodes", "0"],
        &["run", "good.yaml", "--runtime", "magic"],
    ];
    for arguments in cases {
        place.run(arguments).expect_code(2);
    }
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["up", "--help"],
        &["completion", "--help"],
    ] {
        let help = place.run(arguments);
        assert!(
            help.expect_code(0).stdout.contains("Examples:"),
            "{help:#?}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            place
                .run(&["completion", shell])
                .expect_code(0)
                .stdout
                .contains("jobset")
        );
    }
}
