//! `cargo xtask bench operator`: what the operator costs on a real control plane.
//!
//! | file | subject |
//! |---|---|
//! | `cluster` | the control plane, and what is put into it and removed |
//! | `view` | what a watch has seen so far |
//! | `loader` | creating objects as quickly as the API server takes them |
//! | `process` | the operator and the nodes as processes: time, memory |
//! | `counts` | what the operator says it has done |
//! | `scenarios` | what is measured |
//! | `report` | medians, aims, table and JSON |
//!
//! Times on a shared machine say little by themselves. Each run therefore also measures the bare
//! loader with the same Jobs on the same control plane, and the report has the ratio.

mod cluster;
mod counts;
mod loader;
mod process;
mod report;
mod scenarios;
mod view;

use std::{
    path::{Path, PathBuf},
    process::Command as Process,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::kube;
use cluster::Cluster;
use process::Nodes;
use report::Report;
use scenarios::{Sizes, World};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measure the operator on a real control plane, which is started anew.
    ///
    /// Writes a table and target/bench/operator.json. Builds what it runs in release mode, this
    /// program included: a slow loader would flatter the operator.
    #[command(after_help = "Examples:
  cargo xtask bench operator
  cargo xtask bench operator --scenario one,many --mode alone --runs 5
  cargo xtask bench operator --quick       whether it works; the figures mean nothing")]
    Operator(Options),
}

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Only with the Job controller stopped, or only with it running.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Runs of each scenario but memory; medians are shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Small sizes, one run.
    #[arg(long)]
    quick: bool,
    /// A jobset-controller to measure instead of building one.
    #[arg(long, value_name = "PATH")]
    operator: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// Process start to ready, and to the first Job.
    Start,
    /// One JobSet with many Jobs.
    One,
    /// Many JobSets with four Jobs, and a restart of the operator with all of them.
    Many,
    /// Restart of a JobSet.
    Restart,
    /// Suspend and resume of a JobSet.
    Suspend,
    /// Memory with nothing, with many Jobs, and among Pods that are none of its business.
    Memory,
}

/// Whether Jobs come to life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// The Job controller is stopped: what is left is the operator and the API server.
    Alone,
    /// It runs, with nodes that only pretend to run Pods.
    Full,
}

impl Mode {
    /// In the order in which they are run.
    fn scenarios(self) -> &'static [Scenario] {
        match self {
            Self::Alone => &[
                Scenario::Start,
                Scenario::One,
                Scenario::Many,
                Scenario::Restart,
                Scenario::Suspend,
                Scenario::Memory,
            ],
            Self::Full => &[Scenario::One, Scenario::Many],
        }
    }
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Operator(options) = command;
    if cfg!(debug_assertions) && !options.quick {
        return again_in_release();
    }
    if options.runs == 0 {
        bail!("--runs must be at least 1");
    }
    operator(options)
}

/// Runs the same command built with optimisation.
fn again_in_release() -> anyhow::Result<()> {
    let status = Process::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1))
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the bench ended with {status}");
    }
    Ok(())
}

fn operator(options: &Options) -> anyhow::Result<()> {
    let program = match &options.operator {
        Some(path) => path
            .canonicalize()
            .with_context(|| path.display().to_string())?,
        None => build("jobset-controller", options.quick)?,
    };
    let wanted = |scenario| options.scenario.is_empty() || options.scenario.contains(&scenario);
    let mut report = Report::new(&program, options.quick)?;
    for mode in [Mode::Alone, Mode::Full] {
        let scenarios: Vec<Scenario> = mode
            .scenarios()
            .iter()
            .copied()
            .filter(|s| wanted(*s))
            .collect();
        if options.mode.is_some_and(|only| only != mode) || scenarios.is_empty() {
            continue;
        }
        // Nothing of an earlier run may be in the way.
        kube::stop()?;
        let kubeconfig = kube::up_with(kube::Choice {
            without_job_controller: mode == Mode::Alone,
        })?;
        let result = measure(
            options,
            mode,
            &scenarios,
            &kubeconfig,
            &program,
            &mut report,
        );
        let stopped = kube::stop();
        // What was measured is kept also when something fails later.
        report.write()?;
        result.and(stopped)?;
    }
    report.show();
    Ok(())
}

#[expect(clippy::print_stderr, reason = "progress of a command")]
fn measure(
    options: &Options,
    mode: Mode,
    scenarios: &[Scenario],
    kubeconfig: &Path,
    program: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let _nodes = match mode {
        Mode::Alone => None,
        Mode::Full => {
            let nodes = build("jobset-conformance", options.quick)?;
            Some(Nodes::start(&nodes, kubeconfig)?)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let cluster = Cluster::connect(kubeconfig).await?;
        let sizes = if options.quick {
            Sizes::QUICK
        } else {
            Sizes::WHOLE
        };
        let mut world = World::new(cluster, program.to_owned(), mode, sizes);
        let runs = if options.quick { 1 } else { options.runs };
        for run in 0..runs {
            for &scenario in scenarios {
                if scenario == Scenario::Memory && run > 0 {
                    continue;
                }
                eprintln!("{mode:?} {scenario:?}, run {} of {runs}", run + 1);
                let taken = scenarios::run(&mut world, scenario, run)
                    .await
                    .with_context(|| format!("{mode:?} {scenario:?}"))?;
                report.add(mode, scenario, taken);
            }
        }
        Ok(())
    })
}

/// Builds a program of this workspace; cargo knows where it is.
fn build(package: &str, quick: bool) -> anyhow::Result<PathBuf> {
    let mut command = Process::new(env!("CARGO"));
    command
        .current_dir(crate::root())
        .args(["build", "--quiet", "--package", package, "--bin", package])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit());
    if !quick {
        command.arg("--release");
    }
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("{package} does not build");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo does not say where {package} is"))
}
