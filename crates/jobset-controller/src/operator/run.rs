//! Start and shutdown, in order.
//!
//! Liveness answers from the start, readiness when the certificates serve. Caches fill at once on
//! every replica; the controllers begin when the lease is held. A shutdown goes the other way: the
//! controllers end what they are at, the lease is given back, then the servers close.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http::StatusCode;
use jobset_api::FeatureGates;
use jobset_controller::admission::Admission;
use jobset_controller::webhook::certificates::{CERTIFICATE_FILE, KEY_FILE, POLL_INTERVAL};
use jobset_controller::webhook::tls::{HTTP1, HTTP2_AND_HTTP1, TlsSettings};
use jobset_controller::webhook::{self, Certificates, Limits as WebhookLimits, Webhook};
use jobset_controller::{Controller, ControllerOptions, Placement};
use kube::Client;
use rustls::pki_types::UnixTime;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificates::{self, issue};
use super::client::{self, Limits};
use super::config::{self, Configuration};
use super::fence::Fence;
use super::flags::Flags;
use super::lease::{self, Election, End};
use super::metrics::{self, Sources, Transport};
use super::probes::{Probes, Readiness};
use super::rate::Rate;
use super::serve::{self, Answer};
use super::{signals, version};

/// Time for everything between the first signal and the end.
const SHUTDOWN_BUDGET: Duration = Duration::from_secs(30);
/// Part of it for reconciles that are under way.
const RECONCILE_BUDGET: Duration = Duration::from_secs(25);
/// Longest wait for certificates before a container that is restarted has the better chance: what
/// ten pauses, doubling from one second, come to.
const CERTIFICATE_BUDGET: Duration = Duration::from_secs(1023);
/// Time between two looks whether somebody else's certificates are there.
const READY_INTERVAL: Duration = Duration::from_millis(250);
/// Where a Pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Namespace of certificates outside of a cluster.
const DEFAULT_NAMESPACE: &str = "jobset-system";

/// What the process was asked for, checked.
struct Settings {
    configuration: Configuration,
    gates: FeatureGates,
    rate: Option<Rate>,
    tls: TlsSettings,
}

/// Runs the operator until a signal or a failure.
pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    tracing::info!(
        version = version::version(),
        commit = version::commit(),
        "starting"
    );
    let kube = client::config(flags.kubeconfig.as_deref())
        .await
        .context("cannot find the API server")?;
    if kube.proxy_url.is_some() {
        bail!("a proxy between the operator and the API server is not supported");
    }
    let settings = settings(&flags).context("unable to load the configuration")?;
    let shutdown = signals::shutdown().context("cannot listen for signals")?;
    Operator::build(kube, settings).await?.run(shutdown).await
}

fn settings(flags: &Flags) -> anyhow::Result<Settings> {
    let mut configuration = match &flags.config {
        Some(path) => config::load(path)?,
        None => Configuration::default(),
    };
    let connection = configuration.client_connection.clone().unwrap_or_default();
    let limited = connection.qps.is_some()
        || connection.burst.is_some()
        || flags.kube_api_qps.is_some()
        || flags.kube_api_burst.is_some();
    configuration.fill_defaults();
    config::validate(&configuration)?;
    tracing::info!("configuration:\n{}", config::dump(&configuration));
    let gates = FeatureGates::from_map(&configuration.feature_gates)?;
    let tls = configuration.tls.clone().unwrap_or_default();
    let tls = TlsSettings::parse(&tls.min_version, &tls.cipher_suites)?;
    for warning in tls.warnings() {
        tracing::warn!("{warning}");
    }
    merge(flags, &mut configuration);
    let connection = configuration.client_connection.clone().unwrap_or_default();
    let rate = connection
        .qps
        .zip(connection.burst)
        .filter(|_| limited)
        .and_then(|(qps, burst)| Rate::new(qps, burst));
    Ok(Settings {
        configuration,
        gates,
        rate,
        tls,
    })
}

/// Flags that were given win over the file.
fn merge(flags: &Flags, configuration: &mut Configuration) {
    if let Some(address) = &flags.metrics_bind_address {
        configuration.metrics.bind_address.clone_from(address);
    }
    if let Some(address) = &flags.health_probe_bind_address {
        configuration
            .health
            .health_probe_bind_address
            .clone_from(address);
    }
    if let Some(elect) = flags.leader_elect {
        let election = configuration.leader_election.get_or_insert_default();
        election.leader_elect = Some(elect);
    }
    let connection = configuration.client_connection.get_or_insert_default();
    connection.qps = flags.kube_api_qps.or(connection.qps);
    connection.burst = flags.kube_api_burst.or(connection.burst);
}

