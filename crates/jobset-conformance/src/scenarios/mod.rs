//! The scenarios.

mod creation;
mod dns;
mod examples;
mod failure;
mod lifetime;
mod names;
mod order;
mod policy;
mod restart;
mod suspend;
mod takeover;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::environment::Need;
use crate::world::World;

/// A scenario.
pub struct Scenario {
    /// Unique; also the beginning of its namespace's name.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// What not every cluster has.
    pub needs: &'static [Need],
    /// Whether it stops the controller, so that others cannot run at the same time.
    pub alone: bool,
    /// Plays it.
    pub run: fn(Arc<World>) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// Lists the scenarios of a file: `name: what it shows => function`.
macro_rules! scenarios {
    ($list:ident, alone = $alone:expr; $($name:literal: $what:literal => $run:path $([$($need:ident),+])?;)+) => {
        pub(super) static $list: &[super::Scenario] = &[$(super::Scenario {
            name: $name,
            what: $what,
            needs: &[$($(crate::environment::Need::$need),+)?],
            alone: $alone,
            run: |world| Box::pin(async move { $run(&world).await }),
        }),+];
    };
}
/// Fails the scenario unless both sides are equal.
macro_rules! check_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {{
        let (left, right) = (&$left, &$right);
        anyhow::ensure!(
            left == right,
            "{}: {left:?} instead of {right:?}",
            format_args!($($what)+)
        );
    }};
}
use check_eq;
use scenarios;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        creation::LIST,
        order::LIST,
        failure::LIST,
        examples::LIST,
        restart::LIST,
        suspend::LIST,
        lifetime::LIST,
        names::LIST,
        dns::LIST,
        takeover::LIST,
        policy::LIST,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_fit_into_a_namespace() {
        let mut names = BTreeSet::new();
        for scenario in super::all() {
            assert!(names.insert(scenario.name), "{}", scenario.name);
            assert!(scenario.name.len() < 50, "{}", scenario.name);
        }
    }
}
