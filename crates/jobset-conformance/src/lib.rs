//! Scenarios that show what a JobSet does, each written once.
//!
//! They run on the embedded cluster (`cargo test -p jobset-conformance`) and on a real Kubernetes
//! control plane (`cargo xtask conformance`), with the same controller and the same fake nodes.
//! Where the two differ, the embedded cluster is wrong.
//!
//! | module | holds |
//! |---|---|
//! | [`scenarios`] | the list, by capability |
//! | [`runner`] | runs scenarios, many at once, and makes a table of the results |
//! | [`environment`] | the two clusters |
//! | [`operator`] | the controller under test |
//! | [`world`] | a scenario's namespace: what can be done and waited for |
//! | [`mirror`] | what a namespace holds and has held, by watches |
//! | [`user`] | kubectl, or the same by hand |
//! | [`dns`] | the DNS server of Kubernetes, and questions to it |
//! | [`objects`], [`kind`] | JobSets to try; kinds of objects |
//! | [`differential`] | the same requests to both API servers, answers compared |
//!
//! Nothing here sleeps: a step waits until a watch shows what it needs, or, where there is no watch,
//! asks again until the answer is as it should be. That something does *not* happen is shown by
//! something later that does.

pub mod differential;
pub mod dns;
pub mod environment;
pub mod faults;
mod installation;
pub mod kind;
pub mod mirror;
pub mod objects;
pub mod operator;
mod policies;
pub mod replica;
mod rights;
pub mod runner;
pub mod scenarios;
pub mod user;
pub mod world;
