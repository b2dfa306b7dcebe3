//! The hook through which `metrics.k8s.io` learns what containers use.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

/// What one container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Its name in the Pod.
    pub name: String,
    /// Billionths of a processor, on average over the window.
    pub nano_cpus: u64,
    /// Memory at the end of the window.
    pub memory_bytes: u64,
}

/// What the containers of one Pod use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// The end of the window.
    pub at: Timestamp,
    /// The time between the two readings that processor time was taken from.
    pub window: Duration,
    /// The containers that run.
    pub containers: Vec<ContainerUsage>,
}

/// What Pods use, as far as it is known, by their uids.
pub type Usage = HashMap<String, PodUsage>;

/// Where `metrics.k8s.io` gets its figures from. Without one, the group is not served.
pub trait Metrics: Send + Sync {
    /// The figures of all Pods that have any.
    fn usage(&self) -> BoxFuture<'static, Usage>;
}
