//! The requests, in lists that are each sent in order in a namespace of their own.
//!
//! Objects are made so that no controller of a real cluster touches them: Jobs are managed by
//! nobody, Pods wait behind a gate.

mod config_maps;
mod jobs;
mod jobsets;
mod pods;
mod reading;
mod watching;

use super::requests::Step;

/// All lists with their names.
pub(super) fn all() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("writing", config_maps::writing()),
        ("applying", config_maps::applying()),
        ("deleting", config_maps::deleting()),
        ("reading", reading::steps()),
        ("watching", watching::steps()),
        ("jobs", jobs::jobs()),
        ("services", jobs::services()),
        ("pods", pods::steps()),
        ("jobsets", jobsets::steps()),
    ]
}
