//! Frames to be judged: the SYN of a connection that somebody might open, and whose mail a frame carries.

use std::net::IpAddr;

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
    let (_stations, mut rest) = frame.split_at_checked(2 * 6)?;
    loop {
        let (ethertype, behind) = rest.split_first_chunk::<2>()?;
        match u16::from_be_bytes(*ethertype) {
            0x8100 | 0x88a8 => rest = behind.get(2..)?,
            0x0800 => {
                // Cut short by a snap length it still says whose it is.
                let packet = Ipv4Packet::new_unchecked(behind.get(..20)?);
                return Some((packet.src_addr().into(), packet.dst_addr().into()));
            }
            0x86dd => {
                let packet = Ipv6Packet::new_unchecked(behind.get(..40)?);
                return Some((packet.src_addr().into(), packet.dst_addr().into()));
            }
            _ => return None,
        }
    }
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
    fn the_ends_of_a_frame_are_read_behind_tags() {
        for (source, destination) in [
            ("192.0.2.10", "203.0.113.10"),
            ("2001:db8:a:a::10", "2001:db8:b:1::10"),
        ] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let mut frame = syn(source, destination, 25);
            for tag in [[0x81, 0, 0, 5], [0x88, 0xa8, 0, 7]] {
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
