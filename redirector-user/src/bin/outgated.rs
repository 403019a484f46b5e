//! outgated.
fn main() {}
