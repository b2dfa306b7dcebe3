//! The rest of a one-machine cluster: batch Job controller, garbage collector, scheduler, node.
