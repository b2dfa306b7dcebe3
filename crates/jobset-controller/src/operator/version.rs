//! Which build this is, and how it introduces itself to the API server.

use std::sync::LazyLock;

/// What a build that was told nothing calls itself.
const FALLBACK_VERSION: &str = "v0.0.0-main";
/// Commit of such a build.
const FALLBACK_COMMIT: &str = "abcd01234";

/// The version, as git describes it.
pub(crate) fn version() -> &'static str {
    option_env!("JOBSET_VERSION").unwrap_or(FALLBACK_VERSION)
}

/// The commit in full.
pub(crate) fn commit() -> &'static str {
    option_env!("JOBSET_COMMIT").unwrap_or(FALLBACK_COMMIT)
}

/// What `--version` prints after the program's name.
pub(crate) fn long() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| format!("{} (commit {})", version(), commit()));
    &TEXT
}

/// The User-Agent of every request, unless the kubeconfig brings its own.
pub(crate) fn user_agent() -> String {
    agent(version(), commit(), std::env::consts::OS, go_architecture())
}

fn agent(version: &str, commit: &str, os: &str, architecture: &str) -> String {
    let version = version.split('-').next().unwrap_or_default();
    let commit: String = commit.chars().take(7).collect();
    let known = |text: &str| {
        if text.is_empty() {
            "unknown".to_owned()
        } else {
            text.to_owned()
        }
    };
    format!(
        "jobset/{} ({os}/{architecture}) {}",
        known(version),
        known(&commit)
    )
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents() {
        let table = [
            (
                FALLBACK_VERSION,
                FALLBACK_COMMIT,
                "jobset/v0.0.0 (linux/amd64) abcd012",
            ),
            (
                "v0.12.0",
                "0123456789abcdef",
                "jobset/v0.12.0 (linux/amd64) 0123456",
            ),
            ("", "", "jobset/unknown (linux/amd64) unknown"),
            ("v1.2.3-4-gabc", "ab", "jobset/v1.2.3 (linux/amd64) ab"),
        ];
        for (version, commit, expected) in table {
            assert_eq!(agent(version, commit, "linux", "amd64"), expected);
        }
    }

    #[test]
    fn this_build_introduces_itself() {
        let agent = user_agent();
        assert!(agent.starts_with("jobset/v"), "{agent}");
        assert!(agent.contains("(linux/") || !cfg!(target_os = "linux"));
    }
}
