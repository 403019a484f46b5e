//! The controller: `outgated`, and its command line, `outgate`.

pub mod edge;
pub mod reconcile;
