//! Frames to be judged: the SYN of a connection that somebody might open, and whose mail a frame carries.

use std::net::{IpAddr, SocketAddr};

use redirector_common::abi::Role;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol,
        IpRepr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

/// A frame with the SYN of a new connection.
pub(super) fn syn(source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: SOURCE_PORT,
        dst_port: port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(0),
        ack_number: None,
        window_len: u16::MAX,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (source, destination) = (IpAddress::from(source), IpAddress::from(destination));
    let ip = IpRepr::new(
        source,
        destination,
        IpProtocol::Tcp,
        tcp.buffer_len(),
        HOP_LIMIT,
    );
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(CUSTOMER_MAC),
        dst_addr: EthernetAddress(EDGE_MAC),
        ethertype: match source {
            IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
            IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
        },
    };

    let checksums = ChecksumCapabilities::default();
    let mut octets = vec![0; ethernet.buffer_len() + ip.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(octets.as_mut_slice());
    ethernet.emit(&mut frame);
    ip.emit(frame.payload_mut(), &checksums);
    if let Some(segment) = frame.payload_mut().get_mut(ip.header_len()..) {
        let mut packet = TcpPacket::new_unchecked(segment);
        tcp.emit(&mut packet, &source, &destination, &checksums);
    }
    octets
}

/// Source and destination of the packet in a frame, tags skipped; `None` if it holds none.
pub(super) fn ends(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (source, destination) = sockets(frame)?;
    Some((source.ip(), destination.ip()))
}

/// The same with the ports of TCP or UDP, or 0 where they are not to be seen at once: in a later fragment,
/// behind extension headers.
#[must_use]
pub fn sockets(frame: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (_stations, mut rest) = frame.split_at_checked(2 * 6)?;
    loop {
        let (ethertype, behind) = rest.split_first_chunk::<2>()?;
        // Cut short by a snap length a packet still says whose it is.
        let (source, destination, segment): (IpAddr, IpAddr, _) =
            match u16::from_be_bytes(*ethertype) {
                0x8100 | 0x88a8 => {
                    rest = behind.get(2..)?;
                    continue;
                }
                0x0800 => {
                    let packet = Ipv4Packet::new_unchecked(behind.get(..20)?);
                    let shown = packet.frag_offset() == 0 && has_ports(packet.next_header());
                    let segment = behind.get(usize::from(packet.header_len())..);
                    (
                        packet.src_addr().into(),
                        packet.dst_addr().into(),
                        segment.filter(|_| shown),
                    )
                }
                0x86dd => {
                    let packet = Ipv6Packet::new_unchecked(behind.get(..40)?);
                    let shown = has_ports(packet.next_header());
                    (
                        packet.src_addr().into(),
                        packet.dst_addr().into(),
                        behind.get(40..).filter(|_| shown),
                    )
                }
                _ => return None,
            };
        let ports = segment.and_then(|segment| segment.first_chunk::<4>());
        let [from, to] = ports.map_or([0; 2], |[a, b, c, d]| {
            [[*a, *b], [*c, *d]].map(u16::from_be_bytes)
        });
        return Some((
            SocketAddr::new(source, from),
            SocketAddr::new(destination, to),
        ));
    }
}

/// The part of a frame that is headers: up to the payload of TCP, eight octets into what is no TCP, nothing of
/// a later fragment.
#[must_use]
pub fn headers(frame: &[u8]) -> &[u8] {
    let octets = header_octets(frame).unwrap_or(SHORTEST_OCTETS);
    frame.get(..octets).unwrap_or(frame)
}

