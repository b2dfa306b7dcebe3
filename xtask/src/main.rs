//! Developer commands, run as `cargo xtask COMMAND`.

#[cfg(test)]
mod agent_policy_tests;
mod bench;
mod book;
#[cfg(test)]
mod cel;
#[cfg(test)]
mod chart_tests;
mod conformance;
mod dns;
mod generate;
mod go;
mod helm;
mod kube;
mod kubectl;
mod links;
mod manifests;
#[cfg(test)]
mod strict;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

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
    /// (charts/) and, as compact JSON, for the crate jobset-api itself; and roles, webhook
    /// configurations and admission policies for kustomize, Helm and docs/rbac.md; and docs/api.md.
    #[command(after_help = "Examples:
  cargo xtask generate           write all files that are out of date
  cargo xtask generate --check   only say which are; exit code 1 if any is")]
    Generate {
        /// Write nothing; fail when a file is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Print the path of a kubectl for the integration tests.
    ///
    /// That is the one on PATH. If there is none, it is built with Go from the module in
    /// tests/kube/kubectl, which pins its version, into the user's cache directory.
    #[command(after_help = "Examples:
  cargo xtask kubectl
  PATH=\"$(dirname \"$(cargo xtask kubectl --build)\"):$PATH\" cargo test --workspace")]
    Kubectl {
        /// Do not look on PATH.
        #[arg(long)]
        build: bool,
    },
    /// Print the path of a Helm for the tests of the chart.
    ///
    /// That is the one on PATH. If there is none, it is built with Go from the module in
    /// tests/kube/helm, which pins its version, into the user's cache directory.
    #[command(after_help = "Example:
  \"$(cargo xtask helm)\" template jobset charts/jobset")]
    Helm {
        /// Do not look on PATH.
        #[arg(long)]
        build: bool,
    },
    /// Print the path of the DNS server that conformance scenarios ask.
    ///
    /// CoreDNS in the version that kubeadm installs with the Kubernetes of tests/kube/control-plane.
    /// It is built with Go from the module in tests/kube/dns into the user's cache directory.
    #[command(after_help = "Example:
  cargo xtask dns")]
    Dns,
    /// Render the kustomize overlays into single files. Needs kubectl.
    #[command(after_help = "Example:
  cargo xtask manifests && kubectl apply --server-side -f target/manifests/manifests.yaml")]
    Manifests {
        /// Folder for the files, relative to the root of the workspace.
        #[arg(long, default_value = "target/manifests")]
        output: PathBuf,
        /// Write those that `jobset install` brings with it instead.
        #[arg(long, conflicts_with = "output")]
        embed: bool,
    },
    /// A real Kubernetes control plane on this machine, for tests.
    ///
    /// etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback, without
    /// nodes. The programs are those in KUBEBUILDER_ASSETS if that is set; what is not there is
    /// built with Go from the module in tests/kube/control-plane into the user's cache directory.
    #[command(after_help = "Examples:
  cargo xtask kube up
  eval \"$(cargo xtask kube env)\"; kubectl get namespaces
  cargo xtask kube down")]
    Kube {
        #[command(subcommand)]
        command: kube::Command,
    },
    /// Run all conformance scenarios on a real Kubernetes control plane.
    ///
    /// Starts one unless it runs, runs the scenarios of crates/jobset-conformance with the real
    /// kubectl and Kubernetes' DNS server, and compares the embedded API server's answers with
    /// Kubernetes'.
    #[command(after_help = "Examples:
  cargo xtask conformance
  cargo xtask conformance --filter restart --keep")]
    Conformance(conformance::Options),
    /// Build the guide from docs/ into target/book/html.
    ///
    /// With the mdbook on PATH. If there is none, it is installed from crates.io, in a pinned
    /// version, into the user's cache directory.
    #[command(after_help = "Example:
  cargo xtask book && xdg-open target/book/html/index.html")]
    Book {
        /// Only install mdbook if there is none, and print its path.
        #[arg(long)]
        install: bool,
    },
    /// Measure what is written in docs/benchmarks.md.
    Bench {
        #[command(subcommand)]
        command: bench::Command,
    },
}

/// Root of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

#[expect(clippy::print_stderr, reason = "errors of a command")]
fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Generate { check } => generate::run(check),
        Command::Kubectl { build } => kubectl::run(build),
        Command::Helm { build } => helm::run(build),
        Command::Dns => dns::run(),
        Command::Manifests { embed: true, .. } => manifests::embed(),
        Command::Manifests { output, .. } => manifests::run(&output),
        Command::Kube { command } => kube::run(&command),
        Command::Conformance(options) => conformance::run(&options),
        Command::Book { install: true } => book::install(),
        Command::Book { .. } => book::run(),
        Command::Bench { command } => bench::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
