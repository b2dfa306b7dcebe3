//! The jobset command.
fn main() {}
