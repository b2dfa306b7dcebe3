//! Decides what to do next for one JobSet: a pure, total, deterministic planner.

mod conditions;
pub mod model;
pub mod note;
mod observed;
mod settle;

pub use model::*;
pub use settle::Settled;
