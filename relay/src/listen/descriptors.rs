//! Open files for as many sessions as the configuration allows.
//!
//! A relay that runs out of them accepts nobody any more, and does so on the day with the most mail. So
//! the limit is looked at before anything binds: the soft one is raised as far as needed, and of a hard one that is too
//! low the operator hears at once.
//!
//! # Diagnostics
//! Returned: [`Invalid`] about `limits.connections`, with the figure that the service manager has to be given.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::REFUSALS_MAX;
use crate::config::{Config, Invalid, Limits};

/// Makes sure that this process may open as many files as the limits of `config` may need.
pub fn provide(config: &Config) -> Result<(), Invalid> {
    let limits = &config.limits;
    let queue = config
        .spool
        .as_ref()
        .map(|_| config.queue.options.settings.connections);
    let submission = config.submission.as_ref();
    let submission = submission.map_or(0, |it| it.limits.connections as u64);
    let needed = needed(limits)
        .saturating_add(queue.map_or(0, u64::from))
        .saturating_add(submission.saturating_mul(DESCRIPTORS_PER_SUBMISSION));
    let too_few = |problem: String| Invalid::new("limits.connections", limits.connections, problem);
    // `None` is no limit at all.
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = maximum.filter(|&maximum| maximum < needed) {
        return Err(too_few(format!(
            "needs {needed} open files, and this process may have {maximum}; set LimitNOFILE={needed} in its \
             unit (ulimit -Hn), or lower this value"
        )));
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum,
    };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| too_few(format!("needs {needed} open files: {error}")))
}

/// Both legs of a session, with its spill file or two pipes if it is spliced; connections that are told why they are
/// refused; and what the relay itself has open.
fn needed(limits: &Limits) -> u64 {
    let connections = u64::try_from(limits.connections).unwrap_or(u64::MAX);
    connections
        .saturating_mul(DESCRIPTORS_PER_SESSION)
        .saturating_add(REFUSALS_MAX as u64)
        .saturating_add(OWN_DESCRIPTORS)
}

const DESCRIPTORS_PER_SESSION: u64 = 6;
/// One leg, and a spill file.
const DESCRIPTORS_PER_SUBMISSION: u64 = 2;
/// Listeners, runtime, log, controller, scanners' connections.
const OWN_DESCRIPTORS: u64 = 200;
