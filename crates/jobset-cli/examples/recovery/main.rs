//! How long the recovery from a failure takes on the one-machine cluster, and what it costs.
//!
//! ```text
//! cargo run --release -p jobset-cli --example recovery -- storm --jobs 1000
//! ```
//!
//! `storm` restarts a large JobSet whose Pods exist only in the books, for one failed Job.
//!
//! Each prints one table in Markdown. Times are medians, with the range of all restarts behind them.
#![expect(clippy::print_stdout, reason = "a program for people")]

mod figures;
mod storm;
mod world;

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
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match arguments.command {
                Command::Storm(options) => storm::run(&options).await,
            }
        })
}
