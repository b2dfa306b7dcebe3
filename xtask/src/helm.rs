//! `cargo xtask helm`: the Helm that renders the chart in tests.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// The Go module that pins Helm, relative to the root of the workspace.
const MODULE: &str = "tests/kube/helm";
/// The library in that module whose version is Helm's.
const LIBRARY: &str = "helm.sh/helm/v4";

/// Prints the path of a Helm: of the one on `PATH`, or of one built from its Go module. With
/// `build`, never of the one on `PATH`.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(build: bool) -> anyhow::Result<()> {
    let path = match on_path("helm") {
        Some(path) if !build => path,
        _ => built()?,
    };
    println!("{}", path.display());
    Ok(())
}

/// The Helm that there is, without building one.
#[cfg(test)]
pub(crate) fn find() -> Option<PathBuf> {
    on_path("helm").or_else(|| {
        let (target, _) = target().ok()?;
        target.is_file().then_some(target)
    })
}

/// The first file of this name on `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Where a built Helm lies, and its version.
fn target() -> anyhow::Result<(PathBuf, String)> {
    let manifest = crate::root().join(MODULE).join("go.mod");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let version = version(&text)
        .with_context(|| format!("{} does not require {LIBRARY}", manifest.display()))?;
    let folder = cache()?.join("jobset/helm").join(&version);
    Ok((folder.join("helm"), version))
}

/// The built Helm in the user's cache; builds it first if it is not there.
#[expect(clippy::print_stderr, reason = "progress of a command")]
fn built() -> anyhow::Result<PathBuf> {
    let (target, version) = target()?;
    if target.is_file() {
        return Ok(target);
    }
    if on_path("go").is_none() {
        bail!("there is no helm on PATH, and no Go toolchain to build one with");
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    eprintln!("building helm {version}; this takes some minutes, once");
    // Another process may be building too: each has its own file, the last one wins.
    let unfinished = target.with_extension(std::process::id().to_string());
    let status = build(&crate::root().join(MODULE), &version, &unfinished);
    let finished = status.and_then(|()| {
        fs::rename(&unfinished, &target).with_context(|| target.display().to_string())
    });
    if finished.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    finished.map(|()| target)
}

fn build(module: &Path, version: &str, output: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("go");
    command
        .current_dir(module)
        // Whatever the user has set for other modules must not change this build.
        .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false")
        .env("CGO_ENABLED", "0")
        .args(["build", "-ldflags"])
        .arg(format!(
            "-s -w -X {LIBRARY}/internal/version.version={version}"
        ))
        .arg("-o")
        .arg(output)
        .arg(format!("{LIBRARY}/cmd/helm"))
        .stdin(Stdio::null())
        // Standard output is for the path alone.
        .stdout(io::stderr());
    let status = command.status().context("cannot start go")?;
    if !status.success() {
        bail!("building helm failed: {status}");
    }
    Ok(())
}

/// Helm's version according to a go.mod.
fn version(go_mod: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require").split_whitespace();
        (words.next()? == LIBRARY).then(|| words.next().map(str::to_owned))?
    })
}

/// The user's cache directory.
fn cache() -> anyhow::Result<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_module_names_a_version() {
        let text = fs::read_to_string(crate::root().join(MODULE).join("go.mod")).unwrap();
        assert!(version(&text).unwrap().starts_with("v4."));
        assert_eq!(version("require example.com/x v1.0.0"), None);
    }
}
