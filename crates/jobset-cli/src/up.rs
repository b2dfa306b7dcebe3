//! `jobset up`: the cluster in the foreground.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::args::{RuntimeKind, UpArgs};
use crate::engine::{self, Engine};
use crate::exit::Exit;

/// Runs the cluster until a signal ends it.
pub(crate) fn main(args: &UpArgs) -> anyhow::Result<Exit> {
    engine::block_on(up(args))
}

async fn up(args: &UpArgs) -> anyhow::Result<Exit> {
    // Who reads the line that is printed may end the cluster at once.
    let interrupted = engine::interrupted();
    let mut cluster = args.cluster.clone();
    // A file of our own goes when the command ends.
    let mut own = None;
    let path = match &cluster.kubeconfig {
        Some(path) => path.clone(),
        None => {
            let directory = tempfile::Builder::new()
                .prefix("jobset-kubeconfig-")
                .tempdir()
                .context("cannot create a directory for the kubeconfig")?;
            let path = directory.path().join("kubeconfig");
            own = Some(directory);
            path
        }
    };
    cluster.kubeconfig = Some(path.clone());
    if let Some(directory) = &args.data_dir {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let engine = Engine::start(&cluster, Some(args.listen), args.data_dir.clone()).await?;
    announce(&engine, &path, cluster.runtime)?;
    interrupted.await?;
    eprintln!("stopping");
    engine.shutdown().await;
    if own.is_none() {
        // It names a server that is gone, and a token that is worth nothing any more.
        let _ = std::fs::remove_file(&path);
    }
    drop(own);
    Ok(Exit::Completed)
}

/// Says where the cluster is. The export line alone is on standard output, for `eval`.
fn announce(engine: &Engine, path: &PathBuf, runtime: RuntimeKind) -> anyhow::Result<()> {
    use std::io::Write as _;

    let path = std::path::absolute(path).context("cannot find the present directory")?;
    if let Some(endpoint) = engine.cluster.endpoint() {
        eprintln!(
            "The cluster serves the API at https://{}.",
            endpoint.address
        );
    }
    if runtime == RuntimeKind::Process {
        eprintln!("Containers run as processes of this machine; images are not pulled.");
    }
    if let Some(url) = engine.dashboard() {
        eprintln!("The dashboard: {url}");
    }
    eprintln!("Ctrl-C ends it. In another terminal:\n");
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "export KUBECONFIG={}",
        quoted(&path.to_string_lossy())
    )?;
    stdout.flush()?;
    Ok(())
}

/// Quotes a word for the shell if it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("/tmp/a-1"), "/tmp/a-1");
        assert_eq!(quoted("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
