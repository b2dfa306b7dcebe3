//! What can be set from outside.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jobset_api::FeatureGates;
use jobset_core::PlanOptions;
use k8s_openapi::jiff::Timestamp;

/// Settings of a [`Controller`](crate::Controller). The default is right for most clusters.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// JobSets worked on at the same time; at least one. Default 16.
    pub workers: usize,
    /// Feature gates, passed to the planner.
    pub gates: FeatureGates,
    /// Decide about a Job's failure as soon as it is certain (condition `FailureTarget`), instead of
    /// waiting for its last Pod to stop. Default false.
    pub fast_failure_detection: bool,
    /// A suspended JobSet that has never run gets its Jobs and its Service when it is resumed.
    /// Default false.
    pub lean_suspend: bool,
    /// Apply `ttlSecondsAfterFinished` also to JobSets that another controller manages. Default
    /// false.
    pub clean_up_managed_elsewhere: bool,
    /// Whether new Pods pass through the Pod webhook. Where none runs, Jobs that need it for
    /// exclusive placement are not started. Default true.
    pub pod_webhook: bool,
    /// Publish short names of Pods by `EndpointSlices`, which needs the right to write those.
    /// Default false.
    pub short_names: bool,
    /// Watch and manage this namespace only; `None`, the default, is the whole cluster.
    pub namespace: Option<String>,
    /// Most writes of children in flight, over all JobSets; at least one. The controller starts
    /// with fewer and adapts to the server. Default 128: beside a Job controller that makes the Pods of
    /// the same Jobs, fewer get too small a share of the server.
    pub max_in_flight: usize,
    /// Time limit for each single request; a write without an answer by then is looked up or
    /// repeated, never assumed. Default 30 s.
    pub request_timeout: Duration,
    /// Least time between two status writes of one JobSet that differ in nothing but the counts of
    /// its Jobs. Every other change is written at once. Default 500 ms; zero writes every count.
    pub status_interval: Duration,
    /// A Job of our own that the watch has not shown for this long is looked up. Default 10 s.
    pub confirmation_timeout: Duration,
    /// How long a shutdown waits for reconciles that are under way. Default 10 s.
    pub shutdown_grace: Duration,
    /// `reportingController` of events. Default `jobset`.
    pub reporting_controller: String,
    /// `reportingInstance` of events, at most 128 characters. Default `jobset-<hostname>`.
    pub reporting_instance: String,
    /// Source of the present time; delays are measured by the runtime's own clock instead.
    pub clock: Clock,
    /// Seed of the jitter of retries. Default: random.
    pub seed: u64,
}

impl ControllerOptions {
    /// What of this the planner is told.
    pub(crate) fn planning(&self) -> PlanOptions {
        PlanOptions {
            gates: self.gates,
            fast_failure_detection: self.fast_failure_detection,
            lean_suspend: self.lean_suspend,
            clean_up_managed_elsewhere: self.clean_up_managed_elsewhere,
        }
    }
}

impl Default for ControllerOptions {
    fn default() -> Self {
        Self {
            workers: 16,
            gates: FeatureGates::default(),
            fast_failure_detection: false,
            lean_suspend: false,
            clean_up_managed_elsewhere: false,
            pod_webhook: true,
            short_names: false,
            namespace: None,
            max_in_flight: 128,
            request_timeout: Duration::from_secs(30),
            status_interval: Duration::from_millis(500),
            confirmation_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
            reporting_controller: "jobset".to_owned(),
            reporting_instance: default_instance(),
            clock: Clock::default(),
            seed: fastrand::u64(..),
        }
    }
}

/// `jobset-<hostname>` within the API's limit of 128 characters.
fn default_instance() -> String {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let hostname = hostname.trim();
    let hostname = if hostname.is_empty() {
        "unknown"
    } else {
        hostname
    };
    format!("jobset-{hostname}").chars().take(128).collect()
}

/// Where the controller reads the time that it writes into objects and compares with theirs.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that calls `now`, for simulations and tests.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    /// The system's clock.
    fn default() -> Self {
        Self::from_fn(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
