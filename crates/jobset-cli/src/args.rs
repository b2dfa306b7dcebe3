//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::duration;
use crate::style::Color;

/// Run groups of Kubernetes Jobs as one workload, on this machine or on a cluster
#[derive(Debug, Parser)]
#[command(
    name = "jobset",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  jobset run training.yaml              run a JobSet here and stream its logs
  jobset up                             a one-machine cluster for kubectl
  jobset validate training.yaml         what is wrong with a manifest
  jobset completion bash > ~/.local/share/bash-completion/completions/jobset

Exit codes: 0 completed, 1 failed, 2 bad input or usage, 124 timed out, 130 interrupted."
)]
pub(crate) struct Cli {
    /// Log what the cluster's parts do to standard error (-vv: debug, -vvv: trace)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the JobSets of manifest files on this machine until they finish
    #[command(after_help = "Examples:
  jobset run training.yaml
  jobset run configmap.yaml training.yaml --timeout 30m
  kubectl kustomize overlays/dev | jobset run -
  jobset run training.yaml --output json > result.json
  jobset run exclusive.yaml --nodes 16 --topology rack=4
  jobset run big.yaml --runtime fake      no processes: try a large manifest
  jobset run training.yaml --keep         look around with kubectl afterwards

Containers run as processes of this machine: images are not pulled, a container's command must
exist here. See docs/run.md.

Exit codes: 0 completed, 1 failed, 2 bad input or usage, 124 timed out, 130 interrupted.")]
    Run(RunArgs),
    /// Run a one-machine cluster with the JobSet controller until interrupted
    #[command(after_help = "Examples:
  jobset up
  jobset up --kubeconfig ./kubeconfig &
  KUBECONFIG=./kubeconfig kubectl apply --server-side -f training.yaml
  jobset up --data-dir ~/.local/share/jobset     keeps its objects over restarts
  jobset up --nodes 8 --topology rack=2")]
    Up(UpArgs),
    /// Check manifest files without a cluster
    #[command(after_help = "Examples:
  jobset validate training.yaml
  jobset validate *.yaml --output json
  kubectl kustomize overlays/dev | jobset validate -

Prints FILE:LINE:COLUMN: document: field path: message for everything that is wrong in any document.
Objects of kinds that are not known here are skipped, and named.

Exit codes: 0 nothing is wrong, 2 something is.")]
    Validate(ValidateArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  jobset completion bash > ~/.local/share/bash-completion/completions/jobset
  jobset completion zsh  > \"${fpath[1]}/_jobset\"
  jobset completion fish > ~/.config/fish/completions/jobset.fish")]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// What the one-machine cluster is made of.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Number of simulated nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5000), value_name = "N")]
    pub(crate) nodes: u16,
    /// Spread the nodes over M topology domains: label KEY gets M values (may be repeated)
    #[arg(long, value_parser = topology, value_name = "KEY=M")]
    pub(crate) topology: Vec<(String, usize)>,
    /// How Pods run
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runtime: RuntimeKind,
    /// With --runtime fake: how long each Pod runs before it succeeds
    #[arg(long, default_value = "0s", value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) fake_duration: Duration,
    /// Where to write a kubeconfig for the cluster (mode 0600)
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// How Pods run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeKind {
    /// Containers are processes of this machine, in namespaces of their own where permitted
    #[default]
    Process,
    /// Nothing runs: Pods become Running, then Succeeded
    Fake,
}

/// What is printed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputKind {
    /// Text for people
    #[default]
    Text,
    /// One JSON document on standard output
    Json,
}

/// Arguments of `jobset run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Manifest files in YAML or JSON, several documents allowed; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Give up after this time, for example 90s, 5m, 1h30m
    #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
    /// Keep the cluster up at the end and print how to reach it; Ctrl-C ends it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Do not print the Pods' logs
    #[arg(long)]
    pub(crate) no_logs: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Arguments of `jobset validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Manifest files in YAML or JSON, several documents allowed; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: OutputKind,
}

/// Arguments of `jobset up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Keep the cluster's objects in this directory; a later `up` goes on with them
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the API server; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

fn topology(text: &str) -> Result<(String, usize), String> {
    let wrong = || format!("{text:?} is not of the form KEY=M, for example rack=4");
    let (key, count) = text.split_once('=').ok_or_else(wrong)?;
    let count: usize = count.parse().map_err(|_| wrong())?;
    if key.is_empty() || count == 0 {
        return Err(wrong());
    }
    Ok((key.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn topologies_are_read() {
        assert_eq!(topology("rack=4"), Ok(("rack".to_owned(), 4)));
        for text in ["rack", "=4", "rack=", "rack=0", "rack=x"] {
            assert!(topology(text).unwrap_err().contains("KEY=M"), "{text}");
        }
    }
}
