use super::load::decode;
use super::*;

const HEAD: &str = "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Configuration\n";

fn file(rest: &str) -> Configuration {
    let mut configuration = decode(&format!("{HEAD}{rest}")).unwrap();
    configuration.fill_defaults();
    configuration
}

fn default() -> Configuration {
    let mut configuration = Configuration::default();
    configuration.fill_defaults();
    configuration
}

fn mistake(rest: &str) -> String {
    decode(&format!("{HEAD}{rest}")).unwrap_err().to_string()
}

#[test]
fn an_empty_file_and_no_file_are_the_defaults() {
    let configuration = default();
    assert_eq!(file(""), configuration);
    assert_eq!(
        file("webhook:\nmetrics: null\nhealth: {}\nleaderElection:\n"),
        configuration
    );
    let election = configuration.leader_election.as_ref().unwrap();
    assert_eq!(election.leader_elect, Some(true));
    assert_eq!(election.lease_duration, Some(Span(Duration::from_secs(15))));
    assert_eq!(election.renew_deadline, Some(Span(Duration::from_secs(10))));
    assert_eq!(election.retry_period, Some(Span(Duration::from_secs(2))));
    assert_eq!(election.resource_lock, "leases");
    assert_eq!(election.resource_name, "6d4f6a47.jobset.x-k8s.io");
    assert_eq!(election.resource_namespace, "");
    assert_eq!(configuration.webhook.port, Some(9443));
    assert_eq!(configuration.metrics.bind_address, ":8443");
    assert_eq!(configuration.health.health_probe_bind_address, ":8081");
    let connection = configuration.client_connection.as_ref().unwrap();
    assert_eq!((connection.qps, connection.burst), (Some(500.0), Some(500)));
    assert!(configuration.internal_certificates());
    assert!(configuration.webhooks());
}

#[test]
fn internal_certificates_off_leave_the_names_out() {
    let configuration = file("internalCertManagement: {enable: false}");
    let management = configuration.internal_cert_management.as_ref().unwrap();
    assert_eq!(management.webhook_service_name, None);
    assert_eq!(management.webhook_secret_name, None);
    let metrics = configuration.metrics_cert_dir().unwrap();
    assert!(metrics.ends_with("k8s-metrics-server/serving-certs"));
    assert!(
        configuration
            .webhook_cert_dir()
            .ends_with("k8s-webhook-server/serving-certs")
    );
}

#[test]
fn internal_certificates_by_default_have_names() {
    for text in [
        "",
        "internalCertManagement: {}",
        "internalCertManagement: {enable: true}",
    ] {
        let configuration = file(text);
        let management = configuration.internal_cert_management.as_ref().unwrap();
        assert_eq!(
            management.webhook_service_name.as_deref(),
            Some("jobset-webhook-service")
        );
        assert_eq!(
            management.webhook_secret_name.as_deref(),
            Some("jobset-webhook-server-cert")
        );
        assert_eq!(configuration.metrics_cert_dir(), None);
    }
    let named =
        file("internalCertManagement:\n  webhookServiceName: svc\n  webhookSecretName: secret\n");
    let management = named.internal_cert_management.unwrap();
    assert_eq!(management.webhook_service_name.as_deref(), Some("svc"));
    assert_eq!(management.webhook_secret_name.as_deref(), Some("secret"));
}

#[test]
fn a_part_of_a_section_keeps_the_rest_at_its_default() {
    let election = file("leaderElection: {leaderElect: false}")
        .leader_election
        .unwrap();
    assert_eq!(election.leader_elect, Some(false));
    assert_eq!(election.resource_name, "6d4f6a47.jobset.x-k8s.io");
    let election = file("leaderElection: {leaseDuration: 1m30s, resourceName: own}")
        .leader_election
        .unwrap();
    assert_eq!(election.lease_duration, Some(Span(Duration::from_secs(90))));
    assert_eq!(election.retry_period, Some(Span(Duration::from_secs(2))));
    assert_eq!(election.resource_name, "own");
    assert_eq!(election.leader_elect, Some(true));

    let connection = file("clientConnection: {qps: 50, burst: 100}")
        .client_connection
        .unwrap();
    assert_eq!((connection.qps, connection.burst), (Some(50.0), Some(100)));
    let connection = file("clientConnection: {}").client_connection.unwrap();
    assert_eq!((connection.qps, connection.burst), (Some(500.0), Some(500)));
}

