//! `cargo xtask conformance`: the scenarios of crates/jobset-conformance on a real control plane.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// Only scenarios whose name contains this, and no comparison of API servers.
    #[arg(long, default_value = "")]
    filter: String,
    /// A jobset-controller to test instead of the library.
    #[arg(long, value_name = "PATH")]
    controller_binary: Option<PathBuf>,
    /// Only compare the API servers.
    #[arg(long, conflicts_with_all = ["filter", "controller_binary"])]
    compare: bool,
    /// Leave the control plane running. One that runs already is always left.
    #[arg(long)]
    keep: bool,
}

/// Runs it all, and stops what it has started.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let was_running = crate::kube::is_running()?;
    let kubeconfig = crate::kube::up()?;
    let result = run_on(&kubeconfig, options);
    if was_running || options.keep {
        return result;
    }
    let stopped = crate::kube::stop();
    result.and(stopped)
}

fn run_on(kubeconfig: &Path, options: &Options) -> anyhow::Result<()> {
    let program = build()?;
    let mut failed = Vec::new();
    if !options.compare {
        let mut command = Command::new(&program);
        command.arg("real").arg("--kubeconfig").arg(kubeconfig);
        command.arg("--filter").arg(&options.filter);
        command.arg("--kubectl").arg(crate::kubectl::path(false)?);
        if let Some(controller) = &options.controller_binary {
            let path = controller
                .canonicalize()
                .with_context(|| controller.display().to_string())?;
            command.arg("--controller-binary").arg(path);
        }
        if !command.status()?.success() {
            failed.push("scenarios");
        }
    }
    if options.filter.is_empty() {
        let mut command = Command::new(&program);
        command.arg("compare").arg("--kubeconfig").arg(kubeconfig);
        if !command.status()?.success() {
            failed.push("comparison of API servers");
        }
    }
    if !failed.is_empty() {
        bail!("not conformant: {}", failed.join(", "));
    }
    Ok(())
}

/// Builds the program; cargo knows where it is.
fn build() -> anyhow::Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["build", "--quiet", "--package", "jobset-conformance"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("jobset-conformance does not build");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "jobset-conformance")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo does not say where jobset-conformance is")
}
