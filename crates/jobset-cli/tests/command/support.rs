//! Running the command in a place of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for anything on a busy machine; only a hang takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A directory for a test's files, and another for the temporary files of the command.
pub(crate) struct Place {
    files: TempDir,
    temporary: TempDir,
}

/// How the command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "{self:#?}");
        self
    }

    /// Standard output as the one JSON document it must be.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            files: TempDir::new().unwrap(),
            temporary: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes a file of the test.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The command, to be run among the files.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jobset"));
        command
            .args(arguments)
            .current_dir(self.files.path())
            .env("TMPDIR", self.temporary.path())
            .env_remove("NO_COLOR")
            .env_remove("JOBSET_LOG")
            .env_remove("KUBECONFIG")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Ended {
        self.start(arguments).wait()
    }

    /// Runs the command to its end with a text on its standard input.
    pub(crate) fn run_with_input<I: AsRef<OsStr>>(&self, arguments: &[I], input: &str) -> Ended {
        run_with_input(self.command(arguments), input)
    }

    /// Starts the command.
    pub(crate) fn start<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Temporary files that the command has left, once it had time to remove them.
    pub(crate) fn temporary_files(&self) -> Vec<PathBuf> {
        let list = || -> Vec<PathBuf> {
            fs::read_dir(self.temporary.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect()
        };
        eventually(|| list().is_empty());
        list()
    }

    pub(crate) fn temporary_directory(&self) -> &Path {
        self.temporary.path()
    }
}

fn run_with_input(mut command: Command, input: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    Running::new(child).wait()
}

/// The command while it runs. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Starts the command, changed or not.
    pub(crate) fn start(mut command: Command) -> Self {
        Self::new(command.spawn().unwrap())
    }

    fn new(mut child: Child) -> Self {
        Self {
            stdout: Stream::collect(child.stdout.take().unwrap()),
            stderr: Stream::collect(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits until standard output or standard error holds a text, and returns both.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> (String, String) {
        let started = Instant::now();
        loop {
            let seen = (self.stdout.text(), self.stderr.text());
            if seen.0.contains(text) || seen.1.contains(text) {
                return seen;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "{text:?} did not appear; ended: {ended:?}; {seen:#?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        let mut status = None;
        eventually(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let Some(status) = status else {
            let text = (self.stdout.text(), self.stderr.text());
            panic!("the command did not end: {text:#?}");
        };
        Ended {
            status,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster with JobSets in it that other commands talk to. It ends when this is dropped.
pub(crate) struct Cluster {
    place: Place,
    running: Running,
}

impl Cluster {
    /// Runs these JobSets with `jobset run --keep` and what else is given.
    pub(crate) fn of(jobsets: &[Value], more: &[&str]) -> Self {
        let place = Place::new();
        let manifests: Vec<String> = jobsets.iter().map(Value::to_string).collect();
        place.write("jobsets.yaml", manifests.join("\n---\n"));
        let mut arguments = vec![
            "run",
            "jobsets.yaml",
            "--keep",
            "--kubeconfig",
            "kubeconfig",
        ];
        arguments.extend(more);
        let running = place.start(&arguments);
        let cluster = Self { place, running };
        let count = jobsets.len();
        cluster.until(&["list", "-o", "json"], |ended| {
            let list = serde_json::from_str::<Value>(&ended.stdout).unwrap_or_default();
            list["jobsets"].as_array().map(Vec::len) == Some(count)
        });
        cluster
    }

    /// `jobset up` with what else is given; its objects are kept, so that it can be started again.
    pub(crate) fn up(more: &[&str]) -> Self {
        let place = Place::new();
        let running = Self::start_up(&place, more);
        Self { place, running }
    }

    fn start_up(place: &Place, more: &[&str]) -> Running {
        let mut arguments = vec!["up", "--kubeconfig", "kubeconfig", "--data-dir", "data"];
        arguments.extend(more);
        let mut running = place.start(&arguments);
        running.wait_for("export KUBECONFIG=");
        running
    }

    /// Kills `jobset up`.
    pub(crate) fn kill(&mut self) {
        self.running.signal(Signal::SIGKILL);
        let ended = eventually(|| self.running.child.try_wait().unwrap().is_some());
        assert!(ended, "it was killed");
    }

    /// Starts `jobset up` again, with another port and another token.
    pub(crate) fn up_again(&mut self, more: &[&str]) {
        self.running = Self::start_up(&self.place, more);
    }

    /// A command that finds this cluster.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("KUBECONFIG", "kubeconfig");
        command
    }

    /// Starts a command that finds this cluster.
    pub(crate) fn start<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Running {
        Running::start(self.command(arguments))
    }

    /// Runs it to its end.
    pub(crate) fn run<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Ended {
        self.start(arguments).wait()
    }

    /// Runs it to its end with a text on its standard input.
    pub(crate) fn run_with_input<I: AsRef<OsStr>>(&self, arguments: &[I], input: &str) -> Ended {
        run_with_input(self.command(arguments), input)
    }

    /// Sends a request to the API and returns the answer.
    #[track_caller]
    fn ask(&self, request: http::Request<Vec<u8>>) -> Value {
        let config = kube::config::Kubeconfig::read_from(self.place.path("kubeconfig")).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let config = kube::Config::from_custom_kubeconfig(config, &options)
                .await
                .unwrap();
            let client = kube::Client::try_from(config).unwrap();
            client.request::<Value>(request).await.unwrap()
        })
    }

    /// Reads an object.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask(http::Request::get(path).body(Vec::new()).unwrap())
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str) {
        self.ask(http::Request::delete(path).body(Vec::new()).unwrap());
    }

    /// Creates an object in a collection.
    pub(crate) fn create(&self, collection: &str, object: &Value) -> Value {
        let request = http::Request::post(collection)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(object).unwrap());
        self.ask(request.unwrap())
    }

    /// Changes an object by a JSON patch.
    pub(crate) fn patch(&self, path: &str, patch: Vec<u8>) {
        let request =
            http::Request::patch(path).header("content-type", "application/json-patch+json");
        self.ask(request.body(patch).unwrap());
    }

    /// Has the cluster serve a kind that other software brings along.
    pub(crate) fn serve_kind(&self, group: &str, version: &str, kind: &str, plural: &str) {
        let schema =
            serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}"), "annotations": {
                "api-approved.kubernetes.io": "unapproved, a test"}},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": version, "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema}}],
            },
        });
        self.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        );
        let path = format!("apis/{group}/{version}");
        assert!(
            eventually(|| self.get("/apis").to_string().contains(group)),
            "{path}"
        );
    }

    /// Runs it again and again until its end is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, arguments: &[&str], wanted: impl Fn(&Ended) -> bool) -> Ended {
        let mut last = None;
        let reached = eventually(|| wanted(last.insert(self.run(arguments))));
        assert!(reached, "{arguments:?}: {last:#?}");
        last.unwrap()
    }
}

