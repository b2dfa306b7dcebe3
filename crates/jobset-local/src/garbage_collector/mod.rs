//! The garbage collector: what becomes of objects whose owners are deleted.

use tokio_util::sync::CancellationToken;

/// How the garbage collector runs.
#[derive(Debug, Clone)]
pub struct GarbageCollectorOptions {
    /// Objects worked on at the same time.
    pub workers: usize,
}

impl Default for GarbageCollectorOptions {
    fn default() -> Self {
        Self { workers: 16 }
    }
}

/// Runs the garbage collector until `shutdown`.
pub async fn run(
    client: kube::Client,
    options: GarbageCollectorOptions,
    shutdown: CancellationToken,
) {
    let _ = (client, options);
    shutdown.cancelled().await;
}
