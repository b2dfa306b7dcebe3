//! Probes and hooks: asking a container how it is, telling it what happens.

use std::fmt::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::runtime::process::Control;

/// While a container has not been ready yet it is asked at least this often.
const EAGER_PERIOD: Duration = Duration::from_secs(1);

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What a probe found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Enough successes in a row.
    Passed,
    /// One failure: the first of a row, the tenth, the hundredth and so on, so that somebody who looks can
    /// tell what has just begun from what does not end.
    Failure(String),
    /// Enough failures in a row.
    Failed,
}

/// Counts results in a row against the thresholds of a probe.
#[derive(Clone, Debug)]
struct Counter {
    success_threshold: u32,
    failure_threshold: u32,
    successes: u32,
    failures: u32,
}

impl Counter {
    fn new(probe: &Probe) -> Self {
        let at_least_one = |value: Option<i32>, default: i32| {
            u32::try_from(value.unwrap_or(default)).unwrap_or(1).max(1)
        };
        Self {
            success_threshold: at_least_one(probe.success_threshold, 1),
            failure_threshold: at_least_one(probe.failure_threshold, 3),
            successes: 0,
            failures: 0,
        }
    }

    fn count(&mut self, result: Result<(), String>) -> Vec<Finding> {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                let passed = self.successes == self.success_threshold;
                if passed {
                    vec![Finding::Passed]
                } else {
                    vec![]
                }
            }
            Err(message) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                let mut findings = Vec::new();
                if is_power_of_ten(self.failures) {
                    findings.push(Finding::Failure(message));
                }
                if self.failures == self.failure_threshold {
                    findings.push(Finding::Failed);
                }
                findings
            }
        }
    }
}

fn is_power_of_ten(mut number: u32) -> bool {
    while number >= 10 && number.is_multiple_of(10) {
        number /= 10;
    }
    number == 1
}

/// Runs all probes of a container for as long as it lives; the caller drops the future at its end.
pub(crate) async fn watch(
    container: &Container,
    control: &Control,
    pod_ip: &str,
    report: impl Fn(ProbeKind, Finding),
) {
    let target = Target {
        container,
        control,
        pod_ip,
    };
    if let Some(probe) = &container.startup_probe {
        target.repeat(probe, ProbeKind::Startup, &report).await;
    }
    let liveness = async {
        if let Some(probe) = &container.liveness_probe {
            target.repeat(probe, ProbeKind::Liveness, &report).await;
        }
    };
    let readiness = async {
        if let Some(probe) = &container.readiness_probe {
            target.repeat(probe, ProbeKind::Readiness, &report).await;
        }
    };
    tokio::join!(liveness, readiness);
}

/// Runs a `postStart` or `preStop` handler to its end.
pub(crate) async fn hook(
    handler: &LifecycleHandler,
    container: &Container,
    control: &Control,
    pod_ip: &str,
    limit: Duration,
) -> Result<(), String> {
    let target = Target {
        container,
        control,
        pod_ip,
    };
    if let Some(action) = &handler.sleep {
        sleep(seconds(Some(i32::try_from(action.seconds).unwrap_or(i32::MAX)), 0).min(limit)).await;
        Ok(())
    } else if let Some(action) = &handler.exec {
        target.exec(action, limit).await
    } else if let Some(action) = &handler.http_get {
        target.limited(limit, target.http(action)).await
    } else if let Some(action) = &handler.tcp_socket {
        target.limited(limit, target.tcp(action)).await
    } else {
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Target<'a> {
    container: &'a Container,
    control: &'a Control,
    pod_ip: &'a str,
}

impl Target<'_> {
    async fn repeat(self, probe: &Probe, kind: ProbeKind, report: &impl Fn(ProbeKind, Finding)) {
        sleep(seconds(probe.initial_delay_seconds, 0)).await;
        let mut counter = Counter::new(probe);
        let period = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
        let mut was_ready = false;
        loop {
            for finding in counter.count(self.once(probe).await) {
                let passed = finding == Finding::Passed;
                let over = matches!(
                    (kind, &finding),
                    (ProbeKind::Startup, Finding::Passed | Finding::Failed)
                        | (ProbeKind::Liveness, Finding::Failed)
                );
                was_ready |= passed;
                report(kind, finding);
                if over {
                    return;
                }
            }
            let eager = kind == ProbeKind::Readiness && !was_ready;
            sleep(if eager {
                period.min(EAGER_PERIOD)
            } else {
                period
            })
            .await;
        }
    }

    async fn once(self, probe: &Probe) -> Result<(), String> {
        let limit = seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1));
        if let Some(action) = &probe.exec {
            self.exec(action, limit).await
        } else if let Some(action) = &probe.http_get {
            self.limited(limit, self.http(action)).await
        } else if let Some(action) = &probe.tcp_socket {
            self.limited(limit, self.tcp(action)).await
        } else if probe.grpc.is_some() {
            Err("the process runtime has no grpc probes; use exec, httpGet or tcpSocket".to_owned())
        } else {
            Err("the probe has no action".to_owned())
        }
    }

    async fn limited(
        self,
        limit: Duration,
        action: impl Future<Output = Result<(), String>>,
    ) -> Result<(), String> {
        timeout(limit, action)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
    }

    async fn exec(self, action: &ExecAction, limit: Duration) -> Result<(), String> {
        let result = self
            .control
            .exec(action.command.clone().unwrap_or_default(), limit)
            .await;
        match result.code {
            Some(0) => Ok(()),
            Some(code) => Err(format!("exit code {code}: {}", result.output.trim_end())),
            None => Err(format!("not done within {} s", limit.as_secs())),
        }
    }

    async fn tcp(self, action: &TCPSocketAction) -> Result<(), String> {
        let port = self.port(&action.port)?;
        let host = action
            .host
            .as_deref()
            .filter(|h| !h.is_empty())
            .unwrap_or(self.pod_ip);
        let connected = TcpStream::connect((host, port)).await;
        connected
            .map(|_| ())
            .map_err(|e| format!("dial tcp {host}:{port}: {e}"))
    }

    async fn http(self, action: &HTTPGetAction) -> Result<(), String> {
        if action
            .scheme
            .as_deref()
            .is_some_and(|s| s.eq_ignore_ascii_case("HTTPS"))
        {
            return Err(
                "the process runtime has no HTTPS probes; use HTTP, exec or tcpSocket".to_owned(),
            );
        }
        let port = self.port(&action.port)?;
        let host = action
            .host
            .as_deref()
            .filter(|h| !h.is_empty())
            .unwrap_or(self.pod_ip);
        let path = action
            .path
            .as_deref()
            .filter(|p| !p.is_empty())
            .unwrap_or("/");
        let status = http_status(host, port, &http_request(action, host, port, path)).await;
        match status.map_err(|e| format!("Get http://{host}:{port}{path}: {e}"))? {
            200..400 => Ok(()),
            status => Err(format!("HTTP probe failed with statuscode: {status}")),
        }
    }

    fn port(self, port: &IntOrString) -> Result<u16, String> {
        match port {
            IntOrString::Int(n) => u16::try_from(*n).map_err(|_| format!("invalid port {n}")),
            IntOrString::String(name) => {
                let ports = self.container.ports.iter().flatten();
                let named = ports.filter(|p| p.name.as_deref() == Some(name));
                let number = named.map(|p| p.container_port).next();
                let number = number.or_else(|| name.parse().ok());
                number
                    .and_then(|n| u16::try_from(n).ok())
                    .ok_or_else(|| format!("no port named {name:?}"))
            }
        }
    }
}

