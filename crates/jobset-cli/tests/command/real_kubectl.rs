//! The real kubectl against a running command.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Place, eventually, jobset};

struct Kubectl {
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// kubectl, if the machine has one; says so loudly if not.
    fn find(place: &Place, kubeconfig: &Path) -> Option<Self> {
        let kubectl = Self {
            kubeconfig: kubeconfig.to_owned(),
            home: place.path("home"),
        };
        let found = kubectl.command(&["version", "--client"]).output();
        if found.is_ok_and(|output| output.status.success()) {
            return Some(kubectl);
        }
        // Written directly, because the test harness captures what the macros print.
        let _ = writeln!(
            std::io::stderr(),
            "\n### kubectl IS NOT INSTALLED: a test of the command with kubectl DID NOT RUN ###"
        );
        None
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }
}

/// Reads the path from the `export KUBECONFIG=` line.
fn exported(text: &str) -> PathBuf {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("export KUBECONFIG="));
    line.unwrap().trim_matches('\'').into()
}

#[test]
fn a_suspended_jobset_waits_for_a_patch_and_goes_after_its_time() {
    let place = Place::new();
    let config = place.path("kubeconfig");
    let Some(kubectl) = Kubectl::find(&place, &config) else {
        return;
    };
    let mut running = place.start(&["up", "--kubeconfig", "kubeconfig"]);
    running.wait_for("export KUBECONFIG=");
    let spec = json!({"suspend": true, "ttlSecondsAfterFinished": 1});
    let manifest = place.write(
        "js.json",
        jobset("js", &[("one", "echo ran")], &spec).to_string(),
    );
    kubectl.ok(&["apply", "-f", manifest.to_str().unwrap()]);
    kubectl.ok(&[
        "wait",
        "--for=condition=Suspended",
        "jobset/js",
        "--timeout=60s",
    ]);
    let jobs = kubectl.json(&["get", "jobs"]);
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "the Job exists");
    assert_eq!(jobs["items"][0]["spec"]["suspend"], true);
    assert_eq!(
        kubectl.json(&["get", "pods"])["items"],
        json!([]),
        "nothing has started"
    );
    // A watch from here on sees the end before the time to live removes the object.
    let watch = kubectl
        .command(&[
            "wait",
            "--for=condition=Completed",
            "jobset/js",
            "--timeout=60s",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    kubectl.ok(&[
        "patch",
        "jobset",
        "js",
        "--type=merge",
        "-p",
        r#"{"spec":{"suspend":false}}"#,
    ]);
    let completed = watch.wait_with_output().unwrap();
    assert!(completed.status.success(), "{completed:?}");
    kubectl.ok(&["wait", "--for=delete", "jobset/js", "--timeout=60s"]);
    let gone = || kubectl.json(&["get", "jobs,pods,services"])["items"] == json!([]);
    assert!(eventually(gone), "children go with their owner");
    running.signal(Signal::SIGINT);
    running.wait().expect_code(0);
}

#[test]
fn a_run_that_waits_is_resumed_by_kubectl() {
    let place = Place::new();
    let config = place.path("kubeconfig");
    let Some(kubectl) = Kubectl::find(&place, &config) else {
        return;
    };
    let manifest = jobset("js", &[("one", "echo ran")], &json!({"suspend": true}));
    place.write("js.json", manifest.to_string());
    let mut running = place.start(&["run", "js.json", "--kubeconfig", "kubeconfig"]);
    let (_, said) = running.wait_for("js is suspended");
    assert!(said.contains("kubectl patch jobset js"), "{said}");
    kubectl.ok(&[
        "patch",
        "jobset",
        "js",
        "--type=merge",
        "-p",
        r#"{"spec":{"suspend":false}}"#,
    ]);
    let ended = running.wait();
    assert!(
        ended.expect_code(0).stdout.contains("one-0-0 │ ran"),
        "{ended:#?}"
    );
}

#[test]
fn a_kept_cluster_can_be_looked_at() {
    let place = Place::new();
    let Some(mut kubectl) = Kubectl::find(&place, Path::new("")) else {
        return;
    };
    place.write(
        "js.json",
        jobset("js", &[("one", "echo ran")], &json!({})).to_string(),
    );
    let mut running = place.start(&["run", "js.json", "--keep"]);
    let (_, said) = running.wait_for("kubectl get");
    kubectl.kubeconfig = exported(&said);
    let mode = fs::metadata(&kubectl.kubeconfig)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "the kubeconfig holds a secret");
    let table = kubectl.ok(&["get", "jobsets"]);
    assert!(table.contains("Completed"), "{table}");
    let logs = kubectl.ok(&["logs", "-l", "jobset.sigs.k8s.io/jobset-name=js"]);
    assert_eq!(logs, "ran\n");
    running.signal(Signal::SIGINT);
    running.wait().expect_code(0);
    assert_eq!(place.temporary_files(), [] as [PathBuf; 0]);
}

#[test]
fn the_command_is_a_plugin_of_kubectl() {
    let place = Place::new();
    let config = place.path("kubeconfig");
    let Some(kubectl) = Kubectl::find(&place, &config) else {
        return;
    };
    let mut running = place.start(&["up", "--kubeconfig", "kubeconfig"]);
    running.wait_for("export KUBECONFIG=");
    let manifest = jobset("js", &[("one", "true")], &json!({"suspend": true}));
    let manifest = place.write("js.json", manifest.to_string());
    kubectl.ok(&["apply", "-f", manifest.to_str().unwrap()]);
    let plugins = place.path("plugins");
    fs::create_dir(&plugins).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_jobset"), plugins.join("kubectl-jobset"))
        .unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let run = |arguments: &[&str]| {
        let mut command = kubectl.command(arguments);
        command.env("PATH", format!("{}:{path}", plugins.display()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["jobset", "list"]).contains("js"));
    assert!(run(&["jobset", "explain", "--help"]).contains("Usage: kubectl jobset explain"));
    // Like any other change, this one leaves its mark.
    run(&["jobset", "resume", "js"]);
    let fields = run(&["get", "jobset", "js", "--show-managed-fields", "-o", "yaml"]);
    assert!(fields.contains("manager: jobset"), "{fields}");
    running.signal(Signal::SIGINT);
    running.wait().expect_code(0);
}

#[test]
fn objects_survive_with_a_data_directory() {
    let place = Place::new();
    let Some(mut kubectl) = Kubectl::find(&place, Path::new("")) else {
        return;
    };
    let manifest = jobset("js", &[("one", "true")], &json!({"suspend": true}));
    let manifest = place.write("js.json", manifest.to_string());
    for life in 0..2 {
        let mut running = place.start(&["up", "--data-dir", "data"]);
        let (said, _) = running.wait_for("export KUBECONFIG=");
        kubectl.kubeconfig = exported(&said);
        if life == 0 {
            kubectl.ok(&["apply", "-f", manifest.to_str().unwrap()]);
            kubectl.ok(&[
                "wait",
                "--for=condition=Suspended",
                "jobset/js",
                "--timeout=60s",
            ]);
        } else {
            let patch = r#"{"spec":{"suspend":false}}"#;
            kubectl.ok(&["patch", "jobset", "js", "--type=merge", "-p", patch]);
            kubectl.ok(&[
                "wait",
                "--for=condition=Completed",
                "jobset/js",
                "--timeout=60s",
            ]);
        }
        running.signal(Signal::SIGTERM);
        running.wait().expect_code(0);
    }
}
