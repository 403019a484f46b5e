//! Frames as octets: read from a tap, or made by hand with tags that no device here would send.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress,
        IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

/// An IP datagram out of a frame, tags skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// VLAN identifiers that the tap saw, outermost first. The kernel takes the outermost tag off
    /// before a tap on the receiving side sees the frame.
    pub tags: Vec<u16>,
    /// Whether the checksums of the IPv4 header and of TCP, computed from scratch, are right.
    pub checksums_are_right: bool,
    /// From the IP header on, without Ethernet's padding.
    octets: Vec<u8>,
}

impl Datagram {
    /// The datagram of a frame; `None` if it holds no whole one.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let mut ethertype = ethernet.ethertype();
        let mut payload = ethernet.payload();
        let mut tags = Vec::new();
        while let EthernetProtocol::Unknown(0x8100 | 0x88a8) = ethertype {
            let (tag, rest) = payload.split_first_chunk::<4>()?;
            tags.push(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff);
            ethertype = EthernetProtocol::from(u16::from_be_bytes([tag[2], tag[3]]));
            payload = rest;
        }
        let (source, destination, hop_limit, octets, header_is_right, protocol, segment) =
            match ethertype {
                EthernetProtocol::Ipv4 => {
                    let ip = Ipv4Packet::new_checked(payload).ok()?;
                    let octets = payload.get(..usize::from(ip.total_len()))?;
                    let segment = octets.get(usize::from(ip.header_len())..)?;
                    let (source, destination) = (
                        IpAddress::Ipv4(ip.src_addr()),
                        IpAddress::Ipv4(ip.dst_addr()),
                    );
                    (
                        source,
                        destination,
                        ip.hop_limit(),
                        octets,
                        ip.verify_checksum(),
                        ip.next_header(),
                        segment,
                    )
                }
                EthernetProtocol::Ipv6 => {
                    let ip = Ipv6Packet::new_checked(payload).ok()?;
                    let octets = payload.get(..ip.total_len())?;
                    let segment = octets.get(ip.header_len()..)?;
                    let (source, destination) = (
                        IpAddress::Ipv6(ip.src_addr()),
                        IpAddress::Ipv6(ip.dst_addr()),
                    );
                    (
                        source,
                        destination,
                        ip.hop_limit(),
                        octets,
                        true,
                        ip.next_header(),
                        segment,
                    )
                }
                EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => return None,
            };
        let segment_is_right = protocol != IpProtocol::Tcp
            || TcpPacket::new_checked(segment)
                .is_ok_and(|tcp| tcp.verify_checksum(&source, &destination));
        Some(Self {
            source: source.into(),
            destination: destination.into(),
            hop_limit,
            tags,
            checksums_are_right: header_is_right && segment_is_right,
            octets: octets.to_vec(),
        })
    }

    /// The TCP segment, of a datagram without IPv6 extension headers.
    #[must_use]
    pub fn tcp(&self) -> Option<TcpPacket<&[u8]>> {
        let segment = if self.source.is_ipv4() {
            let ip = Ipv4Packet::new_checked(self.octets.as_slice()).ok()?;
            (ip.next_header() == IpProtocol::Tcp)
                .then(|| self.octets.get(usize::from(ip.header_len())..))??
        } else {
            let ip = Ipv6Packet::new_checked(self.octets.as_slice()).ok()?;
            (ip.next_header() == IpProtocol::Tcp).then(|| self.octets.get(ip.header_len()..))??
        };
        TcpPacket::new_checked(segment).ok()
    }

    /// What a SYN says about the size of segments.
    #[must_use]
    pub fn segment_size(&self) -> Option<u16> {
        let (source, destination) = (self.source.into(), self.destination.into());
        let tcp = self.tcp().filter(TcpPacket::syn)?;
        let read = TcpRepr::parse(
            &tcp,
            &source,
            &destination,
            &ChecksumCapabilities::ignored(),
        );
        read.ok()?.max_seg_size
    }

    /// Whether this is an error that says that a packet was too big.
    #[must_use]
    pub fn is_too_big(&self) -> bool {
        if self.source.is_ipv4() {
            let ip = Ipv4Packet::new_checked(self.octets.as_slice());
            ip.is_ok_and(|ip| {
                ip.next_header() == IpProtocol::Icmp && ip.payload().starts_with(&[3, 4])
            })
        } else {
            let ip = Ipv6Packet::new_checked(self.octets.as_slice());
            ip.is_ok_and(|ip| {
                ip.next_header() == IpProtocol::Icmpv6 && ip.payload().starts_with(&[2, 0])
            })
        }
    }

    /// Whether one router, changing nothing else, makes `later` out of this.
    #[must_use]
    pub fn is_hop_before(&self, later: &Self) -> bool {
        self.hop_limit.checked_sub(1) == Some(later.hop_limit)
            && self.but_for_the_hop() == later.but_for_the_hop()
    }

    /// The octets with those zeroed that a router changes.
    fn but_for_the_hop(&self) -> Vec<u8> {
        let mut octets = self.octets.clone();
        let changed: &[usize] = if self.source.is_ipv4() {
            &[8, 10, 11]
        } else {
            &[7]
        };
        for at in changed {
            if let Some(octet) = octets.get_mut(*at) {
                *octet = 0;
            }
        }
        octets
    }
}

