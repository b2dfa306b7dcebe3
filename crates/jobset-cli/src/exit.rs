//! Exit codes.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the command's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// The JobSet completed, or the command did what it was asked for.
    Completed = 0,
    /// The JobSet failed, or the machine did not do what was needed.
    Failed = 1,
    /// A manifest or the command line is wrong.
    BadInput = 2,
    /// `--timeout` passed.
    TimedOut = 124,
    /// A signal asked the command to stop.
    Interrupted = 130,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
