//! The launcher as a binary of its own, for programs (and tests) that embed a cluster as a library
//! and have no subcommand to spare.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobset_local::launcher::main(std::env::args_os().skip(1))
}
