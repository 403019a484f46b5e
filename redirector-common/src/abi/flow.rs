//! What is remembered of diverted connections, and of the customers who open them.

use super::{L2Path, Octets};
use crate::addr::Addr;

records! {
    /// What the relay sees of a diverted connection.
    #[repr(align(8))]
    pub struct FlowKey [40] {
        /// Customer's address, [`Addr::mapped`].
        customer: [u8; 16],
        /// Relay's listener.
        relay: [u8; 16],
        /// Source port that the relay is shown.
        shown_port_be: [u8; 2],
        /// Relay's port.
        relay_port_be: [u8; 2],
        /// 4 or 6.
        family: u8,
        /// Unused, zero. Two numbers, because zeroing three octets would be a call of `memset` in the kernel.
        reserved8: u8,
        /// Unused, zero.
        reserved16: u16,
    }

    /// One diverted connection.
    #[repr(align(8))]
    pub struct Flow [64] {
        /// Original destination (the MX), [`Addr::mapped`]; its port is 25.
        original_dst: [u8; 16],
        /// The way back to the customer, learnt from its own frames.
        customer_path: L2Path,
        /// When the SYN was seen.
        created_s: u32,
        /// When the last segment was seen, either way.
        last_seen_s: u32,
        /// The flag that diverted it.
        flag_id: u32,
        /// Source port that the customer chose.
        customer_port_be: [u8; 2],
        /// Relay number.
        relay: u16,
        /// Bits of [`crate::flow`]'s `SEEN_*`, of what the customer has sent. Each direction writes its
        /// own octet only, so that two CPUs never lose one another's bits.
        from_customer: u8,
        /// The same, of what the relay has sent.
        from_relay: u8,
        /// Unused, zero; as in [`FlowKey`].
        reserved16: u16,
        /// Unused, zero.
        reserved32: u32,
    }

    /// What is remembered of one customer beside its policy: the token bucket over its new diverted or
    /// limited connections, and where its latest ones went.
    pub struct Bucket [24] {
        /// When `millitokens` was computed, nanoseconds.
        updated_ns: u64,
        /// Thousandths of a connection.
        millitokens: u32,
        /// A connection of the customer was passed by the failure policy `open`: segments without an
        /// entry pass until then.
        open_until_s: u32,
        /// Relay numbers of its latest connections, newest first, or [`NO_RELAY_SHORT`]: a customer's
        /// older connections stay with their relay when its slot changes.
        relays: [u16; 2],
        /// Unused, zero.
        reserved: u32,
    }
}

impl FlowKey {
    /// The key of a connection as the relay sees it. Both addresses are of one family.
    #[inline(always)]
    #[must_use]
    pub const fn new(
        customer: Addr,
        shown_port_be: [u8; 2],
        relay: Addr,
        relay_port_be: [u8; 2],
    ) -> Self {
        Self {
            customer: customer.mapped(),
            relay: relay.mapped(),
            shown_port_be,
            relay_port_be,
            family: customer.family(),
            reserved8: 0,
            reserved16: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_from_their_octets() {
        let flow = Flow {
            original_dst: [7; 16],
            customer_path: L2Path {
                ifindex: 9,
                peer_mac: [1; 6],
                own_mac: [2; 6],
                tags: [[0x81, 0, 0, 5], [0; 4]],
            },
            created_s: 11,
            last_seen_s: 12,
            flag_id: 13,
            customer_port_be: [0x30, 0x39],
            relay: 3,
            from_customer: 1,
            from_relay: 3,
            reserved16: 0,
            reserved32: 0,
        };
        assert_eq!(Flow::from_octets(&flow.to_octets()), flow);
    }
}
