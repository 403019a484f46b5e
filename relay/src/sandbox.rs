//! What the relay gives up once its listeners are bound, before it hears anybody: whoever takes it over by
//! something that it parses should find nothing to go on with.
//!
//! [`enter`] is called once, while the process has a single thread: threads that are made later inherit it, others would
//! not. It never keeps the relay from starting: what the kernel cannot do is said and done without.
//!
//! # Diagnostics
//! Logged: an `info` for each thing that is given up, a `warn` for each that the kernel lacks or the configuration
//! switches off.

mod capabilities;
mod files;
mod system_calls;

use std::path::Path;

use tracing::{info, warn};

use crate::config::Config;

/// What one measure came to.
enum Came {
    /// It is in force.
    InForce(String),
    /// A part of it is, for want of the rest in this kernel.
    InPart(String),
    /// It is not, because of this.
    NotInForce(String),
}

/// Gives up what `config`, which stands in `file`, does not need.
pub fn enter(config: &Config, file: &Path) {
    let wanted = config.sandbox;
    // The file system first: its rules need nothing that the others take away.
    tell("files", wanted.files, || files::confine(config, file));
    tell("capabilities", wanted.capabilities, || {
        capabilities::drop_all(config)
    });
    // Last, because it forbids what the others are made of.
    tell("system_calls", wanted.system_calls, || {
        system_calls::deny(config)
    });
}

fn tell(measure: &'static str, wanted: bool, take: impl FnOnce() -> Came) {
    if !wanted {
        warn!(measure, "sandbox switched off by the configuration");
        return;
    }
    match take() {
        Came::InForce(what) => info!(measure, what, "sandbox"),
        Came::InPart(what) => warn!(measure, what, "sandbox in part; this kernel has no more"),
        Came::NotInForce(why) => warn!(measure, why, "no sandbox; the relay runs without it"),
    }
}

#[cfg(test)]
mod tests;
