//! Registered webhooks, called over HTTPS: what they see, and what their answers do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod choice;
mod fixture;
mod mutating;
mod validating;
