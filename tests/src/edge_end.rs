//! The edge's end of a tunnel to a relay that is not adjacent, played by the test.
//!
//! It sits on the router before the relay (see [`crate::Lab::router_before`]). The edge steers frames to that router as if
//! the relay were there; what is about port 25 is put into a tunnel to the relay's host, and what comes back out of one is
//! handed to the edge as if the relay had sent it. Headers are written and read by smoltcp, none of the product's code.
//!
//! # Diagnostics
//! What the relay's host should not have sent is kept in words, see [`EdgeEnd::faults`].

use std::{
    net::IpAddr,
    os::fd::AsRawFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use smoltcp::{
    phy::{Device as _, Medium, RawSocket, RxToken as _, TxToken as _, wait},
    time::{Duration, Instant},
    wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket},
};

use crate::{
    frames::Datagram,
    host::{Family, HOST_INTERFACE, Host},
    lab::Lab,
    netns::Namespace,
    process::checked,
    relay_host::Ends,
    wires,
};

/// One end that runs; it ends when it is dropped.
#[derive(Debug)]
pub struct EdgeEnd {
    /// MAC address of the router, as the relay's host sees it.
    pub gateway: [u8; 6],
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    ends: Mutex<Ends>,
    stop: AtomicBool,
    wrapped: AtomicU64,
    unwrapped: AtomicU64,
    faults: Mutex<Vec<String>>,
}

/// MAC addresses on both sides of the router.
#[derive(Clone, Copy, Debug)]
struct Stations {
    edge: [u8; 6],
    towards_edge: [u8; 6],
    towards_relay: [u8; 6],
    relay: [u8; 6],
}

/// MAC address of the router, as the relay's host sees it.
///
/// # Errors
/// As the kernel says.
pub fn gateway(router: &Namespace) -> Result<[u8; 6]> {
    wires::mac(router, INNER)
}

/// With the relay's own address, and one of documentation's that nobody in the lab has.
#[must_use]
pub fn ends_of(family: Family, number: u8) -> Ends {
    Ends {
        edge: match family {
            Family::V4 => [198, 51, 100, 200 + number].into(),
            Family::V6 => [0x2001, 0xdb8, 7, 0, 0, 0, 0, u16::from(number)].into(),
        },
        relay: Host::Relay.address(family),
    }
}

impl EdgeEnd {
    /// Begins to carry packets through the router.
    ///
    /// # Errors
    /// As `ip` or `nft` says.
    pub fn start(lab: &Lab, router: &Namespace, ends: Ends) -> Result<Self> {
        let stations = Stations {
            edge: wires::mac(&lab.namespace(Host::Edge), Host::Relay.edge_interface())?,
            towards_edge: wires::mac(router, HOST_INTERFACE)?,
            towards_relay: gateway(router)?,
            relay: wires::mac(&lab.namespace(Host::Relay), HOST_INTERFACE)?,
        };
        keep_the_kernel_out(router)?;
        let shared = Arc::new(Shared {
            ends: Mutex::new(ends),
            stop: AtomicBool::new(false),
            wrapped: AtomicU64::new(0),
            unwrapped: AtomicU64::new(0),
            faults: Mutex::new(Vec::new()),
        });
        let carry = |wrap: bool| {
            let (router, shared) = (router.clone(), Arc::clone(&shared));
            thread::spawn(move || {
                router.enter()?;
                let carried = |frame: &[u8]| match wrap {
                    true => shared.wrap(&stations, frame),
                    false => shared.unwrap(&stations, frame),
                };
                match wrap {
                    true => shared.carry(HOST_INTERFACE, INNER, carried),
                    false => shared.carry(INNER, HOST_INTERFACE, carried),
                }
            })
        };
        let threads = vec![carry(true), carry(false)];
        Ok(Self {
            gateway: stations.towards_relay,
            shared,
            threads,
        })
    }

    /// From now on packets go between these ends.
    pub fn move_to(&self, ends: Ends) {
        *lock(&self.shared.ends) = ends;
    }

    /// Packets that went into the tunnel, and that came out of it.
    #[must_use]
    pub fn carried(&self) -> [u64; 2] {
        [&self.shared.wrapped, &self.shared.unwrapped].map(|count| count.load(Ordering::Relaxed))
    }

