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
    ("prometheus", "prometheus.yaml"),
];

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
/// When there is no kubectl on `PATH`, or it refuses.
pub(crate) fn render(overlay: &str) -> anyhow::Result<String> {
    let folder = crate::root().join("config").join(overlay);
    let output = Command::new("kubectl")
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