fn header_octets(frame: &[u8]) -> Option<usize> {
    let mut at = 2 * 6;
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    while matches!(word(at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    let ethertype = word(at)?;
    at += 2;
    let mut protocol = match ethertype {
        0x0800 => {
            let packet = Ipv4Packet::new_unchecked(frame.get(at..at + 20)?);
            at += usize::from(packet.header_len());
            if packet.frag_offset() != 0 {
                return Some(at);
            }
            u8::from(packet.next_header())
        }
        0x86dd => {
            let packet = Ipv6Packet::new_unchecked(frame.get(at..at + 40)?);
            at += 40;
            u8::from(packet.next_header())
        }
        _ => return Some(at),
    };
    // RFC 8200 section 4, and RFC 4302: the headers that have another one behind them.
    while let HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION = protocol {
        let [next, length] = word(at)?.to_be_bytes();
        let offset = word(at + 2)? & 0xfff8;
        at += match protocol {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        if protocol == FRAGMENT && offset != 0 {
            return Some(at);
        }
        protocol = next;
    }
    Some(match protocol {
        TCP => at + usize::from(frame.get(at + 12)? >> 4).max(5) * 4,
        _ => at + 8,
    })
}

fn has_ports(protocol: IpProtocol) -> bool {
    matches!(protocol, IpProtocol::Tcp | IpProtocol::Udp)
}

/// The customer of a frame that came in by an interface of this role.
pub(super) fn customer(frame: &[u8], role: Role) -> Option<IpAddr> {
    let (source, destination) = ends(frame)?;
    Some(match role {
        // A relay's own leg leaves from the customer's address; an answer to the customer has no policy.
        Role::Customer | Role::Relay => source,
        Role::Uplink => destination,
    })
}

const SHORTEST_OCTETS: usize = 14;
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// A port that no client chooses, so that the SYN is never taken for one of a connection that is there.
const SOURCE_PORT: u16 = 1;
const HOP_LIMIT: u8 = 64;
/// Locally administered addresses; the core compares none.
const CUSTOMER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const EDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_where_the_payload_begins() {
        for (source, destination, octets) in [
            ("192.0.2.10", "203.0.113.10", 54),
            ("2001:db8:a:a::10", "2001:db8:b:1::10", 74),
        ] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let mut frame = syn(source, destination, 25);
            frame.extend(b"MAIL FROM:<somebody@example.net>");
            assert_eq!(headers(&frame).len(), octets);
            // Twelve octets of options.
            frame[octets - 20 + 12] = 8 << 4;
            assert_eq!(headers(&frame).len(), octets + 12);
            frame.splice(12..12, [0x81, 0, 0, 5]);
            assert_eq!(headers(&frame).len(), octets + 16);
            for cut in 0..frame.len() {
                assert!(headers(&frame[..cut]).len() <= cut);
            }
        }
        let mut hidden = syn(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
            25,
        );
        hidden[20] = 60;
        hidden.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
        hidden.extend(b"RCPT TO:<somebody@example.net>");
        assert_eq!(headers(&hidden).len(), 82);
        // A later fragment is payload from its first octet.
        let mut later = syn(
            "192.0.2.10".parse().unwrap(),
            "203.0.113.10".parse().unwrap(),
            25,
        );
        later[21] = 3;
        assert_eq!(headers(&later).len(), 34);
    }

    #[test]
    fn the_ends_of_a_frame_are_read_behind_tags() {
        for (source, destination) in [
            ("192.0.2.10", "203.0.113.10"),
            ("2001:db8:a:a::10", "2001:db8:b:1::10"),
        ] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let mut frame = syn(source, destination, 25);
            for tag in [[0x81, 0, 0, 5], [0x88, 0xa8, 0, 7]] {
                let ports = sockets(&frame).map(|(from, to)| (from.port(), to.port()));
                assert_eq!(ports, Some((1, 25)));
                assert_eq!(ends(&frame), Some((source, destination)));
                assert_eq!(customer(&frame, Role::Uplink), Some(destination));
                frame.splice(12..12, tag);
            }
            assert_eq!(ends(&frame), Some((source, destination)));
            for octets in 0..30 {
                assert_eq!(ends(&frame[..octets]), None);
            }
        }
    }
}
