//! What the program would do with a frame: the program itself, run here, over the real maps.
//!
//! Nothing is written: an instance that only judges ([`dry`]) reads the maps of the attached ones, and what
//! it would write stays with it. Nothing is sent either, and no counter is raised. The answer is for this
//! moment: token buckets and heartbeat count as they are. A look-up in a table that makes room by age counts
//! as a use there, as every look-up does.

mod dry;
mod frame;
mod room;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::programs::loaded_programs;
use ipnetwork::IpNetwork;
use redirector_common::{
    abi::{Action, NO_RELAY, Role},
    counters::Counter,
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, socket},
};
use serde::{Deserialize, Serialize};

use self::dry::{DryRun, Ran};
pub use self::frame::{headers, sockets};
pub(super) use self::room::Counted;
use super::{Attachment, Edge, EdgeError, probe, program};

/// What the program would do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Judgement {
    /// `pass`, `drop`, `tx` or `redirect`.
    pub verdict: String,
    /// Counter that it would raise, the one that says most; or `none`.
    pub counter: String,
    /// Prefix of the rule that matched.
    #[schema(value_type = Option<String>)]
    pub rule: Option<IpNetwork>,
    /// Flag behind it.
    pub flag_id: Option<u32>,
    /// Action of the rule.
    pub action: Option<String>,
    /// Relay number and listener, if diverted.
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub relay: Option<(u32, IpAddr)>,
    /// Every counter that it would raise.
    #[serde(default)]
    pub counters: Vec<String>,
    /// Interface that a redirected frame would leave by.
    #[serde(default)]
    pub leaves_by: Option<String>,
    /// Whether an octet of the frame would change.
    #[serde(default)]
    pub changed: bool,
}

/// Why a frame cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unjudgeable {
    /// The kernel runs no frame without an Ethernet header.
    #[error("shorter than an Ethernet header ({SHORTEST_OCTETS} octets)")]
    TooShort,
    /// The kernel runs a frame in one page of memory.
    #[error("longer than the kernel tries a program on ({LONGEST_OCTETS} octets)")]
    TooLong,
}

/// Where frames are taken to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// By this interface, which has the program.
    Interface(String),
    /// By any interface of this role, whether there is one or not.
    Role(Role),
}

/// An entrance as the program knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Interface index, or 0.
    ifindex: u32,
    /// Role of its untagged traffic.
    pub role: Role,
    /// Interfaces that frames may come in by there. None = the program is on no such interface.
    pub interfaces: Vec<String>,
    /// Those of them whose program is of another build than the one that judges.
    pub other_build: Vec<String>,
}

/// Instances that judge, by role.
#[derive(Default)]
pub(super) struct DryRuns(BTreeMap<u8, DryRun>);

impl Edge {
    /// Finds an entrance, and loads what judges there if it is not loaded yet.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NotAttached`] for an interface without the program, else what the kernel answers.
    pub fn entrance(&mut self, entrance: &Entrance) -> Result<Ingress, EdgeError> {
        let attachments = self.attachments()?;
        let of_role = |role: Role| {
            // Behind the pair that relays are probed from stands no customer.
            let asked =
                move |at: &&Attachment| at.role == role.name() && at.interface != probe::INTERFACE;
            let found = attachments.iter().filter(asked);
            found.cloned().collect::<Vec<Attachment>>()
        };
        let (role, through) = match entrance {
            Entrance::Role(role) => (*role, of_role(*role)),
            Entrance::Interface(name) => {
                let found = attachments.iter().find(|at| at.interface == *name);
                let found = found.ok_or_else(|| EdgeError::NotAttached {
                    interface: name.clone(),
                })?;
                let role = self.role_of(found.ifindex)?.ok_or_else(|| {
                    EdgeError::Impossible(format!("{name} is attached without a role"))
                })?;
                (role, vec![found.clone()])
            }
        };
        let tag = self.dry_run(role)?.tag;
        Ok(Ingress {
            ifindex: through.first().map_or(0, |at| at.ifindex),
            role,
            other_build: other_builds(&through, tag)?,
            interfaces: through.into_iter().map(|at| at.interface).collect(),
        })
    }

