//! Commands for JobSets on a cluster, one file each. They read with [`crate::cluster`], let
//! [`crate::view`] say what it means, and print; or they change one thing.

mod delete;
mod events;
mod explain;
mod hint;
mod list;
pub(crate) mod logs;
mod restart;
mod suspend;
mod timeline;
mod top;
mod tree;
mod wait;
mod watch;

use crate::args::ClusterCommand;
use crate::engine;
use crate::exit::Exit;

/// Runs one of them.
pub(crate) fn main(command: &ClusterCommand) -> anyhow::Result<Exit> {
    engine::block_on(async {
        match command {
            ClusterCommand::List(args) => list::main(args).await,
            ClusterCommand::Tree(args) => tree::main(args).await,
            ClusterCommand::Explain(args) => explain::main(args).await,
            ClusterCommand::Logs(args) => logs::main(args).await,
            ClusterCommand::Events(args) => events::main(args).await,
            ClusterCommand::Timeline(args) => timeline::main(args).await,
            ClusterCommand::Top(args) => top::main(args).await,
            ClusterCommand::Watch(args) => watch::main(args).await,
            ClusterCommand::Dashboard(args) => crate::dashboard::main(args).await,
            ClusterCommand::Wait(args) => wait::main(args).await,
            ClusterCommand::Suspend(args) => suspend::main(args, true).await,
            ClusterCommand::Resume(args) => suspend::main(args, false).await,
            ClusterCommand::Restart(args) => restart::main(args).await,
            ClusterCommand::Delete(args) => delete::main(args).await,
            ClusterCommand::Exec(args) => hint::exec(args).await,
            ClusterCommand::PortForward(args) => hint::port_forward(args).await,
        }
    })
}
