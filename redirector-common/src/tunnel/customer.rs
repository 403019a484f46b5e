//! Whose a packet between an edge and a relay is.
//!
//! Of a steered connection nothing says who is the customer but the ports. Towards the relay, port 25 is the server that
//! the customer means; and what comes from port 25 to one of the ports of the relay's own legs answers the relay, which
//! had borrowed the customer's address. From the relay it is the other way round. An ICMP error goes against the
//! segment that it quotes, so it is taken for that segment turned round.

use crate::{
    abi::EGRESS_PORTS,
    frame::Frame,
    parse::{Ends, Packet, ether::Link, icmp::Quote, tcp::SMTP_PORT_BE},
    rewrite::End,
};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToRelay,
    FromRelay,
}

/// The two ends of a packet, as addresses in a record's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub(super) struct Parties {
    /// The customer, [`crate::addr::Addr::mapped`].
    pub(super) customer: [u8; 16],
    /// Whom it speaks with, or the relay in that one's place.
    pub(super) other: [u8; 16],
    /// Family of both.
    pub(super) family: u8,
}

impl Way {
    /// Which end of a segment is the customer; `None` = none of them, as far as ports tell.
    #[inline(always)]
    pub(super) const fn customer(self, source_be: [u8; 2], destination_be: [u8; 2]) -> Option<End> {
        let (near, far, near_end, far_end) = match self {
            Self::ToRelay => (source_be, destination_be, End::Source, End::Destination),
            Self::FromRelay => (destination_be, source_be, End::Destination, End::Source),
        };
        if is_smtp(far) {
            Some(near_end)
        } else if is_smtp(near) && is_leg(far) {
            Some(far_end)
        } else {
            None
        }
    }

    /// The parties of a packet that was read behind `link`; `None` = it is nobody's that is known here.
    #[inline(always)]
    pub(super) fn parties<F: Frame>(
        self,
        frame: &F,
        link: Link,
        packet: Packet,
    ) -> Option<Parties> {
        match packet {
            Packet::Tcp(segment) => {
                let end = self.customer(segment.source_port_be, segment.destination_port_be)?;
                let mut ends = Ends::default();
                ends.read(frame, link).then(|| Parties::of(&ends, end))
            }
            Packet::Icmp => {
                let mut quote = Quote::default();
                if !quote.read(frame, link) {
                    return None;
                }
                let end = self.customer(quote.destination_port_be, quote.source_port_be)?;
                // Turned round: who sent the quoted segment is whom the error is for.
                let turned = match end {
                    End::Source => End::Destination,
                    End::Destination => End::Source,
                };
                Some(Parties::of(&quote.ends, turned))
            }
            Packet::Fragment
            | Packet::LongChain
            | Packet::Deep
            | Packet::Tunnel
            | Packet::NotOurs
            | Packet::Malformed => None,
        }
    }
}

impl Parties {
    #[inline(always)]
    const fn of(ends: &Ends, customer: End) -> Self {
        match customer {
            End::Source => Self {
                customer: ends.source,
                other: ends.destination,
                family: ends.family,
            },
            End::Destination => Self {
                customer: ends.destination,
                other: ends.source,
                family: ends.family,
            },
        }
    }
}

#[inline(always)]
const fn is_smtp([high, low]: [u8; 2]) -> bool {
    let [smtp_high, smtp_low] = SMTP_PORT_BE;
    high == smtp_high && low == smtp_low
}

/// Whether the relay's own legs from customers' addresses use the port.
#[inline(always)]
const fn is_leg(port_be: [u8; 2]) -> bool {
    // Up to the last port there is.
    u16::from_be_bytes(port_be) >= *EGRESS_PORTS.start()
}

const _: () = assert!(*EGRESS_PORTS.end() == u16::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_tell_who_is_the_customer() {
        let cases = [
            // A customer to a server.
            (Way::ToRelay, 40_000, 25, Some(End::Source)),
            (Way::ToRelay, 61_500, 25, Some(End::Source)),
            (Way::ToRelay, 25, 25, Some(End::Source)),
            // A server to the relay's own leg.
            (Way::ToRelay, 25, 61_000, Some(End::Destination)),
            (Way::ToRelay, 25, 65_535, Some(End::Destination)),
            (Way::ToRelay, 25, 60_999, None),
            (Way::ToRelay, 40_000, 587, None),
            // The relay, in the server's name, to a customer.
            (Way::FromRelay, 25, 40_000, Some(End::Destination)),
            (Way::FromRelay, 25, 61_500, Some(End::Destination)),
            (Way::FromRelay, 25, 25, Some(End::Destination)),
            // The relay's own leg to a server.
            (Way::FromRelay, 61_000, 25, Some(End::Source)),
            (Way::FromRelay, 60_999, 25, None),
            (Way::FromRelay, 587, 40_000, None),
        ];
        for (way, source, destination, expected) in cases {
            let answer = way.customer(u16::to_be_bytes(source), u16::to_be_bytes(destination));
            assert_eq!(answer, expected, "{way:?} {source} -> {destination}");
        }
    }
}
