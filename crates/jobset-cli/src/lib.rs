//! The `jobset` command: runs a JobSet on this machine, or a whole one-machine cluster.
//!
//! The command itself decides nothing about JobSets: it reads manifests, starts the embedded
//! cluster with the same controller and the same admission that a cluster gets, and shows what
//! happens.

pub mod admission;
mod args;
mod cluster;
mod commands;
mod completion;
mod dashboard;
mod duration;
mod engine;
mod exit;
mod init;
mod install;
mod kinds;
mod man;
mod manifest;
mod output;
#[cfg(test)]
mod placement_tests;
mod program;
mod render;
mod run;
mod style;
mod timeline;
mod up;
mod validate;
mod view;

use std::process::ExitCode;

use crate::args::Command;
use crate::exit::Exit;

/// What `jobset validate` says about a file with this text, line by line: errors, warnings, and
/// what was skipped. For whoever wants the checks without the command, such as a fuzzer.
///
/// ```
/// let found = jobset_cli::check_manifest("x.yaml", b"kind: JobSet");
/// assert_eq!(found, ["error: x.yaml:1:1: document 1: apiVersion: is missing or not a string"]);
/// ```
#[must_use]
pub fn check_manifest(name: &str, bytes: &[u8]) -> Vec<String> {
    let found = manifest::inspect_bytes(name, bytes.to_vec(), manifest::Checks::default());
    let lines = |head: &'static str, problems: Vec<manifest::Problem>| {
        problems
            .into_iter()
            .map(move |problem| format!("{head}: {problem}"))
    };
    lines("error", found.problems)
        .chain(lines("warning", found.warnings))
        .chain(lines("skipped", found.skipped))
        .collect()
}

/// Runs the command with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    // Containers are started by re-executing this binary: nothing may come before this.
    let mut arguments = std::env::args_os();
    let program = arguments.next();
    if program.as_deref().is_some_and(jobset_agent::is_called) {
        return jobset_agent::main();
    }
    if arguments
        .next()
        .is_some_and(|first| first == engine::LAUNCH_COMMAND)
    {
        return jobset_local::launcher::main(arguments);
    }
    completion::answer_shell();
    let cli = match program::parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                Exit::BadInput
            } else {
                Exit::Completed
            };
            // Nowhere is left to report that the terminal is gone.
            let _ = error.print();
            return code.into();
        }
    };
    cli.color.apply();
    start_log(cli.verbose);
    let result = match cli.command {
        Command::Run(args) => run::main(&args),
        Command::Up(args) => up::main(&args),
        Command::Validate(args) => validate::main(&args),
        Command::Render(args) => render::main(&args),
        Command::OnCluster(command) => commands::main(&command),
        Command::Init(args) => init::main(&args),
        Command::Install(args) => install::main(&args),
        Command::Completion { shell } => completion::main(shell),
        Command::Man(args) => man::main(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{} {error:#}", style::error("error:"));
            Exit::Failed.into()
        }
    }
}

/// The log of the cluster's own parts; `JOBSET_LOG` takes the filter syntax of the tracing crate.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("JOBSET_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(style::enabled())
        .init();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// The seeds of the fuzz target of the same name.
    const SEEDS: &[&[u8]] = &[
        include_bytes!("../../../fuzz/seeds/validate_yaml/anchors.yaml"),
        include_bytes!("../../../fuzz/seeds/validate_yaml/object.json"),
        include_bytes!("../../../fuzz/seeds/validate_yaml/failjobset-action.yaml"),
    ];

    proptest! {
        /// What the fuzzer does, blindly and briefly: manifests with some bytes replaced, taken out
        /// or doubled. Nothing panics, and no control character gets to the terminal.
        #[test]
        fn damaged_manifests_are_judged_without_panic(
            seed in 0..SEEDS.len(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>(), 1..40_usize), 0..6),
        ) {
            let mut bytes = SEEDS[seed].to_vec();
            for (at, how, byte, length) in damage {
                let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                let to = (at + length).min(bytes.len());
                match how {
                    0 if !bytes.is_empty() => bytes[at] = byte,
                    1 => drop(bytes.drain(at..to)),
                    _ => {
                        let part = bytes[at..to].to_vec();
                        bytes.splice(at..at, part);
                    }
                }
            }
            let found = super::check_manifest("x.yaml", &bytes);
            for line in &found {
                prop_assert!(!line.chars().any(|c| c.is_control() && c != '\n'), "{line:?}");
            }
            prop_assert_eq!(found, super::check_manifest("x.yaml", &bytes));
        }
    }
}
