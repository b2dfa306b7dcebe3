//! Lists of replicated jobs that a policy is about.

use std::collections::HashSet;

/// The replicated jobs a policy names; none named means all.
#[derive(Clone, Debug)]
pub(crate) struct Targets<'p>(HashSet<&'p str>);

impl<'p> Targets<'p> {
    pub(crate) fn new(names: &'p [String]) -> Self {
        Self(names.iter().map(String::as_str).collect())
    }

    /// Whether the policy is about the replicated job of this name. A Job without the name of its
    /// replicated job is meant only if all are.
    pub(crate) fn include(&self, name: Option<&str>) -> bool {
        self.0.is_empty() || name.is_some_and(|name| self.0.contains(name))
    }
}