/// Whether an address stands for "not at all".
fn is_off(address: &str) -> bool {
    address.is_empty() || address == "0"
}

/// The namespace this process runs in, if it runs in a cluster.
fn own_namespace() -> Option<String> {
    let text = std::fs::read_to_string(Path::new(NAMESPACE_FILE)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn lease_settings(configuration: &Configuration) -> anyhow::Result<Option<lease::Settings>> {
    if !configuration.leader_elect() {
        return Ok(None);
    }
    let election = configuration.leader_election.clone().unwrap_or_default();
    if election.resource_lock != "leases" {
        bail!(
            "leaderElection.resourceLock: {:?} is not supported; use \"leases\"",
            election.resource_lock
        );
    }
    let configured = Some(election.resource_namespace).filter(|namespace| !namespace.is_empty());
    let namespace = configured.or_else(own_namespace).ok_or_else(|| {
        anyhow!(
            "not running in a cluster: set leaderElection.resourceNamespace, or \
             --leader-elect=false"
        )
    })?;
    let span = |span: Option<config::Span>| span.map_or(Duration::ZERO, |span| span.0);
    let settings = lease::Settings {
        name: election.resource_name,
        namespace,
        identity: lease::identity(),
        lease_duration: span(election.lease_duration),
        renew_deadline: span(election.renew_deadline),
        retry_period: span(election.retry_period),
    };
    settings.check().map_err(anyhow::Error::msg)?;
    Ok(Some(settings))
}

/// What the configuration means for the controller.
fn controller_options(configuration: &Configuration, gates: FeatureGates) -> ControllerOptions {
    let defaults = ControllerOptions::default();
    let own = configuration.extensions.clone().unwrap_or_default();
    ControllerOptions {
        gates,
        workers: own.workers.map_or(defaults.workers, usize::from),
        max_in_flight: own
            .max_in_flight
            .map_or(defaults.max_in_flight, usize::from),
        namespace: own.namespace,
        pod_webhook: configuration.webhooks(),
        fast_failure_detection: own.fast_failure_detection.unwrap_or(false),
        lean_suspend: own.lean_suspend.unwrap_or(false),
        short_names: own.short_names.unwrap_or(false),
        clean_up_managed_elsewhere: own.clean_up_managed_elsewhere.unwrap_or(false),
        shutdown_grace: RECONCILE_BUDGET,
        ..defaults
    }
}

/// Everything that runs, before it does.
struct Operator {
    configuration: Configuration,
    gates: FeatureGates,
    /// For what the controllers write.
    writing: Client,
    reading: Client,
    election: Option<(Client, lease::Settings)>,
    fence: Fence,
    transport: Arc<Transport>,
    probes: Option<TcpListener>,
    metrics: Option<TcpListener>,
    webhook: Option<TcpListener>,
    tls: TlsSettings,
    /// The webhooks' certificate, and that of the metrics.
    certificates: [Arc<Certificates>; 2],
    readiness: watch::Sender<Readiness>,
    webhook_stats: Arc<webhook::Stats>,
    rotations: Arc<[AtomicU64; 2]>,
    leading: Arc<AtomicBool>,
}

impl Operator {
    async fn build(kube: kube::Config, settings: Settings) -> anyhow::Result<Self> {
        let Settings {
            configuration,
            gates,
            rate,
            tls,
        } = settings;
        let lease = lease_settings(&configuration)?;
        let fence = match &lease {
            Some(_) => Fence::closed(),
            None => Fence::open(),
        };
        let transport = Arc::<Transport>::default();
        let writing = Limits {
            rate,
            fence: Some(fence.clone()),
            timeout: None,
        };
        let election = match lease {
            None => None,
            Some(lease) => {
                let limits = Limits {
                    timeout: Some(lease.request_timeout()),
                    ..Limits::default()
                };
                Some((client::client(&kube, limits, &transport)?, lease))
            }
        };
        Ok(Self {
            writing: client::client(&kube, writing, &transport)?,
            reading: client::client(&kube, Limits::default(), &transport)?,
            election,
            fence,
            transport,
            probes: listen("probes", &configuration.health.health_probe_bind_address).await?,
            metrics: listen("metrics", &configuration.metrics.bind_address).await?,
            webhook: listen_for_webhooks(&configuration).await?,
            tls,
            certificates: [Certificates::new(), Certificates::new()],
            readiness: watch::Sender::default(),
            webhook_stats: Arc::default(),
            rotations: Arc::default(),
            leading: Arc::default(),
            configuration,
            gates,
        })
    }

    async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let servers = CancellationToken::new();
        // Tasks that end only when told to; anything else is a failure of the process.
        let mut tasks = JoinSet::new();
        self.serve_probes(&mut tasks, &servers);
        let options = controller_options(&self.configuration, self.gates);
        let placement = Placement::new(self.reading.clone(), &options);
        self.serve_webhooks(&mut tasks, &servers, placement.clone())?;

        let (lead, led) = oneshot::channel();
        let controller = Controller::new(self.writing.clone(), options)
            .reading_through(self.reading.clone())
            .with_placement(placement)
            .gated(async move {
                if led.await.is_err() {
                    std::future::pending::<()>().await;
                }
            });
        self.serve_metrics(&mut tasks, &servers, controller.stats())?;
        let stop_controller = CancellationToken::new();
        let mut controller = tokio::spawn(controller.run(stop_controller.clone()));
        let release = CancellationToken::new();
        let mut election = tokio::spawn(elect(
            self.election.take(),
            self.fence.clone(),
            lead,
            self.leading.clone(),
            release.clone(),
        ));

        tokio::select! {
            () = shutdown.cancelled() => {}
            ended = tasks.join_next(), if !tasks.is_empty() => {
                return Err(match ended {
                    Some(Ok(Err(error))) => error,
                    Some(Err(error)) => anyhow!(error).context("a task failed"),
                    _ => anyhow!("a task ended that must not"),
                });
            }
            ended = &mut controller => {
                ended.context("the controller failed")??;
                bail!("the controller ended by itself");
            }
            // No grace: somebody else leads, or soon will.
            ended = &mut election => {
                ended.context("the leader election failed")??;
                bail!("the leader election ended by itself");
            }
        }
        let ending = async {
            stop_controller.cancel();
            let result = controller.await.context("the controller failed")?;
            release.cancel();
            election.await.context("the leader election failed")??;
            servers.cancel();
            Ok(result?)
        };
        match tokio::time::timeout(SHUTDOWN_BUDGET, ending).await {
            Ok(result) => result,
            Err(_) => Err(anyhow!("the shutdown took longer than {SHUTDOWN_BUDGET:?}")),
        }
    }

    fn serve_probes(
        &mut self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        shutdown: &CancellationToken,
    ) {
        let Some(listener) = self.probes.take() else {
            return;
        };
        let health = &self.configuration.health;
        let probes = Probes::new(
            &health.liveness_endpoint_name,
            &health.readiness_endpoint_name,
            self.readiness.subscribe(),
        );
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            let answer = move |request| probes.clone().answer(request);
            serve::serve(listener, None, answer, shutdown).await;
            Ok(())
        });
    }

    fn serve_metrics(
        &mut self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        shutdown: &CancellationToken,
        stats: Arc<jobset_controller::Stats>,
    ) -> anyhow::Result<()> {
        let Some(listener) = self.metrics.take() else {
            return Ok(());
        };
        let certificates = self.certificates[1].clone();
        let config = self.tls.server_config(certificates.clone(), HTTP1)?;
        let tls = TlsAcceptor::from(config);
        let sources = Arc::new(Sources {
            stats,
            transport: self.transport.clone(),
            webhook: self.webhook_stats.clone(),
            certificates: self.certificates.clone(),
            rotations: self.rotations.clone(),
            leading: self.leading.clone(),
            lease: self
                .election
                .as_ref()
                .map(|(_, settings)| settings.name.clone()),
        });
        let access = Arc::new(metrics::access::Access::new(self.reading.clone()));
        let directory = self.configuration.metrics_cert_dir();
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            let certificate = metrics_certificate(directory, certificates, shutdown.clone());
            let answer = move |request| measure(sources.clone(), access.clone(), request);
            tokio::select! {
                ended = certificate => ended,
                () = serve::serve(listener, Some(tls), answer, shutdown) => Ok(()),
            }
        });
        Ok(())
    }

    /// Serves the webhooks as soon as there are certificates.
    fn serve_webhooks(
        &mut self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        shutdown: &CancellationToken,
        placement: Placement,
    ) -> anyhow::Result<()> {
        let Some(listener) = self.webhook.take() else {
            self.readiness
                .send_modify(|readiness| readiness.certificates = true);
            return Ok(());
        };
        let address = to_dial(listener.local_addr()?);
        self.readiness
            .send_modify(|readiness| readiness.webhook = Some(address));
        self.keep_certificates(tasks, shutdown);
        let server = Webhook::new(
            Admission::new(self.gates, Arc::new(placement)),
            self.reading.clone(),
            self.webhook_stats.clone(),
            WebhookLimits::default(),
        );
        let tls = self
            .tls
            .server_config(self.certificates[0].clone(), HTTP2_AND_HTTP1)?;
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            server.serve(listener, tls, shutdown).await;
            Ok(())
        });
        Ok(())
    }

    /// Makes the certificates, or waits for those that somebody else makes.
    fn keep_certificates(
        &self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        shutdown: &CancellationToken,
    ) {
        let certificates = self.certificates[0].clone();
        let readiness = self.readiness.clone();
        let ready = move || {
            readiness.send_if_modified(|readiness| {
                let first = !std::mem::replace(&mut readiness.certificates, true);
                if first {
                    tracing::info!("the certificates are ready");
                }
                first
            });
        };
        let mut ready_soon = self.readiness.subscribe();
        tasks.spawn(async move {
            let wait = ready_soon.wait_for(|readiness| readiness.certificates);
            let in_time = tokio::time::timeout(CERTIFICATE_BUDGET, wait).await.is_ok();
            if in_time {
                std::future::pending::<()>().await;
            }
            Err(anyhow!(
                "no certificates for the webhooks after {} s",
                CERTIFICATE_BUDGET.as_secs()
            ))
        });
        if !self.configuration.internal_certificates() {
            let directory = self.configuration.webhook_cert_dir();
            let follow = certificates
                .clone()
                .follow(directory, POLL_INTERVAL, shutdown.clone());
            tasks.spawn(async move {
                follow.await;
                Ok(())
            });
            tasks.spawn(async move {
                while !certificates.is_ready() {
                    tokio::time::sleep(READY_INTERVAL).await;
                }
                ready();
                std::future::pending().await
            });
            return;
        }
        let management = self.configuration.internal_cert_management.clone();
        let management = management.unwrap_or_default();
        let settings = certificates::Settings {
            namespace: own_namespace().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            secret: management.webhook_secret_name.unwrap_or_default(),
            service: management.webhook_service_name.unwrap_or_default(),
            more_names: (self.configuration.extensions.clone())
                .unwrap_or_default()
                .webhook_names,
        };
        let manager = certificates::Manager::new(&self.reading, settings);
        let rotations = self.rotations.clone();
        tasks.spawn(async move {
            let checked = |result: Result<(), ()>| {
                rotations[usize::from(result.is_err())].fetch_add(1, Ordering::Relaxed);
                if result.is_ok() {
                    ready();
                }
            };
            manager.run(&certificates, checked).await;
            Ok(())
        });
    }
}

