//! The real kubectl against the server, over TLS with the generated kubeconfig.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod reading;
mod typed;
mod webhooks;
mod writing;
