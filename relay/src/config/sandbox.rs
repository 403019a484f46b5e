//! `[sandbox]`: what the relay gives up before it serves anybody.

use serde::Deserialize;

/// Each is given up as far as the kernel can; all true unless the configuration says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Capabilities that nothing needs after the listeners are bound, and the way to new ones.
    pub capabilities: bool,
    /// Files and directories that the configuration does not name.
    pub files: bool,
    /// System calls that a relay has no use for.
    pub system_calls: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            capabilities: true,
            files: true,
            system_calls: true,
        }
    }
}
