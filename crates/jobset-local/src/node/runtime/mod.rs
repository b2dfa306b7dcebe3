//! How containers run: as processes, or only in the books.

pub mod fake;
pub(crate) mod process;

pub use fake::{EXIT_CODE, FakeRuntime};

/// What Pods become on the node.
#[derive(Clone, Debug, Default)]
pub enum Runtime {
    /// The containers' commands run as processes of the host.
    #[default]
    Process,
    /// Nothing runs: Pods are marked as running and then as succeeded.
    Fake(FakeRuntime),
}
