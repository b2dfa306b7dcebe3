//! `cargo xtask conformance`: the scenarios of crates/jobset-conformance on a real control plane.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// Only scenarios whose name contains this, and nothing else.
    #[arg(long, default_value = "")]
    filter: String,
    /// Another jobset-controller than that of this checkout.
    #[arg(long, value_name = "PATH")]
    controller_binary: Option<PathBuf>,
    /// The controller as a library in the tests' process: without manifests and webhooks.
    #[arg(long, conflicts_with = "controller_binary")]
    in_process: bool,
    /// The installation of this folder of config/: default, no-webhook or short-names. Without it all
    /// are tested, but for the first one only with the scenarios that they are about.
    #[arg(long, value_name = "NAME")]
    overlay: Option<String>,
    /// Only disturb operator and control plane, and look what becomes of it.
    #[arg(long, conflicts_with_all = ["filter", "in_process", "overlay", "compare"])]
    faults: bool,
    /// Only compare the API servers.
    #[arg(long, conflicts_with_all = ["filter", "controller_binary", "in_process", "overlay"])]
    compare: bool,
    /// Leave the control plane running. One that runs already is always left.
    #[arg(long)]
    keep: bool,
}

/// What is installed, and which scenarios that is tested with.
const INSTALLATIONS: [(&str, &[&str]); 3] = [
    ("default", &[]),
    ("no-webhook", &NO_WEBHOOK),
    ("short-names", &["short-names"]),
];
/// What webhooks could make a difference for.
const NO_WEBHOOK: [&str; 10] = [
    "labels",
    "exclusive",
    "schema-rules",
    "policy-rules",
    "restart",
    "suspend",
    "success",
    "elastic",
    "claims",
    "no-short-names",
];

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
    let [program, built] = build()?;
    let dns = dns_server();
    let scenarios = |filter| scenarios(&program, kubeconfig, filter, dns.as_deref());
    let mut failed = Vec::new();
    if options.in_process {
        if !scenarios(&options.filter)?.status()?.success() {
            failed.push("scenarios".to_owned());
        }
    } else if !options.compare {
        let controller = match &options.controller_binary {
            None => built,
            Some(path) => path
                .canonicalize()
                .with_context(|| path.display().to_string())?,
        };
        for (overlay, chosen) in INSTALLATIONS {
            let wanted = match &options.overlay {
                Some(wanted) => wanted == overlay,
                None => chosen.is_empty() || (options.filter.is_empty() && !options.faults),
            };
            if !wanted {
                continue;
            }
            let manifests = crate::root().join(format!("target/kube/{overlay}.yaml"));
            std::fs::write(&manifests, crate::manifests::render(overlay)?)?;
            let mut command = scenarios(&options.filter)?;
            command.arg("--controller-binary").arg(&controller);
            command.arg("--manifests").arg(&manifests);
            let log = format!("target/kube/logs/jobset-controller-{overlay}.log");
            command.arg("--log").arg(crate::root().join(log));
            if let Some(audit) = crate::kube::audit_log()? {
                command.arg("--audit").arg(audit);
            }
            if options.filter.is_empty() {
                command.arg("--only").arg(chosen.join(","));
            }
            if !options.faults && !command.status()?.success() {
                failed.push(format!("scenarios on config/{overlay}"));
            }
            let all = options.filter.is_empty() && options.overlay.is_none();
            if chosen.is_empty() && (options.faults || all) {
                command.arg("--faults").arg(std::env::current_exe()?);
                if !command.status()?.success() {
                    failed.push("faults".to_owned());
                }
            }
        }
    }
    let all = options.filter.is_empty() && !options.in_process && !options.faults;
    if all && options.overlay.is_none() {
        let mut command = Command::new(&program);
        command.arg("compare").arg("--kubeconfig").arg(kubeconfig);
        if !command.status()?.success() {
            failed.push("comparison of API servers".to_owned());
        }
    }
    if !failed.is_empty() {
        bail!("not conformant: {}", failed.join(", "));
    }
    Ok(())
}

/// The command that runs scenarios.
fn scenarios(
    program: &Path,
    kubeconfig: &Path,
    filter: &str,
    dns: Option<&Path>,
) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command.arg("real").arg("--kubeconfig").arg(kubeconfig);
    command.arg("--filter").arg(filter);
    command.arg("--kubectl").arg(crate::kubectl::path(false)?);
    if let Some(dns) = dns {
        command.arg("--dns").arg(dns);
        let log = crate::root().join("target/kube/logs/coredns.log");
        command.arg("--dns-log").arg(log);
    }
    Ok(command)
}

/// The DNS server to ask. Without one, only what asks it is left out.
#[expect(clippy::print_stderr, reason = "progress of a command")]
fn dns_server() -> Option<PathBuf> {
    match crate::dns::DNS.built() {
        Ok(path) => Some(path),
        Err(error) => {
            eprintln!("NO DNS SERVER: {error:#}. What cluster DNS answers is NOT TESTED.");
            None
        }
    }
}

/// Builds the scenarios and the operator; cargo knows where they are.
fn build() -> anyhow::Result<[PathBuf; 2]> {
    const NAMES: [&str; 2] = ["jobset-conformance", "jobset-controller"];
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(crate::root())
        .args(["build", "--quiet"]);
    for name in NAMES {
        command.args(["--package", name]);
    }
    let output = command
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("{} do not build", NAMES.join(" and "));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let find = |name: &str| {
        messages
            .iter()
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .with_context(|| format!("cargo does not say where {name} is"))
    };
    Ok([find(NAMES[0])?, find(NAMES[1])?])
}