impl fmt::Display for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)?;
        if let Some(tcp) = self.tcp() {
            write!(f, ", {tcp}")?;
        }
        write!(
            f,
            ", hop limit {}, {} octets",
            self.hop_limit,
            self.octets.len()
        )
    }
}

/// A SYN to be sent by hand.
#[derive(Clone, Debug)]
pub struct Syn {
    /// Of the sending interface.
    pub source_mac: [u8; 6],
    /// Of the next hop.
    pub destination_mac: [u8; 6],
    /// VLAN identifiers, outermost first; two of them make QinQ.
    pub tags: Vec<u16>,
    /// Sender.
    pub source: SocketAddr,
    /// Destination, of the same family.
    pub destination: SocketAddr,
    /// Initial sequence number.
    pub sequence: i32,
}

impl Syn {
    /// The frame's octets.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        self.framed(&self.datagram(&[]))
    }

    /// The same with something to say.
    #[must_use]
    pub fn with(&self, payload: &[u8]) -> Vec<u8> {
        self.framed(&self.datagram(payload))
    }

    /// The same with something to say, in two fragments, of which the first has so many octets of TCP: a multiple
    /// of eight. The header has 24.
    #[must_use]
    pub fn fragments(&self, octets: u16) -> [Vec<u8>; 2] {
        let datagram = self.datagram(b"EHLO example.org\r\n");
        let header_octets = if self.source.is_ipv4() { 20 } else { 40 };
        let (header, segment) = datagram.split_at(header_octets);
        let (first, second) = segment.split_at(usize::from(octets).min(segment.len()));
        let part = |offset: u16, more: bool, part: &[u8]| {
            let mut header = header.to_vec();
            if self.source.is_ipv4() {
                let mut ip = Ipv4Packet::new_unchecked(&mut header);
                ip.set_total_len(short(header_octets + part.len()));
                // Parts of one are told by that from those of another.
                ip.set_ident(self.source.port());
                ip.set_dont_frag(false);
                ip.set_more_frags(more);
                ip.set_frag_offset(offset);
                ip.fill_checksum();
            } else {
                let mut ip = Ipv6Packet::new_unchecked(&mut header);
                ip.set_payload_len(short(8 + part.len()));
                ip.set_next_header(IpProtocol::Ipv6Frag);
                let [high, low] = (offset | u16::from(more)).to_be_bytes();
                let [port_high, port_low] = self.source.port().to_be_bytes();
                header.extend([6, 0, high, low, 0, 0, port_high, port_low]);
            }
            self.framed(&[&header, part].concat())
        };
        [part(0, true, first), part(octets, false, second)]
    }

    /// The same in IPv6 with a hop-by-hop header, and a length that says nothing.
    #[must_use]
    pub fn without_length(&self) -> Vec<u8> {
        let mut datagram = self.datagram(&[]);
        let mut ip = Ipv6Packet::new_unchecked(&mut datagram);
        ip.set_payload_len(0);
        ip.set_next_header(IpProtocol::HopByHop);
        // Four octets of padding, RFC 8200 section 4.2.
        datagram.splice(40..40, [6, 0, 1, 4, 0, 0, 0, 0]);
        self.framed(&datagram)
    }

    /// From the IP header on.
    fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = (
            IpAddress::from(self.source.ip()),
            IpAddress::from(self.destination.ip()),
        );
        let tcp = TcpRepr {
            src_port: self.source.port(),
            dst_port: self.destination.port(),
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(self.sequence),
            ack_number: None,
            window_len: 65_535,
            window_scale: None,
            max_seg_size: Some(1_400),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let checksums = ChecksumCapabilities::default();
        let mut datagram = vec![0; ip.header_len() + tcp.buffer_len()];
        ip.emit(&mut datagram, &checksums);
        let mut segment = datagram.split_off(ip.header_len());
        tcp.emit(
            &mut TcpPacket::new_unchecked(&mut segment),
            &source,
            &destination,
            &checksums,
        );
        datagram.extend(segment);
        datagram
    }

    /// A datagram behind the Ethernet header and its tags.
    fn framed(&self, datagram: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET_HEADER_LEN];
        let mut ethertypes = self.tags.iter().enumerate().map(|(at, _)| {
            // The outer of two tags is a service tag, IEEE 802.1ad.
            if at == 0 && self.tags.len() > 1 {
                0x88a8
            } else {
                0x8100
            }
        });
        let of_ip: u16 = if self.source.is_ipv4() {
            0x0800
        } else {
            0x86dd
        };
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
        ethernet.set_src_addr(EthernetAddress(self.source_mac));
        ethernet.set_dst_addr(EthernetAddress(self.destination_mac));
        ethernet.set_ethertype(ethertypes.next().unwrap_or(of_ip).into());
        for tag in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend(ethertypes.next().unwrap_or(of_ip).to_be_bytes());
        }
        frame.extend(datagram);
        frame
    }
}

