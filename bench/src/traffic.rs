//! What the generator writes: one frame, whose source varies.
//!
//! IPv4 customers are 10.0.0.0/8, one address each; IPv6 customers are 3fff::/32, one /64 each. Both are
//! counted from the same numbers, so that policies and frames of one number meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::plan::{FRAME_V4, FRAME_V6, Plan, TEMPLATE_OCTETS};

/// Frames of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// IPv4 or IPv6.
    pub(crate) family: Family,
    /// TCP flags.
    pub(crate) flags: u8,
    /// Whereto.
    pub(crate) port: u16,
    /// Number of the first customer.
    pub(crate) first: u32,
    /// How many customers from it on.
    pub(crate) customers: u32,
    /// How many ports each of them uses.
    pub(crate) ports: u32,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Address of a customer by its number.
    pub(crate) fn customer(self, number: u32) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from_bits(FIRST_V4 + number).into(),
            Self::V6 => {
                let [a, b] = [number >> 16, number & 0xffff];
                let group = |bits: u32| u16::try_from(bits).unwrap_or(u16::MAX);
                Ipv6Addr::new(0x3fff, 0, group(a), group(b), 0, 0, 0, 1).into()
            }
        }
    }

    /// Octets of a frame.
    pub(crate) const fn frame_octets(self) -> usize {
        match self {
            Self::V4 => FRAME_V4,
            Self::V6 => FRAME_V6,
        }
    }
}

impl Traffic {
    /// As many frames as these have different sources and ports.
    pub(crate) fn variety(&self) -> u32 {
        self.customers * self.ports
    }

    /// What the generator is told. `edge` is the Ethernet address that the frames go to.
    pub(crate) fn plan(&self, edge: [u8; 6], in_order: bool) -> Plan {
        let (template, ip_sum, tcp_sum, base) = match self.family {
            Family::V4 => self.template_v4(edge),
            Family::V6 => self.template_v6(edge),
        };
        Plan {
            template,
            ip_sum,
            tcp_sum,
            first_source: base + self.first,
            sources: self.customers,
            first_port: FIRST_PORT,
            ports: self.ports,
            in_order: u32::from(in_order),
            reserved: 0,
        }
    }

    /// One whole frame, of the first customer and port.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let plan = self.plan([2, 0, 0, 0, 0, 1], false);
        let mut frame = plan.template[..self.family.frame_octets()].to_vec();
        let source = plan.first_source;
        let words = (source >> 16) + (source & 0xffff);
        let mut put =
            |at: usize, octets: &[u8]| frame[at..at + octets.len()].copy_from_slice(octets);
        let tcp_sum = plan.tcp_sum + words + FIRST_PORT;
        let (port_at, checksum_at) = match self.family {
            Family::V4 => {
                put(24, &folded(plan.ip_sum + words).to_be_bytes());
                (34, 50)
            }
            Family::V6 => (54, 70),
        };
        put(26, &source.to_be_bytes());
        put(port_at, &FIRST_PORT.to_be_bytes()[2..]);
        put(checksum_at, &folded(tcp_sum).to_be_bytes());
        frame
    }

    fn template_v4(&self, edge: [u8; 6]) -> ([u8; TEMPLATE_OCTETS], u32, u32, u32) {
        let tcp = self.tcp();
        let mut template = ethernet(edge, [0x08, 0x00]);
        // Version and length, 40 octets, do not fragment, 64 hops, TCP.
        template[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
        template[30..34].copy_from_slice(&MX_V4.octets());
        template[34..54].copy_from_slice(&tcp);
        let ip_sum = sum(&template[14..34]);
        let tcp_sum = sum(&tcp) + sum(&MX_V4.octets()) + PROTOCOL_TCP + TCP_OCTETS;
        (template, ip_sum, tcp_sum, FIRST_V4)
    }

    fn template_v6(&self, edge: [u8; 6]) -> ([u8; TEMPLATE_OCTETS], u32, u32, u32) {
        let tcp = self.tcp();
        let mut template = ethernet(edge, [0x86, 0xdd]);
        template[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 6, 64]);
        template[22..38].copy_from_slice(&Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1).octets());
        template[38..54].copy_from_slice(&MX_V6.octets());
        template[54..74].copy_from_slice(&tcp);
        let tcp_sum = sum(&template[22..74]) + PROTOCOL_TCP + TCP_OCTETS;
        (template, 0, tcp_sum, 0)
    }

    /// A header without source port and checksum.
    fn tcp(&self) -> [u8; 20] {
        let mut tcp = [0; 20];
        tcp[2..4].copy_from_slice(&self.port.to_be_bytes());
        tcp[4..8].copy_from_slice(&0x1000_u32.to_be_bytes());
        if self.flags & ACK != 0 {
            tcp[8..12].copy_from_slice(&0x2000_u32.to_be_bytes());
        }
        tcp[12] = 5 << 4;
        tcp[13] = self.flags;
        tcp[14..16].copy_from_slice(&64_240_u16.to_be_bytes());
        tcp
    }
}

fn ethernet(edge: [u8; 6], ethertype: [u8; 2]) -> [u8; TEMPLATE_OCTETS] {
    let mut template = [0; TEMPLATE_OCTETS];
    template[..6].copy_from_slice(&edge);
    template[6..12].copy_from_slice(&CUSTOMERS_MAC);
    template[12..14].copy_from_slice(&ethertype);
    template
}

/// The unfolded sum of RFC 1071.
fn sum(octets: &[u8]) -> u32 {
    octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

fn folded(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !u16::try_from(sum & 0xffff).unwrap_or(u16::MAX)
}

/// Opens a connection.
pub(crate) const SYN: u8 = 2;
/// Belongs to one.
pub(crate) const ACK: u8 = 16;

const FIRST_V4: u32 = 10 << 24;
const FIRST_PORT: u32 = 20_000;
const PROTOCOL_TCP: u32 = 6;
const TCP_OCTETS: u32 = 20;
const CUSTOMERS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// Where the mail is going.
pub(crate) const MX_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 25);
/// The same.
pub(crate) const MX_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 25);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_checksums_that_a_receiver_computes() {
        for family in [Family::V4, Family::V6] {
            let traffic = Traffic {
                family,
                flags: SYN,
                port: 25,
                first: 0x0012_3456,
                customers: 1,
                ports: 1,
            };
            let frame = traffic.frame();
            let (addresses, tcp) = match family {
                Family::V4 => (&frame[26..34], &frame[34..54]),
                Family::V6 => (&frame[22..54], &frame[54..74]),
            };
            if family == Family::V4 {
                assert_eq!(folded(sum(&frame[14..34])), 0, "IPv4's own");
            }
            let pseudo = sum(addresses) + PROTOCOL_TCP + TCP_OCTETS;
            assert_eq!(folded(pseudo + sum(tcp)), 0, "{family:?}");
        }
    }

    #[test]
    fn a_customer_is_the_source_that_the_frame_names() {
        for family in [Family::V4, Family::V6] {
            let traffic = Traffic {
                family,
                flags: ACK,
                port: 25,
                first: 70_000,
                customers: 1,
                ports: 1,
            };
            let frame = traffic.frame();
            let source: IpAddr = match family {
                Family::V4 => <[u8; 4]>::try_from(&frame[26..30]).unwrap().into(),
                Family::V6 => <[u8; 16]>::try_from(&frame[22..38]).unwrap().into(),
            };
            assert_eq!(source, family.customer(70_000));
        }
    }
}
