//! The JobSet operator: caches, queue and executor around the planner.
