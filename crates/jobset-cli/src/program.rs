//! The name under which the command was started.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::args::Cli;

/// What kubectl looks for on PATH when it is asked for `kubectl jobset`.
const PLUGIN: &str = "kubectl-jobset";

/// The command line of this process.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    parse_from(std::env::args_os().collect())
}

fn parse_from(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let name = words.first().map(Path::new).and_then(Path::file_stem);
    if name.is_some_and(|name| name == PLUGIN) {
        command = command.bin_name("kubectl jobset");
    }
    let mut matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_of_kubectl_calls_itself_so() {
        let usage = |program: &str| {
            let words = [program, "explain", "--help"].map(OsString::from);
            parse_from(words.into()).unwrap_err().to_string()
        };
        let plugin = usage("/usr/local/bin/kubectl-jobset");
        assert!(plugin.contains("Usage: kubectl jobset explain"), "{plugin}");
        let plain = usage("jobset");
        assert!(plain.contains("Usage: jobset explain"), "{plain}");
    }
}
