//! Certificates of the webhooks: made, kept, replaced, served.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::{Cluster, eventually};
use crate::replica::Replica;
use crate::serving::{get, probe};

const SERVER: &str = "jobset-webhook-service.jobset-system.svc";
const SECRET: &str = "jobset-webhook-server-cert";
const CONFIGURATIONS: [(&str, &str); 2] = [
    (
        "ValidatingWebhookConfiguration",
        "jobset-validating-webhook-configuration",
    ),
    (
        "MutatingWebhookConfiguration",
        "jobset-mutating-webhook-configuration",
    ),
];
const WEBHOOK: &str = "webhook: {host: 127.0.0.1, port: 0}\n";

fn api(client: &Client, group: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    if kind == "Secret" {
        Api::namespaced_with(client.clone(), "jobset-system", &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

/// An installation before its operator has ever run.
async fn installation() -> Cluster {
    let cluster = Cluster::start().await;
    cluster
        .create_object(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": SECRET, "namespace": "jobset-system", "labels": {"a": "b"}},
            "data": {"other": "a2VwdA=="},
        }))
        .await;
    for (kind, name) in CONFIGURATIONS {
        cluster.serve_webhook_configurations(kind).await;
        let webhook = |name: &str| {
            json!({
                "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "jobset-webhook-service",
                                             "namespace": "jobset-system", "path": "/none"}},
                "failurePolicy": "Ignore",
                "rules": [{"apiGroups": ["none.example.com"], "apiVersions": ["v1"],
                           "operations": ["CREATE"], "resources": ["nones"]}],
            })
        };
        cluster
            .create_object(&json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name},
                "webhooks": [webhook("a.example.com"), webhook("b.example.com")],
            }))
            .await;
    }
    cluster
}

fn replica(cluster: &Cluster, name: &str) -> Replica {
    let config = format!("--config={}", cluster.configuration(WEBHOOK).display());
    Replica::start(
        &cluster.kubeconfig(name),
        &["--leader-elect=false", &config],
    )
}

async fn is_ready(replica: &Replica) {
    let probes = replica.address("probes").await;
    eventually("readiness", async || {
        probe(&probes, "/readyz").await.0 == 200
    })
    .await;
}

async fn secret(cluster: &Cluster) -> Value {
    let found = api(&cluster.client(), "", "Secret")
        .get(SECRET)
        .await
        .unwrap();
    found.data["data"].clone()
}

/// The authorities that the webhook configurations name, of each webhook.
async fn bundles(cluster: &Cluster) -> Vec<Value> {
    let mut bundles = Vec::new();
    for (kind, name) in CONFIGURATIONS {
        let api = api(&cluster.client(), "admissionregistration.k8s.io", kind);
        let found = api.get(name).await.unwrap();
        for webhook in found.data["webhooks"].as_array().unwrap() {
            bundles.push(webhook["clientConfig"]["caBundle"].clone());
        }
    }
    bundles
}

fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// What the server at `address` shows to a client that trusts this authority, which the API server
/// would be, or why there is no connection.
async fn shown(address: &str, ca: &[u8]) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(SERVER).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    let shown = certificates[0].clone().into_owned();
    // A request is answered, whatever the answer is.
    let (status, _) = get(stream, "/", "").await;
    assert_eq!(status, 404);
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_made_stored_injected_and_served() {
    let cluster = installation().await;
    let start = Instant::now();
    let first = replica(&cluster, "first");
    is_ready(&first).await;
    println!("start to ready, making certificates: {:?}", start.elapsed());
    let start = Instant::now();
    let replica = replica(&cluster, "only");
    is_ready(&replica).await;
    println!(
        "start to ready, with certificates: {:?}; idle memory {} kB",
        start.elapsed(),
        replica.memory()
    );
    let stored = secret(&cluster).await;
    assert_eq!(stored["other"], "a2VwdA==");
    let keys: Vec<_> = stored.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ca.crt", "ca.key", "other", "tls.crt", "tls.key"]);
    for bundle in bundles(&cluster).await {
        assert_eq!(bundle, stored["ca.crt"]);
    }
    let address = replica.address("webhooks").await;
    let shown = shown(&address, &decode(&stored["ca.crt"])).await.unwrap();
    let expected = CertificateDer::from_pem_slice(&decode(&stored["tls.crt"])).unwrap();
    assert_eq!(shown, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_breaks_is_mended_and_served_without_a_restart() {
    let cluster = installation().await;
    let replica = replica(&cluster, "only");
    is_ready(&replica).await;
    let address = replica.address("webhooks").await;
    let before = secret(&cluster).await;
    let first = shown(&address, &decode(&before["ca.crt"])).await.unwrap();

    // The key no longer fits: a new certificate of the same authority.
    let break_key = json!({"data": {"tls.key": before["ca.key"]}});
    let secrets = api(&cluster.client(), "", "Secret");
    let params = PatchParams::default();
    secrets
        .patch(SECRET, &params, &Patch::Merge(break_key))
        .await
        .unwrap();
    let ca = decode(&before["ca.crt"]);
    eventually("another certificate", async || {
        shown(&address, &ca).await.is_ok_and(|shown| shown != first)
    })
    .await;
    assert_eq!(secret(&cluster).await["ca.crt"], before["ca.crt"]);

    // The authority is gone: everything is made anew, and the configurations follow.
    let remove = json!({"data": {"ca.key": null}});
    secrets
        .patch(SECRET, &params, &Patch::Merge(remove))
        .await
        .unwrap();
    eventually("another authority", async || {
        let ca = &secret(&cluster).await["ca.crt"];
        *ca != before["ca.crt"]
            && bundles(&cluster).await.iter().all(|bundle| bundle == ca)
            && shown(&address, &decode(ca)).await.is_ok()
    })
    .await;

    // Somebody writes another authority into a configuration.
    let (kind, name) = CONFIGURATIONS[1];
    let configurations = api(&cluster.client(), "admissionregistration.k8s.io", kind);
    let mut found = configurations.get(name).await.unwrap();
    found.data["webhooks"][1]["clientConfig"]["caBundle"] = "".into();
    configurations
        .replace(name, &PostParams::default(), &found)
        .await
        .unwrap();
    let ca = secret(&cluster).await["ca.crt"].clone();
    eventually("the authority is back", async || {
        bundles(&cluster).await.iter().all(|bundle| *bundle == ca)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_agree() {
    let cluster = installation().await;
    let replicas = [
        replica(&cluster, "a"),
        replica(&cluster, "b"),
        replica(&cluster, "c"),
    ];
    for replica in &replicas {
        is_ready(replica).await;
    }
    let stored = secret(&cluster).await;
    let expected = CertificateDer::from_pem_slice(&decode(&stored["tls.crt"])).unwrap();
    for replica in &replicas {
        let address = replica.address("webhooks").await;
        eventually("the certificate of the Secret", async || {
            shown(&address, &decode(&stored["ca.crt"])).await.as_ref() == Ok(&expected)
        })
        .await;
    }
}

/// Writes a self-signed certificate, as somebody else would provide it.
fn provide(directory: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec![SERVER.to_owned()]).unwrap();
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_somebody_else_provides_are_waited_for_and_followed() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let certs = directory.path().join("certs");
    let config = cluster.configuration(&format!(
        "webhook: {{host: 127.0.0.1, port: 0, certDir: {}}}\n\
         internalCertManagement: {{enable: false}}\n",
        certs.display()
    ));
    let config = format!("--config={}", config.display());
    let replica = Replica::start(
        &cluster.kubeconfig("only"),
        &["--leader-elect=false", &config],
    );
    let probes = replica.address("probes").await;
    assert_eq!(probe(&probes, "/readyz").await.0, 500);
    for _ in 0..2 {
        let provided = provide(&certs);
        eventually("the provided certificate", async || {
            let stream = TcpStream::connect(replica.address("webhooks").await)
                .await
                .unwrap();
            let config = Arc::new(crate::serving::trusting());
            let name = ServerName::try_from(SERVER).unwrap();
            match TlsConnector::from(config).connect(name, stream).await {
                Ok(stream) => {
                    stream.get_ref().1.peer_certificates().unwrap()[0].as_ref() == provided
                }
                Err(_) => false,
            }
        })
        .await;
        is_ready(&replica).await;
    }
}

/// Believes any certificate.
#[derive(Debug)]
pub(crate) struct Any(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
