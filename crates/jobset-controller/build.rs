//! Tells the program its version and commit: from the environment (`JOBSET_VERSION`,
//! `JOBSET_COMMIT`), else from git, else the fallbacks that the program has built in. Builds for
//! development do not ask git: each commit would make them build the crate again.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=JOBSET_VERSION");
    println!("cargo::rerun-if-env-changed=JOBSET_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let development = std::env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let git = |arguments: &[&str]| git(arguments).filter(|_| !development);
    let commit = std::env::var("JOBSET_COMMIT")
        .ok()
        .or_else(|| git(&["rev-parse", "HEAD"]));
    let version = std::env::var("JOBSET_VERSION")
        .ok()
        .or_else(|| git(&["describe", "--tags", "--dirty", "--match", "v*"]));
    if let Some(commit) = commit {
        println!("cargo::rustc-env=JOBSET_COMMIT={commit}");
    }
    if let Some(version) = version {
        println!("cargo::rustc-env=JOBSET_VERSION={version}");
    }
    // A new commit changes HEAD or the reference it names; without git there is nothing to watch.
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&head).exists()
    {
        println!("cargo::rerun-if-changed={head}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
