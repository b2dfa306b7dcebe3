//! Leader election on a Lease.
//!
//! The protocol is that of client-go, so that replicas of both kinds can share a lease during an
//! upgrade: the holder writes `renewTime` every retry period; whoever sees the record unchanged for
//! the lease's duration *by its own clock* may take it. Clocks of two hosts are never compared. All
//! writes carry the resourceVersion, so that of two candidates one fails.
//!
//! What is more here:
//! * the holder gives the lease back when it shuts down, and candidates watch the lease, so that a
//!   successor takes over at once instead of after the lease's duration;
//! * renewals move the deadline of a [`Fence`] forward, behind which nothing can be written.

mod events;

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::events::Announcer;
use super::fence::{self, Fence};

/// Retries of candidates are spread over this share of the retry period.
const JITTER: f64 = 1.2;
/// The lease that a release leaves behind ends so soon.
const RELEASED_SECONDS: i32 = 1;

/// How a lease is held.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) identity: String,
    /// Time for which others let an unchanged record be.
    pub(crate) lease_duration: Duration,
    /// Time after which a holder that cannot renew gives up.
    pub(crate) renew_deadline: Duration,
    /// Time between two attempts.
    pub(crate) retry_period: Duration,
}

impl Settings {
    /// Checks that the times fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.lease_duration <= self.renew_deadline {
            return Err(
                "leaderElection.leaseDuration must be longer than renewDeadline".to_owned(),
            );
        }
        if self.renew_deadline <= self.retry_period.mul_f64(JITTER) {
            return Err(format!(
                "leaderElection.renewDeadline must be longer than {JITTER} times retryPeriod"
            ));
        }
        if self.lease_duration < Duration::from_secs(1) || self.retry_period.is_zero() {
            return Err(
                "leaderElection.leaseDuration must be at least 1s and retryPeriod above 0"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Longest time for one request about the lease.
    pub(crate) fn request_timeout(&self) -> Duration {
        (self.renew_deadline / 2).max(Duration::from_secs(1))
    }
}

/// `<hostname>_<random uuid>`: never the same for two processes.
pub(crate) fn identity() -> String {
    let hostname = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned());
    format!("{hostname}_{}", uuid())
}

