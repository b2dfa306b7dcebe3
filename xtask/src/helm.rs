//! `cargo xtask helm`: the Helm that renders the chart in tests.

use crate::go::{self, Program};

/// The Helm that is built where there is none.
pub(crate) const HELM: Program = Program {
    name: "helm",
    module: "tests/kube/helm",
    library: "helm.sh/helm/v4",
    package: "helm.sh/helm/v4/cmd/helm",
    stamp: |version| format!("-X helm.sh/helm/v4/internal/version.version={version}"),
    takes: "some minutes",
};

/// Prints the path of a Helm: of the one on `PATH`, or of one built from its Go module. With
/// `build`, never of the one on `PATH`.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(build: bool) -> anyhow::Result<()> {
    let path = match go::on_path("helm") {
        Some(path) if !build => path,
        _ => HELM.built()?,
    };
    println!("{}", path.display());
    Ok(())
}

/// The Helm that there is, without building one.
#[cfg(test)]
pub(crate) fn find() -> Option<std::path::PathBuf> {
    go::on_path("helm").or_else(|| {
        let (target, _) = HELM.target().ok()?;
        target.is_file().then_some(target)
    })
}
