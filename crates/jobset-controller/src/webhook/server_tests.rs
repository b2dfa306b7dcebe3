//! Tests of [`super`]: HTTPS over loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::testing::{Answer, Seen, client, refusal};
use crate::webhook::certificates::{CERTIFICATE_FILE, Certificates, KEY_FILE};
use crate::webhook::probe;
use crate::webhook::testing::{admission, exclusive_pod, self_signed};
use crate::webhook::tls::{HTTP2_AND_HTTP1, TlsSettings};

/// More than any step takes on a machine that is alive.
const PATIENCE: Duration = Duration::from_mins(1);

struct Server {
    address: SocketAddr,
    stats: Arc<Stats>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn start_with(certificates: Arc<Certificates>, limits: Limits, client: Client) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = TlsSettings::default()
        .server_config(certificates, HTTP2_AND_HTTP1)
        .unwrap();
    let (stats, shutdown) = (Arc::new(Stats::default()), CancellationToken::new());
    let webhook = Webhook::new(admission(), client, stats.clone(), limits);
    let task = tokio::spawn(webhook.serve(listener, tls, shutdown.clone()));
    Server {
        address,
        stats,
        shutdown,
        task,
    }
}

/// A server, and the certificate to trust.
async fn start(limits: Limits) -> (Server, String) {
    let (certificate, key) = self_signed("localhost");
    let certificates = Certificates::new();
    certificates
        .set(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let (client, _) = client(|_| refusal(404, "NotFound", "no claims here"));
    (start_with(certificates, limits, client).await, certificate)
}

async fn connect(
    address: SocketAddr,
    trusted: &str,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    Ok(stream)
}

/// A connection that requests can be sent on.
enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn http1(address: SocketAddr, trusted: &str) -> Self {
        let stream = connect(address, trusted, b"http/1.1").await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    async fn http2(address: SocketAddr, trusted: &str) -> Self {
        let stream = connect(address, trusted, b"h2").await.unwrap();
        let (io, executor) = (TokioIo::new(stream), TokioExecutor::new());
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, io)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    async fn try_post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let request = Request::post(format!("https://localhost{path}"))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = match self {
            Self::Http1(sender) => sender.send_request(request).await?,
            Self::Http2(sender) => sender.send_request(request).await?,
        };
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// The response in the review that is answered.
    async fn ask(&mut self, hook: Hook, request: &Value) -> Value {
        let body = serde_json::to_vec(request).unwrap();
        self.response(hook, "application/json", body).await
    }

    async fn response(&mut self, hook: Hook, content_type: &str, body: Vec<u8>) -> Value {
        let answer = self.try_post(hook.path(), content_type, body);
        let (status, body) = timeout(PATIENCE, answer).await.unwrap().unwrap();
        assert_eq!(status, StatusCode::OK);
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].take()
    }
}

fn created(uid: &str, object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
           "request": {"uid": uid, "operation": "CREATE", "namespace": "ns", "object": object}})
}

fn jobset() -> Value {
    json!({"metadata": {"name": "js"}, "spec": {"replicatedJobs": [{"name": "a", "template":
        {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}}]}})
}

fn defaulted() -> Value {
    let mut jobset = jobset();
    admission().default_jobset(&mut jobset);
    jobset
}

fn with_claim() -> Value {
    let mut jobset = defaulted();
    jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
        ["volumeMounts"] = json!([{"name": "data", "mountPath": "/d"}]);
    jobset["spec"]["volumeClaimPolicies"] = json!([{
        "templates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        "retentionPolicy": {"whenDeleted": "Delete"},
    }]);
    jobset
}

const POD: fn() -> Value = || json!({"metadata": {"name": "p"}, "spec": {"containers": []}});