fn http_request(action: &HTTPGetAction, host: &str, port: u16, path: &str) -> String {
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let headers = action.http_headers.as_deref().unwrap_or_default();
    let clean = |text: &str| text.replace(['\r', '\n'], " ");
    let mut request = format!("GET {} HTTP/1.1\r\n", clean(&path));
    if !headers.iter().any(|h| h.name.eq_ignore_ascii_case("host")) {
        let _ = write!(request, "Host: {host}:{port}\r\n");
    }
    for header in headers {
        let (name, value) = (clean(&header.name), clean(&header.value));
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("User-Agent: kube-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    request
}

async fn http_status(host: &str, port: u16, request: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|l| l.split_ascii_whitespace().nth(1));
    status
        .and_then(|s| s.parse().ok())
        .ok_or_else(|| std::io::Error::other("the answer is not HTTP/1"))
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.map_or(default, |v| u64::try_from(v).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn probe(value: serde_json::Value) -> Probe {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        let mut c = Counter::new(&probe(
            json!({"successThreshold": 2, "failureThreshold": 2}),
        ));
        let bad = || Err("x".to_owned());
        assert_eq!(c.count(Ok(())), []);
        assert_eq!(c.count(bad()), [Finding::Failure("x".to_owned())]);
        assert_eq!(c.count(Ok(())), []);
        assert_eq!(c.count(Ok(())), [Finding::Passed]);
        assert_eq!(c.count(Ok(())), []);
        assert_eq!(c.count(bad()).len(), 1);
        assert_eq!(c.count(bad()), [Finding::Failed]);
        assert_eq!(c.count(bad()), []);
    }

    #[test]
    fn failures_that_do_not_end_are_told_again_ever_more_rarely() {
        let mut c = Counter::new(&probe(json!({})));
        let told: Vec<u32> = (1..=1000)
            .filter(|_| {
                let findings = c.count(Err("x".to_owned()));
                findings.contains(&Finding::Failure("x".to_owned()))
            })
            .collect();
        assert_eq!(told, [1, 10, 100, 1000]);
        assert_eq!(c.count(Ok(())), [Finding::Passed]);
        assert_eq!(c.count(Err("y".to_owned())).len(), 1, "a new row");
    }

    #[tokio::test]
    async fn http_and_tcp_probes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for status in [200, 503] {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                assert_eq!(line, "GET /ok HTTP/1.1\r\n");
                let answer = format!("HTTP/1.1 {status} X\r\n\r\n");
                stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            }
            let _ = listener.accept().await;
        });
        let container: Container = serde_json::from_value(
            json!({"name": "c", "ports": [{"name": "web", "containerPort": port}]}),
        )
        .unwrap();
        let (control, _requests) = Control::new();
        let target = Target {
            container: &container,
            control: &control,
            pod_ip: "127.0.0.1",
        };
        let http = probe(json!({"httpGet": {"path": "/ok", "port": "web"}}));
        assert_eq!(target.once(&http).await, Ok(()));
        assert!(target.once(&http).await.unwrap_err().contains("503"));
        assert_eq!(
            target
                .once(&probe(json!({"tcpSocket": {"port": port}})))
                .await,
            Ok(())
        );
        let grpc = probe(json!({"grpc": {"port": 1}}));
        assert!(target.once(&grpc).await.unwrap_err().contains("grpc"));
        assert!(
            target
                .once(&probe(json!({"tcpSocket": {"port": "no"}})))
                .await
                .is_err()
        );
    }
}
