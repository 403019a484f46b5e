//! outgate-relay.
fn main() {}