#[test]
fn what_is_set_is_kept() {
    let configuration = file(
        "webhook: {port: 9444, host: 127.0.0.1, certDir: /certs}
metrics: {bindAddress: ':38080', certDir: /metrics}
health: {healthProbeBindAddress: '0', readinessEndpointName: /r, livenessEndpointName: /l}
tls: {minVersion: VersionTLS12, cipherSuites: [a, b]}
featureGates: {RestartJob: true}
extensions: {workers: 4, maxInFlight: 10, namespace: team, webhooks: false}
",
    );
    assert_eq!(configuration.webhook.port, Some(9444));
    assert_eq!(configuration.webhook_cert_dir(), Path::new("/certs"));
    assert_eq!(configuration.metrics.bind_address, ":38080");
    assert_eq!(
        configuration.metrics_cert_dir().as_deref(),
        Some(Path::new("/metrics"))
    );
    assert_eq!(configuration.health.health_probe_bind_address, "0");
    assert_eq!(configuration.health.readiness_endpoint_name, "/r");
    assert!(configuration.feature_gates["RestartJob"]);
    assert!(!configuration.webhooks());
    let json = r#"{"apiVersion":"config.jobset.x-k8s.io/v1alpha1","kind":"Configuration",
                   "webhook":{"port":1}}"#;
    assert_eq!(decode(json).unwrap().webhook.port, Some(1));
}

