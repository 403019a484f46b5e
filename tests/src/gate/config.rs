//! The controller's configuration in the lab.

use std::path::Path;

use super::Files;
use crate::{
    host::{Family, Host},
    pool::Pool,
};

/// How the controller checks its relays; three failures take one out of rotation.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// Between two checks.
    pub interval: &'static str,
    /// For one.
    pub timeout: &'static str,
    /// Prefixes that relays are probed from by the way that customers take; none = directly.
    pub probe_sources: &'static [&'static str],
}

impl Health {
    /// For relays that may be busy, and for mail servers that start a process for a connection: on a busy machine one
    /// takes longer than the usual time-out, and each that was given up waits in front of the next.
    pub const PATIENT: Self = Self {
        interval: "10s",
        timeout: "10s",
        probe_sources: &[],
    };
}

impl Default for Health {
    /// Impatient, so that a lab is soon ready.
    fn default() -> Self {
        Self {
            interval: "250ms",
            timeout: "250ms",
            probe_sources: &[],
        }
    }
}

pub(super) fn config_text(
    files: &Files,
    pin_dir: &Path,
    health: &Health,
    interfaces: &[(Host, &str)],
    pools: &[Pool],
) -> String {
    let (socket, state, pin_dir) = (
        files.socket.display(),
        files.state.display(),
        pin_dir.display(),
    );
    let mut text = format!(
        r#"operator = "Example Hosting"
help_url = "{HELP_URL}"
socket = "{socket}"
state_dir = "{state}"
customer_prefixes = ["192.0.2.0/24", "2001:db8:a::/48"]

[edge]
pin_dir = "{pin_dir}"

[radar]
window = "1s"
sources_max = 1024

[health]
interval = "{}"
timeout = "{}"
probe_sources = {:?}
"#,
        health.interval, health.timeout, health.probe_sources
    );
    let mut named = None;
    for pool in pools {
        if named != Some(pool.name) {
            named = Some(pool.name);
            text.push_str(&format!(
                "\n[[pool]]\nname = \"{}\"\nvia = \"{}\"\non_failure = \"closed\"\nthird_party = {}\n",
                pool.name,
                pool.via.name(),
                pool.is_third_party()
            ));
        }
        let [v4, v6] = Family::ALL.map(|family| pool.address(family));
        text.push_str(&format!(
            "\n[[pool.relay]]\nname = \"{}\"\naddress = [\"{v4}\", \"{v6}\"]\nport = {}\n",
            pool.relay,
            pool.port()
        ));
        if let Some(family) = pool.tunnel {
            let [near, far] = [Host::Edge, Host::Relay].map(|host| host.address(family));
            text.push_str(&format!(
                "tunnel = {{ local = \"{near}\", remote = \"{far}\" }}\n"
            ));
        }
    }
    for (host, role) in interfaces {
        let name = host.edge_interface();
        text.push_str(&format!(
            "\n[[interface]]\nname = \"{name}\"\nrole = \"{role}\"\nmode = \"native\"\n"
        ));
    }
    text
}

/// Where a refused customer reads on.
pub const HELP_URL: &str = "https://abuse.example.net/smtp";
/// The usual relay's name in the pool.
pub const RELAY_NAME: &str = Pool::REWRITE.relay;
/// The usual relay's port, IPv4 and IPv6.
pub const RELAY_PORT: u16 = Pool::REWRITE.port();

/// What stands behind each interface of the edge.
pub const INTERFACES: [(Host, &str); 5] = [
    (Host::CustomerA, "customer"),
    (Host::CustomerB, "customer"),
    (Host::Relay, "relay"),
    (Host::Mx1, "uplink"),
    (Host::Mx2, "uplink"),
];
