//! The JobSet controller without its decisions: the imperative shell around
//! [`jobset_core::plan()`].
//!
//! ```text
//!  API server ──watch──► index ──key──► queue ──► worker: snapshot → plan() → execute ──► API server
//!                          ▲                                  │            → status
//!                          └────── answers to own writes ─────┘            → events
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`admission`] | what new and changed JobSets and new Pods must be |
//! | [`controller`] | the running whole: watches, workers, shutdown |
//! | [`options`] | what can be set from outside |
//! | [`placement`] | Pods and nodes for exclusive placement; deleting what is in the wrong domain |
//! | [`stats`], [`figures`] | what has been done so far |
//! | `watch`, `watched` | following one kind of object; objects as they are kept |
//! | `index`, `expectations` | the cache; own writes that the watch has not shown yet |
//! | `queue` | which JobSet is looked at next |
//! | `reconcile` | one look at one JobSet |
//! | `executor`, `concurrency` | carrying out the steps of a plan; how many requests at a time |
//! | `status` | when the status is written, and how little |
//! | `events` | telling the user |
//! | `requests` | one API request |
//! | `progress` | how long a JobSet takes to come up, and what restarts cost |
//! | `short_names` | `EndpointSlices` with short names of Pods, where that is asked for |
//! | [`webhook`] | admission over HTTPS |
//!
//! What holds at all times:
//! * No plan before every cache is complete, and none from a state older than one acted upon: the
//!   answer to each own write is in the index before the next plan.
//! * Never the same JobSet twice at once; many JobSets concurrently.
//! * Every change of a child names its uid, every status write its resourceVersion. A stale cache
//!   can lose a race, never count twice or hit another incarnation.
//! * No error, panic or lost connection ends the controller; what failed is retried with back-off.

pub mod admission;
pub mod controller;
pub mod figures;
pub mod options;
pub mod placement;
pub mod stats;
pub mod webhook;

mod concurrency;
mod events;
mod executor;
mod expectations;
mod index;
mod lock;
mod progress;
mod queue;
mod reconcile;
mod requests;
mod short_names;
mod slim;
mod status;
#[cfg(test)]
mod testing;
mod watch;
mod watched;

pub use controller::{Controller, Error};
pub use options::{Clock, ControllerOptions};
pub use placement::Placement;
pub use stats::Stats;
