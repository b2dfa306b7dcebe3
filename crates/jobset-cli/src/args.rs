//! The command line.

mod connection;
#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod guide_tests;
mod manifests;
mod on_cluster;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jobset_api::FeatureGates;

pub(crate) use self::connection::ConnectionArgs;
pub(crate) use self::manifests::*;
pub(crate) use self::on_cluster::*;
use crate::duration;
use crate::style::Color;

/// Behind the options of a command's own.
const LAST: usize = 900;

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
  jobset render training.yaml           the Jobs that would be made of it
  jobset list                           JobSets on a cluster
  jobset explain training               why one is as it is
  jobset watch training                 its Jobs on the whole screen
  jobset dashboard                      the same in a browser
  jobset logs training --follow         the logs of all its Pods
  jobset init torchrun                  a commented manifest to begin with
  jobset completion bash > ~/.local/share/bash-completion/completions/jobset

Under the name kubectl-jobset on PATH the command is also `kubectl jobset`.

Exit codes: 0 completed, 1 failed, 2 bad input or usage, 124 timed out, 130 interrupted."
)]
pub(crate) struct Cli {
    /// Log what the cluster's parts do to standard error (-vv: debug, -vvv: trace)
    #[arg(short, long, global = true, display_order = LAST, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, global = true, display_order = LAST, value_enum, default_value_t, value_name = "WHEN")]
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
  jobset run training.yaml --report run.html     a page with the timeline of every Job
  jobset run exclusive.yaml --nodes 16 --topology rack=4
  jobset run big.yaml --runtime fake      no processes: try a large manifest
  jobset run in-place.yaml --feature-gates InPlaceRestart=true
  jobset run training.yaml --keep         look around with kubectl afterwards
  jobset run training.yaml --dashboard    watch it in a browser

Containers run as processes of this machine: images are not pulled, a container's command must \
exist here. See docs/run.md.

Exit codes: 0 completed, 1 failed, 2 bad input or usage, 124 timed out, 130 interrupted.")]
    Run(RunArgs),
    /// Run a one-machine cluster with the JobSet controller until interrupted
    #[command(after_help = "Examples:
  jobset up
  jobset up --kubeconfig ./kubeconfig &
  KUBECONFIG=./kubeconfig kubectl apply --server-side -f training.yaml
  jobset up --data-dir ~/.local/share/jobset     keeps its objects over restarts
  jobset up --nodes 8 --topology rack=2
  jobset up --dashboard                          with a page for the browser

The line it prints makes kubectl and the commands of jobset itself use it: in another terminal, \
after that line, `jobset list` and `jobset logs NAME` are about this cluster.

Exit codes: 0 interrupted, 1 it cannot be started, 2 bad usage.")]
    Up(UpArgs),
    /// Check manifest files without a cluster
    #[command(after_help = "Examples:
  jobset validate training.yaml
  jobset validate *.yaml --output json
  kubectl kustomize overlays/dev | jobset validate -

Prints FILE:LINE:COLUMN: document: field path: message for everything that is wrong in any \
document. Objects of kinds that are not known here are skipped, and named.

Exit codes: 0 nothing is wrong, 2 something is, or bad usage.")]
    Validate(ValidateArgs),
    /// Print the Jobs, Service and claims that the controller would create
    #[command(after_help = "Examples:
  jobset render training.yaml
  jobset render training.yaml --role workers --job 0
  jobset render training.yaml --output json | kubectl create --dry-run=server -f -
  jobset render --diff training.yaml     what an edit would change on the cluster

Without --diff nothing but the files is read: defaults are filled in, the rules of `jobset \
validate` applied, and the objects printed in the order of their creation. What waits for other \
Jobs is printed as well, with a comment that says for what. Objects of other kinds are skipped, \
and named.

An object that does not exist yet has no uid. So owner references, and the label and annotation \
jobset.sigs.k8s.io/jobset-uid, which the controller adds, are left out. A generateName gets the \
suffix xxxxx in place of a random one.

With --diff the JobSets are compared with those on the cluster: what would be created, suspended, \
resumed or deleted, and which edits are allowed, only while suspended, or forbidden. The whole \
spec of the file counts, as with `kubectl replace`: what others have added to it is shown as \
removed. The server is asked with a dry run; it has the last word. Nothing is changed.

Exit codes: 0 done; with --diff 0 no difference, 1 differences; 2 a file is wrong, an edit is \
forbidden, or the cluster cannot be asked.")]
    Render(RenderArgs),
    #[command(flatten)]
    OnCluster(ClusterCommand),
    /// Write a commented manifest to begin with
    #[command(after_help = manifests::INIT_HELP)]
    Init(InitArgs),
    /// Print the manifests of the operator, or apply them to a cluster
    #[command(after_help = manifests::INSTALL_HELP)]
    Install(InstallArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  jobset completion bash > ~/.local/share/bash-completion/completions/jobset
  jobset completion zsh  > \"${fpath[1]}/_jobset\"
  jobset completion fish > ~/.config/fish/completions/jobset.fish

The script asks this command what fits. Names of JobSets, of their replicated jobs, of namespaces \
and of contexts are those that are there at that moment. Write it anew after an update of the \
command.

Exit codes: 0 printed, 2 bad usage.")]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write the pages of all commands
    #[command(after_help = "Examples:
  jobset man | man -l -
  jobset man --directory ~/.local/share/man/man1

Exit codes: 0 done, 1 the files cannot be written, 2 bad usage.")]
    Man(ManArgs),
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
    /// What each node has, such as cpu=8,memory=32Gi,nvidia.com/gpu=8 [default:
    /// this machine's processors and memory]
    #[arg(long, value_parser = node_resources, value_name = "LIST")]
    pub(crate) node_resources: Option<Pairs>,
    /// Label each node KEY=VALUE (may be repeated)
    #[arg(long, value_parser = label, value_name = "KEY=VALUE")]
    pub(crate) node_label: Vec<(String, String)>,
    /// Taint each node KEY[=VALUE]:EFFECT (may be repeated)
    #[arg(long, value_parser = jobset_local::scheduler::NodeTaint::parse, value_name = "TAINT")]
    pub(crate) node_taint: Vec<jobset_local::scheduler::NodeTaint>,
    /// Leave Pods pending whose resource requests fit on no node
    #[arg(long)]
    pub(crate) enforce_requests: bool,
    /// How Pods run
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runtime: RuntimeKind,
    /// With --runtime fake: how long each Pod runs before it succeeds
    #[arg(long, default_value = "0s", value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) fake_duration: Duration,
    /// Where to write a kubeconfig for the cluster (mode 0600)
    #[arg(long, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Feature gates of the controller, such as RestartJob=true,InPlaceRestart=true
    #[arg(long, default_value = "", hide_default_value = true, value_parser = FeatureGates::parse, value_name = "LIST")]
    pub(crate) feature_gates: FeatureGates,
    /// Show the JobSets in a browser as well, as `jobset dashboard` does; on this port, or 8347
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "8347", value_name = "PORT")]
    pub(crate) dashboard: Option<u16>,
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
    /// Write what happened to this file at the end: a page of HTML with summary, failures and timelines
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
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
    /// Feature gates of the controller, such as RestartJob=true,InPlaceRestart=true
    #[arg(long, default_value = "", hide_default_value = true, value_parser = FeatureGates::parse, value_name = "LIST")]
    pub(crate) feature_gates: FeatureGates,
    /// Also warn of what this runtime of `jobset run` could not do
    #[arg(long, value_enum, value_name = "RUNTIME")]
    pub(crate) runtime: Option<RuntimeKind>,
}