#[tokio::test]
async fn every_path_over_both_protocols() {
    let (server, trusted) = start(Limits::default()).await;
    let senders = [
        Sender::http1(server.address, &trusted).await,
        Sender::http2(server.address, &trusted).await,
    ];
    for mut sender in senders {
        let mutated = sender
            .ask(Hook::MutateJobSet, &created("1", &jobset()))
            .await;
        assert_eq!(
            (&mutated["uid"], &mutated["allowed"]),
            (&json!("1"), &json!(true))
        );
        assert_eq!(mutated["patchType"], "JSONPatch");
        let patch = mutated["patch"].as_str().unwrap();
        let patch = base64::engine::general_purpose::STANDARD
            .decode(patch)
            .unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        let mut patched = jobset();
        json_patch::patch(&mut patched, &patch).unwrap();
        assert_eq!(patched, defaulted());

        let allowed = sender
            .ask(Hook::ValidateJobSet, &created("2", &defaulted()))
            .await;
        assert_eq!(
            allowed,
            json!({"uid": "2", "allowed": true, "status": {"code": 200}})
        );
        let mut bad = defaulted();
        bad["spec"]["managedBy"] = "x".into();
        let refused = sender.ask(Hook::ValidateJobSet, &created("3", &bad)).await;
        assert_eq!(
            (&refused["uid"], &refused["allowed"]),
            (&json!("3"), &json!(false))
        );
        assert_eq!(refused["status"]["code"], 422);
        assert_eq!(
            refused["status"]["details"]["causes"][0]["field"],
            "spec.managedBy"
        );

        for hook in [Hook::MutatePod, Hook::ValidatePod] {
            let pod = sender.ask(hook, &created("4", &POD())).await;
            assert_eq!(
                pod,
                json!({"uid": "4", "allowed": true, "status": {"code": 200}})
            );
        }
        for path in ["/", "/mutate", "/mutate--v1-pod/", "/healthz"] {
            let answer = sender
                .try_post(path, "application/json", b"{}".to_vec())
                .await;
            assert_eq!(answer.unwrap().0, StatusCode::NOT_FOUND, "{path}");
        }
    }
    let requests = server.stats.requests();
    assert_eq!(requests[&(Hook::MutateJobSet.path(), 200)], 2);
    assert_eq!(requests[&(Hook::ValidateJobSet.path(), 200)], 4);
    assert_eq!(requests[&(Hook::MutatePod.path(), 500)], 0);
    assert_eq!(
        server.stats.latency()[Hook::MutatePod.path()].buckets[12].1,
        2
    );
    assert!(server.stats.in_flight().values().all(|count| *count == 0));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_review_is_answered_and_the_connection_goes_on() {
    let (server, trusted) = start(Limits::default()).await;
    let mut sender = Sender::http1(server.address, &trusted).await;
    let good = serde_json::to_vec(&created("1", &POD())).unwrap();
    for (content_type, body) in [
        ("application/json", b"".to_vec()),
        ("application/json", b"{\"request\":".to_vec()),
        ("application/json", vec![0xff; 1000]),
        ("application/yaml", good),
    ] {
        let response = sender.response(Hook::MutatePod, content_type, body).await;
        assert_eq!(response["allowed"], false);
        assert_eq!(response["status"]["code"], 400);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_and_counted() {
    let (server, trusted) = start(Limits::default()).await;
    let mut sender = Sender::http1(server.address, &trusted).await;
    let pod = exclusive_pod("panic", "workers", "1");
    let refused = sender.ask(Hook::MutatePod, &created("9", &pod)).await;
    assert_eq!(
        (&refused["uid"], &refused["allowed"]),
        (&json!("9"), &json!(false))
    );
    assert_eq!(refused["status"]["code"], 500);
    assert_eq!(server.stats.panics(), 1);
    let follower = exclusive_pod("js", "there", "1");
    let placed = sender.ask(Hook::MutatePod, &created("10", &follower)).await;
    assert_eq!(placed["patchType"], "JSONPatch");
    assert_eq!(server.stats.panics(), 1);
    server.stop().await;
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let (server, trusted) = start(Limits::default()).await;
    let mut padded = serde_json::to_vec(&created("1", &POD())).unwrap();
    padded.resize(MAX_BODY, b' ');
    for mut sender in [
        Sender::http1(server.address, &trusted).await,
        Sender::http2(server.address, &trusted).await,
    ] {
        let whole = sender
            .response(Hook::MutatePod, "application/json", padded.clone())
            .await;
        assert_eq!(whole["allowed"], true);
        let mut longer = padded.clone();
        longer.push(b' ');
        let refused = sender
            .response(Hook::MutatePod, "application/json", longer)
            .await;
        assert_eq!(refused["allowed"], false);
        assert_eq!(refused["status"]["code"], 413);
        let pod = sender.ask(Hook::MutatePod, &created("2", &POD())).await;
        assert_eq!(pod["allowed"], true);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = Limits {
        request: Duration::from_millis(100),
        ..Limits::default()
    };
    let (server, trusted) = start(limits).await;
    let mut stream = connect(server.address, &trusted, b"http/1.1")
        .await
        .unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"requ",
        Hook::MutatePod.path()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // To the end: the server closes the connection. It may do so without saying goodbye.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(server.stats.requests()[&(Hook::MutatePod.path(), 408)], 1);
    server.stop().await;
}

#[tokio::test]
async fn stuck_clients_do_not_keep_others_out() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (server, trusted) = start(limits).await;
    let mut stuck = Vec::new();
    for n in 0..6 {
        let mut stream = connect(server.address, &trusted, b"http/1.1")
            .await
            .unwrap();
        if n % 2 == 0 {
            let head = format!(
                "POST {} HTTP/1.1\r\ncontent-length: 9\r\n\r\n{{",
                Hook::MutatePod.path()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
        }
        stuck.push(stream);
    }
    let mut sender = Sender::http1(server.address, &trusted).await;
    let pod = sender.ask(Hook::MutatePod, &created("1", &POD())).await;
    assert_eq!(pod["allowed"], true);
    assert_eq!(server.stats.evictions(), 5);
    // The first has been cut off.
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stuck[0].read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"");
    server.stop().await;
}

#[tokio::test]
async fn many_at_once() {
    let (server, trusted) = start(Limits::default()).await;
    let mut clients = Vec::new();
    for client in 0..8 {
        let (address, trusted) = (server.address, trusted.clone());
        clients.push(tokio::spawn(async move {
            let mut sender = match client % 2 {
                0 => Sender::http1(address, &trusted).await,
                _ => Sender::http2(address, &trusted).await,
            };
            for n in 0..25 {
                let uid = format!("{client}-{n}");
                let mut bad = defaulted();
                bad["metadata"]["name"] = format!("js-{uid}").into();
                bad["spec"]["managedBy"] = "x".into();
                let refused = sender.ask(Hook::ValidateJobSet, &created(&uid, &bad)).await;
                assert_eq!(refused["uid"], uid);
                assert_eq!(refused["status"]["details"]["name"], format!("js-{uid}"));
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(
        server.stats.requests()[&(Hook::ValidateJobSet.path(), 200)],
        200
    );
    server.stop().await;
}

#[tokio::test]
async fn claims_are_looked_up_through_the_client() {
    let (certificate, key) = self_signed("localhost");
    let certificates = Certificates::new();
    certificates
        .set(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let (client, log) =
        client(|_| Answer::Json(200, json!({"spec": {"accessModes": ["ReadWriteOnce"]}})));
    let server = start_with(certificates, Limits::default(), client).await;
    let mut sender = Sender::http1(server.address, &certificate).await;
    sender
        .ask(Hook::ValidateJobSet, &created("1", &defaulted()))
        .await;
    sender
        .ask(Hook::MutateJobSet, &created("1", &with_claim()))
        .await;
    assert!(log.lock().unwrap().is_empty());
    let refused = sender
        .ask(Hook::ValidateJobSet, &created("1", &with_claim()))
        .await;
    let field = &refused["status"]["details"]["causes"][0]["field"];
    assert_eq!(
        field,
        "spec.volumeClaimPolicies[0].retentionPolicy.whenDeleted"
    );
    let lines: Vec<_> = log.lock().unwrap().iter().map(Seen::line).collect();
    assert_eq!(
        lines,
        ["GET /api/v1/namespaces/ns/persistentvolumeclaims/data-js"]
    );
    server.stop().await;
}

#[tokio::test]
async fn requests_that_run_at_the_shutdown_are_answered() {
    let (certificate, key) = self_signed("localhost");
    let certificates = Certificates::new();
    certificates
        .set(certificate.as_bytes(), key.as_bytes())
        .unwrap();
    let (asked, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (was_asked, released) = (asked.clone(), release.clone());
    let slow = tower::service_fn(move |_: Request<kube::client::Body>| {
        let (asked, release) = (asked.clone(), release.clone());
        async move {
            asked.notify_one();
            release.notified().await;
            let body = kube::client::Body::from(b"{}".to_vec());
            let response = Response::builder().status(404).body(body).unwrap();
            Ok::<_, tower::BoxError>(response)
        }
    });
    let limits = Limits {
        request: PATIENCE,
        drain: PATIENCE,
        ..Limits::default()
    };
    let server = start_with(certificates, limits, Client::new(slow, "default")).await;
    let address = server.address;
    let mut sender = Sender::http1(address, &certificate).await;
    let running = tokio::spawn(async move {
        sender
            .ask(Hook::ValidateJobSet, &created("1", &with_claim()))
            .await
    });
    timeout(PATIENCE, was_asked.notified()).await.unwrap();
    server.shutdown.cancel();
    released.notify_one();
    assert_eq!(running.await.unwrap()["allowed"], true);
    server.stop().await;
    assert!(probe::dial(address).await.is_err());
}

fn write_pair(directory: &Path, certificate: &str, key: &str) {
    fs::write(directory.join(CERTIFICATE_FILE), certificate).unwrap();
    fs::write(directory.join(KEY_FILE), key).unwrap();
}

/// Waits for a condition.
async fn until(what: impl AsyncFn() -> bool) {
    let met = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, met).await.unwrap();
}

#[tokio::test]
async fn certificates_are_replaced_while_serving() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let (client, _) = client(|_| refusal(404, "NotFound", "no claims here"));
    let server = start_with(certificates.clone(), Limits::default(), client).await;
    let following = tokio::spawn(certificates.clone().follow(
        directory.path().to_owned(),
        Duration::from_millis(10),
        server.shutdown.clone(),
    ));
    // Without a certificate there is no handshake, and the server is not ready.
    assert!(probe::dial(server.address).await.is_err());
    assert!(!certificates.is_ready());

    let (first, first_key) = self_signed("localhost");
    write_pair(directory.path(), &first, &first_key);
    until(async || certificates.is_ready()).await;
    probe::dial(server.address).await.unwrap();
    let mut old = Sender::http1(server.address, &first).await;
    old.ask(Hook::MutatePod, &created("1", &POD())).await;

    let (second, second_key) = self_signed("localhost");
    write_pair(directory.path(), &second, &second_key);
    until(async || connect(server.address, &second, b"h2").await.is_ok()).await;
    assert!(connect(server.address, &first, b"h2").await.is_err());
    // The connection from before goes on.
    let pod = old.ask(Hook::MutatePod, &created("2", &POD())).await;
    assert_eq!(pod["allowed"], true);

    // A broken pair changes nothing.
    let errors = certificates.read_errors();
    write_pair(directory.path(), &first, &second_key);
    until(async || certificates.read_errors() > errors + 2).await;
    connect(server.address, &second, b"h2").await.unwrap();
    assert!(connect(server.address, &first, b"h2").await.is_err());

    server.stop().await;
    timeout(PATIENCE, following).await.unwrap().unwrap();
}