    /// What the relay's host has sent and should not have, in words.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        lock(&self.shared.faults).clone()
    }
}

impl Drop for EdgeEnd {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Nobody is left to be told; what it did not carry has shown.
            drop(thread.join());
        }
    }
}

impl Shared {
    /// Sends out of one interface what `carried` makes of each frame that comes in by the other.
    fn carry(
        &self,
        from: &str,
        to: &str,
        carried: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<()> {
        let mut input = RawSocket::new(from, Medium::Ethernet).context("a packet socket")?;
        let mut output = RawSocket::new(to, Medium::Ethernet).context("a packet socket")?;
        while !self.stop.load(Ordering::Relaxed) {
            let Some((frame, _)) = input.receive(Instant::now()) else {
                wait(input.as_raw_fd(), Some(PATIENCE))?;
                continue;
            };
            let Some(out) = frame.consume(&carried) else {
                continue;
            };
            if let Some(token) = output.transmit(Instant::now()) {
                token.consume(out.len(), |buffer| buffer.copy_from_slice(&out));
            }
        }
        Ok(())
    }

    /// A frame of the edge's in a tunnel; `None` = it is no business of a steered relay's.
    fn wrap(&self, stations: &Stations, frame: &[u8]) -> Option<Vec<u8>> {
        let (link, inner) = frame.split_at_checked(14)?;
        let datagram = Datagram::parse(frame)?;
        let is_natively_routed = Family::ALL
            .map(|family| Host::Relay.address(family))
            .contains(&datagram.destination);
        if link.get(..6)? != stations.towards_edge
            || is_natively_routed
            || !(is_about_mail(&datagram) || is_error(inner))
        {
            return None;
        }
        // Ethernet's padding is no part of the packet.
        let inner = inner.get(..length_of(inner)?)?;
        let ends = *lock(&self.ends);
        let out = tunnelled([stations.relay, stations.towards_relay], ends, inner)?;
        self.wrapped.fetch_add(1, Ordering::Relaxed);
        Some(out)
    }

    /// What was in a tunnel from the relay's host, for the edge.
    fn unwrap(&self, stations: &Stations, frame: &[u8]) -> Option<Vec<u8>> {
        let (link, packet) = frame.split_at_checked(14)?;
        if link.get(..6)? != stations.towards_relay {
            return None;
        }
        let datagram = Datagram::parse(frame)?;
        let octets = if datagram.source.is_ipv4() { 20 } else { 40 };
        let protocol = *packet.get(if datagram.source.is_ipv4() { 9 } else { 6 })?;
        let ethertype = match protocol {
            4 => [0x08, 0x00],
            41 => [0x86, 0xdd],
            _ => {
                let own = Family::ALL.map(|family| Host::Relay.address(family));
                if is_about_mail(&datagram) && !own.contains(&datagram.source) {
                    self.fault(format!("outside of any tunnel: {datagram}"));
                }
                return None;
            }
        };
        let ends = *lock(&self.ends);
        if (datagram.source, datagram.destination) != (ends.relay, ends.edge) {
            self.fault(format!("a tunnel between others: {datagram}"));
            return None;
        }
        let (outer, inner) = packet.split_at_checked(octets)?;
        let out = [
            &stations.edge[..],
            &stations.towards_edge,
            &ethertype,
            inner,
        ]
        .concat();
        let inside = Datagram::parse(&out);
        if header(ends.relay, ends.edge, inner)
            .map(|(_, octets)| octets)
            .as_deref()
            != but_for_the_number(outer).as_deref()
        {
            self.fault(format!("an outer header {outer:02x?} around {inside:?}"));
        }
        match inside {
            Some(inside) if inside.checksums_are_right && is_whole(inner) => {}
            inside => self.fault(format!("inside of a tunnel: {inside:?}")),
        }
        self.unwrapped.fetch_add(1, Ordering::Relaxed);
        Some(out)
    }

    fn fault(&self, what: String) {
        lock(&self.faults).push(what);
    }
}

/// A packet in a tunnel from the edge's end to the relay's, in a frame to the one station from the other.
#[must_use]
pub fn tunnelled(stations: [[u8; 6]; 2], ends: Ends, packet: &[u8]) -> Option<Vec<u8>> {
    let (ethertype, outer) = header(ends.edge, ends.relay, packet)?;
    Some([&stations.concat()[..], &ethertype, &outer, packet].concat())
}

/// EtherType and octets of the header that must stand in front of a packet in a tunnel.
fn header(from: IpAddr, to: IpAddr, inner: &[u8]) -> Option<([u8; 2], Vec<u8>)> {
    let v4 = inner.first()? >> 4 == 4;
    let protocol = IpProtocol::from(if v4 { 4 } else { 41 });
    let class = if v4 {
        let packet = Ipv4Packet::new_checked(inner).ok()?;
        packet.dscp() << 2 | packet.ecn()
    } else {
        Ipv6Packet::new_checked(inner).ok()?.traffic_class()
    };
    Some(match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut octets = vec![0; 20];
            let mut outer = Ipv4Packet::new_unchecked(&mut octets);
            outer.set_version(4);
            outer.set_header_len(20);
            outer.set_dscp(class >> 2);
            outer.set_ecn(class & 3);
            outer.set_total_len(u16::try_from(20 + inner.len()).ok()?);
            outer.set_dont_frag(true);
            outer.set_hop_limit(64);
            outer.set_next_header(protocol);
            outer.set_src_addr(from);
            outer.set_dst_addr(to);
            outer.fill_checksum();
            ([0x08, 0x00], octets)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut octets = vec![0; 40];
            let mut outer = Ipv6Packet::new_unchecked(&mut octets);
            outer.set_version(6);
            outer.set_traffic_class(class);
            outer.set_payload_len(u16::try_from(inner.len()).ok()?);
            outer.set_hop_limit(64);
            outer.set_next_header(protocol);
            outer.set_src_addr(from);
            outer.set_dst_addr(to);
            ([0x86, 0xdd], octets)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => return None,
    })
}

