//! Short names: `leader-0-1` for the Pod with completion index 1 of Job 0 of the replicated job
//! `leader`, and `leader-0` for all Pods of that Job.
//!
//! Kubernetes publishes a Pod under one host name only, the long one. The short names beside it
//! are published by `EndpointSlices` of the controller's own, for the same headless Service: DNS
//! answers `<hostname>.<service>` from all slices of a Service, whoever wrote them.
//!
//! | file | holds |
//! |---|---|
//! | `rules` | which names a Pod has, and which it must not have |
//! | `pod` | what is known of a Pod |
//! | `slice` | a slice as it is, and as it is written |
//! | `plan` | the writes that lead from the slices that there are to those that should be |
//!
//! A short name leads to a Pod when its long name does: from the moment it has an address, if it is
//! ready or the JobSet publishes addresses that are not, until it has ended or is gone.

mod plan;
mod pod;
mod rules;
mod slice;

pub use plan::{Change, Collision, MAX_ENDPOINTS, collision, plan};
pub use pod::NamedPod;
pub use rules::{PodPlace, ShortNames, pod_place};
pub use slice::{Endpoint, Family, MANAGED_BY, MANAGED_BY_KEY, NameSlice, SERVICE_NAME_KEY};
