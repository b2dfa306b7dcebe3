//! The real kubectl against a running command.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Place, eventually, jobset, repository};

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

    /// A shell script that calls kubectl.
    fn script(&self, script: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .arg(script)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::null());
        let program = std::env::var_os("KUBECTL").map(PathBuf::from);
        if let Some(directory) = program.as_deref().and_then(Path::parent) {
            let mut path = directory.as_os_str().to_owned();
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap());
            command.env("PATH", path);
        }
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

/// The example of a suspended start.
#[test]
fn a_queue_admits_preempts_and_admits_again() {
    let place = Place::new();
    let config = place.path("kubeconfig");
    let Some(kubectl) = Kubectl::find(&place, &config) else {
        return;
    };
    let nodes = ["--nodes", "4", "--topology", "pool=2"];
    let mut running = place.start(&[&["up", "--kubeconfig", "kubeconfig"], &nodes[..]].concat());
    running.wait_for("export KUBECONFIG=");
    let script = repository("examples/suspended-start/queue.sh");
    // As the README calls it: with a path that is relative to where it is called.
    let mut script = kubectl.script(&script);
    script
        .current_dir(place.path(""))
        .env("KUBECONFIG", "kubeconfig");
    let output = script.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complaints}");

    let mut nodes_of = BTreeMap::<(&str, &str), Vec<&str>>::new();
    for line in said.lines() {
        let worked = line
            .split_once(" has worked in ")
            .and_then(|(name, place)| Some((name, place.split_once(" on ")?)));
        if let Some((name, (pool, node))) = worked {
            nodes_of.entry((name, pool)).or_default().push(node);
        } else if let Some(nodes) = line.strip_prefix("nightly runs on ") {
            nodes_of.insert(("nightly", "pool-0"), nodes.split(' ').collect());
        }
    }
    let expected = [
        (("nightly", "pool-0"), ["node-0", "node-1"]),
        (("nightly", "pool-1"), ["node-2", "node-3"]),
        (("urgent", "pool-0"), ["node-0", "node-1"]),
    ];
    assert_eq!(nodes_of.len(), expected.len(), "{said}");
    for (role, pool) in expected {
        let nodes = &nodes_of[&role];
        assert_eq!(nodes.len(), 2, "{said}");
        assert!(nodes.iter().all(|node| pool.contains(node)), "{said}");
    }
    let steps = [
        "Pods of nightly: 0, of urgent: 0",
        "nightly is admitted to pool-0",
        "Pods of nightly: 0",
        "urgent is admitted to pool-0",
        "nightly is admitted to pool-1",
        "restarts of nightly: 0",
        "nightly has been removed after its time to live",
    ];
    let lines: Vec<_> = said.lines().filter(|line| steps.contains(line)).collect();
    assert_eq!(lines, steps, "{said}");
    let left = kubectl.json(&["get", "jobsets"]);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "urgent");
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
    assert!(
        said.contains("jobset resume js --kubeconfig PATH"),
        "{said}"
    );
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

#[test]
fn kubectl_shows_what_pods_and_nodes_use() {
    let place = Place::new();
    let config = place.path("kubeconfig");
    let Some(kubectl) = Kubectl::find(&place, &config) else {
        return;
    };
    let manifest = place.write(
        "js.json",
        jobset("js", &[("one", "while :; do :; done")], &json!({})).to_string(),
    );
    let mut running = place.start(&["up", "--nodes", "2", "--kubeconfig", "kubeconfig"]);
    running.wait_for("export KUBECONFIG=");
    kubectl.ok(&["apply", "-f", manifest.to_str().unwrap()]);
    let mut shown = String::new();
    // kubectl fails as long as the only Pod has no figures.
    let measured = || {
        let selected = ["top", "pods", "-l", "jobset.sigs.k8s.io/jobset-name=js"];
        let output = kubectl.command(&selected).output().unwrap();
        shown = String::from_utf8(output.stdout).unwrap();
        let cells: Vec<&str> = shown
            .lines()
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        matches!(cells[..], [pod, cpu, memory] if pod.starts_with("js-one-0-0-")
            && cpu != "0m" && cpu.ends_with('m') && memory.ends_with("Mi"))
    };
    assert!(eventually(measured), "{shown}");
    let containers = kubectl.ok(&["top", "pods", "--containers", "--no-headers"]);
    assert_eq!(
        containers.split_whitespace().nth(1),
        Some("main"),
        "{containers}"
    );
    let nodes = kubectl.ok(&["top", "nodes"]);
    let nodes: Vec<Vec<&str>> = nodes
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    assert!(
        nodes[1..]
            .iter()
            .all(|node| node[1].ends_with('m') && node[2].ends_with('%')),
        "{nodes:?}"
    );
    assert!(nodes[1..].iter().any(|node| node[1] == "0m"), "{nodes:?}");
    // The same names mean Pods and Nodes as before.
    let pods = kubectl.ok(&["get", "pods,nodes", "-o", "name"]);
    assert!(
        pods.contains("pod/js-one-0-0-") && pods.contains("node/"),
        "{pods}"
    );
    let table = kubectl.ok(&["get", "pods.metrics.k8s.io"]);
    assert!(
        table.starts_with("NAME") && table.contains("WINDOW"),
        "{table}"
    );
    let resources = kubectl.ok(&["api-resources", "--api-group", "metrics.k8s.io"]);
    assert!(resources.contains("PodMetrics"), "{resources}");
}
