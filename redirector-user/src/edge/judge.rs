//! What the program would do with a new connection: the packet core, run here, over the real maps.
//!
//! Nothing is written: what the program would write stays in an overlay. Nothing is sent either, and
//! no counter is raised. The answer is for this moment: token buckets and heartbeat count as they are.

mod overlay;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use redirector_common::{
    abi::{Action, Role, SMTP_PORT},
    decide::{self, Ingress},
    frame::Buffer,
};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol,
        IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

use self::overlay::Overlay;
use super::{Edge, EdgeError, Judgement, probe};

impl Edge {
    /// Judges a SYN from `source` to port 25 of `destination`, as if it came in by an interface with
    /// role `customer`.
    ///
    /// # Errors
    ///
    /// [`EdgeError::MixedFamilies`] if the addresses are not of one family, else what the kernel answers.
    pub fn judge(&self, source: IpAddr, destination: IpAddr) -> Result<Judgement, EdgeError> {
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(EdgeError::MixedFamilies {
                source_address: source,
                destination,
            });
        }
        let octets = syn(source, destination);
        let mut frame = Buffer::new(&octets)
            .ok_or_else(|| EdgeError::Impossible("a SYN longer than any frame".to_owned()))?;
        let ingress = Ingress {
            ifindex: self.customer_side()?,
            role: Some(Role::Customer),
        };
        let mut tables = Overlay::new(self);
        let judged = decide::judge(&mut frame, &mut tables, ingress);
        if let Some(error) = tables.into_error() {
            return Err(error);
        }

        let policy = judged.policy;
        let relay = match judged.relay {
            Some(number) => Some((number, self.listener(number, source)?)),
            None => None,
        };
        Ok(Judgement {
            verdict: judged.verdict.name().to_owned(),
            counter: judged
                .counter
                .map_or("none", |counter| counter.name())
                .to_owned(),
            rule: policy.and_then(|policy| enclosing(source, policy.prefix_len)),
            flag_id: policy.map(|policy| policy.flag_id).filter(|id| *id != 0),
            action: policy
                .and_then(|policy| Action::from_number(policy.action))
                .map(|action| action.name().to_owned()),
            relay,
        })
    }

    /// An interface that customers stand behind; 0 if the program is on none.
    fn customer_side(&self) -> Result<u32, EdgeError> {
        let attachments = self.attachments()?;
        let customer = attachments
            .iter()
            .filter(|found| found.interface != probe::INTERFACE)
            .find(|found| found.role == Role::Customer.name());
        Ok(customer.map_or(0, |found| found.ifindex))
    }

    /// Address of a relay's listener, of the customer's family.
    fn listener(&self, number: u32, customer: IpAddr) -> Result<IpAddr, EdgeError> {
        let relay = self.relay(number)?;
        Ok(match customer {
            IpAddr::V4(_) => relay.addr4.into(),
            IpAddr::V6(_) => relay.addr6.into(),
        })
    }
}

/// The prefix of that length around an address.
fn enclosing(address: IpAddr, length: u8) -> Option<IpNetwork> {
    let around = IpNetwork::new(address, length).ok()?;
    IpNetwork::new(around.network(), length).ok()
}

/// A frame with the SYN of a new connection.
fn syn(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: SOURCE_PORT,
        dst_port: SMTP_PORT,
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

/// A port that no client chooses, so that the SYN is never taken for one of a connection that is there.
const SOURCE_PORT: u16 = 1;
const HOP_LIMIT: u8 = 64;
/// Locally administered addresses; the core compares none.
const CUSTOMER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const EDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
