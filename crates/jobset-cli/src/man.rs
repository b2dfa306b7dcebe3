//! `jobset man`: manual pages, made from the command line's own description.

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::{Cli, ManArgs};
use crate::exit::Exit;
use crate::output;

/// Prints the page of the command, or writes the pages of all of its commands.
pub(crate) fn main(args: &ManArgs) -> anyhow::Result<Exit> {
    let command = Cli::command();
    match &args.directory {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            output::text(&String::from_utf8_lossy(&page))?;
        }
        Some(directory) => {
            let write = || {
                std::fs::create_dir_all(directory)?;
                clap_mangen::generate_to(command, directory)
            };
            write().with_context(|| format!("cannot write to {}", directory.display()))?;
        }
    }
    Ok(Exit::Completed)
}
