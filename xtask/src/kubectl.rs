//! `cargo xtask kubectl`: the kubectl that integration tests drive.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// The Go module that pins kubectl, relative to the root of the workspace.
const MODULE: &str = "tests/kube/kubectl";

/// The library in that module whose version is kubectl's, with a leading 0 instead of 1.
const LIBRARY: &str = "k8s.io/kubectl";

/// Prints the path of a kubectl: of the one on `PATH`, or of one built from its Go module. With
/// `build`, never of the one on `PATH`.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(build: bool) -> anyhow::Result<()> {
    let path = match on_path("kubectl") {
        Some(path) if !build => path,
        _ => built()?,
    };
    println!("{}", path.display());
    Ok(())
}

/// The first file of this name on `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The built kubectl in the user's cache; builds it first if it is not there.
#[expect(clippy::print_stderr, reason = "progress of a command")]
fn built() -> anyhow::Result<PathBuf> {
    let module = crate::root().join(MODULE);
    let manifest = module.join("go.mod");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let version = kubectl_version(&text)
        .with_context(|| format!("{} does not require {LIBRARY}", manifest.display()))?;
    let folder = cache()?.join("jobset/kubectl").join(&version);
    let target = folder.join("kubectl");
    if target.is_file() {
        return Ok(target);
    }
    if on_path("go").is_none() {
        bail!("there is no kubectl on PATH, and no Go toolchain to build one with");
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    eprintln!("building kubectl {version}; this takes some minutes, once");
    // Another process may be building too: each has its own file, the last one wins.
    let unfinished = folder.join(format!("kubectl.{}", std::process::id()));
    let status = build(&module, &version, &unfinished);
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
        .args(["build", "-ldflags", &link_flags(version), "-o"])
        .arg(output)
        .arg(".")
        .stdin(Stdio::null())
        // Standard output is for the path alone.
        .stdout(io::stderr());
    let status = command.status().context("cannot start go")?;
    if !status.success() {
        bail!("building kubectl failed: {status}");
    }
    Ok(())
}

/// What makes `kubectl version` tell the truth.
fn link_flags(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} \
         -X {package}.gitMinor={minor}"
    )
}

/// kubectl's version according to a go.mod: library v0.37.2 is kubectl v1.37.2.
fn kubectl_version(go_mod: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require").split_whitespace();
        if words.next()? != LIBRARY {
            return None;
        }
        Some(format!("v1.{}", words.next()?.strip_prefix("v0.")?))
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
    fn version_follows_the_module() {
        let table = [
            ("require k8s.io/kubectl v0.36.1", Some("v1.36.1")),
            (
                "require (\n\tk8s.io/api v0.1.0\n\tk8s.io/kubectl v0.37.2\n)",
                Some("v1.37.2"),
            ),
            ("require k8s.io/kubectl/x v0.36.1", None),
            ("require k8s.io/kubectl v2.0.0", None),
            ("module x", None),
        ];
        for (text, expected) in table {
            assert_eq!(kubectl_version(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn committed_module_names_a_version() {
        let text = fs::read_to_string(crate::root().join(MODULE).join("go.mod")).unwrap();
        let version = kubectl_version(&text).unwrap();
        assert!(link_flags(&version).contains("gitMajor=1 "), "{version}");
    }
}
