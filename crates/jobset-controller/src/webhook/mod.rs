//! The admission webhook: AdmissionReviews over HTTPS.
//!
//! ```text
//!  API server ──TLS──► server ──bytes──► review ──JSON──► Admission
//!                        │                 │
//!                      claims            patch
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`review`] | one AdmissionReview: bytes in, bytes out, no I/O |
//! | [`patch`] | what an object was given, as a JSON patch |
//! | [`server`] | connections, limits, time-outs, shutdown |
//! | `claims` | looking up the claims that a JobSet would reuse |
//! | `connections` | who is connected, and who has to go when too many are |
//! | [`certificates`] | the serving certificate, replaced while serving |
//! | [`tls`] | the TLS settings of the configuration file |
//! | [`probe`] | whether the server answers |
//! | [`stats`] | what has been answered so far |

pub mod certificates;
mod claims;
mod connections;
pub mod patch;
pub mod probe;
pub mod review;
pub mod server;
pub mod stats;
#[cfg(test)]
mod testing;
pub mod tls;

pub use certificates::Certificates;
pub use server::{Limits, Webhook};
pub use stats::Stats;

/// One of the four webhooks, each at a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Fills in the defaults of new JobSets.
    MutateJobSet,
    /// Gives new Pods what exclusive placement needs.
    MutatePod,
    /// Checks new and changed JobSets.
    ValidateJobSet,
    /// Checks whether a Pod may be created yet.
    ValidatePod,
}

impl Hook {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::MutateJobSet,
        Self::MutatePod,
        Self::ValidateJobSet,
        Self::ValidatePod,
    ];

    /// Where it is served.
    pub const fn path(self) -> &'static str {
        match self {
            Self::MutateJobSet => "/mutate-jobset-x-k8s-io-v1alpha2-jobset",
            Self::MutatePod => "/mutate--v1-pod",
            Self::ValidateJobSet => "/validate-jobset-x-k8s-io-v1alpha2-jobset",
            Self::ValidatePod => "/validate--v1-pod",
        }
    }

    /// The webhook that is served at exactly this path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.path() == path)
    }
}
