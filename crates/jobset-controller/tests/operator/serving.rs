//! What the process answers: probes and metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::Cluster;
use crate::replica::Replica;

const ALONE: &[&str] = &["--leader-elect=false"];

/// Status and body of a request over this connection.
pub(crate) async fn get<S>(stream: S, path: &str, token: &str) -> (u16, String)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().uri(path).header("host", "localhost");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) async fn probe(address: &str, path: &str) -> (u16, String) {
    get(TcpStream::connect(address).await.unwrap(), path, "").await
}

async fn metrics(address: &str, token: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut config = trusting();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    get(stream, "/metrics", token).await
}

/// Believes what the server shows.
pub(crate) fn trusting() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(crate::certificates::Any(provider)))
        .with_no_client_auth()
}

/// The value of a series.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    let Some(value) = line else {
        panic!("no {series} in\n{page}");
    };
    value.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_of_a_working_process() {
    let cluster = Cluster::start().await;
    let config = cluster.configuration("extensions: {webhooks: false}\n");
    let config = format!("--config={}", config.display());
    let mut replica = Replica::start(&cluster.kubeconfig("only"), &[ALONE, &[&config]].concat());
    let probes = replica.address("probes").await;
    assert_eq!(probe(&probes, "/healthz").await, (200, "ok".to_owned()));
    assert_eq!(probe(&probes, "/readyz").await, (200, "ok".to_owned()));
    assert_eq!(probe(&probes, "/metrics").await.0, 404);

    cluster.create_jobset("js", 3).await;
    cluster.wait_for_jobs(3).await;
    let address = replica.address("metrics").await;
    for (token, status) in [("", 401), ("nobody", 401), ("other", 403)] {
        assert_eq!(metrics(&address, token).await.0, status, "{token}");
    }
    let start = Instant::now();
    let page = loop {
        let (status, page) = metrics(&address, "reader").await;
        assert_eq!(status, 200, "{page}");
        if value(&page, "jobset_jobs_created_seconds_count ") >= 1.0 {
            break page;
        }
        assert!(start.elapsed() < crate::cluster::PATIENCE, "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(
        value(
            &page,
            "jobset_api_requests_total{verb=\"create\",resource=\"jobs\"} "
        ) >= 3.0
    );
    assert!(
        value(
            &page,
            "jobset_controller_operations_total{kind=\"creates\"} "
        ) >= 3.0
    );
    let reconciles = "controller_runtime_reconcile_time_seconds_count{controller=\"jobset\"} ";
    assert!(value(&page, reconciles) >= 1.0);
    assert!(
        value(
            &page,
            "workqueue_adds_total{name=\"jobset\",controller=\"jobset\"} "
        ) >= 1.0
    );
    let depth = "workqueue_depth{name=\"jobset\",controller=\"jobset\",priority=\"0\"} ";
    assert!(value(&page, depth) >= 0.0);
    let workers = "controller_runtime_max_concurrent_reconciles{controller=\"jobset\"} ";
    assert!((value(&page, workers) - 16.0).abs() < 1e-9);
    assert!(value(&page, "process_resident_memory_bytes ") > 0.0);
    assert!(page.contains("rest_client_requests_total{code=\"201\",method=\"POST\",host=\"127."));
    assert!(!page.contains("leader_election_master_status"));

    replica.signal(Signal::SIGTERM);
    assert!(replica.ended().await.success(), "{}", replica.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_off_does_not_listen() {
    let cluster = Cluster::start().await;
    let config = cluster.configuration("extensions: {webhooks: false}\n");
    let config = format!("--config={}", config.display());
    let off = [
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
        &config,
    ];
    let replica = Replica::start(&cluster.kubeconfig("only"), &[ALONE, &off].concat());
    replica.logged("caches are complete").await;
    assert!(
        replica
            .find(|line| line["msg"].as_str().unwrap_or("").starts_with("listening"))
            .is_none()
    );
}

/// Alive from the start, ready when the certificates are there.
#[tokio::test(flavor = "multi_thread")]
async fn without_certificates_it_is_alive_and_works_but_is_not_ready() {
    let cluster = Cluster::start().await;
    let config = cluster.configuration("webhook: {host: 127.0.0.1, port: 0}\n");
    let config = format!("--config={}", config.display());
    let replica = Replica::start(&cluster.kubeconfig("only"), &[ALONE, &[&config]].concat());
    let probes = replica.address("probes").await;
    assert_eq!(probe(&probes, "/healthz").await.0, 200);
    let (status, body) = probe(&probes, "/readyz").await;
    assert_eq!(status, 500);
    assert!(body.starts_with("[-]readyz failed"), "{body}");
    let why = probe(&probes, "/readyz/readyz").await.1;
    assert!(why.contains("certificates are not ready"), "{why}");
    let missing = |line: &serde_json::Value| {
        line["error"]
            .as_str()
            .unwrap_or("")
            .contains("does not exist")
    };
    crate::cluster::eventually("a word about the Secret", async || {
        replica.find(missing).is_some()
    })
    .await;
    cluster.create_jobset("js", 2).await;
    cluster.wait_for_jobs(2).await;
}
