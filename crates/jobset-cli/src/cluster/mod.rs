//! Talking to a cluster: connecting as kubectl does, and reading what the views are made of.

mod connect;
mod live;
mod queues;
mod read;

pub(crate) use connect::{Connection, connect, plain};
pub(crate) use live::Live;
pub(crate) use queues::look_up_queues;
pub(crate) use read::{NoJobSet, all, jobset, last_lines, next_line, probe, snapshot};

/// Who the changes are by, for the record that the server keeps of it.
pub(crate) const FIELD_MANAGER: &str = "jobset";

#[cfg(test)]
pub(crate) mod testing;
