//! A device under test: a namespace of its own between the generator and the sink.
//!
//! ```text
//!  outside             the device          outside
//!  gN  ── veth ──▶  in0  ...  out0  ── veth ──▶  sN
//!  generator           what is measured        sink
//! ```
//!
//! The device routes everything to the sink's end. What comes back to `gN` is counted, too.

use anyhow::{Context as _, Result};
use aya::programs::links::FdLink;

use crate::{
    netns::{Netns, index_of, run},
    programs::Programs,
    traffic::{MX_V4, MX_V6},
};

/// A device and its two cables.
pub(crate) struct Device {
    /// What is inside of it.
    pub(crate) netns: Netns,
    /// Index of `gN`, outside.
    pub(crate) generator: u32,
    /// Index of `in0`, inside.
    pub(crate) input: u32,
    /// Index of `out0`, inside.
    pub(crate) output: u32,
    /// Programs on both ends outside.
    _sinks: [FdLink; 2],
}

impl Device {
    /// Makes one; we are outside.
    pub(crate) fn new(programs: &mut Programs, outside: &Netns, number: usize) -> Result<Self> {
        let netns = Netns::new()?;
        let (generator, sink) = (format!("g{number}"), format!("s{number}"));
        let pid = outside.pid();
        let (input, output) = netns.inside(|| {
            for (inner, inner_mac, outer, outer_mac) in [
                ("in0", IN_MAC, &generator, GENERATOR_MAC),
                ("out0", OUT_MAC, &sink, SINK_MAC),
            ] {
                let (inner_mac, outer_mac) = (shown(inner_mac), shown(outer_mac));
                run(
                    "ip",
                    &format!(
                        "link add {inner} address {inner_mac} type veth peer name {outer} address {outer_mac} netns {pid}"
                    ),
                )?;
            }
            for (path, value) in FORWARDING {
                std::fs::write(path, value).with_context(|| format!("{path} = {value}"))?;
            }
            let sink = shown(SINK_MAC);
            for line in [
                "link set in0 up".to_owned(),
                "link set out0 up".to_owned(),
                "address add 198.51.100.1/24 dev out0".to_owned(),
                "address add 2001:db8:2::1/64 dev out0 nodad".to_owned(),
                "address add 192.0.2.1/24 dev in0".to_owned(),
                "address add 2001:db8:1::1/64 dev in0 nodad".to_owned(),
                format!("neighbour add {RELAY_V4} lladdr {sink} dev out0"),
                format!("neighbour add {RELAY_V6} lladdr {sink} dev out0"),
                format!("route add {MX_V4}/32 via {RELAY_V4}"),
                format!("route add {MX_V6}/128 via {RELAY_V6}"),
                // Without one to the customers, the kernel would not believe in them.
                "route add 10.0.0.0/8 dev in0".to_owned(),
                "route add 3fff::/20 dev in0".to_owned(),
            ] {
                run("ip", &line)?;
            }
            Ok((index_of("in0")?, index_of("out0")?))
        })?;
        let mut sinks = [&generator, &sink]
            .into_iter()
            .zip(["returned", "sink"])
            .map(|(interface, program)| {
                run("ip", &format!("link set {interface} up"))?;
                programs.attach(program, index_of(interface)?)
            });
        let mut next = || sinks.next().context("two sinks")?;
        Ok(Self {
            generator: index_of(&generator)?,
            _sinks: [next()?, next()?],
            netns,
            input,
            output,
        })
    }

    /// Lets `in0` take frames without an XDP program of its own.
    pub(crate) fn take_frames(&self) -> Result<()> {
        self.netns
            .inside(|| run("ethtool", "-K in0 gro on"))
            .map(drop)
    }

    /// Frames that `in0` has received so far.
    pub(crate) fn received(&self) -> Result<u64> {
        self.netns.inside(|| {
            let shown = run("ip", "-j -s link show dev in0")?;
            let links: serde_json::Value = serde_json::from_str(&shown)?;
            links[0]["stats64"]["rx"]["packets"]
                .as_u64()
                .with_context(|| format!("no statistics: {shown}"))
        })
    }
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

const FORWARDING: [(&str, &str); 4] = [
    ("/proc/sys/net/ipv4/ip_forward", "1"),
    ("/proc/sys/net/ipv6/conf/all/forwarding", "1"),
    ("/proc/sys/net/ipv4/conf/all/rp_filter", "0"),
    ("/proc/sys/net/ipv4/conf/default/rp_filter", "0"),
];

/// The next hop, which is the relay as well.
pub(crate) const RELAY_V4: &str = "198.51.100.2";
/// The same.
pub(crate) const RELAY_V6: &str = "2001:db8:2::2";
/// Of `in0`.
pub(crate) const IN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Of `out0`.
pub(crate) const OUT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Of the next hop.
pub(crate) const SINK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
const GENERATOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
