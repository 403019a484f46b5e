//! Frames for the cases, written by smoltcp: nothing here shares code with what is tested.

use std::{net::IpAddr, vec, vec::Vec};

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket, TcpSeqNumber,
};

/// One TCP frame, field by field.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Destination and source MAC address.
    pub stations: [[u8; 6]; 2],
    /// TPID and TCI, outer first.
    pub tags: Vec<[u8; 4]>,
    /// Source address.
    pub from: IpAddr,
    /// Destination address, of the same family.
    pub to: IpAddr,
    /// Source and destination port.
    pub ports: [u16; 2],
    /// TTL or hop limit.
    pub hops: u8,
    /// IPv4 options (a multiple of four octets), or the IPv6 extension headers whole.
    pub between: Vec<u8>,
    /// IPv6: protocol of the first extension header. Ignored without any.
    pub first: u8,
    /// IPv4: more fragments, and offset in units of eight octets.
    pub fragment: (bool, u16),
    /// IPv4: identification.
    pub ident: u16,
    /// Flags: any of `SFRAP`.
    pub flags: &'static str,
    /// Sequence and acknowledgement number.
    pub numbers: [i32; 2],
    /// Window.
    pub window: u16,
    /// TCP options, a multiple of four octets.
    pub options: Vec<u8>,
    /// What follows the TCP header.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The frame, with valid checksums.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let (ethertype, packet) = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let header = 20 + self.between.len();
                let mut octets = vec![0; header];
                octets[20..].copy_from_slice(&self.between);
                octets.extend(tcp);
                let total = length(octets.len());
                let mut packet = Ipv4Packet::new_unchecked(&mut octets);
                packet.set_version(4);
                packet.set_header_len(u8::try_from(header).expect("at most 60 octets"));
                packet.set_total_len(total);
                packet.set_ident(self.ident);
                packet.set_dont_frag(self.fragment == (false, 0));
                packet.set_more_frags(self.fragment.0);
                packet.set_frag_offset(self.fragment.1 * 8);
                packet.set_hop_limit(self.hops);
                packet.set_next_header(IpProtocol::Tcp);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                packet.fill_checksum();
                (EthernetProtocol::Ipv4, octets)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut octets = vec![0; 40];
                octets.extend(&self.between);
                octets.extend(tcp);
                let payload = length(octets.len() - 40);
                let mut packet = Ipv6Packet::new_unchecked(&mut octets);
                packet.set_version(6);
                packet.set_payload_len(payload);
                packet.set_next_header(if self.between.is_empty() {
                    IpProtocol::Tcp
                } else {
                    IpProtocol::from(self.first)
                });
                packet.set_hop_limit(self.hops);
                packet.set_src_addr(from);
                packet.set_dst_addr(to);
                (EthernetProtocol::Ipv6, octets)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => panic!("two families in one packet"),
        };
        self.framed(ethertype, &packet)
    }

    /// The frame, with zeros behind it up to `octets`.
    #[must_use]
    pub fn padded(&self, octets: usize) -> Vec<u8> {
        let mut frame = self.octets();
        frame.resize(octets.max(frame.len()), 0);
        frame
    }

    fn tcp(&self) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut octets = vec![0; 20];
        octets.extend(&self.options);
        octets.extend(&self.payload);
        let mut segment = TcpPacket::new_unchecked(&mut octets);
        segment.set_src_port(self.ports[0]);
        segment.set_dst_port(self.ports[1]);
        segment.set_seq_number(TcpSeqNumber(self.numbers[0]));
        segment.set_ack_number(TcpSeqNumber(self.numbers[1]));
        segment.clear_flags();
        segment.set_header_len(u8::try_from(header).expect("at most 60 octets"));
        segment.set_psh(self.flags.contains('P'));
        segment.set_syn(self.flags.contains('S'));
        segment.set_fin(self.flags.contains('F'));
        segment.set_rst(self.flags.contains('R'));
        segment.set_ack(self.flags.contains('A'));
        segment.set_window_len(self.window);
        segment.fill_checksum(&IpAddress::from(self.from), &IpAddress::from(self.to));
        octets
    }

    fn framed(&self, ethertype: EthernetProtocol, packet: &[u8]) -> Vec<u8> {
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
}

fn length(octets: usize) -> u16 {
    u16::try_from(octets).expect("a case fits a frame")
}
