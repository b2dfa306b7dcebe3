//! How long the recovery from a failure takes on the one-machine cluster, and what it costs.
//!
//! ```text
//! cargo run --release -p jobset-cli --example recovery -- storm --jobs 1000
//! cargo run --release -p jobset-cli --example recovery -- in-place --pods 8,64
//! ```
//!
//! * `storm` restarts a large JobSet whose Pods exist only in the books, for one failed Job.
//! * `in-place` restarts small ones whose Pods are processes, in place and by new Pods.
//!
//! Each prints one table in Markdown. Times are medians, with the range of all restarts behind them.
#![expect(clippy::print_stdout, reason = "a program for people")]

mod figures;
mod in_place;
mod storm;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure how the one-machine cluster recovers from failures
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One failed Job of many, without processes: all Jobs are deleted and created again
    Storm(storm::Options),
    /// One failed worker of few, as processes: in place against new Pods
    InPlace(in_place::Options),
}

/// First argument of the re-executions that start containers.
const LAUNCH: &str = "__launch";

fn main() -> anyhow::Result<ExitCode> {
    // As the command: containers and agents are this program too.
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    if program.as_deref().is_some_and(jobset_agent::is_called) {
        return Ok(jobset_agent::main());
    }
    if arguments.next().is_some_and(|first| first == LAUNCH) {
        return Ok(jobset_local::launcher::main(arguments));
    }
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match arguments.command {
                Command::Storm(options) => storm::run(&options).await,
                Command::InPlace(options) => in_place::run(&options).await,
            }
        })?;
    Ok(ExitCode::SUCCESS)
}
