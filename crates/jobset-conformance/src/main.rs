//! Runs the scenarios, the comparison of API servers, or nodes for a control plane without any.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use jobset_conformance::environment::{self, Environment};
use jobset_conformance::{differential, runner};
use tokio_util::sync::CancellationToken;

/// Conformance of JobSet. Usually run as `cargo xtask conformance`.
#[derive(Parser)]
#[command(arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the scenarios on the embedded cluster.
    Embedded {
        #[command(flatten)]
        choice: Choice,
    },
    /// Run the scenarios on the cluster of a kubeconfig, which must be for tests only.
    Real {
        #[command(flatten)]
        choice: Choice,
        /// The administrator's.
        #[arg(long)]
        kubeconfig: PathBuf,
        /// A jobset-controller to test instead of the library; it gets --config and KUBECONFIG.
        #[arg(long, value_name = "PATH")]
        controller_binary: Option<PathBuf>,
    },
    /// Send the same requests to the embedded API server and to the cluster of a kubeconfig.
    Compare {
        /// The administrator's.
        #[arg(long)]
        kubeconfig: PathBuf,
        /// Only requests whose name contains this, and those that are sent before them.
        #[arg(long, default_value = "")]
        filter: String,
        /// Also show the differences that are known.
        #[arg(long)]
        all: bool,
    },
    /// Add nodes to a cluster that only pretend to run Pods, until interrupted.
    Nodes {
        /// The administrator's.
        #[arg(long)]
        kubeconfig: PathBuf,
    },
}

#[derive(Args)]
struct Choice {
    /// Only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Without it the user's requests are made directly.
    #[arg(long, value_name = "PATH")]
    kubectl: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Embedded { choice } => {
            let environment = Environment::embedded(choice.kubectl).await?;
            scenarios(environment, &choice.filter).await
        }
        Command::Real {
            choice,
            kubeconfig,
            controller_binary,
        } => {
            let kubectl = choice.kubectl;
            let environment = Environment::real(&kubeconfig, kubectl, controller_binary)
                .await
                .context("cannot prepare the cluster")?;
            scenarios(environment, &choice.filter).await
        }
        Command::Compare {
            kubeconfig,
            filter,
            all,
        } => {
            let comparison = differential::compare(&kubeconfig, &filter).await?;
            show(&comparison, all);
            Ok(comparison.is_good())
        }
        Command::Nodes { kubeconfig } => {
            let shutdown = CancellationToken::new();
            let token = shutdown.clone();
            tokio::spawn(async move {
                let _ = tokio::signal::ctrl_c().await;
                token.cancel();
            });
            environment::run_nodes(&kubeconfig, shutdown).await?;
            Ok(true)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
async fn scenarios(environment: Environment, filter: &str) -> anyhow::Result<bool> {
    let environment = Arc::new(environment);
    let begin = Instant::now();
    let reports = runner::run(&environment, filter, |report| {
        println!("{}", runner::line(report));
    })
    .await;
    environment.shutdown().await?;
    println!(
        "{} ({} cluster, {}, {:.1?})",
        runner::summary(&reports),
        environment.name,
        if environment.kubectl.is_some() {
            "with kubectl"
        } else {
            "without kubectl"
        },
        begin.elapsed()
    );
    Ok(!reports.is_empty() && runner::failed(&reports) == 0)
}

#[expect(clippy::print_stdout, reason = "the output of a command")]
fn show(comparison: &differential::Comparison, all: bool) {
    let differences = &comparison.differences;
    for difference in differences.iter().filter(|d| all || d.known.is_none()) {
        let differential::Difference {
            step,
            place,
            embedded,
            real,
            known,
        } = difference;
        println!("{step} {place}\n    embedded   {embedded}\n    kubernetes {real}");
        if let Some((verdict, reason)) = known {
            println!("    {verdict:?}      {reason}");
        }
    }
    for entry in &comparison.outdated {
        println!("known difference that is none: {entry}");
    }
    println!(
        "{} requests to both API servers, {} fields compared, {} differ: {} are meant to, {} are \
         known to be wrong, {} are new",
        comparison.requests,
        comparison.fields,
        differences.len(),
        comparison.count(Some(differential::Verdict::Meant)),
        comparison.count(Some(differential::Verdict::Wrong)),
        comparison.count(None),
    );
}
