//! Outgate on a device, with so many policies and flows: the real program, loaded and filled by the
//! controller's own library.
//!
//! All that the benchmark knows about the maps' contents is here. Flows are not written into a map: the
//! program makes them itself, from as many SYNs.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::programs::{ProgramInfo, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use ipnetwork::IpNetwork;
use redirector_common::abi::{
    Action, L2Path, OnFailure, Policy, Pool, Relay, Role, SLOTS_PER_POOL, Via,
};
use redirector_user::{
    edge::{AttachMode, Edge, EdgeConfig},
    reconcile::MapOp,
};

use crate::{
    device::{Device, IN_MAC, OUT_MAC, RELAY_V4, RELAY_V6, SINK_MAC},
    programs::Programs,
    traffic::{ACK, Family, SYN, Traffic},
};

/// What is done with a customer; every scene has as many customers of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Redirected to a pool that rewrites.
    Rewrite,
    /// Redirected to a pool that steers.
    Steer,
    /// Exempt.
    Pass,
    /// Counted.
    Observe,
    /// Limited; the bucket is nearly always empty.
    Limit,
    /// Refused by the edge itself.
    Refuse,
    /// Reset.
    Reset,
    /// Dropped.
    Drop,
}

impl Deed {
    const ALL: [Self; 8] = [
        Self::Rewrite,
        Self::Steer,
        Self::Pass,
        Self::Observe,
        Self::Limit,
        Self::Refuse,
        Self::Reset,
        Self::Drop,
    ];

    fn policy(self, prefix_len: u8) -> Policy {
        let (action, pool) = match self {
            Self::Rewrite => (Action::Redirect, POOL_REWRITE),
            Self::Steer => (Action::Redirect, POOL_STEER),
            Self::Pass => (Action::Pass, 0),
            Self::Observe => (Action::Observe, 0),
            Self::Limit => (Action::Limit, 0),
            Self::Refuse => (Action::Refuse, 0),
            Self::Reset => (Action::Reset, 0),
            Self::Drop => (Action::Drop, 0),
        };
        Policy {
            flag_id: 1,
            pool,
            action: action as u8,
            prefix_len,
            limit_per_hour: 1,
            limit_burst: 1,
            ..Policy::default()
        }
    }
}

/// How large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Family of all policies and flows.
    pub(crate) family: Family,
    /// Policies of single addresses. With one policy and many flows that policy is a prefix.
    pub(crate) policies: u32,
    /// Policies of prefixes, beside them, that match nobody.
    pub(crate) prefixes: u32,
    /// Flows, all of this kind.
    pub(crate) flows: Option<(Deed, u32)>,
    /// Sources that the radar has room for.
    pub(crate) radar_sources: u32,
}

/// The program on a device.
pub(crate) struct Scene {
    /// What it is on.
    pub(crate) device: Device,
    /// What was asked for.
    pub(crate) size: Size,
    /// How long putting all policies into force took.
    pub(crate) loading: Duration,
    edge: Edge,
    program_id: u32,
}

impl Scene {
    /// Loads, attaches and fills; we are outside. `pins` must be on a BPF file system.
    pub(crate) fn new(
        programs: &mut Programs,
        device: Device,
        size: Size,
        pins: &Path,
    ) -> Result<Self> {
        let flows = size.flows.map_or(0, |(_, flows)| flows);
        // Flows are spread evenly over the customers, which makes them a few more.
        let flows_max = (flows + flows / 20).max(1024);
        // Some are toggled while the rest stands.
        let policies_max = size.policies + size.prefixes + SPARE;
        let mut edge = Edge::open(config(pins, policies_max, flows_max, size.radar_sources))?;
        let program_id = device.netns.inside(|| {
            edge.attach("out0", Role::Relay, AttachMode::Native)?;
            let attached = edge.attach("in0", Role::Customer, AttachMode::Native)?;
            Ok(attached.program_id)
        })?;
        edge.heartbeat()?;
        edge.apply(&relays(device.output)?)?;
        let mut policies = prefixes(size)?;
        policies.extend(hosts(size)?);
        let begun = Instant::now();
        edge.load_policies(&policies)?;
        let loading = begun.elapsed();
        let mut scene = Self {
            device,
            size,
            loading,
            edge,
            program_id,
        };
        if let Some((deed, _)) = size.flows {
            scene.open_flows(programs, deed)?;
        }
        Ok(scene)
    }

