//! Runs the scenarios, the comparison of API servers, or nodes for a control plane without any.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use jobset_conformance::dns::DnsProgram;
use jobset_conformance::environment::{self, Environment, Manifested};
use jobset_conformance::{differential, faults, runner};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

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
        /// A jobset-controller to test instead of the library. It runs here, under the account and
        /// with the configuration of the manifests.
        #[arg(long, value_name = "PATH", requires_all = ["manifests", "kubectl"])]
        controller_binary: Option<PathBuf>,
        /// Rendered manifests, of which all but the Deployment are installed.
        #[arg(long, value_name = "FILE")]
        manifests: Option<PathBuf>,
        /// Disturb operator and control plane instead of running scenarios; this program stops and
        /// starts parts of the control plane, as `cargo xtask kube` does.
        #[arg(long, value_name = "PATH", requires = "controller_binary")]
        faults: Option<PathBuf>,
        /// Receives the controller's log.
        #[arg(long, value_name = "FILE", default_value = "jobset-controller.log")]
        log: PathBuf,
        /// The API server's audit log, to look whether the roles are right.
        #[arg(long, value_name = "FILE")]
        audit: Option<PathBuf>,
        /// A DNS server to ask for names; without it, what asks one is left out.
        #[arg(long, value_name = "PATH")]
        dns: Option<PathBuf>,
        /// Receives the DNS server's log.
        #[arg(long, value_name = "FILE", default_value = "coredns.log")]
        dns_log: PathBuf,
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
    /// Only scenarios whose name begins like one of these.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
    /// Without it the user's requests are made directly.
    #[arg(long, value_name = "PATH")]
    kubectl: Option<PathBuf>,
}

impl Choice {
    fn chooser(&self) -> Box<dyn Fn(&str) -> bool> {
        let (filter, only) = (self.filter.clone(), self.only.clone());
        let only: Vec<String> = only.into_iter().filter(|name| !name.is_empty()).collect();
        Box::new(move |scenario| {
            let listed = only.is_empty() || only.iter().any(|name| scenario.starts_with(name));
            listed && scenario.contains(&filter)
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        // Requests fail on purpose here; who is interested sets RUST_LOG.
        .with_env_filter(
            EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| EnvFilter::new("error,kube_client=off")),
        )
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
            let choosing = choice.chooser();
            let environment = Environment::embedded(choice.kubectl).await?;
            scenarios(environment, &choosing).await
        }
        Command::Real {
            choice,
            kubeconfig,
            controller_binary,
            manifests,
            faults: plane,
            log,
            audit,
            dns,
            dns_log,
        } => {
            let choosing = choice.chooser();
            let kubectl = choice.kubectl;
            let controller = controller_binary.zip(manifests);
            let controller = controller.map(|(program, manifests)| Manifested {
                program,
                manifests,
                log,
                audit,
            });
            // Faults are not about names.
            let dns = dns.filter(|_| plane.is_none());
            let dns = dns.map(|path| DnsProgram { path, log: dns_log });
            let environment = Environment::real(&kubeconfig, kubectl, controller, dns.as_ref())
                .await
                .context("cannot prepare the cluster")?;
            if let Some(plane) = plane {
                let environment = Arc::new(environment);
                let good = faults::run(&environment, &plane).await;
                environment.shutdown().await?;
                return Ok(good);
            }
            scenarios(environment, &choosing).await
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
async fn scenarios(
    environment: Environment,
    choose: &dyn Fn(&str) -> bool,
) -> anyhow::Result<bool> {
    let environment = Arc::new(environment);
    let begin = Instant::now();
    let reports = runner::run(&environment, choose, |report| {
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