    /// Judges a SYN from `source` to a port of `destination`.
    ///
    /// # Errors
    ///
    /// [`EdgeError::MixedFamilies`] if the addresses are not of one family, else what the kernel answers.
    pub fn judge(
        &mut self,
        source: IpAddr,
        destination: IpAddr,
        port: u16,
        ingress: &Ingress,
    ) -> Result<Judgement, EdgeError> {
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(EdgeError::MixedFamilies {
                source_address: source,
                destination,
            });
        }
        let octets = frame::syn(source, destination, port);
        self.judge_frame(&octets, ingress)?
            .map_err(|why| EdgeError::Impossible(format!("a SYN is {why}")))
    }

    /// Judges a frame, as it is on the wire without its check sequence.
    ///
    /// # Errors
    ///
    /// What the kernel answers. Inside: [`Unjudgeable`], which is about this frame alone.
    pub fn judge_frame(
        &mut self,
        octets: &[u8],
        ingress: &Ingress,
    ) -> Result<Result<Judgement, Unjudgeable>, EdgeError> {
        if octets.len() < SHORTEST_OCTETS {
            return Ok(Err(Unjudgeable::TooShort));
        }
        if octets.len() > LONGEST_OCTETS {
            return Ok(Err(Unjudgeable::TooLong));
        }
        let (role, ifindex) = (ingress.role, ingress.ifindex);
        let mut ran = self.dry_run(role)?.run(octets, ifindex, false)?;
        if ran.said.wanted_entry != 0 && self.is_full()? {
            ran = self.dry_run(role)?.run(octets, ifindex, true)?;
        }
        self.told(octets, &ran, role).map(Ok)
    }

    /// The instance that judges for a role.
    fn dry_run(&mut self, role: Role) -> Result<&mut DryRun, EdgeError> {
        use std::collections::btree_map::Entry;
        match self.dry_runs.0.entry(role as u8) {
            Entry::Occupied(loaded) => Ok(loaded.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(DryRun::load(&self.config, &self.pins, role)?)),
        }
    }

    /// What the program says, in names.
    fn told(&self, octets: &[u8], ran: &Ran, role: Role) -> Result<Judgement, EdgeError> {
        let said = &ran.said;
        let policy = (said.has_policy != 0).then_some(said.policy);
        let customer = frame::customer(octets, role);
        let relay = match said.relay {
            NO_RELAY => None,
            number => Some((number, self.listener(number, octets)?)),
        };
        let verdict = verdict_name(ran.verdict)?;
        let leaves_by = match verdict {
            REDIRECT => Some(interface_name(said.leaves_by)?),
            _ => None,
        };
        let name = |counter: &Counter| counter.name().to_owned();
        let counter = Counter::ALL
            .iter()
            .find(|counter| counter.index() == said.counter);
        let counters = Counter::ALL.iter().filter(|it| said.has_counted(**it));
        Ok(Judgement {
            verdict: verdict.to_owned(),
            counter: counter.map_or_else(|| String::from("none"), name),
            rule: policy
                .zip(customer)
                .and_then(|(policy, customer)| enclosing(customer, policy.prefix_len)),
            flag_id: policy.map(|policy| policy.flag_id).filter(|id| *id != 0),
            action: policy
                .and_then(|policy| Action::from_number(policy.action))
                .map(|action| action.name().to_owned()),
            relay,
            counters: counters.map(name).collect(),
            leaves_by,
            changed: ran.frame != octets,
        })
    }

    /// Address of a relay's listener, of the frame's family.
    fn listener(&self, number: u32, octets: &[u8]) -> Result<IpAddr, EdgeError> {
        let relay = self.relay(number)?;
        Ok(match frame::ends(octets) {
            Some((IpAddr::V6(_), _)) => relay.addr6.into(),
            Some((IpAddr::V4(_), _)) | None => relay.addr4.into(),
        })
    }
}

/// Those whose program is ours and has another tag. One that is not ours by its name cannot be compared.
fn other_builds(attachments: &[Attachment], tag: u64) -> Result<Vec<String>, EdgeError> {
    if attachments.is_empty() {
        return Ok(Vec::new());
    }
    let mut of_another = BTreeSet::new();
    for info in loaded_programs() {
        // A program may go while we look.
        let Ok(info) = info else {
            continue;
        };
        if info.name() == program::XDP.as_bytes() && info.tag() != tag {
            of_another.insert(info.id());
        }
    }
    let other = attachments
        .iter()
        .filter(|at| of_another.contains(&at.program_id));
    Ok(other.map(|at| at.interface.clone()).collect())
}

/// Name of an interface of this network namespace, or its number if it has gone.
///
/// # Errors
///
/// Only what the kernel answers.
pub fn interface_name(ifindex: u32) -> Result<String, EdgeError> {
    let looking_up =
        |error: Errno| EdgeError::kernel(format!("looking up interface {ifindex}"), error);
    // Any socket will do to ask by; this one needs no network.
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    let socket = socket.map_err(looking_up)?;
    match rustix::net::netdevice::index_to_name(&socket, ifindex) {
        Ok(name) => Ok(name),
        // It has gone since.
        Err(Errno::NODEV) => Ok(format!("number {ifindex}")),
        Err(error) => Err(looking_up(error)),
    }
}

/// The name of an `enum xdp_action`, as people read it.
///
/// # Errors
///
/// [`EdgeError::Impossible`] for one that the program never answers with.
pub fn verdict_name(action: u32) -> Result<&'static str, EdgeError> {
    match action {
        1 => Ok("drop"),
        2 => Ok("pass"),
        3 => Ok("tx"),
        4 => Ok(REDIRECT),
        other => Err(EdgeError::Impossible(format!(
            "the program answered with action {other}"
        ))),
    }
}

/// The prefix of that length around an address.
fn enclosing(address: IpAddr, length: u8) -> Option<IpNetwork> {
    let around = IpNetwork::new(address, length).ok()?;
    IpNetwork::new(around.network(), length).ok()
}

const REDIRECT: &str = "redirect";
/// `ETH_HLEN`.
const SHORTEST_OCTETS: usize = 14;
/// A page of 4096 octets without the headroom (256) and what the kernel keeps behind a frame (320).
const LONGEST_OCTETS: usize = 3520;
