//! Inside the re-executed binary: what surrounds one container's command.
//!
//! Two processes per container:
//!
//! 1. `enter` creates the namespaces (mount, host name, process ids; a user namespace too when it
//!    is not privileged) and starts `init` in them, then waits.
//! 2. `init` is process 1 of the new process-id namespace. It builds the container's view of the
//!    file system, starts the command, reaps orphans, forwards signals to the command's process
//!    group and runs probe commands on request.
//!
//! Standard input of both is one end of a socket pair whose other end only the node holds:
//! requests arrive and reports leave through it, and its end-of-file means that the node is gone.
//! When `init` exits, for any reason, the kernel kills whatever is left in its namespace; when
//! `enter` dies, `init` gets the parent-death signal. So no chain of forks escapes.
//!
//! Without namespaces (`init plain`) the same program becomes the subreaper of its descendants
//! and kills them by walking the process table.

pub(crate) mod enter;
pub(crate) mod init;
mod mounts;
pub(crate) mod protocol;
pub(crate) mod tree;
