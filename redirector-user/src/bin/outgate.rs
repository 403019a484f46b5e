//! outgate.
fn main() {}
