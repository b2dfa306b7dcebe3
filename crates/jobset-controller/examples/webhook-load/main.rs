//! Measures the Pod webhooks over HTTPS: requests per second, then latency at half that load.
//!
//! ```sh
//! cargo build --release -p jobset-controller --example webhook-load
//! taskset -c 1 target/release/examples/webhook-load
//! ```
//!
//! The server is a process of its own, on core 0; the client is this one, on the core it is
//! started on. Each Pod is a follower of an exclusively placed Job; calls of the mutating and the
//! validating webhook alternate, on connections that are kept. In the second part, requests are
//! sent by the clock, and a request that could not be sent in time counts as late.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement, not shipped"
)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobset_api::FeatureGates;
use jobset_controller::admission::Admission;
use jobset_controller::webhook::tls::{HTTP2_AND_HTTP1, TlsSettings};
use jobset_controller::webhook::{Certificates, Hook, Limits, Stats, Webhook};
use jobset_core::placement::{NodeTopology, PlacedPod, PlacementView};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

const CONNECTIONS: u32 = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if std::env::args().nth(1).as_deref() == Some("serve") {
        runtime.block_on(serve());
    } else {
        runtime.block_on(measure());
    }
}

/// A leader on a node for everyone.
struct Placed;

impl PlacementView for Placed {
    fn pods_named(&self, _: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        vec![Arc::new(PlacedPod {
            name: format!("{prefix}-abcde"),
            node: Some("node-7".to_owned()),
            owner_uid: Some("6b1f2f2e-5f0c-4f5e-9a58-a4b5a3f4a111".to_owned()),
            ..PlacedPod::default()
        })]
    }

    fn topology(&self, _: &str, _: &str) -> NodeTopology {
        NodeTopology::Domain("rack-7".to_owned())
    }
}

/// Serves until killed; says where, and with which certificate.
async fn serve() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificates = Certificates::new();
    certificates
        .set(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let tls = TlsSettings::default()
        .server_config(certificates, HTTP2_AND_HTTP1)
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!(
        "{}",
        json!([listener.local_addr().unwrap().to_string(), certificate])
    );
    let admission = Admission::new(FeatureGates::default(), Arc::new(Placed));
    let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(tower::BoxError::from("no API server"))
    });
    let client = kube::Client::new(nobody, "default");
    Webhook::new(
        admission,
        client,
        Arc::new(Stats::default()),
        Limits::default(),
    )
    .serve(listener, tls, CancellationToken::new())
    .await;
}

/// The server process; it ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Processor time used so far, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum()
    }
}

async fn measure() {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("taskset")
        .args(["-c", "0"])
        .arg(program)
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn()
        .expect("taskset");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let server = Server(child);
    let said: (SocketAddr, String) = serde_json::from_str(&line).unwrap();
    let requests = [Hook::MutatePod, Hook::ValidatePod].map(request);
    println!(
        "request: {} bytes of body",
        requests[0].len()
            - requests[0]
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
                .unwrap()
            - 4
    );

    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(connect(said.0, &said.1).await);
    }
    let first = exchange(&mut connections[0], &requests[0]).await;
    println!("answer: {}", String::from_utf8_lossy(&first));

    let (_, connections) = drive(connections, &requests, WARM_UP, None).await;
    let (ticks, begun) = (server.ticks(), Instant::now());
    let (latencies, connections) = drive(connections, &requests, MEASURED, None).await;
    let rate = report("as fast as possible", latencies, begun.elapsed());
    let busy = (server.ticks() - ticks) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    println!(
        "server: {:.0} % of its core, so {:.0} requests/s of one core",
        busy * 100.0,
        rate / busy
    );

    let (ticks, begun) = (server.ticks(), Instant::now());
    let half = Duration::from_secs_f64(f64::from(CONNECTIONS) / (rate / 2.0));
    let (latencies, _) = drive(connections, &requests, MEASURED, Some(half)).await;
    report("at half that load", latencies, begun.elapsed());
    let busy = (server.ticks() - ticks) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    println!("server: {:.0} % of its core", busy * 100.0);
}

/// Prints and returns the rate.
fn report(what: &str, mut latencies: Vec<Duration>, elapsed: Duration) -> f64 {
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let rate = latencies.len() as f64 / elapsed.as_secs_f64();
    println!(
        "{what}: {rate:.0} requests/s, p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    rate
}

/// Sends requests on every connection for a while, back to back or one per `interval`.
async fn drive(
    connections: Vec<TlsStream<TcpStream>>,
    requests: &[Vec<u8>; 2],
    length: Duration,
    interval: Option<Duration>,
) -> (Vec<Duration>, Vec<TlsStream<TcpStream>>) {
    let begun = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(number, mut stream)| {
            let requests = requests.clone();
            // Spread over the interval.
            let offset = interval.unwrap_or_default() * number as u32 / CONNECTIONS;
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(1 << 16);
                for n in 0u32.. {
                    let due = match interval {
                        Some(interval) => {
                            let due = begun + offset + interval * n;
                            tokio::time::sleep_until(due.into()).await;
                            due
                        }
                        None => Instant::now(),
                    };
                    if begun.elapsed() >= length {
                        break;
                    }
                    exchange(&mut stream, &requests[n as usize % 2]).await;
                    latencies.push(due.elapsed());
                }
                (latencies, stream)
            })
        })
        .collect();
    let (mut all, mut streams) = (Vec::new(), Vec::new());
    for task in tasks {
        let (latencies, stream) = task.await.unwrap();
        all.extend(latencies);
        streams.push(stream);
    }
    (all, streams)
}

/// One request and its answer's body, with as little work as possible.
async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::with_capacity(2048);
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        if answer.len() == end + 4 + length {
            return answer.split_off(end + 4);
        }
    }
}

async fn connect(address: SocketAddr, certificate: &str) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

/// The whole request, head and body.
fn request(hook: Hook) -> Vec<u8> {
    // As an API server sends it: without white space.
    let review: Value = serde_json::from_str(include_str!("review.json")).unwrap();
    let body = serde_json::to_vec(&review).unwrap();
    let mut request = format!(
        "POST {}?timeout=10s HTTP/1.1\r\nhost: localhost\r\naccept: application/json, */*\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        hook.path(),
        body.len()
    )
    .into_bytes();
    request.extend(body);
    request
}
