//! The operator as a program: everything around the [`Controller`](jobset_controller::Controller)
//! that a cluster needs.
//!
//! ```text
//! flags ─┐
//!        ├─► settings ─► clients ─┬─► certificates ─► webhooks          on every replica
//! file ──┘                        ├─► probes, metrics, caches           on every replica
//!                                 └─► lease ─► (gate, fence) ─► controllers   on the leader
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `flags`, `config`, `go_duration` | what can be set, and how it is written |
//! | `logging` | the log |
//! | `run` | start and shutdown, in order |
//! | `client`, `rate` | talking to the API server, and how fast |
//! | `lease`, `fence` | who works, and that nobody else writes |
//! | `certificates` | the webhooks' certificates |
//! | `serve`, `probes`, `metrics` | what others may ask this process |
//! | `version` | which build this is |

mod certificates;
mod client;
mod config;
mod fence;
mod flags;
mod go_duration;
mod lease;
mod logging;
mod metrics;
mod probes;
mod rate;
mod run;
mod serve;
mod signals;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use self::flags::Flags;

/// More threads would not make this quicker: it waits for the API server.
const MOST_THREADS: usize = 4;

/// The program. Exit code 0 after a shutdown that was asked for, 2 for wrong usage, 1 for
/// everything else.
pub(crate) fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let (arguments, ignored) = flags::normalise(arguments);
    let flags = match Flags::try_parse_from(std::iter::once(program).chain(arguments)) {
        Ok(flags) => flags,
        Err(error) => {
            // Nowhere is left to report that the terminal is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    logging::start(&flags);
    log_panics();
    if !ignored.is_empty() {
        warn_of(&ignored);
    }
    // Fails only if a provider is installed already; there is but one to install.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(MOST_THREADS))
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run::run(flags));
            // What still runs has had its time.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn warn_of(ignored: &[OsString]) {
    let ignored: Vec<_> = ignored.iter().map(|a| a.to_string_lossy()).collect();
    tracing::warn!(
        arguments = ignored.join(" "),
        "ignoring arguments that are no flags, and what follows them"
    );
}

/// Panics are defects: the log is where they are looked for.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("(no message)");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let stack = std::backtrace::Backtrace::capture().to_string();
        tracing::error!(place, stack, "panic: {message}");
    }));
}
