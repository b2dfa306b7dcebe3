//! Developer commands, run as `cargo xtask COMMAND`.

mod generate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of this workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the files that are made from code.
    ///
    /// These are the CustomResourceDefinition of JobSet for kustomize (config/), for Helm
    /// (charts/) and, as compact JSON, for the crate jobset-api itself.
    #[command(after_help = "Examples:
  cargo xtask generate           write all files that are out of date
  cargo xtask generate --check   only say which are; exit code 1 if any is")]
    Generate {
        /// Write nothing; fail when a file is out of date.
        #[arg(long)]
        check: bool,
    },
}

#[expect(clippy::print_stderr, reason = "errors of a command")]
fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Generate { check } => generate::run(check),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
