//! The replicated jobs of a JobSet by position, so that sums are computed once and look-ups hash.

use std::collections::HashMap;

use jobset_api::names::{Layout, LayoutEntry};
use jobset_api::{JobSet, ReplicatedJob};

/// All replicated jobs, in spec order; everything else refers to them by position.
#[derive(Clone, Debug)]
pub(crate) struct Roles<'a> {
    layout: Layout<'a>,
    specs: &'a [ReplicatedJob],
    /// Position by name; the first one if a name occurs twice.
    positions: HashMap<&'a str, usize>,
}

/// One replicated job and its place in the JobSet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role<'r, 'a> {
    /// Where it stands in [`Roles`].
    pub(crate) position: usize,
    pub(crate) spec: &'a ReplicatedJob,
    /// Name, group, replicas and offsets.
    pub(crate) place: &'r LayoutEntry<'a>,
}

impl<'a> Roles<'a> {
    pub(crate) fn of(jobset: &'a JobSet) -> Self {
        let specs = jobset.spec.replicated_jobs.as_slice();
        let mut positions = HashMap::with_capacity(specs.len());
        for (position, spec) in specs.iter().enumerate() {
            positions.entry(spec.name.as_str()).or_insert(position);
        }
        Self {
            layout: Layout::new(jobset),
            specs,
            positions,
        }
    }

    /// Number of replicated jobs.
    pub(crate) fn len(&self) -> usize {
        self.specs.len()
    }

    /// All of them, in spec order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Role<'_, 'a>> {
        self.specs
            .iter()
            .zip(self.layout.entries())
            .enumerate()
            .map(|(position, (spec, place))| Role {
                position,
                spec,
                place,
            })
    }

    /// The one at this position.
    pub(crate) fn get(&self, position: usize) -> Option<Role<'_, 'a>> {
        let spec = self.specs.get(position)?;
        let place = self.layout.entries().get(position)?;
        Some(Role {
            position,
            spec,
            place,
        })
    }

    /// Position of the replicated job of this name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Jobs of all replicated jobs together.
    pub(crate) fn total(&self) -> i64 {
        self.layout.global_replicas()
    }

    /// Jobs of all replicated jobs of the group.
    pub(crate) fn group_total(&self, group: &str) -> i64 {
        self.layout.group_replicas(group)
    }
}
