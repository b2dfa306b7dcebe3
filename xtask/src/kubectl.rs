//! `cargo xtask kubectl`: the kubectl that integration tests drive.

use std::path::PathBuf;

use crate::go::{self, Program};

/// The kubectl that is built where there is none.
pub(crate) const KUBECTL: Program = Program {
    name: "kubectl",
    module: "tests/kube/kubectl",
    library: "k8s.io/kubectl",
    package: ".",
    stamp: go::kubernetes_stamp,
    takes: "some minutes",
};

/// Prints the path of a kubectl.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run(build: bool) -> anyhow::Result<()> {
    println!("{}", path(build)?.display());
    Ok(())
}

/// The kubectl on `PATH`, or one built from its Go module. With `build`, never the one on `PATH`.
pub(crate) fn path(build: bool) -> anyhow::Result<PathBuf> {
    match go::on_path("kubectl") {
        Some(path) if !build => Ok(path),
        _ => KUBECTL.built(),
    }
}
