//! One server for all tests, and a kubectl that talks to it from a namespace of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use embedded_apiserver::{ApiServer, Credentials, LogOptions, LogStream, PodLogs, Status};
use futures::StreamExt;
use futures::future::BoxFuture;
use kube::Client;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub(crate) struct Fixture {
    runtime: Runtime,
    server: ApiServer,
    kubectl: OsString,
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Fixture {
    /// A client in process, without kubectl's discovery and start-up time.
    fn client(&self) -> Client {
        let _runtime = self.runtime.enter();
        Client::new(self.server.router(), "default")
    }
}

static FIXTURE: LazyLock<Option<Fixture>> = LazyLock::new(|| {
    let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let found = Command::new(&kubectl)
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        // Written directly, because the test harness captures what the macros print.
        let _ = std::io::stderr().write_all(
            b"\n##########################################################\n\
              # kubectl IS NOT INSTALLED: the tests that run the real\n\
              # kubectl against the server DID NOT RUN. Put it on PATH\n\
              # or name it in the environment variable KUBECTL.\n\
              ##########################################################\n",
        );
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    let runtime = Runtime::new().unwrap();
    let server = ApiServer::builder().pod_logs(Arc::new(Logs)).build();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let credentials = Credentials::generate(address).unwrap();
    credentials
        .write_kubeconfig(&kubeconfig, &format!("https://{address}"))
        .unwrap();
    let serving = server.clone();
    runtime.spawn(async move {
        serving
            .serve(listener, &credentials, CancellationToken::new())
            .await
            .unwrap();
    });
    let fixture = Fixture {
        runtime,
        server,
        kubectl,
        kubeconfig,
        home,
    };
    // The definition is there before any test, so that kubectl's discovery cache knows it.
    let crd = serde_json::to_vec(&widget_definition()).unwrap();
    let bootstrap = Kubectl {
        fixture: &fixture,
        namespace: "default".to_owned(),
    };
    let output = bootstrap.run(&["create", "--validate=false", "-f", "-"], Some(&crd));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(fixture)
});

/// kubectl in a fresh namespace; `None`, loudly, where kubectl is not installed.
pub(crate) fn kubectl(namespace: &str) -> Option<Kubectl<'static>> {
    let fixture = FIXTURE.as_ref()?;
    let kubectl = Kubectl {
        fixture,
        namespace: namespace.to_owned(),
    };
    kubectl.ok_with(
        &["create", "-f", "-"],
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
    );
    Some(kubectl)
}

pub(crate) struct Kubectl<'a> {
    fixture: &'a Fixture,
    namespace: String,
}

