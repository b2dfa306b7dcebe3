//! Decides what to do next for one JobSet: a pure, total, deterministic planner.
