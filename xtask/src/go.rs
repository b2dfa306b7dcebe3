//! Programs that tests drive and that are built from pinned Go modules where the machine has none.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// A program that is built from a Go module in this repository.
pub(crate) struct Program {
    /// Name of the program and of its folder in the cache.
    pub(crate) name: &'static str,
    /// The module, relative to the root of the workspace.
    pub(crate) module: &'static str,
    /// The library in that module whose version is the program's.
    pub(crate) library: &'static str,
    /// The main package, as `go build` in the module's folder names it.
    pub(crate) package: &'static str,
    /// Linker flags that make the program tell its version.
    pub(crate) stamp: fn(&str) -> String,
    /// How long a first build takes, in words.
    pub(crate) takes: &'static str,
}

impl Program {
    /// Path of the program in the user's cache; builds it first if it is not there.
    #[expect(clippy::print_stderr, reason = "progress of a command")]
    pub(crate) fn built(&self) -> anyhow::Result<PathBuf> {
        let Self { name, takes, .. } = self;
        let (target, version) = self.target()?;
        if target.is_file() {
            return Ok(target);
        }
        if on_path("go").is_none() {
            bail!("there is no {name} on this machine, and no Go toolchain to build one with");
        }
        let folder = target.parent().context("the cache has no folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        eprintln!("building {name} {version}; this takes {takes}, once");
        // Another process may be building too: each has its own file, the last one wins.
        let unfinished = folder.join(format!("{name}.{}", std::process::id()));
        let module = crate::root().join(self.module);
        let finished = self.build(&module, &version, &unfinished).and_then(|()| {
            fs::rename(&unfinished, &target).with_context(|| target.display().to_string())
        });
        if finished.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        finished.map(|()| target)
    }

    /// Where the built program lies, and its version.
    pub(crate) fn target(&self) -> anyhow::Result<(PathBuf, String)> {
        let module = crate::root().join(self.module);
        let version = self.version(&module)?;
        let folder = cache()?.join("jobset").join(self.name);
        // What else is pinned beside that version counts too.
        let folder = folder.join(format!("{version}-{:08x}", fingerprint(&module)?));
        Ok((folder.join(self.name), version))
    }

    fn version(&self, module: &Path) -> anyhow::Result<String> {
        let manifest = module.join("go.mod");
        let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
        version(&text, self.library)
            .with_context(|| format!("{} does not require {}", manifest.display(), self.library))
    }

    fn build(&self, module: &Path, version: &str, output: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("go");
        command
            .current_dir(module)
            // Whatever the user has set for other modules must not change this build.
            .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false")
            .env("CGO_ENABLED", "0")
            // Debug information does not get into the program, see -s -w; without it what Go compiles
            // on the way is a quarter smaller.
            .args(["build", "-gcflags=all=-dwarf=false", "-ldflags"])
            .arg(format!("-s -w {}", (self.stamp)(version)))
            .arg("-o")
            .arg(output)
            .arg(self.package)
            .stdin(Stdio::null())
            // Standard output is for the path alone.
            .stdout(io::stderr());
        let status = command.status().context("cannot start go")?;
        if !status.success() {
            bail!("building {} failed: {status}", self.name);
        }
        Ok(())
    }
}

/// The first file of this name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// What makes a program of Kubernetes tell the truth about its version.
pub(crate) fn kubernetes_stamp(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let package = "k8s.io/component-base/version";
    format!(
        "-X {package}.gitVersion={version} -X {package}.gitMajor={major} \
         -X {package}.gitMinor={minor}"
    )
}

/// The program's version according to a go.mod: Kubernetes' libraries' v0.37.2 is v1.37.2.
fn version(go_mod: &str, library: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require").split_whitespace();
        if words.next()? != library {
            return None;
        }
        let version = words.next()?;
        match version.strip_prefix("v0.") {
            Some(rest) => Some(format!("v1.{rest}")),
            None => Some(version.to_owned()),
        }
    })
}

/// FNV-1a over what the program is made from.
fn fingerprint(module: &Path) -> anyhow::Result<u32> {
    let mut hash: u32 = 0x811c_9dc5;
    for name in ["go.mod", "go.sum", "main.go"] {
        let file = module.join(name);
        let bytes = match fs::read(&file) {
            // A module may pin somebody else's program and have none of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name == "main.go" => continue,
            other => other.with_context(|| file.display().to_string())?,
        };
        for byte in bytes {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    Ok(hash)
}

/// The user's cache directory.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
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
            ("require k8s.io/kubectl v1.36.1", Some("v1.36.1")),
            (
                "require (\n\tk8s.io/api v0.1.0\n\tk8s.io/kubectl v0.37.2\n)",
                Some("v1.37.2"),
            ),
            ("require k8s.io/kubectl/x v0.36.1", None),
            ("require k8s.io/kubectl v2.0.0", Some("v2.0.0")),
            ("module x", None),
        ];
        for (text, expected) in table {
            assert_eq!(
                version(text, "k8s.io/kubectl").as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn committed_modules_name_a_version() {
        for program in [
            &crate::kubectl::KUBECTL,
            &crate::kube::CONTROL_PLANE,
            &crate::helm::HELM,
            &crate::dns::DNS,
        ] {
            let (_, version) = program.target().unwrap();
            assert!((program.stamp)(&version).starts_with("-X "), "{version}");
        }
        assert!(kubernetes_stamp("v1.37.2").contains("gitMajor=1 "));
    }
}
