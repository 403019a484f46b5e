//! What one would use instead of Outgate, on devices of their own: the kernel's forwarding, nftables, tc;
//! and the programs that do a part of what Outgate does.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use aya::programs::links::FdLink;

use crate::{
    device::{Device, IN_MAC, RELAY_V4, RELAY_V6},
    live::End,
    netns::run,
    programs::Programs,
    scene::RELAY_PORT,
    traffic::{ACK, Family, SYN, Traffic},
};

/// What stands on a device instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An XDP program that drops: what it costs to bring a frame here.
    Discard,
    /// An XDP program that passes, and the kernel forwards.
    Pass,
    /// An XDP program that redirects.
    Forward,
    /// Nothing; the kernel forwards.
    Kernel,
    /// nftables drops port 25 of the members of a set, at the netdev hook, as early as it can.
    NftDrop,
    /// nftables sends port 25 of the members of a set to a relay, by DNAT with connection tracking.
    NftDnat,
    /// tc: u32 matches one source and port 25, mirred redirects.
    TcU32,
    /// tc: a program that redirects.
    TcProgram,
}

/// A device with one of them.
pub(crate) struct Rival {
    /// What it is.
    pub(crate) kind: Kind,
    /// Whom it is for.
    pub(crate) family: Family,
    /// Members of its set.
    pub(crate) policies: u32,
    /// Connections that it tracks.
    pub(crate) flows: u32,
    /// Where.
    pub(crate) device: Device,
    _link: Option<FdLink>,
}

impl Rival {
    /// Sets one up; we are outside.
    pub(crate) fn new(
        programs: &mut Programs,
        device: Device,
        kind: Kind,
        family: Family,
        policies: u32,
        flows: u32,
    ) -> Result<Self> {
        let xdp = match kind {
            Kind::Discard => Some("discard"),
            Kind::Pass => Some("pass"),
            Kind::Forward => Some("forward"),
            Kind::Kernel | Kind::NftDrop | Kind::NftDnat | Kind::TcU32 | Kind::TcProgram => None,
        };
        let (input, output) = (device.input, device.output);
        let link = device
            .netns
            .inside(|| match kind {
                Kind::Discard | Kind::Pass | Kind::Kernel => Ok(()),
                Kind::Forward => programs.forward_to(output),
                Kind::NftDrop => nft(&drop_rules(family, policies)?),
                Kind::NftDnat => nft(&dnat_rules(family, policies)?),
                Kind::TcU32 => u32_filter(family),
                Kind::TcProgram => programs.attach_tc("in0", output),
            })
            .and_then(|()| match xdp {
                Some(name) => device
                    .netns
                    .inside(|| programs.attach(name, input))
                    .map(Some),
                None => device.take_frames().map(|()| None),
            })?;
        Ok(Self {
            kind,
            family,
            policies,
            flows,
            device,
            _link: link,
        })
    }

    /// Frames of the members of its set; `spread` over all of them and their connections, or from a few.
    pub(crate) fn traffic(&self, spread: bool) -> Traffic {
        let customers = self.policies.max(1);
        let ports = self.flows.div_ceil(customers).max(1);
        Traffic {
            family: self.family,
            flags: if self.kind == Kind::NftDnat { ACK } else { SYN },
            port: 25,
            first: 0,
            customers: if spread { customers } else { customers.min(8) },
            ports: if spread { ports } else { 1 },
        }
    }

    /// Where its frames end.
    pub(crate) const fn end(&self) -> End {
        match self.kind {
            Kind::NftDnat => End::Sink(RELAY_PORT),
            Kind::Discard | Kind::NftDrop => End::Nowhere,
            Kind::Pass | Kind::Forward | Kind::Kernel | Kind::TcU32 | Kind::TcProgram => {
                End::Sink(25)
            }
        }
    }

    /// Forgets all connections and makes them anew: what was measured before must not matter. An ACK
    /// without a SYN opens a connection, too, unless `nf_conntrack_tcp_loose` says otherwise, and it is
    /// established at once.
    pub(crate) fn prepare(&self, programs: &mut Programs, spread: bool) -> Result<()> {
        if self.kind != Kind::NftDnat {
            return Ok(());
        }
        self.device.netns.inside(|| run("conntrack", "-F"))?;
        let traffic = self.traffic(spread);
        programs.aim(&traffic, IN_MAC, true, 0)?;
        programs.send(traffic.family, self.device.generator, traffic.variety())?;
        Ok(())
    }
}