/// Everything that one stream of the command has carried so far.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn collect(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = source.read(&mut chunk) {
                target.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// The whole text, once every process that could add to it has closed it.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}

/// Asks until the answer is yes, or patience ends; the last answer.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The manifest of a JobSet with one role per script. Each role has one Job with one Pod, which
/// runs the script in a shell; `spec` is added to the JobSet's spec.
pub(crate) fn jobset(name: &str, roles: &[(&str, &str)], spec: &Value) -> Value {
    let jobs: Vec<Value> = roles
        .iter()
        .map(|(role, script)| {
            serde_json::json!({"name": role, "template": {"spec": {
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{
                    "name": "main", "image": "busybox", "command": ["sh", "-c", script],
                }]}},
            }}})
        })
        .collect();
    let mut manifest = serde_json::json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": jobs},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        manifest["spec"][key] = value.clone();
    }
    manifest
}

/// How often a Pod of this short name has said something.
pub(crate) fn said(ended: &Ended, pod: &str, text: &str) -> usize {
    let lines = ended.stderr.lines();
    lines
        .filter_map(|line| line.split_once('│'))
        .filter(|(name, said)| name.trim_end() == pod && *said == format!(" {text}"))
        .count()
}

/// Whether the machine has what a test needs; says so loudly if not.
pub(crate) fn has(program: &str) -> bool {
    has_version(program, "--version")
}

/// The same, where another flag asks for the version.
pub(crate) fn has_version(program: &str, flag: &str) -> bool {
    let found = Command::new(program).arg(flag).output().is_ok();
    if !found {
        missing(program);
    }
    found
}

/// Says that a test does not run because the machine lacks something.
pub(crate) fn missing(what: &str) {
    // Written directly, because the test harness captures what the macros print.
    let _ = writeln!(
        std::io::stderr(),
        "\n### {what} IS NOT INSTALLED: a test that needs it DID NOT RUN ###"
    );
}
