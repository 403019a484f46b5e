//! Probing relays through the data path: the veth pair that it takes, and the question to one listener.

use std::net::{IpAddr, SocketAddr};

use redirector_common::abi::Role;

use super::{Controller, Problem, StartError};
use crate::{
    config::{self, Config, Interface, Through},
    edge::{
        AttachMode, Attachment, EdgeError, Ladder,
        health::{self, ProbeError},
        probe::{self, INTERFACE, Questions, Wire},
    },
    policy::{
        dial::{Flag, FlagId},
        ledger::Ledger,
    },
};

/// A wire, and what is asked over it.
pub(super) type ProbeLine = (Wire, Questions);

impl Controller {
    /// Makes the veth pair that probes leave from, or removes what an earlier configuration has left of it.
    pub(super) async fn prepare_probe(&self) -> Result<(), Problem> {
        if matches!(self.config.health.through, Through::DataPath(_)) {
            return Ok(probe::prepare().await?);
        }
        // The pinned link first: it would outlive the interface, and hold the program.
        let detached = self.kernel.call(|edge| edge.detach(INTERFACE)).await?;
        match detached {
            Ok(()) | Err(EdgeError::NotAttached { .. }) => Ok(probe::remove().await?),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes hold of the pair's far end; `None` if relays are probed directly.
    pub(super) fn open_probe_line(&self) -> Result<Option<ProbeLine>, Problem> {
        if matches!(self.config.health.through, Through::Direct) {
            return Ok(None);
        }
        let wire = open_wire()?;
        let (line, questions) = probe::Line::open();
        // Called once, when everything starts; a second line would leave the first one without a host.
        self.probes.get_or_init(|| line);
        Ok(Some((wire, questions)))
    }

    /// How the pair's near end is to be attached; `None` if relays are probed directly.
    ///
    /// What is redirected natively leaves only by a driver that has native XDP itself. Where the way to a relay
    /// is generic, the veth must be too.
    pub(super) fn probe_interface(&self, attached: &[Attachment]) -> Option<Interface> {
        if matches!(self.config.health.through, Through::Direct) {
            return None;
        }
        let towards_relays = [Role::Relay, Role::Uplink];
        let is_attached = |name: &str| attached.iter().any(|one| one.interface == name);
        let awaited = self.config.interfaces.iter();
        let awaited = awaited
            .filter(|interface| !is_attached(&interface.name))
            .map(|interface| (Some(interface.role), interface.modes.first()));
        let attached = attached.iter();
        let attached = attached.map(|one| (config::parse_role(&one.role), one.mode));
        let generic = awaited.chain(attached).any(|(role, mode)| {
            role.is_some_and(|role| towards_relays.contains(&role)) && mode != AttachMode::Native
        });
        Some(Interface {
            name: String::from(INTERFACE),
            role: Role::Customer,
            modes: Ladder::from(if generic {
                AttachMode::Generic
            } else {
                AttachMode::Native
            }),
        })
    }

    /// Refuses to touch the pair by hand: without it every relay would seem to be down.
    pub(super) fn refuse_probe_interface(&self, name: &str) -> Result<(), Problem> {
        if !probe::ENDS.contains(&name) {
            return Ok(());
        }
        Err(Problem::Guard(format!(
            "{name} is the controller's own: relays are probed from it; health.through in outgated.toml makes and \
             removes it"
        )))
    }

    /// Asks one listener of a relay whether it is at work.
    pub(super) async fn probe_listener(
        &self,
        relay: &config::Relay,
        address: IpAddr,
    ) -> Result<(), ProbeError> {
        let timeout = self.config.health.timeout;
        let listener = SocketAddr::new(address, relay.port.get());
        let Through::DataPath(sources) = &self.config.health.through else {
            return health::probe(listener, timeout).await;
        };
        let (Some(line), Some(source)) = (self.probes.get(), sources.get(&address)) else {
            return Err(ProbeError::NoProbe(String::from("outgated is starting")));
        };
        let outcome = line.probe(*source, timeout).await;
        // Silence of a pair that somebody took down, or the program off, says nothing about a relay.
        if matches!(outcome, Err(ProbeError::NoAnswer)) && !self.was_whole().await {
            return Err(ProbeError::NoProbe(format!(
                "{INTERFACE} was down, or without the program"
            )));
        }
        outcome
    }

    /// Whether the pair was whole; if not, it is mended as far as can be.
    async fn was_whole(&self) -> bool {
        let whole = probe::is_whole().await;
        if !matches!(whole, Ok(true))
            && let Err(error) = self.mend_probe().await
        {
            tracing::error!(%error, "{INTERFACE} could not be mended");
        }
        matches!(whole, Ok(true))
    }

    /// Brings the pair up, and the program to it.
    pub(super) async fn mend_probe(&self) -> Result<(), Problem> {
        // One at a time: every relay's probe may find it broken.
        let _alone = self.lock().await;
        self.prepare_probe().await?;
        let attached = self.attachments().await?;
        let there = attached.iter().any(|one| one.interface == INTERFACE);
        if let (Some(interface), false) = (self.probe_interface(&attached), there) {
            self.attach_now(&interface).await?;
        }
        Ok(())
    }

    /// What to say of a failed probe.
    pub(super) async fn trouble(
        &self,
        relay: &config::Relay,
        address: IpAddr,
        error: &ProbeError,
    ) -> String {
        let listener = SocketAddr::new(address, relay.port.get());
        let asked_nobody = matches!(error, ProbeError::NoProbe(_) | ProbeError::NoWay(_));
        if asked_nobody || matches!(self.config.health.through, Through::Direct) {
            return format!("{listener}: {error}");
        }
        let direct = health::probe(listener, self.config.health.timeout).await;
        let compared = match direct {
            Ok(()) => "; asked directly it greets, so the way through the edge is at fault",
            Err(_) => "",
        };
        format!("{listener}: {error}, through the data path{compared}")
    }
}

/// Takes hold of the pair's far end.
pub(super) fn open_wire() -> Result<Wire, Problem> {
    Ok(Wire::open()?)
}

/// A flag on an address that probes come from now would never come into force.
pub(super) fn refuse_flagged(config: &Config, flags: &Ledger) -> Result<(), StartError> {
    for reserved in &config.health.reserved {
        let inside = |flag: &&Flag| {
            let prefix = flag.terms.prefix;
            flag.ended.is_none()
                && reserved.prefix() <= prefix.prefix()
                && reserved.contains(prefix.network())
        };
        let ids: Vec<FlagId> = flags.values().filter(inside).map(|flag| flag.id).collect();
        if !ids.is_empty() {
            return Err(StartError::ProbeSourcesFlagged {
                reserved: *reserved,
                ids,
            });
        }
    }
    Ok(())
}
