//! Access to the maps, without saying where they live.
//!
//! Records are handed out as copies; the optimiser keeps only the fields that are used. The one
//! thing that is changed in place is a flow entry, through [`FlowEntry`].

#[cfg(any(test, feature = "cases"))]
pub mod memory;

use core::ops::{Deref, DerefMut};

use crate::{
    abi::{
        Bucket, CookieKey, Event, Flow, FlowKey, L2Path, ListenerKey, Policy, Pool, Refusal, Relay,
        Role, RoleKey, Settings, TunnelKey,
    },
    addr::AddrRef,
    counters::Counter,
    decide::Work,
    radar::{Ending, Place},
};

/// The maps, the clock and the exits of one executor.
pub trait Tables {
    /// A flow entry that was found.
    type Entry: FlowEntry;
    /// Working memory on loan.
    type Loan: DerefMut<Target = Work>;
    /// A source's record of the radar that was found.
    type Sighted: Sighted;

    /// Working memory for one judgement, whatever it held before; `None` if there is none. The core
    /// does not keep it on the stack, because BPF has 512 octets of that.
    fn work(&mut self) -> Option<Self::Loan>;

    /// Nanoseconds of `CLOCK_MONOTONIC`.
    fn now_ns(&self) -> u64;

    /// What the controller says to every program instance.
    fn settings(&self) -> Settings;

    /// Role of what stands behind an interface and its tags.
    fn role(&self, key: &RoleKey) -> Option<Role>;

    /// Policy of exactly this address in a set ([`Settings::policy_set`]).
    fn host_policy(&self, set: u32, source: AddrRef<'_>) -> Option<Policy>;

    /// Policy of the longest prefix around this address in a set.
    fn prefix_policy(&self, set: u32, source: AddrRef<'_>) -> Option<Policy>;

    /// Whether the address is in one of the operator's customer prefixes.
    fn is_customer(&self, addr: AddrRef<'_>) -> bool;

    /// Whether nobody is redirected away from this destination.
    fn is_bypassed(&self, destination: AddrRef<'_>) -> bool;

    /// A pool by its number.
    fn pool(&self, number: u16) -> Option<Pool>;

    /// Relay number in a slot of a pool, or [`crate::abi::NO_RELAY`].
    fn slot(&self, pool: u16, slot: u32) -> Option<u32>;

    /// A relay by its number.
    fn relay(&self, number: u32) -> Option<Relay>;

    /// Whether a relay listens there.
    fn is_listener(&self, key: &ListenerKey) -> bool;

    /// Number of the relay at the far end of a tunnel.
    fn tunnel_end(&self, key: &TunnelKey) -> Option<u32>;

    /// Whether any relay beyond the uplink listens on this port.
    fn is_uplink_port(&self, port_be: [u8; 2]) -> bool;

    /// The entry of a diverted connection.
    fn flow(&self, key: &FlowKey) -> Option<Self::Entry>;

    /// Makes an entry where there is none.
    ///
    /// # Errors
    /// [`InsertError`]; nothing was changed.
    fn insert_flow(&mut self, key: &FlowKey, flow: &Flow) -> Result<(), InsertError>;

    /// What is remembered of a customer ([`AddrRef::customer_key`]).
    fn bucket(&self, customer: &[u8; 16]) -> Option<Bucket>;

    /// Remembers it.
    fn put_bucket(&mut self, customer: &[u8; 16], bucket: &Bucket);

    /// Secret of the cookies; `None` = there are none.
    fn cookie_key(&self) -> Option<CookieKey>;

    /// What the edge itself says, by [`crate::abi::RefusalText::index`]. Lent, because it is too long
    /// for the kernel program's stack.
    fn refusal(&self, index: u32) -> Option<impl Deref<Target = Refusal>>;

    /// Makes the frame leave by an interface once the verdict is [`Verdict::Redirect`]; `false` if
    /// it may not leave there.
    fn redirect(&mut self, ifindex: u32) -> bool;

    /// Raises a counter by one.
    fn count(&mut self, counter: Counter);

    /// Tells the controller; an event that finds no room is lost.
    fn event(&mut self, event: &Event);

    /// What the radar has seen of a source ([`AddrRef::customer_key`]) in a window.
    fn sighting(&self, window: u32, source: &[u8; 16]) -> Option<Self::Sighted>;

    /// Makes an empty record where there is none; where there is no room, the source that was silent
    /// longest makes way.
    fn first_sighting(&mut self, window: u32, source: &[u8; 16]);

    /// Sequence number of the far side's first octet on a connection whose opening was seen.
    fn opening(&self, connection: u64) -> Option<u32>;

    /// Remembers it.
    fn put_opening(&mut self, connection: u64, first: u32);

    /// Forgets it.
    fn forget_opening(&mut self, connection: u64);
}

/// A record of the radar in its table. Other CPUs count into it at the same time, so each method adds,
/// and none replaces what another has added.
pub trait Sighted {
    /// The source has sent a frame; `place` is its destination's if it was a SYN.
    fn sent(&self, octets: u64, place: Option<Place>);

    /// A frame has come back, and ended its connection or not.
    fn received(&self, octets: u64, ending: Option<Ending>);
}

/// A flow entry in its table. Another CPU may be changing it: each method touches only the fields
/// that it names, and each direction of the connection owns its own octet.
pub trait FlowEntry {
    /// A copy of the whole record.
    fn flow(&self) -> Flow;

    /// The customer has sent a segment; `from_customer` is all that it has shown by now.
    fn mark_customer(&self, from_customer: u8, now_s: u32);

    /// The relay has sent a segment.
    fn mark_relay(&self, from_relay: u8, now_s: u32);

    /// The customer is reached another way than before.
    fn move_customer(&self, path: &L2Path);

    /// The entry stands for a new connection of the same ends to this relay, opened by this SYN.
    fn reopen(&self, from_customer: u8, flag_id: u32, relay: u16, now_s: u32);
}

/// Why there is no new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// Another CPU has just made one under the same key.
    Exists,
    /// The table is full.
    Full,
}

/// What becomes of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel goes on with it.
    Pass,
    /// It ends here.
    Drop,
    /// It leaves by the interface that it came in by.
    Tx,
    /// It leaves by this interface.
    Redirect {
        /// Interface index.
        ifindex: u32,
    },
}

impl Verdict {
    /// The name that people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Tx => "tx",
            Self::Redirect { .. } => "redirect",
        }
    }
}