/// Arguments of `jobset render`.
#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    /// Manifest files in YAML or JSON, several documents allowed; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: RenderOutput,
    /// Only the Jobs of this replicated job
    #[arg(long, value_name = "NAME")]
    pub(crate) role: Option<String>,
    /// Only the Job of this index, of each replicated job
    #[arg(long, value_name = "N")]
    pub(crate) job: Option<u32>,
    /// Feature gates of the controller, such as RestartJob=true,InPlaceRestart=true
    #[arg(long, default_value = "", hide_default_value = true, value_parser = FeatureGates::parse, value_name = "LIST")]
    pub(crate) feature_gates: FeatureGates,
    /// Namespace of JobSets that do not name one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Compare with the JobSets on the cluster
    #[arg(long, conflicts_with_all = ["role", "job"])]
    pub(crate) diff: bool,
    /// With --diff: the kubeconfig file [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, requires = "diff", value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// With --diff: the context in the kubeconfig [default: its current one]
    #[arg(long, requires = "diff", value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// What `jobset render` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderOutput {
    /// YAML documents; with --diff, text for people
    #[default]
    Yaml,
    /// A List; with --diff, one document
    Json,
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

/// Names and values, in a type of its own so that clap takes one argument for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

fn node_resources(text: &str) -> Result<Pairs, String> {
    let pair = |entry: &str| {
        let (name, amount) = entry
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("{entry:?} is not of the form NAME=QUANTITY, such as cpu=8"))?;
        if !jobset_local::scheduler::is_quantity(amount) {
            return Err(format!(
                "{amount:?} is not a quantity, such as 8, 500m or 32Gi"
            ));
        }
        Ok((name.to_owned(), amount.to_owned()))
    };
    text.split(',')
        .map(pair)
        .collect::<Result<_, _>>()
        .map(Pairs)
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
    }
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
    fn resources_and_labels_are_read() {
        let pairs = |list: &[(&str, &str)]| {
            Pairs(
                list.iter()
                    .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                    .collect(),
            )
        };
        assert_eq!(
            node_resources("cpu=8,nvidia.com/gpu=1"),
            Ok(pairs(&[("cpu", "8"), ("nvidia.com/gpu", "1")]))
        );
        for text in ["", "cpu", "=1", "cpu=", "cpu=x", "cpu=-1", "cpu=1,"] {
            assert!(node_resources(text).is_err(), "{text}");
        }
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err() && label("=a").is_err());
    }

    #[test]
    fn topologies_are_read() {
        assert_eq!(topology("rack=4"), Ok(("rack".to_owned(), 4)));
        for text in ["rack", "=4", "rack=", "rack=0", "rack=x"] {
            assert!(topology(text).unwrap_err().contains("KEY=M"), "{text}");
        }
    }
}
