//! How much work a plan took, in units that do not depend on the machine.

/// Work done for one plan. Every loop over something that can be large counts here, so that a test
/// can assert that planning is linear in the number of Jobs instead of timing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Job views looked at, over all passes.
    pub jobs: u64,
    /// Pod views looked at.
    pub pods: u64,
    /// Replica indices looked at while searching for missing Jobs.
    pub indices: u64,
    /// Replicated jobs looked at, over all passes.
    pub roles: u64,
    /// Objects and patches built.
    pub bodies: u64,
    /// Failure rules tested against a Job.
    pub rules: u64,
}

impl Work {
    /// All units together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.jobs + self.pods + self.indices + self.roles + self.bodies + self.rules
    }
}
