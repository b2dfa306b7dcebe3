//! The `jobset-agent` binary. Everything is in the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobset_agent::main()
}
