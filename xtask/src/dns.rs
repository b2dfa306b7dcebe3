//! `cargo xtask dns`: the DNS server that conformance scenarios ask.

use crate::go::Program;

/// The CoreDNS that is built. Always this one: it ends together with who started it, and knows
/// nothing but Kubernetes.
pub(crate) const DNS: Program = Program {
    name: "coredns",
    module: "tests/kube/dns",
    library: "github.com/coredns/coredns",
    package: ".",
    stamp: |version| format!("-X github.com/coredns/coredns/coremain.GitCommit={version}"),
    takes: "some minutes",
};

/// Prints the path of the DNS server.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn run() -> anyhow::Result<()> {
    println!("{}", DNS.built()?.display());
    Ok(())
}