/// Room for a million connections in the tables that connection tracking has for the whole machine; as it
/// was when this is dropped. We are in the first namespace.
pub(crate) struct Conntrack {
    before: Vec<(&'static str, String)>,
}

impl Conntrack {
    /// Makes room for this many and some more.
    pub(crate) fn make_room(connections: u32) -> Result<Self> {
        let mut room = Self { before: Vec::new() };
        for (path, wanted) in [
            // As many buckets as connections, as the kernel itself has it.
            (BUCKETS, connections.next_power_of_two()),
            (MAX, connections * 2),
        ] {
            let before = std::fs::read_to_string(path)
                .with_context(|| format!("{path} (is nf_conntrack loaded?)"))?;
            let before = before.trim().to_owned();
            if before.parse::<u32>()? < wanted {
                std::fs::write(path, wanted.to_string()).with_context(|| path.to_owned())?;
                room.before.push((path, before));
            }
        }
        Ok(room)
    }
}

impl Drop for Conntrack {
    fn drop(&mut self) {
        for (path, value) in self.before.drain(..) {
            // The machine keeps more room than it had; nothing worse.
            drop(std::fs::write(path, value));
        }
    }
}

fn drop_rules(family: Family, policies: u32) -> Result<String> {
    let (selector, _) = words(family);
    let mut rules = format!(
        "table netdev bench {{\n{}\nchain ingress {{ type filter hook ingress device in0 priority 0; \
         {selector} saddr @flagged tcp dport 25 drop; }}\n}}\n",
        set(family)
    );
    members(&mut rules, "netdev", family, policies)?;
    Ok(rules)
}

fn dnat_rules(family: Family, policies: u32) -> Result<String> {
    let (selector, _) = words(family);
    let relay = match family {
        Family::V4 => format!("{RELAY_V4}:{RELAY_PORT}"),
        Family::V6 => format!("[{RELAY_V6}]:{RELAY_PORT}"),
    };
    let mut rules = format!(
        "table {selector} bench {{\n{}\nchain prerouting {{ type nat hook prerouting priority dstnat; \
         {selector} saddr @flagged tcp dport 25 dnat to {relay}; }}\n}}\n",
        set(family)
    );
    members(&mut rules, selector, family, policies)?;
    Ok(rules)
}

/// Words of nftables: the protocol, and the type of its addresses.
const fn words(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::V4 => ("ip", "ipv4_addr"),
        Family::V6 => ("ip6", "ipv6_addr"),
    }
}

fn set(family: Family) -> String {
    format!("set flagged {{ type {}; }}", words(family).1)
}

fn members(rules: &mut String, table: &str, family: Family, policies: u32) -> Result<()> {
    for first in (0..policies).step_by(MEMBERS_A_LINE) {
        let step = u32::try_from(MEMBERS_A_LINE)?;
        write!(rules, "add element {table} bench flagged {{ ")?;
        for number in first..policies.min(first + step) {
            write!(rules, "{},", family.customer(number))?;
        }
        writeln!(rules, " }}")?;
    }
    Ok(())
}

/// Loads rules into the namespace that we are in.
fn nft(rules: &str) -> Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting nft (package nftables)")?;
    let mut input = nft.stdin.take().context("the pipe to nft")?;
    input.write_all(rules.as_bytes())?;
    drop(input);
    let output = nft.wait_with_output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first: String = complaint.lines().take(3).collect();
        bail!("nft: {first}");
    }
    Ok(())
}

fn u32_filter(family: Family) -> Result<()> {
    run("tc", "qdisc add dev in0 clsact")?;
    let customer = family.customer(0);
    let (protocol, selector, bits) = match family {
        Family::V4 => ("ip", "ip", 32),
        Family::V6 => ("ipv6", "ip6", 128),
    };
    run(
        "tc",
        &format!(
            "filter add dev in0 ingress protocol {protocol} prio 1 u32 \
             match {selector} src {customer}/{bits} match {selector} dport 25 0xffff \
             action mirred egress redirect dev out0"
        ),
    )
    .map(drop)
}

const MEMBERS_A_LINE: usize = 10_000;
const BUCKETS: &str = "/proc/sys/net/netfilter/nf_conntrack_buckets";
const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
