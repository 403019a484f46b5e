//! What about this host will hurt, named before it does.
//!
//! [`examine`] looks at the kernel, the configured interfaces and the ways to the relays, from where it
//! runs: on the edge, in its network namespace. It changes nothing, and needs neither the controller nor
//! privileges; what it cannot see without them it says. The judgements are pure, in `judge`.

mod facts;
mod judge;
mod mtu;
mod probe;
mod steer;
mod tunnel;

use serde::{Deserialize, Serialize};

use crate::{api::view::StatusView, config::Config};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was looked at: `kernel`, an interface, a relay.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do; `None` where nothing needs doing.
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Will hurt under some circumstances, which it names.
    Warning,
    /// Something does not work.
    Fault,
}

/// Examines this host for a configuration. `status` is what a running controller reports, `None` if there
/// is none.
pub async fn examine(config: &Config, status: Option<&StatusView>) -> Vec<Finding> {
    let attached = status.map(|status| status.interfaces.as_slice());
    let mut findings = judge::host(&facts::host(config));
    findings.push(judge::controller(attached));
    let mut mtus = Vec::new();
    for interface in &config.interfaces {
        let seen = facts::interface(&interface.name).await;
        if let Ok(Some(link)) = &seen.link {
            mtus.push((interface.name.clone(), link.mtu));
        }
        let ours = attached.and_then(|all| all.iter().find(|one| one.interface == interface.name));
        findings.extend(judge::interface(interface, &seen, ours));
    }
    findings.extend(mtu::judge(&mtus));
    findings.extend(steer::examine(config));
    findings.extend(tunnel::examine(config).await);
    for (_, relay) in config.relays() {
        for way in facts::ways(config, relay).await {
            findings.extend(judge::relay(config, &relay.name, &way));
        }
    }
    findings.extend(status.into_iter().flat_map(probe::relays));
    findings
}
