//! What the relay counts. One list; labels are bounded by construction, because there are none.

use std::sync::atomic::{AtomicU64, Ordering};

use scanners::Scanners;

pub mod exposition;
pub mod http;
pub mod scanners;

/// Declares the counters with their names; what is documented here is told to whoever scrapes them, too.
macro_rules! counters {
    ($( $(#[doc = $doc:literal])+ $variant:ident $name:literal ),* $(,)?) => {
        /// One thing that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter { $( $(#[doc = $doc])+ $variant ),* }

        impl Counter {
            /// Every counter, in the order of its number.
            pub const ALL: &[Self] = &[$( Self::$variant ),*];

            /// Its name outside of this program.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name ),* }
            }

            /// What it counts, in a sentence.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+) ),* }
            }
        }

        /// All counters of one relay.
        #[derive(Debug)]
        pub struct Metrics([AtomicU64; Counter::ALL.len()], Scanners);
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
    /// Authorised connections to ourselves, to another port than 25, or to where nothing can be routed: 554.
    RefusedDestination "refused_destination_total",
    /// Connections of proxies that began with something else than a PROXY header.
    ProxyHeaderInvalid "proxy_header_invalid_total",
    /// Recipients of walled customers that were refused.
    Walled "recipients_walled_total",
    /// Recipients of walled customers that were deferred, because they had written to the operator too often.
    WalledDeferred "recipients_walled_deferred_total",
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
    /// Sessions that were joined to their destination untouched, and have ended.
    Spliced "spliced_sessions_total",
    /// Octets of those, both directions.
    SplicedOctets "spliced_octets_total",
    /// Those of them that a limit has ended.
    SplicedLimited "spliced_limited_total",
    /// Connections that were refused because the customer had all the spliced sessions it may have.
    RefusedSplicedFull "refused_spliced_full_total",
    /// Pairs of customer and destination that were learnt.
    Learnt "learnt_total",
    /// Signs that taught nothing: no budget, revoked, or a confirmed customer.
    NotLearnt "not_learnt_total",
    /// Notifications to senders that were made.
    Notified "notifications_total",
    /// Messages about whose end nobody was told, because nobody vouches for their sender.
    NotVouched "notifications_not_vouched_total",
    /// Messages about which nobody was told, because their sender's domain or their customer had its share.
    NotificationsLimited "notifications_limited_total",
    /// Messages that the relay has made durable, to deliver them itself.
    Queued "messages_queued_total",
    /// Messages that could not be made durable, and were left to their senders.
    NotQueued "messages_not_queued_total",
    /// Recipients that were deferred because their domain demands what the destination's TLS does not show.
    Insecure "recipients_insecure_total",
    /// Connections in clear text to destinations whose TLS never works, for customers in clear text.
    TlsLeftOut "destination_tls_left_out_total",
    /// Messages that left from their customer's own address, because DMARC would have failed from the relay's.
    DmarcOwnAddress "dmarc_own_address_total",
    /// Messages that were refused, because DMARC would have failed from the relay's address: 550 5.7.26.
    DmarcRefused "dmarc_refused_total",
    /// Queued messages that another relay has taken over.
    HandedOver "messages_handed_over_total",
    /// Queued messages that were taken over from another relay.
    TakenOver "messages_taken_over_total",
    /// Connections to where relays hand mail over, of nobody that this one knows.
    StrangersRefused "peers_refused_total",
    /// Certificates that the authority has given.
    CertificatesObtained "certificates_obtained_total",
    /// Times that the authority was asked for a certificate, and gave none.
    CertificatesFailed "certificates_failed_total",
    /// Sessions of submission that were served.
    SubmissionSessions "submission_sessions_total",
    /// Users that have logged in.
    Authenticated "submission_logged_in_total",
    /// Attempts to log in that were wrong.
    NotAuthenticated "submission_not_logged_in_total",
    /// Attempts, or connections, that were not heard, because too many before them were wrong, or are being judged.
    AuthLimited "submission_not_heard_total",
    /// Messages of users that were deferred, because they had sent theirs of this hour.
    SubmissionLimited "submission_messages_limited_total",
    /// Messages of users that were refused, because their reverse-path was of a domain that the user may not send as.
    SenderForbidden "submission_sender_forbidden_total",
    /// Customers' messages that left without the operator's DKIM signature, because their header is too long.
    Unsigned "messages_unsigned_total",
    /// Reports about a domain's TLS that were queued as mail.
    TlsReportsMailed "tls_reports_mailed_total",
    /// Reports about a domain's TLS that were taken by HTTPS.
    TlsReportsPosted "tls_reports_posted_total",
    /// Reports about a domain's TLS that did not reach where they were wanted.
    TlsReportsFailed "tls_reports_failed_total",
    /// Messages that passed although a scanner with on_error = "limit" had failed.
    PassedUnscanned "messages_passed_unscanned_total",
    /// Messages that were deferred because a scanner with on_error = "limit" had failed and their customer had sent its
    /// share of such messages.
    UnscannedLimited "messages_unscanned_limited_total",
    /// Connections, recipients and messages that were refused, because their customer or its site had reached a limit.
    Limited "limits_reached_total",
    /// Connections among them.
    RefusedLimited "refused_limited_total",
    /// Messages that were refused, because the site inside of a shared host that they came from is locked.
    IdentityLocked "identity_locked_total",
    /// Messages that the relay has made durable, and that wait for a person because of a verdict.
    Held "messages_held_total",
    /// Copies of refused messages that were kept.
    Kept "quarantine_kept_total",
    /// Octets of those.
    KeptOctets "quarantine_kept_octets_total",
    /// Refused messages of which no copy could be kept, or no more of their customer.
    NotKept "quarantine_not_kept_total",
    /// Messages that were released from the quarantine.
    Released "quarantine_released_total",
    /// Messages in the quarantine whose content a person has deleted.
    Dropped "quarantine_dropped_total",
    /// Messages whose destination, asked a second time, refused for good what it had taken: 451 to the customer.
    ChangedByDestination "messages_changed_by_destination_total",
    /// Connections of customers whose flag names limits that the configuration does not have: those of everybody hold.
    LimitsMissing "limits_missing_total",
    /// Changes of messages that milters wanted, and that were not made.
    MilterChangesIgnored "milter_changes_ignored_total",
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self(
            std::array::from_fn(|_| AtomicU64::new(0)),
            Scanners::default(),
        )
    }

    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.0[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many.
    pub fn add(&self, counter: Counter, count: u64) {
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// What the scanners said.
    #[must_use]
    pub fn scanners(&self) -> &Scanners {
        &self.1
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
