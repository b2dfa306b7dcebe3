//! Tests of the built `jobset` command, from the outside: what it prints, its exit code, and what
//! it leaves behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod bad_input;
mod browser;
mod changing;
mod dashboard;
mod driver;
mod examples;
mod golden;
mod guide;
mod help;
mod in_place;
mod leftovers;
mod looking;
mod manifests;
mod outcomes;
mod processes;
mod real_kubectl;
mod render;
mod short_names;
mod support;
mod terminal;
mod transcripts;
mod validate;
mod workloads;
