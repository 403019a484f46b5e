//! Outgate on a device, with so many policies and flows: the real program, loaded and filled by the
//! controller's own library.
//!
//! All that the benchmark knows about the maps' contents is here. Flows are not written into a map: the
//! program makes them itself, from as many SYNs.

mod contents;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::programs::{ProgramInfo, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use ipnetwork::IpNetwork;
use redirector_common::abi::Role;
use redirector_user::{
    edge::{AttachMode, Edge, EdgeConfig},
    reconcile::MapOp,
};

pub(crate) use self::contents::{Deed, RELAY_PORT, Size};
use self::contents::{KINDS, PREFIX_BITS, PREFIXED, hosts, prefixes, relays, whole};
use crate::{
    device::{Device, IN_MAC},
    programs::Programs,
    traffic::{ACK, SYN, Traffic},
};

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
            policies,
            prefixes,
            flows,
            ..
        } = self.size;
        match (policies, flows) {
            (0, _) => (PREFIXED, prefixes << PREFIX_BITS),
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

const SPARE: u32 = 64;
/// Hot.
const FEW: u32 = 8;
/// Cold, where there are no policies that say how many.
const SPREAD: u32 = 1_000_000;
/// Numbers of customers that are not flagged, up to the next.
const UNFLAGGED: u32 = 0x80_0000;