#[test]
fn what_is_not_known_is_refused_with_place_path_and_what_is_known() {
    let text = mistake("invalidField: true\n");
    for part in [
        "3:1:",
        "strict decoding error: unknown field \"invalidField\"",
        "webhook, ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = mistake("webhook:\n  prot: 1\n");
    for part in [
        "4:3:",
        "unknown field \"prot\"",
        "port, host, certDir",
        "(at webhook",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Names are case-sensitive.
    assert!(mistake("Webhook: {}\n").contains("unknown field \"Webhook\""));
}

#[test]
fn what_is_said_twice_is_refused() {
    for text in [
        "webhook: {}\nwebhook: {}\n",
        "metrics:\n  bindAddress: a\n  bindAddress: b\n",
        "featureGates: {RestartJob: true, RestartJob: false}\n",
    ] {
        assert!(
            mistake(text).contains("duplicate field"),
            "{}",
            mistake(text)
        );
    }
}

#[test]
fn what_has_another_type_is_refused_with_its_path() {
    for (text, path) in [
        ("webhook: {port: many}", "webhook.port"),
        ("webhook: {port: 70000}", "webhook.port"),
        (
            "leaderElection: {leaseDuration: 15}",
            "leaderElection.leaseDuration",
        ),
        (
            "leaderElection: {leaseDuration: soon}",
            "leaderElection.leaseDuration",
        ),
        (
            "featureGates: {RestartJob: maybe}",
            "featureGates.RestartJob",
        ),
        ("health: 5", "health"),
    ] {
        let mistake = mistake(text);
        assert!(mistake.contains(path), "{path} in {mistake}");
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    for text in [
        "",
        "apiVersion: config.x-k8s.io/v1alpha1\nkind: Configuration\n",
        "apiVersion: config.jobset.x-k8s.io/v1alpha1\n",
        "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Other\n",
        "[]",
    ] {
        assert!(decode(text).is_err(), "{text}");
    }
}

#[test]
fn a_path_that_cannot_be_read_is_the_systems_error() {
    let directory = tempfile::tempdir().unwrap();
    let text = load(directory.path()).unwrap_err().to_string();
    assert!(text.ends_with("is a directory"), "{text}");
    let text = load(&directory.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(text.contains("no such file"), "{text}");
}

#[test]
fn the_dump_of_nothing_shows_what_always_is_there() {
    assert_eq!(
        dump(&Configuration::default()),
        format!(
            "{}health: {{}}\nkind: Configuration\nmetrics: {{}}\nwebhook: {{}}\n",
            &HEAD[..44]
        ),
    );
}

#[test]
fn the_dump_of_the_defaults() {
    assert_eq!(
        dump(&default()),
        "\
apiVersion: config.jobset.x-k8s.io/v1alpha1
clientConnection:
  burst: 500
  qps: 500
health:
  healthProbeBindAddress: :8081
internalCertManagement:
  enable: true
  webhookSecretName: jobset-webhook-server-cert
  webhookServiceName: jobset-webhook-service
kind: Configuration
leaderElection:
  leaderElect: true
  leaseDuration: 15s
  renewDeadline: 10s
  resourceLock: leases
  resourceName: 6d4f6a47.jobset.x-k8s.io
  resourceNamespace: \"\"
  retryPeriod: 2s
metrics:
  bindAddress: :8443
webhook:
  port: 9443
"
    );
}

#[test]
fn a_dump_can_be_read_back() {
    for text in [
        "",
        "tls: {minVersion: VersionTLS12, cipherSuites: [a, b]}",
        "clientConnection: {qps: 0.5}",
        "metrics: {bindAddress: '0'}",
        "webhook: {host: 'yes', certDir: '- #'}",
        "featureGates: {RestartJob: true}\nextensions: {namespace: '1e3', workers: 3}",
    ] {
        let configuration = file(text);
        let mut again = decode(&dump(&configuration)).unwrap();
        again.fill_defaults();
        assert_eq!(again, configuration, "{text}");
    }
}

fn fields(text: &str) -> Vec<&'static str> {
    match validate(&file(text)) {
        Ok(()) => Vec::new(),
        Err(invalid) => invalid.0.iter().map(|error| error.field).collect(),
    }
}

#[test]
fn validation() {
    let service = "internalCertManagement.webhookServiceName";
    let secret = "internalCertManagement.webhookSecretName";
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        (
            "internalCertManagement: {webhookSecretName: ':)'}",
            &[secret],
        ),
        (
            "internalCertManagement: {webhookServiceName: 0-invalid}",
            &[service],
        ),
        (
            "internalCertManagement: {webhookServiceName: 0-invalid, webhookSecretName: ':)'}",
            &[service, secret],
        ),
        (
            "internalCertManagement: {enable: false, webhookServiceName: 0-invalid}",
            &[],
        ),
        (
            "internalCertManagement: {webhookServiceName: my-svc, webhookSecretName: my.secret}",
            &[],
        ),
        ("tls: {}", &[]),
        ("tls:", &[]),
        ("tls: {cipherSuites: []}", &[]),
        ("tls: {minVersion: VersionTLS12}", &[]),
        ("tls: {minVersion: VersionTLS13}", &[]),
        (
            "tls: {cipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}",
            &[],
        ),
        (
            "tls: {minVersion: VersionTLS12, cipherSuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]}",
            &[],
        ),
        (
            "tls: {minVersion: VersionTLS13, cipherSuites: [TLS_AES_128_GCM_SHA256]}",
            &["tls.cipherSuites"],
        ),
        ("tls: {minVersion: VersionTLS10}", &["tls"]),
        ("tls: {minVersion: VersionTLS11}", &["tls"]),
        ("tls: {minVersion: nonsense}", &["tls"]),
        ("tls: {cipherSuites: [nonsense]}", &["tls"]),
        (
            "tls: {minVersion: nonsense, cipherSuites: [nonsense]}",
            &["tls"],
        ),
        ("extensions: {workers: 0}", &["extensions.workers"]),
        ("extensions: {maxInFlight: 0}", &["extensions.maxInFlight"]),
        ("extensions: {namespace: A}", &["extensions.namespace"]),
        (
            "extensions: {workers: 1, maxInFlight: 1, namespace: a}",
            &[],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(fields(text), *expected, "{text}");
    }
}