fn uuid() -> String {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    if random.fill(&mut bytes).is_err() {
        bytes = fastrand::u128(..).to_be_bytes();
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// One replica's part in the election.
pub(crate) struct Election {
    api: Api<Lease>,
    settings: Settings,
    fence: Fence,
    announcer: Announcer,
    /// The lease as last seen.
    seen: Option<Lease>,
    /// When it was first seen like that.
    seen_at: Instant,
    /// When the last successful renewal was begun, while this replica holds the lease.
    held_since: Option<Instant>,
}

/// How the time as a leader ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The lease could not be renewed in time, or somebody else has it.
    Lost,
    /// It was given back as asked for.
    Released,
}

impl Election {
    pub(crate) fn new(client: Client, settings: Settings, fence: Fence) -> Self {
        Self {
            api: Api::namespaced(client.clone(), &settings.namespace),
            announcer: Announcer::new(client, &settings.identity),
            settings,
            fence,
            seen: None,
            seen_at: Instant::now(),
            held_since: None,
        }
    }

    /// Returns when this replica holds the lease.
    pub(crate) async fn acquire(&mut self) {
        let config =
            watcher::Config::default().fields(&format!("metadata.name={}", self.settings.name));
        let mut changes = watcher(self.api.clone(), config).default_backoff().boxed();
        tracing::info!(
            lease = self.settings.name,
            namespace = self.settings.namespace,
            identity = self.settings.identity,
            "waiting for the lease"
        );
        let mut told = None;
        loop {
            match self.attempt().await {
                Ok(true) => break,
                Ok(false) => {
                    let holder = self.seen.as_ref().map(holder).unwrap_or_default();
                    if told.as_deref() != Some(holder) {
                        tracing::info!(holder, "another replica holds the lease");
                        told = Some(holder.to_owned());
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot ask for the lease"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                () = changed(&mut changes) => {}
            }
        }
        tracing::info!(identity = self.settings.identity, "became leader");
        self.announcer.announce(self.seen.as_ref(), "became leader");
    }

    /// Time until the next attempt: a retry period with jitter, or less if the lease ends before.
    fn pause(&self) -> Duration {
        let period = self.settings.retry_period;
        let retry = period.mul_f64(1.0 + JITTER * fastrand::f64());
        let left = self.expiry().map_or(retry, |expiry| {
            expiry.saturating_duration_since(Instant::now())
        });
        // Not all candidates at the same moment, and never at once.
        let spread = (period / 10).mul_f64(0.1 + 0.9 * fastrand::f64());
        retry.min(left + spread)
    }

    /// When the lease that was seen ends; `None` if nobody holds one.
    fn expiry(&self) -> Option<Instant> {
        let lease = self.seen.as_ref()?;
        let seconds = lease.spec.as_ref()?.lease_duration_seconds.unwrap_or(0);
        let seconds = u64::try_from(seconds).unwrap_or(0);
        (!holder(lease).is_empty()).then(|| self.seen_at + Duration::from_secs(seconds))
    }

    /// Keeps the lease until it is lost or `release` is cancelled, and gives it back then.
    pub(crate) async fn hold(&mut self, release: &CancellationToken) -> End {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.retry_period) => {}
                () = release.cancelled() => {
                    self.release().await;
                    return End::Released;
                }
            }
            if !self.renew().await {
                self.fence.close();
                self.held_since = None;
                tracing::error!("lost the lease");
                return End::Lost;
            }
        }
    }

    /// Renews until it succeeds. False when the deadline is over or somebody else holds the lease.
    async fn renew(&mut self) -> bool {
        loop {
            let left = self
                .held_since
                .and_then(|since| self.settings.renew_deadline.checked_sub(since.elapsed()));
            // The fence's clock may be ahead, if the machine slept.
            let Some(left) = left.filter(|_| self.fence.check().is_ok()) else {
                return false;
            };
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => return true,
                Ok(Ok(false)) => {
                    let holder = self.seen.as_ref().map(holder).unwrap_or_default();
                    tracing::error!(holder, "another replica has taken the lease");
                    return false;
                }
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the lease"),
                Err(_) => return false,
            }
            tokio::time::sleep(self.settings.retry_period.min(left)).await;
        }
    }

    /// One attempt to get or renew the lease. Whether it is held now.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let (started, started_fence) = (Instant::now(), fence::now());
        let held = self.try_write().await?;
        if held {
            self.held_since = Some(started);
            self.fence
                .extend(started_fence, self.settings.renew_deadline);
        }
        Ok(held)
    }

    async fn try_write(&mut self) -> kube::Result<bool> {
        // The holder knows the lease already.
        if self.held_since.is_some()
            && let Some(lease) = self.seen.clone()
        {
            match self.replace(lease).await {
                Ok(()) => return Ok(true),
                Err(error) => tracing::debug!(%error, "reading the lease before renewing it"),
            }
        }
        let name = &self.settings.name;
        let Some(lease) = self.api.get_opt(name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some(self.settings.namespace.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.record(None)),
            };
            let created = self.api.create(&PostParams::default(), &lease).await?;
            self.saw(created);
            return Ok(true);
        };
        self.saw(lease.clone());
        let theirs = ![self.settings.identity.as_str(), ""].contains(&holder(&lease));
        if theirs && self.expiry().is_some_and(|expiry| expiry > Instant::now()) {
            return Ok(false);
        }
        self.replace(lease).await?;
        Ok(true)
    }

    /// Writes our name and the present time over this lease, unless it has changed.
    async fn replace(&mut self, mut lease: Lease) -> kube::Result<()> {
        lease.spec = Some(self.record(lease.spec.as_ref()));
        let params = PostParams::default();
        let stored = self
            .api
            .replace(&self.settings.name, &params, &lease)
            .await?;
        self.saw(stored);
        Ok(())
    }

    /// The lease in our name, following this one.
    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mut spec = before.cloned().unwrap_or_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.settings.identity);
        if !ours {
            let transitions = before.map(|before| before.lease_transitions.unwrap_or(0) + 1);
            spec.lease_transitions = Some(transitions.unwrap_or(0));
            spec.acquire_time = Some(now.clone());
            spec.holder_identity = Some(self.settings.identity.clone());
        }
        let seconds = self.settings.lease_duration.as_secs();
        spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        spec
    }

    /// Remembers the lease, and since when its record is as it is.
    fn saw(&mut self, lease: Lease) {
        if self.seen.as_ref().map(|seen| &seen.spec) != Some(&lease.spec) {
            self.seen_at = Instant::now();
        }
        self.seen = Some(lease);
    }

    /// Gives the lease back. Whatever happens, nothing is written from here on.
    async fn release(&mut self) {
        self.fence.close();
        self.held_since = None;
        let Some(mut lease) = self.seen.clone() else {
            return;
        };
        let now = MicroTime(Timestamp::now());
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(RELEASED_SECONDS);
            spec.renew_time = Some(now.clone());
            spec.acquire_time = Some(now);
        }
        let params = PostParams::default();
        let written = self.api.replace(&self.settings.name, &params, &lease);
        match tokio::time::timeout(self.settings.request_timeout(), written).await {
            Ok(Ok(_)) => {
                tracing::info!("gave the lease back");
                if let Some(sent) = self.announcer.announce(Some(&lease), "stopped leading") {
                    // It has a time limit of its own, and its end is all there is to know.
                    let _ = sent.await;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot give the lease back; it runs out"),
            Err(_) => tracing::warn!("no answer to giving the lease back; it runs out"),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// Waits until the lease has changed. A watch that fails is no reason to look.
async fn changed(changes: &mut BoxStream<'_, watcher::Result<watcher::Event<Lease>>>) {
    loop {
        match changes.next().await {
            Some(Ok(watcher::Event::Init | watcher::Event::InitDone)) => {}
            Some(Ok(_)) => return,
            Some(Err(error)) => tracing::debug!(%error, "the watch of the lease failed"),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
