//! What the relay counts. One list; labels are bounded by construction, because there are none.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters with their names.
macro_rules! counters {
    ($( $(#[$meta:meta])* $variant:ident $name:literal ),* $(,)?) => {
        /// One thing that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter { $( $(#[$meta])* $variant ),* }

        impl Counter {
            /// Every counter, in the order of its number.
            pub const ALL: &[Self] = &[$( Self::$variant ),*];

            /// Its name outside of this program.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name ),* }
            }
        }

        /// All counters of one relay.
        #[derive(Debug)]
        pub struct Metrics([AtomicU64; Counter::ALL.len()]);
    };
}

counters! {
    /// Connections of diverted customers that were served.
    SessionsServed "sessions_served_total",
    /// Health checks of the controller.
    Probes "probes_total",
    /// Refused before the first snapshot.
    RefusedNoSnapshot "refused_no_snapshot_total",
    /// Origin unknown, inside a customer prefix: 421.
    RefusedUnknownInside "refused_unknown_inside_total",
    /// Origin unknown, outside every customer prefix: 554.
    RefusedUnknownOutside "refused_unknown_outside_total",
    /// The relay had all the connections it takes.
    RefusedFull "refused_full_total",
    /// The customer had all the connections it may have.
    RefusedCustomerFull "refused_customer_full_total",
    /// Customers' TLS handshakes that failed.
    TlsFailed "inbound_tls_failed_total",
    /// Destinations that could not be reached.
    Unreachable "destination_unreachable_total",
    /// Messages that the destination took.
    Delivered "messages_delivered_total",
    /// Messages that the destination refused, for good or for now.
    RefusedByDestination "messages_refused_by_destination_total",
    /// Messages whose content was refused.
    Rejected "messages_rejected_total",
    /// Messages that a scanner deferred.
    Deferred "messages_deferred_total",
    /// Messages that did not fit on the disk.
    SpillFailed "messages_spill_failed_total",
    /// Messages whose destination went away before it had all of them.
    Lost "messages_lost_total",
    /// Scanners that failed on a message.
    ScannerFailed "scanner_failed_total",
    /// Messages whose destination went away after it had all of them: they may arrive twice.
    LostAfterDot "messages_lost_after_dot_total",
    /// Messages for which too much time had gone by: nothing was sent.
    Late "messages_late_total",
    /// Envelopes that were said again because the destination had gone before the end of the message.
    Replayed "destination_replayed_total",
    /// Messages that were delivered, whose customer may not know.
    Unheard "messages_unheard_total",
    /// Retries of those, which were told 250 without a second copy.
    AlreadyDelivered "messages_already_delivered_total",
    /// Clients that talked before their greeting.
    EarlyTalk "early_talk_total",
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.0[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
