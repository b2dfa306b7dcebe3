//! Commands that write manifests and pages.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ConnectionArgs;

pub(super) const INIT_HELP: &str = "Examples:
  jobset init                             asks which template
  jobset init torchrun --name training --workers 4 --image registry.example.com/train:v2
  jobset init etl --file etl.yaml && jobset validate etl.yaml

The text goes to standard output unless --file says otherwise. A file that is there already \
stays.

Exit codes: 0 written, 1 the file cannot be written, 2 bad usage, or a name that makes no valid \
manifest.";

pub(super) const INSTALL_HELP: &str = "Examples:
  jobset install --image registry.example.com/jobset-controller:v0.1.0 > operator.yaml
  jobset install --image registry.example.com/jobset-controller:v0.1.0 --apply --context staging
  jobset install --variant no-webhook --without-crd

There is no published image: docs/install.md tells how to build one. Without --apply the \
manifests are printed, to be reviewed and applied with `kubectl apply --server-side`. With \
--apply they are applied the same way, in their order; what other tools have set is kept, unless \
--force-conflicts takes it over.

Exit codes: 0 done, 1 the cluster cannot be asked or refuses, 2 bad usage.";

/// What a manifest is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// A leader and workers that find it by name
    LeaderWorker,
    /// Distributed PyTorch
    Torchrun,
    /// A launcher that starts ranks in worker Pods over ssh
    Mpi,
    /// Servers that never end, and trainers
    ParameterServer,
    /// Steps that start after each other, with a shared volume
    Etl,
    /// Workers whose containers restart together in their Pods
    InPlaceRestart,
}

impl Template {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::LeaderWorker,
        Self::Torchrun,
        Self::Mpi,
        Self::ParameterServer,
        Self::Etl,
        Self::InPlaceRestart,
    ];

    /// Its name on the command line, which is also the JobSet's unless it gets another.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LeaderWorker => "leader-worker",
            Self::Torchrun => "torchrun",
            Self::Mpi => "mpi",
            Self::ParameterServer => "parameter-server",
            Self::Etl => "etl",
            Self::InPlaceRestart => "in-place-restart",
        }
    }

    /// What it is for, in a few words.
    pub(crate) fn about(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }
}

/// Arguments of `jobset init`.
#[derive(Debug, Default, Args)]
pub(crate) struct InitArgs {
    /// What the manifest is for
    #[arg(value_enum, value_name = "TEMPLATE")]
    pub(crate) template: Option<Template>,
    /// Name of the JobSet [default: that of the template]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Number of workers, nodes, ranks or parts, whatever the template has many of
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub(crate) workers: Option<u32>,
    /// Image of the containers
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Replace the file if it is there already
    #[arg(long, requires = "file")]
    pub(crate) force: bool,
}

/// How the operator is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// Webhooks, with certificates that the manager makes
    #[default]
    Default,
    /// The same with two replicas and roles for people
    Ha,
    /// Certificates by cert-manager
    CertManager,
    /// No webhooks: admission policies in their place
    NoWebhook,
}

/// Arguments of `jobset install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// How
    #[arg(long, value_enum, default_value_t, value_name = "VARIANT")]
    pub(crate) variant: Variant,
    /// Image of the manager
    #[arg(long, required_if_eq("apply", "true"), value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Leave the CustomResourceDefinition out
    #[arg(long)]
    pub(crate) without_crd: bool,
    /// Apply the manifests instead of printing them
    #[arg(long)]
    pub(crate) apply: bool,
    /// With --apply: take over what other tools have set
    #[arg(long, requires = "apply")]
    pub(crate) force_conflicts: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// Arguments of `jobset man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one file for each command into this directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
