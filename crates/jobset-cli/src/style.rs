//! Colours, and when to use them: on a terminal, unless `NO_COLOR` is set or `--color` says
//! otherwise.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::ValueEnum;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// In every case.
    Always,
    /// In no case.
    Never,
}

static CHOICE: AtomicU8 = AtomicU8::new(0);

impl Color {
    /// Sets the choice for the process.
    pub(crate) fn apply(self) {
        CHOICE.store(self as u8, Ordering::Relaxed);
    }
}

fn wanted(terminal: bool) -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        1 => true,
        2 => false,
        _ => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Whether standard error is coloured.
pub(crate) fn enabled() -> bool {
    wanted(std::io::stderr().is_terminal())
}

/// Whether standard output is coloured.
pub(crate) fn enabled_on_stdout() -> bool {
    wanted(std::io::stdout().is_terminal())
}

/// Colours that can be told apart on dark and light backgrounds; red is kept for errors.
const PALETTE: [&str; 6] = ["36", "33", "32", "35", "34", "96"];

/// Paints text in the colour of the n-th thing.
pub(crate) fn paint_nth(text: &str, index: usize, colored: bool) -> String {
    paint(text, PALETTE[index % PALETTE.len()], colored)
}

/// Paints text with an SGR code.
pub(crate) fn paint(text: &str, code: &str, colored: bool) -> String {
    if colored {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// The colour of a word that is a state, if it has one.
pub(crate) fn state_color(word: &str) -> Option<&'static str> {
    Some(match word {
        "Completed" | "Succeeded" => "32",
        "Failed" | "Deleted" | "Failing" | "Error" | "Warning" | "CrashLoopBackOff"
        | "OOMKilled" => "31",
        "Suspended" | "Terminating" | "Restarting" | "Gone" => "33",
        _ => return None,
    })
}

/// Something went wrong (standard error).
pub(crate) fn error(text: &str) -> String {
    paint(text, "1;31", enabled())
}

/// Something deserves attention (standard error).
pub(crate) fn warning(text: &str) -> String {
    paint(text, "1;33", enabled())
}
