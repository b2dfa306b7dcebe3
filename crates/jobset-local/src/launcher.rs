//! Entry point of the re-executed binary.
//!
//! The process runtime starts every container through a copy of the running binary, so that all
//! preparation (namespaces, mounts, hostname, reaping) happens in a small single-purpose process
//! in safe Rust, instead of between `fork` and `exec` of a large multi-threaded one.
//!
//! A binary that hosts a cluster reserves a hidden subcommand for it and hands the arguments that
//! follow to [`main`], *before* it starts threads or an async runtime. The argument vector up to
//! and including that subcommand is [`ClusterOptions::launcher`](crate::cluster::ClusterOptions).

use std::ffi::OsString;
use std::process::ExitCode;

use crate::{sandbox, supervisor};

/// Runs the role named by the arguments that follow the hidden subcommand.
///
/// Roles are an internal matter between the node and this function. Standard input is the control
/// channel; an unknown role ends with exit code 2.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["enter"] => sandbox::enter::run(),
        ["init", "namespaces", user, group] => match (user.parse(), group.parse()) {
            (Ok(user), Ok(group)) => {
                sandbox::init::run(Some(sandbox::init::Identity { user, group }))
            }
            _ => usage(),
        },
        ["init", "plain"] => sandbox::init::run(None),
        ["reap"] => supervisor::reap(),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("this subcommand is internal: it is run by the process runtime itself");
    ExitCode::from(2)
}