fn short(octets: usize) -> u16 {
    u16::try_from(octets).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syn(tags: &[u16], source: &str, destination: &str) -> Syn {
        Syn {
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            tags: tags.to_vec(),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            sequence: 7,
        }
    }

    #[test]
    fn a_made_frame_reads_back() {
        for (source, destination) in [
            ("192.0.2.10:1234", "203.0.113.10:25"),
            ("[2001:db8:a:a::10]:1234", "[2001:db8:b:1::10]:25"),
        ] {
            for tags in [&[][..], &[100], &[100, 200]] {
                let datagram = Datagram::parse(&syn(tags, source, destination).frame()).unwrap();
                assert!(datagram.checksums_are_right, "{datagram}");
                assert_eq!(datagram.tags, tags);
                assert_eq!(datagram.tcp().unwrap().dst_port(), 25);
                assert!(datagram.tcp().unwrap().syn());
            }
        }
    }

    #[test]
    fn a_router_may_take_one_hop_and_nothing_else() {
        let frame = syn(&[], "192.0.2.10:1234", "203.0.113.10:25").frame();
        let sent = Datagram::parse(&frame).unwrap();
        let mut later = frame;
        later[ETHERNET_HEADER_LEN + 8] -= 1;
        Ipv4Packet::new_unchecked(&mut later[ETHERNET_HEADER_LEN..]).fill_checksum();
        assert!(sent.is_hop_before(&Datagram::parse(&later).unwrap()));
        assert!(!sent.is_hop_before(&sent));
        for at in [ETHERNET_HEADER_LEN + 1, later.len() - 1] {
            let mut changed = later.clone();
            changed[at] ^= 1;
            let changed = Datagram::parse(&changed).unwrap();
            assert!(!sent.is_hop_before(&changed));
            assert!(!changed.checksums_are_right);
        }
    }
}
