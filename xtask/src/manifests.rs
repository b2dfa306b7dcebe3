//! `cargo xtask manifests`: the kustomize overlays as single files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// The overlays under `config/`, and the files that they become.
pub(crate) const OVERLAYS: &[(&str, &str)] = &[
    ("default", "manifests.yaml"),
    ("ha", "manifests-ha.yaml"),
    ("certmanager", "manifests-cert-manager.yaml"),
    ("no-webhook", "manifests-no-webhook.yaml"),
    ("short-names", "manifests-short-names.yaml"),
    ("prometheus", "prometheus.yaml"),
];

/// The overlays that `jobset install` brings with it, and where.
pub(crate) const EMBEDDED: &[&str] = &["default", "ha", "certmanager", "no-webhook"];
const EMBEDDED_FOLDER: &str = "crates/jobset-cli/src/install";

/// Writes the files of `jobset install` that differ.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn embed() -> anyhow::Result<()> {
    for overlay in EMBEDDED {
        let path = embedded_path(overlay);
        let text = without_schema(&render(overlay)?);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn embedded_path(overlay: &str) -> PathBuf {
    crate::root().join(format!("{EMBEDDED_FOLDER}/{overlay}.yaml"))
}

/// The objects without the spec of the CustomResourceDefinition, which is fifty times as large as all the
/// others and in the command already.
fn without_schema(text: &str) -> String {
    let head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n";
    let documents: Vec<&str> = text
        .split("\n---\n")
        .map(|document| match document.split_once("\nspec:\n") {
            Some((before, _)) if document.starts_with(head) => before,
            _ => document.trim_end_matches('\n'),
        })
        .collect();
    let note = "# Written by `cargo xtask manifests --embed`. Do not edit.\n";
    format!("{note}{}\n", documents.join("\n---\n"))
}

/// Renders every overlay into `folder`, relative to the root of the workspace.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    let folder = crate::root().join(folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (overlay, file) in OVERLAYS {
        let text = render(overlay)?;
        let path: PathBuf = folder.join(file);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The objects of an overlay as YAML, in the order in which kustomize puts them.
///
/// # Errors
/// When there is no kubectl and none can be built, or it refuses.
pub(crate) fn render(overlay: &str) -> anyhow::Result<String> {
    let folder = crate::root().join("config").join(overlay);
    let output = Command::new(crate::kubectl::path(false)?)
        .arg("kustomize")
        .arg(&folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot start kubectl")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("kubectl kustomize {}: {}", folder.display(), why.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests;
