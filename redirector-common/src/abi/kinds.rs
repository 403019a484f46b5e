//! What the numbers in the records stand for.

use crate::addr::FAMILY_V6;

numbered! {
    /// What the edge does with a source's mail connections.
    pub enum Action {
        /// Exempt; counted.
        Pass = 1 "pass",
        /// Counted, and left alone.
        Observe = 2 "observe",
        /// New connections above a token bucket are dropped.
        Limit = 3 "limit",
        /// Sent to a relay of a pool.
        Redirect = 4 "redirect",
        /// The edge itself accepts the connection, says 554 and why, and closes it.
        Refuse = 5 "refuse",
        /// Answered with RST.
        Reset = 6 "reset",
        /// Dropped.
        Drop = 7 "drop",
        /// What the controller leaves in place of a lifted redirect until its connections have ended:
        /// those keep their relay, new ones pass. `pool` stays that of the redirect.
        Linger = 8 "linger",
    }

    /// What stands at the other end of an interface (or of one of its VLANs).
    pub enum Role {
        /// Hosts whose mail is judged.
        Customer = 1 "customer",
        /// The internet.
        Uplink = 2 "uplink",
        /// Relays; nothing that comes from here is ever diverted.
        Relay = 3 "relay",
    }

    /// What becomes of a redirected customer's new connections when no relay can take them.
    pub enum OnFailure {
        /// They pass to the internet.
        Open = 1 "open",
        /// They are dropped, and the sender tries again.
        Closed = 2 "closed",
        /// The edge itself says 421, and the sender tries again.
        Refuse = 3 "refuse",
    }

    /// What the edge itself says.
    pub enum RefusalText {
        /// 554: the customer is refused.
        Refused = 0 "refused",
        /// 421: no relay can take the customer's mail now.
        Deferred = 1 "deferred",
    }

    /// How frames get to the relays of a pool.
    pub enum Via {
        /// The relay's listener becomes their destination; the original one is in the flow table.
        Rewrite = 1 "rewrite",
        /// Only the Ethernet header changes; the relay accepts connections to any address.
        Steer = 2 "steer",
    }

    /// Kinds of [`Event`].
    pub enum EventKind {
        /// A connection was diverted.
        FlowOpened = 1 "flow-opened",
        /// No entry could be made: the table or the candidates were exhausted.
        FlowTableFull = 2 "flow-table-full",
        /// No relay could take the connection; the pool's failure policy was applied.
        NoRelay = 3 "no-relay",
    }
}

impl RefusalText {
    /// Index of the text for a family.
    #[inline(always)]
    #[must_use]
    pub const fn index(self, family: u8) -> u32 {
        (self as u32) * 2 + (family == FAMILY_V6) as u32
    }
}
