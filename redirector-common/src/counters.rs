//! The one list of counters: the kernel increments them, the controller names them.

/// Declares the counters with their name for people and metrics.
macro_rules! counters {
    ($( $(#[$meta:meta])* $variant:ident $text:literal ),* $(,)?) => {
        /// Index into the per-CPU counter array.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Counter { $( $(#[$meta])* $variant ),* }

        impl Counter {
            /// Every counter, in index order.
            pub const ALL: &[Self] = &[$( Self::$variant ),*];
            /// How many there are.
            #[expect(clippy::cast_possible_truncation, reason = "a list that people keep")]
            pub const COUNT: u32 = [$( Self::$variant ),*].len() as u32;

            /// Index into the array.
            #[inline(always)]
            #[must_use]
            pub const fn index(self) -> u32 { self as u32 }

            /// Name for people and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text ),* }
            }
        }
    };
}

counters! {
    /// Port 25 of a source with action `pass`.
    Passed "passed",
    /// Port 25 of a source with action `observe`.
    Observed "observed",
    /// Port 25 of a customer without a policy.
    Unflagged "unflagged",
    /// Dropped by action `drop`.
    Dropped "dropped",
    /// Answered with RST by action `reset`.
    Reset "reset",
    /// A segment of a connection older than its policy, let through.
    Grace "grace",
    /// A segment without an entry, answered with RST.
    Orphan "orphan",
    /// A new connection diverted.
    FlowOpened "flow_opened",
    /// A SYN over an entry that was closing.
    FlowReopened "flow_reopened",
    /// A connection shown to the relay under another port, because its own was taken.
    PortChanged "port_changed",
    /// A frame sent towards a relay, rewritten or steered.
    ToRelay "to_relay",
    /// A relay's frame sent back towards its customer.
    ToCustomer "to_customer",
    /// A relay's frame to a customer without an entry, dropped.
    ReplyWithoutEntry "reply_without_entry",
    /// No room for an entry.
    FlowTableFull "flow_table_full",
    /// All candidate ports of a connection taken.
    CandidatesExhausted "candidates_exhausted",
    /// Two connections wanted one entry at one moment; the loser's SYN was dropped and will come again.
    FlowRaced "flow_raced",
    /// A new connection above its customer's rate, dropped.
    SynLimited "syn_limited",
    /// No relay for a new connection, passed (`open`).
    FailedOpen "failed_open",
    /// No relay for a new connection, dropped (`closed`).
    FailedClosed "failed_closed",
    /// The controller's heartbeat is too old.
    HeartbeatStale "heartbeat_stale",
    /// A fragment of a flagged source that could carry mail, dropped.
    FragmentDropped "fragment_dropped",
    /// A frame of a flagged source with an over-long header chain, of extension headers or tags, dropped.
    ChainDropped "chain_dropped",
    /// A fragment of that kind from a source that is left alone, passed.
    FragmentPassed "fragment_passed",
    /// A frame with an over-long header chain from a source that is left alone, passed.
    ChainPassed "chain_passed",
    /// A malformed frame, passed because nothing says that it is ours.
    Malformed "malformed",
    /// A diverted frame whose hop limit ran out, left to the kernel.
    HopLimit "hop_limit",
    /// A segment of a diverted connection whose relay or way back is no longer known, dropped.
    PathUnknown "path_unknown",
    /// A map or helper failed where it should not; the frame was dropped.
    InternalError "internal_error",
    /// A frame of a relay's own leg from a customer's address, let out.
    CustomerEgress "customer_egress",
    /// A relay's frame with a customer's address that it has no right to, dropped.
    SpoofBlocked "spoof_blocked",
    /// An answer to a relay's own leg from a customer's address, sent to the relay.
    ReturnSteered "return_steered",
    /// A new connection above the rate of action `limit`, dropped.
    Limited "limited",
    /// Port 25 of a source with action `limit`, within its rate or of an older connection.
    LimitPassed "limit_passed",
    /// A SYN answered by the edge itself, by action `refuse`.
    RefuseHandshake "refuse_handshake",
    /// The edge itself said 554 and closed, by action `refuse`.
    Refused "refused",
    /// No relay for a new connection; its SYN was answered by the edge itself (`refuse`).
    FailedRefused "failed_refused",
    /// The edge itself said 421 and closed, because there was no relay.
    Deferred "deferred",
    /// A later segment of a connection that the edge has answered, acknowledged or dropped.
    RefuseClosing "refuse_closing",
    /// An ICMP error from a customer's side about a diverted connection, sent to its relay.
    IcmpToRelay "icmp_to_relay",
    /// The same from a relay's side, sent to its customer.
    IcmpToCustomer "icmp_to_customer",
    /// The same from the internet about a relay's own leg from a customer's address, sent to the relay.
    IcmpReturnSteered "icmp_return_steered",
    /// The same from a relay's side without an entry, dropped.
    IcmpWithoutEntry "icmp_without_entry",
    /// A probe of a relay that no way leads to, dropped.
    ProbeUnsent "probe_unsent",
    /// Port 25 of a redirected source to a destination that nobody is redirected away from, passed.
    Bypassed "bypassed",
    /// A frame sent to its relay through a tunnel; counted beside what it was.
    Tunnelled "tunnelled",
    /// A relay's packet taken out of its tunnel; counted beside what it was.
    Untunnelled "untunnelled",
    /// A packet longer than the tunnel to its relay carries: its sender was told, or it was dropped.
    TunnelTooBig "tunnel_too_big",
    /// What has no place in a relay's tunnel, dropped: it is cut off, or no packet of a steered connection.
    TunnelRefused "tunnel_refused",
}