/// An outer header without its identification: of merged segments the kernel numbers them, which means nothing in what is
/// never fragmented (RFC 6864). `None` = its checksum is wrong.
fn but_for_the_number(outer: &[u8]) -> Option<Vec<u8>> {
    let mut octets = outer.to_vec();
    if octets.len() == 20 {
        let mut packet = Ipv4Packet::new_unchecked(&mut octets);
        if !packet.verify_checksum() {
            return None;
        }
        packet.set_ident(0);
        packet.fill_checksum();
    }
    Some(octets)
}

/// Whether a packet is as long as it says.
fn is_whole(packet: &[u8]) -> bool {
    length_of(packet) == Some(packet.len())
}

fn length_of(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => Some(usize::from(
            Ipv4Packet::new_checked(packet).ok()?.total_len(),
        )),
        _ => Some(Ipv6Packet::new_checked(packet).ok()?.total_len()),
    }
}

fn is_about_mail(datagram: &Datagram) -> bool {
    let ports = |tcp: TcpPacket<&[u8]>| [tcp.src_port(), tcp.dst_port()];
    datagram.tcp().is_some_and(|tcp| ports(tcp).contains(&SMTP))
}

/// Whether a packet is an ICMP error, of either family.
fn is_error(packet: &[u8]) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(9) == Some(&1) && matches!(packet.get(20), Some(3 | 11 | 12)),
        Some(6) => packet.get(6) == Some(&58) && matches!(packet.get(40), Some(1..=4)),
        _ => false,
    }
}

/// Lets the router's kernel route what is for the relay's host itself, and what that one says in its own name; all else
/// is for the tunnel.
fn keep_the_kernel_out(router: &Namespace) -> Result<()> {
    let [v4, v6] = Family::ALL.map(|family| Host::Relay.address(family));
    let rules = format!(
        "add table inet far; \
         add chain inet far forward {{ type filter hook forward priority 0; policy drop; }}; \
         add rule inet far forward ip daddr {v4} accept; \
         add rule inet far forward ip6 daddr {v6} accept; \
         add rule inet far forward meta l4proto {{ 4, 41 }} drop; \
         add rule inet far forward ip saddr {v4} accept; \
         add rule inet far forward ip6 saddr {v6} accept"
    );
    checked(router.command("nft").arg(rules)).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The router's interface to the relay's host.
pub const INNER: &str = wires::router::INNER;
const SMTP: u16 = 25;
/// How long it may go on after it was dropped.
const PATIENCE: Duration = Duration::from_millis(20);