    /// Frames of customers that this is done with; `spread` over all of them and their flows, or from a
    /// few that stay in the cache.
    pub(crate) fn traffic(&self, deed: Deed, spread: bool) -> Traffic {
        let (first, customers) = self.customers(deed);
        let ports = match self.size.flows {
            Some((of, flows)) if of == deed => flows.div_ceil(customers),
            _ => 1,
        };
        let flags = match deed {
            // Of an established connection.
            Deed::Rewrite | Deed::Steer => ACK,
            _ => SYN,
        };
        Traffic {
            family: self.size.family,
            flags,
            port: 25,
            first,
            customers: if spread {
                customers
            } else {
                customers.min(FEW)
            },
            ports: if spread { ports } else { 1 },
        }
    }

    /// Connections in the table: what was asked for, or a little more, as many of each customer.
    pub(crate) fn flows(&self) -> u32 {
        let deed = self.size.flows.map(|(deed, _)| deed);
        deed.map_or(0, |deed| self.traffic(deed, true).variety())
    }

    /// Frames of customers that nobody has flagged.
    pub(crate) fn unflagged(&self, port: u16, spread: bool) -> Traffic {
        Traffic {
            family: self.size.family,
            flags: SYN,
            port,
            first: UNFLAGGED,
            customers: if spread { SPREAD } else { FEW },
            ports: 1,
        }
    }

    /// Makes the scene ready for frames of this kind.
    pub(crate) fn prepare(
        &mut self,
        programs: &mut Programs,
        deed: Option<Deed>,
        radar: bool,
    ) -> Result<()> {
        self.edge.heartbeat()?;
        if radar {
            self.edge.turn_radar()?;
        } else {
            self.edge.stop_radar()?;
        }
        let Some(deed) = deed else {
            return Ok(());
        };
        if let (1, None) = (self.size.policies, self.size.flows) {
            let (prefix, policy) = (self.host(0)?, deed.policy(self.length()));
            self.edge.apply(&[MapOp::PutPolicy(prefix, policy)])?;
        }
        let has_flows = self.size.flows.is_some_and(|(of, _)| of == deed);
        if matches!(deed, Deed::Rewrite | Deed::Steer) && !has_flows {
            self.send_syns(programs, deed, false)?;
        }
        Ok(())
    }

    /// How long one policy takes to be written and removed again, per write.
    pub(crate) fn toggle(&mut self) -> Result<Duration> {
        let prefix = IpNetwork::new(self.size.family.customer(UNFLAGGED - 1), self.length())?;
        let put = [MapOp::PutPolicy(prefix, Deed::Drop.policy(self.length()))];
        let begun = Instant::now();
        self.edge.apply(&put)?;
        let elapsed = begun.elapsed();
        self.edge.apply(&[MapOp::RemovePolicy(prefix)])?;
        Ok(elapsed)
    }

    /// The program instance of the customers' side, as the kernel has it.
    pub(crate) fn program(&self) -> Result<Xdp> {
        let program = loaded_programs()
            .filter_map(Result::ok)
            .find(|program: &ProgramInfo| program.id() == self.program_id)
            .context("the attached program is loaded")?;
        let name = "outgate_xdp".into();
        Ok(Xdp::from_program_info(
            program,
            name,
            XdpAttachType::Interface,
        )?)
    }

    /// Octets of kernel memory that a map takes, as the kernel says, for each of so many entries.
    pub(crate) fn octets_each(&self, name: &'static str, entries: u32) -> Result<f64> {
        let memory = self.edge.memory()?;
        let octets = memory.get(name).with_context(|| format!("no map {name}"))?;
        Ok(octets.to_string().parse::<f64>()? / f64::from(entries))
    }

    /// First customer of a kind, and how many there are.
    fn customers(&self, deed: Deed) -> (u32, u32) {
        let Size {
            policies, flows, ..
        } = self.size;
        match (policies, flows) {
            // One prefix, and a customer for each flow.
            (1, Some((_, flows))) => (0, flows),
            (1, None) => (0, 1),
            _ => {
                let each = policies / KINDS;
                let at = Deed::ALL.iter().position(|of| *of == deed);
                let at = at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0);
                (at * each, each)
            }
        }
    }

    fn host(&self, number: u32) -> Result<IpNetwork> {
        Ok(IpNetwork::new(
            self.size.family.customer(number),
            self.length(),
        )?)
    }

    const fn length(&self) -> u8 {
        whole(self.size.family)
    }

    /// Sends the SYN of every flow.
    fn open_flows(&mut self, programs: &mut Programs, deed: Deed) -> Result<()> {
        self.prepare(programs, None, false)?;
        self.send_syns(programs, deed, true)?;
        let flows = self.flows();
        let counters = self.edge.counters()?;
        let opened = counters.get("flow_opened").copied().unwrap_or(0);
        if opened < u64::from(flows) {
            bail!("{opened} of {flows} flows were opened; {counters:?}");
        }
        Ok(())
    }

    fn send_syns(&self, programs: &mut Programs, deed: Deed, spread: bool) -> Result<()> {
        let syns = Traffic {
            flags: SYN,
            ..self.traffic(deed, spread)
        };
        programs.aim(&syns, IN_MAC, true, 0)?;
        programs
            .send(syns.family, self.device.generator, syns.variety())
            .map(drop)
    }
}

