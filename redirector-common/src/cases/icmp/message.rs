//! ICMP messages for the cases, written by smoltcp.

use std::{net::IpAddr, vec, vec::Vec};

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpProtocol,
    Ipv4Packet, Ipv6Packet,
};

/// One message, field by field.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Destination and source MAC address.
    pub(crate) stations: [[u8; 6]; 2],
    /// TPID and TCI, outer first.
    pub(crate) tags: Vec<[u8; 4]>,
    /// Source address.
    pub(crate) from: IpAddr,
    /// Destination address, of the same family.
    pub(crate) to: IpAddr,
    /// TTL or hop limit.
    pub(crate) hops: u8,
    /// IPv4 options, a multiple of four octets; none in IPv6.
    pub(crate) options: Vec<u8>,
    /// What it says.
    pub(crate) kind: Kind,
    /// What follows its first eight octets.
    pub(crate) quote: Vec<u8>,
}

/// Type and code, as either family numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Fragmentation needed, or packet too big: the next link takes [`MTU`] octets.
    TooBig,
    /// Destination unreachable, prohibited.
    Prohibited,
    /// Time exceeded in transit.
    TimeExceeded,
    /// Parameter problem.
    Parameter,
    /// Echo request: no error.
    Echo,
    /// Redirect (IPv4: 5, IPv6: 137): none that is about a connection.
    Redirect,
}

impl Kind {
    /// All that are errors.
    pub(crate) const ERRORS: [Self; 4] = [
        Self::TooBig,
        Self::Prohibited,
        Self::TimeExceeded,
        Self::Parameter,
    ];
    /// Some that are none.
    pub(crate) const OTHERS: [Self; 2] = [Self::Echo, Self::Redirect];

    const fn numbers(self, v4: bool) -> [u8; 2] {
        match (self, v4) {
            (Self::TooBig, true) => [3, 4],
            (Self::TooBig, false) => [2, 0],
            (Self::Prohibited, true) => [3, 13],
            (Self::Prohibited, false) => [1, 1],
            (Self::TimeExceeded, true) => [11, 0],
            (Self::TimeExceeded, false) => [3, 0],
            (Self::Parameter, true) => [12, 0],
            (Self::Parameter, false) => [4, 1],
            (Self::Echo, true) => [8, 0],
            (Self::Echo, false) => [128, 0],
            (Self::Redirect, true) => [5, 1],
            (Self::Redirect, false) => [137, 0],
        }
    }
}

impl Message {
    /// The frame, with valid checksums.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let (ethertype, packet) = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut icmp = self.icmp(true);
                Icmpv4Packet::new_unchecked(&mut icmp).fill_checksum();
                let header = 20 + self.options.len();
                let mut octets = vec![0; 20];
                octets.extend(&self.options);
                octets.extend(icmp);
                let total = u16::try_from(octets.len()).expect("a case fits a frame");
                let mut packet = Ipv4Packet::new_unchecked(&mut octets);
                packet.set_version(4);
                packet.set_header_len(u8::try_from(header).expect("at most 60 octets"));
                packet.set_total_len(total);
                packet.set_dscp(48);
                packet.set_hop_limit(self.hops);
                packet.set_next_header(IpProtocol::Icmp);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                packet.fill_checksum();
                (EthernetProtocol::Ipv4, octets)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut icmp = self.icmp(false);
                Icmpv6Packet::new_unchecked(&mut icmp).fill_checksum(&from, &to);
                let length = u16::try_from(icmp.len()).expect("a case fits a frame");
                let mut octets = vec![0; 40];
                octets.extend(icmp);
                let mut packet = Ipv6Packet::new_unchecked(&mut octets);
                packet.set_version(6);
                packet.set_payload_len(length);
                packet.set_next_header(IpProtocol::Icmpv6);
                packet.set_hop_limit(self.hops);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                (EthernetProtocol::Ipv6, octets)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => panic!("two families in one packet"),
        };
        let mut octets = vec![0; 14];
        octets.extend(packet);
        let mut frame = EthernetFrame::new_unchecked(&mut octets);
        frame.set_dst_addr(EthernetAddress(self.stations[0]));
        frame.set_src_addr(EthernetAddress(self.stations[1]));
        frame.set_ethertype(ethertype);
        for tag in self.tags.iter().rev() {
            octets.splice(12..12, *tag);
        }
        octets
    }

    /// The same message with no more than so much of what it quotes.
    pub(crate) fn cut(&self, octets: usize) -> Self {
        let mut cut = self.clone();
        cut.quote.truncate(octets);
        cut
    }

    fn icmp(&self, v4: bool) -> Vec<u8> {
        let [kind, code] = self.kind.numbers(v4);
        let [.., m2, m3] = if self.kind == Kind::TooBig {
            MTU.to_be_bytes()
        } else {
            [0; 4]
        };
        let mut octets = vec![kind, code, 0, 0, 0, 0, m2, m3];
        octets.extend(&self.quote);
        octets
    }
}

/// What the next link takes.
const MTU: u32 = 1280;