impl Kubectl<'_> {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.fixture.kubectl);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.fixture.home.path())
            .env("KUBECACHEDIR", self.fixture.home.path().join("cache"))
            .env("KUBECONFIG", &self.fixture.kubeconfig)
            .arg("--namespace")
            .arg(&self.namespace)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str], input: Option<&[u8]>) -> Output {
        let mut command = self.command(args);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // kubectl may refuse before it has read everything.
            let _ = stdin.write_all(input);
        }
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed, and returns what it prints.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        succeeded(args, self.run(args, None))
    }

    /// The same with an object on standard input.
    pub(crate) fn ok_with(&self, args: &[&str], object: &Value) -> String {
        succeeded(args, self.run(args, Some(object.to_string().as_bytes())))
    }

    /// Runs a command that must fail, and returns what it says.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args, None);
        assert!(!output.status.success(), "{args:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts a command that keeps running.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// Reads one object as JSON.
    pub(crate) fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", what, "-o", "json"])).unwrap()
    }

    /// Writes an object's status as a controller would.
    pub(crate) fn set_status(&self, path: &str, status: &Value) {
        let uri = format!("{path}/status");
        let body = json!({ "status": status }).to_string().into_bytes();
        let request = http::Request::patch(uri)
            .header("content-type", "application/merge-patch+json")
            .body(body)
            .unwrap();
        let client = self.fixture.client();
        self.fixture
            .runtime
            .block_on(client.request::<Value>(request))
            .unwrap();
    }

    /// Creates a Pod and puts it onto a node, running.
    pub(crate) fn running_pod(&self, name: &str, containers: &[&str]) {
        self.ok_with(&["create", "-f", "-"], &pod(name, containers));
        let base = format!("/api/v1/namespaces/{}/pods/{name}", self.namespace);
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Node", "name": "node-1"}});
        let request = http::Request::post(format!("{base}/binding"))
            .header("content-type", "application/json")
            .body(binding.to_string().into_bytes())
            .unwrap();
        let client = self.fixture.client();
        self.fixture
            .runtime
            .block_on(client.request::<Value>(request))
            .unwrap();
        let statuses: Vec<Value> = containers
            .iter()
            .map(|container| {
                json!({"name": container, "ready": true, "restartCount": 0, "image": "busybox:1",
                    "imageID": "", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}})
            })
            .collect();
        self.set_status(
            &base,
            &json!({
                "phase": "Running", "podIP": "127.1.0.1", "startTime": "2026-01-01T00:00:00Z",
                "containerStatuses": statuses,
                "conditions": [{"type": "Ready", "status": "True"}],
            }),
        );
    }
}

fn succeeded(args: &[&str], output: Output) -> String {
    assert!(
        output.status.success(),
        "kubectl {args:?} failed:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A kubectl that keeps running until it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// The next line it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(
            self.lines.read_line(&mut line).unwrap() > 0,
            "kubectl ended"
        );
        line
    }

    /// The next line that contains a text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs that say which container they are of: three lines, and a fourth one when followed.
struct Logs;

impl PodLogs for Logs {
    fn open(
        &self,
        _namespace: &str,
        pod: &str,
        _uid: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, Status>> {
        let container = options.container.unwrap_or_default();
        let run = if options.previous {
            "previous"
        } else {
            "current"
        };
        let mut lines: Vec<String> = (1..=3)
            .map(|n| format!("{pod} {container} {run} line {n}\n"))
            .collect();
        if let Some(tail) = options.tail_lines {
            let skip = lines
                .len()
                .saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
            lines.drain(..skip);
        }
        if options.follow {
            lines.push(format!("{pod} {container} {run} followed\n"));
        }
        let stream = futures::stream::iter(lines.into_iter().map(|l| Ok(Bytes::from(l)))).boxed();
        Box::pin(async move { Ok(stream) })
    }
}

pub(crate) fn pod(name: &str, containers: &[&str]) -> Value {
    let containers: Vec<Value> = containers
        .iter()
        .map(|name| json!({"name": name, "image": "busybox:1"}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "test", "pod": name}},
        "spec": {"containers": containers},
    })
}

pub(crate) fn job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"app": "test"}},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1", "command": ["true"]}],
        }}},
    })
}

pub(crate) fn widget(name: &str, size: i64) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": name, "labels": {"app": "test"}},
        "spec": {"size": size, "parts": [{"name": "a", "value": "1"}]},
    })
}

pub(crate) fn widget_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string",
                     "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object", "description": "A widget, for tests.",
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": {
                            "type": "object", "description": "What is wanted.",
                            "required": ["size"],
                            "properties": {
                                "size": {"type": "integer", "minimum": 1, "description": "How large."},
                                "color": {"type": "string", "default": "red"},
                                "parts": {
                                    "type": "array",
                                    "x-kubernetes-list-type": "map",
                                    "x-kubernetes-list-map-keys": ["name"],
                                    "items": {
                                        "type": "object", "required": ["name"],
                                        "properties": {
                                            "name": {"type": "string"},
                                            "value": {"type": "string"},
                                        },
                                    },
                                },
                            },
                        },
                        "status": {
                            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        },
                    },
                }},
            }],
        },
    })
}
