//! The in-place restart agent: one per Pod, it holds the work back until all Pods of the JobSet are
//! at the same attempt, and leaves when they have to restart.
//!
//! ```text
//!   JobSet status ──► watch ──► orders ─┐                        ┌─► annotation on the own Pod
//!   signals, child, timers ─────────────┴─► machine (pure) ──────┼─► barrier or worker
//!                                                                └─► exit code
//! ```
//!
//! | module | is |
//! |---|---|
//! | [`settings`] | what the environment says |
//! | [`orders`] | what a JobSet tells its agents |
//! | [`machine`] | what to do next, without clock, network or processes |
//! | `run` | the shell around the machine |
//! | `connection` | finding the API server, watching the JobSet, writing the annotation |
//! | `barrier` | what the startup probe asks in sidecar mode |
//! | `worker` | the child process of main-container mode |
//! | `backoff` | pauses between tries |
//!
//! The controller's half is `jobset_core::in_place`; `docs/in-place-restart.md` tells how to use
//! both.

pub mod machine;
pub mod orders;
pub mod settings;

mod backoff;
mod barrier;
mod connection;
mod run;
mod worker;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

pub use connection::{ConnectError, connect};
pub use run::{Signals, run};

use settings::{Process, Settings};

/// The names under which the program is called: its own, and the one that manifests for the
/// reference's image use.
pub const NAMES: [&str; 2] = ["jobset-agent", "in-place-restart-agent"];

/// Whether a program that was called like this is to be the agent.
pub fn is_called(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    NAMES.iter().any(|own| name == Some(OsStr::new(own)))
}

/// The program. Arguments are ignored: the agent is told everything through its environment.
#[must_use]
pub fn main() -> ExitCode {
    start_log();
    match agent() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn agent() -> Result<u8, Box<dyn std::error::Error>> {
    let settings = Settings::read(&Process)?;
    // Fails only if it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // What the worker leaves behind comes to us, also where we are not the first process.
    nix::sys::prctl::set_child_subreaper(true)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let signals = Signals::catch(&settings.mode)?;
            let client = connect().await?;
            tracing::info!(
                namespace = settings.namespace,
                jobset = settings.jobset,
                pod = settings.pod,
                "the barrier is up"
            );
            Ok(run(&settings, client, signals).await)
        })
}

/// The log, on standard error; `JOBSET_LOG` is the least level that is written.
fn start_log() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let wanted = std::env::var("JOBSET_LOG").unwrap_or_default();
    let level: Option<LevelFilter> = wanted.parse().ok();
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("jobset_agent", level.unwrap_or(LevelFilter::INFO));
    let subscriber = tracing_subscriber::registry().with(filter).with(
        tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(std::io::stderr),
    );
    // Fails only if a log was started before; that one serves as well.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if level.is_none() && !wanted.is_empty() {
        tracing::warn!(
            "JOBSET_LOG is {wanted:?}: it must be off, error, warn, info, debug or trace"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_name_counts() {
        for (name, is) in [
            ("jobset-agent", true),
            ("/tools/jobset-agent", true),
            ("/in-place-restart-agent", true),
            ("jobset", false),
            ("/jobset-agent/jobset", false),
            ("", false),
        ] {
            assert_eq!(is_called(OsStr::new(name)), is, "{name}");
        }
    }
}