/// Listens for the API server, unless no webhooks are wanted.
async fn listen_for_webhooks(configuration: &Configuration) -> anyhow::Result<Option<TcpListener>> {
    if !configuration.webhooks() {
        return Ok(None);
    }
    let (host, port) = (&configuration.webhook.host, configuration.webhook.port);
    let port = port.unwrap_or_default();
    let address = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    listen("webhooks", &address).await
}

/// Where this process reaches its own server.
fn to_dial(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn listen(what: &'static str, address: &str) -> anyhow::Result<Option<TcpListener>> {
    if is_off(address) {
        return Ok(None);
    }
    let listener = serve::listen(address)
        .await
        .with_context(|| format!("cannot listen for {what} at {address}"))?;
    let address: SocketAddr = listener.local_addr()?;
    tracing::info!(%address, "listening for {what}");
    Ok(Some(listener))
}

/// Leads when the lease is held, or at once without an election. Ends when told to release.
async fn elect(
    election: Option<(Client, lease::Settings)>,
    fence: Fence,
    lead: oneshot::Sender<()>,
    leading: Arc<AtomicBool>,
    release: CancellationToken,
) -> anyhow::Result<()> {
    let Some((client, settings)) = election else {
        // Nobody waits any more if the controller has ended.
        let _ = lead.send(());
        release.cancelled().await;
        return Ok(());
    };
    let mut election = Election::new(client, settings, fence);
    tokio::select! {
        () = election.acquire() => {}
        () = release.cancelled() => return Ok(()),
    }
    leading.store(true, Ordering::Relaxed);
    let _ = lead.send(());
    let end = election.hold(&release).await;
    leading.store(false, Ordering::Relaxed);
    match end {
        End::Released => Ok(()),
        End::Lost => Err(anyhow!("leader election lost")),
    }
}

/// Keeps the certificate of the metrics server: that of the directory if there is one, else one
/// that this process signs itself. Ends in failure, or with the shutdown.
async fn metrics_certificate(
    directory: Option<PathBuf>,
    certificates: Arc<Certificates>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if let Some(directory) = directory
        && directory.join(CERTIFICATE_FILE).exists()
        && directory.join(KEY_FILE).exists()
    {
        certificates
            .follow(directory, POLL_INTERVAL, shutdown)
            .await;
        return Ok(());
    }
    let (cert, key) = issue::self_signed(&["localhost", "127.0.0.1"], UnixTime::now())
        .map_err(|error| anyhow!("cannot make a certificate for the metrics: {error}"))?;
    certificates.set(&cert, &key)?;
    shutdown.cancelled().await;
    Ok(())
}

async fn measure(
    sources: Arc<Sources>,
    access: Arc<metrics::access::Access>,
    request: http::Request<hyper::body::Incoming>,
) -> Answer {
    let path = request.uri().path();
    if path != "/metrics" {
        return serve::text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if let Err((status, why)) = access
        .check(request.method(), path, request.headers())
        .await
    {
        return serve::text(status, why);
    }
    let mut answer = serve::text(StatusCode::OK, sources.page());
    answer.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(metrics::CONTENT_TYPE),
    );
    answer
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser as _;

    use super::*;

    fn merged(file: &str, arguments: &[&str]) -> Settings {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let head = "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Configuration\n";
        std::fs::write(&path, format!("{head}{file}")).unwrap();
        let path = path.to_str().unwrap();
        let arguments = ["test", "--config", path]
            .into_iter()
            .chain(arguments.iter().copied());
        let (arguments, _) = super::super::flags::normalise(arguments.skip(1).map(OsString::from));
        let flags = Flags::parse_from(std::iter::once(OsString::from("test")).chain(arguments));
        settings(&flags).unwrap()
    }

    #[tokio::test]
    async fn flags_win_over_the_file_if_they_are_given() {
        let file = "leaderElection: {leaderElect: true}
metrics: {bindAddress: ':1'}
health: {healthProbeBindAddress: ':2'}
clientConnection: {qps: 3, burst: 4}
";
        let settings = merged(file, &[]);
        assert!(settings.configuration.leader_elect());
        assert_eq!(settings.configuration.metrics.bind_address, ":1");
        assert_eq!(
            settings.configuration.health.health_probe_bind_address,
            ":2"
        );
        assert!(settings.rate.is_some());
        let settings = merged(
            file,
            &[
                "--leader-elect=false",
                "--metrics-bind-address=0",
                "--health-probe-bind-address=",
                "--kube-api-qps=-1",
            ],
        );
        assert!(!settings.configuration.leader_elect());
        assert!(is_off(&settings.configuration.metrics.bind_address));
        assert!(is_off(
            &settings.configuration.health.health_probe_bind_address
        ));
        assert!(settings.rate.is_none());
    }

    #[test]
    fn where_no_webhooks_are_served_no_pod_passes_one() {
        for (file, expected) in [("", true), ("extensions: {webhooks: false}\n", false)] {
            let settings = merged(file, &[]);
            let options = controller_options(&settings.configuration, settings.gates);
            assert_eq!(options.pod_webhook, expected, "{file}");
            assert!(!options.fast_failure_detection && !options.lean_suspend);
            assert!(!options.short_names);
            assert!(!options.clean_up_managed_elsewhere);
        }
        for (key, of) in [
            (
                "fastFailureDetection",
                (|o| o.fast_failure_detection) as fn(&ControllerOptions) -> bool,
            ),
            ("leanSuspend", |o| o.lean_suspend),
            ("shortNames", |o| o.short_names),
            ("cleanUpManagedElsewhere", |o| o.clean_up_managed_elsewhere),
        ] {
            let settings = merged(&format!("extensions: {{{key}: true}}\n"), &[]);
            let options = controller_options(&settings.configuration, settings.gates);
            assert!(of(&options), "{key}");
        }
    }

    #[tokio::test]
    async fn there_is_no_rate_limit_unless_one_is_asked_for() {
        for (file, arguments, limited) in [
            ("", &[][..], false),
            ("clientConnection: {}", &[], false),
            ("clientConnection: {qps: 500}", &[], true),
            ("clientConnection: {burst: 500}", &[], true),
            ("", &["--kube-api-qps=500"], true),
            ("", &["--kube-api-burst=500"], true),
        ] {
            let settings = merged(file, arguments);
            assert_eq!(settings.rate.is_some(), limited, "{file} {arguments:?}");
        }
    }
}