/// Two pools of one relay.
fn relays(ifindex: u32) -> Result<Vec<MapOp>> {
    let path = L2Path {
        ifindex,
        peer_mac: SINK_MAC,
        own_mac: OUT_MAC,
        tags: [[0; 4]; 2],
    };
    let relay = Relay {
        addr4: RELAY_V4.parse::<std::net::Ipv4Addr>()?.octets(),
        addr6: RELAY_V6.parse::<std::net::Ipv6Addr>()?.octets(),
        port_be: RELAY_PORT.to_be_bytes(),
        flags: 0,
        reserved: 0,
        path4: path,
        path6: path,
    };
    let mut ops = vec![MapOp::PutRelay(0, relay)];
    for (number, via) in [(POOL_REWRITE, Via::Rewrite), (POOL_STEER, Via::Steer)] {
        let number = u16::from(number);
        ops.extend((0..SLOTS_PER_POOL).map(|slot| MapOp::PutSlot(number, slot, 0)));
        ops.push(MapOp::PutPool(
            number,
            Pool {
                on_failure: OnFailure::Closed as u8,
                present: 1,
                via: via as u8,
                reserved: [0; 5],
            },
        ));
    }
    for customers in ["10.0.0.0/8", "3fff::/32"] {
        ops.push(MapOp::PutCustomer(customers.parse()?));
    }
    Ok(ops)
}

/// Policies of single addresses, as many of each kind.
fn hosts(size: Size) -> Result<BTreeMap<IpNetwork, Policy>> {
    let length = whole(size.family);
    if size.policies == 1 {
        let Some((deed, flows)) = size.flows else {
            return Ok(BTreeMap::new());
        };
        let bits = u8::try_from(flows.next_power_of_two().trailing_zeros())?;
        let host_bits = if size.family == Family::V6 { 64 } else { 0 };
        let length = length - host_bits - bits;
        let prefix = IpNetwork::new(size.family.customer(0), length)?;
        let prefix = IpNetwork::new(prefix.network(), length)?;
        return Ok(BTreeMap::from([(prefix, deed.policy(length))]));
    }
    let each = size.policies / KINDS;
    (0..size.policies)
        .map(|number| {
            let deed = (number / each).min(KINDS - 1);
            let deed = Deed::ALL[usize::try_from(deed)?];
            let prefix = IpNetwork::new(size.family.customer(number), length)?;
            Ok((prefix, deed.policy(length)))
        })
        .collect()
}

/// Prefixes around addresses that send nothing, among those that do.
fn prefixes(size: Size) -> Result<BTreeMap<IpNetwork, Policy>> {
    let host_bits = if size.family == Family::V6 { 64 } else { 0 };
    let length = whole(size.family) - host_bits - PREFIX_BITS;
    (0..size.prefixes)
        .map(|number| {
            let first = size.family.customer(PREFIXED + (number << PREFIX_BITS));
            let prefix = IpNetwork::new(first, length)?;
            let prefix = IpNetwork::new(prefix.network(), length)?;
            Ok((prefix, Deed::Drop.policy(length)))
        })
        .collect()
}

fn config(pins: &Path, policies_max: u32, flows_max: u32, radar_sources_max: u32) -> EdgeConfig {
    EdgeConfig {
        pin_dir: pins.to_owned(),
        flows_max,
        policies_max,
        // No customer is to be slowed down.
        syn_rate: 1_000_000,
        syn_burst: 1_000_000,
        heartbeat_limit_s: 86_400,
        debug_lines: false,
        radar_sources_max,
    }
}

/// Length of a prefix that is one address.
const fn whole(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

const KINDS: u32 = 8;
const SPARE: u32 = 64;
const POOL_REWRITE: u8 = 0;
const POOL_STEER: u8 = 1;
/// The relay's.
pub(crate) const RELAY_PORT: u16 = 2525;
/// Hot.
const FEW: u32 = 8;
/// Cold, where there are no policies that say how many.
const SPREAD: u32 = 1_000_000;
/// Numbers of customers that are not flagged, up to the next.
const UNFLAGGED: u32 = 0x80_0000;
/// Numbers of customers that prefixes are flagged around.
const PREFIXED: u32 = 0xc0_0000;
/// Customers in each of those prefixes, as a power of two.
const PREFIX_BITS: u8 = 4;
