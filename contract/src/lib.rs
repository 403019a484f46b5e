//! What the edge and the relay say to each other, once.
//!
//! The relay asks `GET /v1/relays/{relay}/snapshot?have=G&wait_s=S` on the controller's socket. The
//! answer is a [`Snapshot`] newer than generation `G`, or `204` after `S` seconds without one.
//! **Asking with `have=G` acknowledges generation `G`**: the relay asks only after it has put the
//! snapshot into force and on disk, so the controller needs no second call to know that a redirect
//! may become active, and a lost answer is simply asked for again.
//!
//! What happens at the relay it tells by [`event`]s.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub mod event;
mod limits;
mod submission;
pub mod words;

pub use limits::{LimitsName, NoLimitsName};
pub use submission::{
    ARGON2_LANES, ARGON2_MEMORY_KIB, ARGON2_PASSES, SCRAM_ITERATIONS, SCRAM_SALT_OCTETS, ScramKeys,
    Submission, SubmissionUser,
};

/// Number of a policy state; grows by one with each change.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Generation(pub u64);

/// All that a relay must know about the customers it may meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Snapshot {
    /// Which state this is.
    pub generation: Generation,
    /// The operator's customer prefixes: an unknown origin inside them is answered `421`, outside `554`.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub customer_prefixes: Vec<IpNetwork>,
    /// Addresses that the controller's health checks come from: they get a banner and nothing more.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub probe_sources: Vec<IpAddr>,
    /// The same, by prefix: probes that take the way of customers' connections come from inside of customer
    /// prefixes, from addresses that no customer has. An older controller says none.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub probe_prefixes: Vec<IpNetwork>,
    /// Every customer whose policy is `redirect`; the most specific prefix wins.
    pub customers: Vec<CustomerPolicy>,
    /// Who may submit mail to the relay.
    #[serde(default)]
    pub submission: Submission,
}

/// What the relay does for one redirected customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CustomerPolicy {
    /// The flagged address or prefix.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub prefix: IpNetwork,
    /// The flag, as `outgate flag show` prints it.
    pub flag_id: u32,
    /// Pool that the edge sends it to.
    pub pool: String,
    /// What the relay does.
    pub treatment: Treatment,
    /// Address that the relay's own leg to the MX leaves from.
    pub egress: Egress,
    /// Why, as the abuse desk wrote it; part of what a refused sender reads.
    pub reason: String,
    /// When the flag ends by itself.
    pub expires_at: Timestamp,
    /// Known to abuse: nothing that it sends or does makes the relay splice its sessions. An older controller does
    /// not say.
    #[serde(default)]
    pub confirmed: bool,
    /// When the customer hears 250. An older controller does not say, and means cut-through.
    #[serde(default)]
    pub delivery: Delivery,
    /// What of its mail may be looked at; `None` = what the relay's own configuration says.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// What it may do, by a name of the relay's configuration; `None` = what everybody may.
    #[serde(default)]
    pub limits: Option<LimitsName>,
}

/// What the relay does with a redirected connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Own certificate on STARTTLS, scan, then deliver by cut-through.
    #[default]
    Filter,
    /// TLS stays end to end: after STARTTLS the session is spliced to its destination untouched, and what is said
    /// in clear text is scanned as by `filter`.
    Opaque,
    /// Every recipient is refused with the reason, but for the operator's abuse@ and postmaster@.
    Walled,
}

impl Treatment {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Opaque, Self::Walled];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Opaque => "opaque",
            Self::Walled => "walled",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// What of a customer's mail may be looked at and kept; each tier holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Nothing: no scanner is asked.
    None,
    /// Who sends to whom, when and how much.
    Metadata,
    /// The header section, too.
    Headers,
    /// All of it.
    Body,
}

impl Tier {
    /// All of them, the one that shows least first.
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Headers, Self::Body];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Headers => "headers",
            Self::Body => "body",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// When the customer hears 250, and so who tries again: it, or the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Delivery {
    /// When its destination has said 250; every answer is the destination's own.
    #[default]
    #[serde(rename = "cutthrough")]
    Cutthrough,
    /// The same, but what the destination defers, or does not answer, goes into the relay's queue.
    #[serde(rename = "cutthrough+spool")]
    CutthroughSpool,
    /// When the relay's disk has the message. It goes by the recipients' MXs, the original destination first.
    #[serde(rename = "queue")]
    Queue,
}

impl Delivery {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Cutthrough, Self::CutthroughSpool, Self::Queue];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cutthrough => "cutthrough",
            Self::CutthroughSpool => "cutthrough+spool",
            Self::Queue => "queue",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Where the relay's own leg to the MX leaves from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// An address of the relay.
    #[default]
    Pool,
    /// The customer's own address; the pool must be via = "steer".
    Customer,
    /// A SOCKS5 proxy of the relay's configuration.
    Socks5,
    /// An address of the relay, and the customer's own for a message that receivers would refuse from anywhere else
    /// (DMARC); the pool must be via = "steer".
    #[serde(rename = "pool+customer")]
    PoolOrCustomer,
}

impl Egress {
    /// All of them, the default first.
    pub const ALL: [Self; 4] = [
        Self::Pool,
        Self::Customer,
        Self::Socks5,
        Self::PoolOrCustomer,
    ];

    /// Whether the relay may use the customer's own address.
    #[must_use]
    pub const fn lends_address(self) -> bool {
        match self {
            Self::Customer | Self::PoolOrCustomer => true,
            Self::Pool | Self::Socks5 => false,
        }
    }

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoolOrCustomer => "pool+customer",
            Self::Pool => "pool",
            Self::Customer => "customer",
            Self::Socks5 => "socks5",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Source ports of a leg with [`Egress::Customer`]. By them the edge tells what comes back to the relay
/// from what comes back to the customer, whose kernel uses them last if at all.
pub const CUSTOMER_EGRESS_PORTS: std::ops::RangeInclusive<u16> = 61_000..=65_535;

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot as it stands on the wire and in relays' caches. A version of either side must read what
    /// the other has written, so this text may gain lines but never change one.
    const SNAPSHOT: &str = r#"{
        "generation": 7,
        "customer_prefixes": ["192.0.2.0/24", "2001:db8:a::/48"],
        "probe_sources": ["198.51.100.1", "2001:db8:2::1"],
        "probe_prefixes": ["192.0.2.224/28", "2001:db8:a:ffff::/64"],
        "customers": [{
            "prefix": "2001:db8:a:a::/64",
            "flag_id": 3,
            "pool": "default",
            "treatment": "filter",
            "egress": "pool",
            "reason": "spam run",
            "expires_at": "2026-03-01T12:00:00Z",
            "confirmed": true,
            "delivery": "cutthrough+spool",
            "tier": "headers",
            "limits": "small"
        }],
        "submission": {
            "users": [{
                "name": "ann@example.org",
                "password": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
                "scram": {
                    "salt": "W22ZaJ0SNY7soEsUEjb6gQ==",
                    "iterations": 4096,
                    "stored_key": "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
                    "server_key": "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
                },
                "sender_domains": ["example.org"],
                "messages_per_hour": 100,
                "recipients_per_message": 50
            }],
            "decoy": "00ff"
        }
    }"#;

    fn snapshot() -> Snapshot {
        Snapshot {
            generation: Generation(7),
            customer_prefixes: vec![
                "192.0.2.0/24".parse().unwrap(),
                "2001:db8:a::/48".parse().unwrap(),
            ],
            probe_sources: vec![
                "198.51.100.1".parse().unwrap(),
                "2001:db8:2::1".parse().unwrap(),
            ],
            probe_prefixes: vec![
                "192.0.2.224/28".parse().unwrap(),
                "2001:db8:a:ffff::/64".parse().unwrap(),
            ],
            customers: vec![CustomerPolicy {
                prefix: "2001:db8:a:a::/64".parse().unwrap(),
                flag_id: 3,
                pool: String::from("default"),
                treatment: Treatment::Filter,
                egress: Egress::Pool,
                reason: String::from("spam run"),
                expires_at: "2026-03-01T12:00:00Z".parse().unwrap(),
                confirmed: true,
                delivery: Delivery::CutthroughSpool,
                tier: Some(Tier::Headers),
                limits: Some("small".parse().unwrap()),
            }],
            submission: Submission {
                users: vec![SubmissionUser {
                    name: String::from("ann@example.org"),
                    password: String::from(
                        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
                    ),
                    scram: Some(ScramKeys {
                        salt: String::from("W22ZaJ0SNY7soEsUEjb6gQ=="),
                        iterations: 4096,
                        stored_key: String::from("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="),
                        server_key: String::from("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="),
                    }),
                    sender_domains: vec![String::from("example.org")],
                    messages_per_hour: 100,
                    recipients_per_message: 50,
                }],
                decoy: String::from("00ff"),
            },
        }
    }

    #[test]
    fn the_wire_form_stays_what_it_is() {
        assert_eq!(
            serde_json::from_str::<Snapshot>(SNAPSHOT).unwrap(),
            snapshot()
        );
        let expected: serde_json::Value = serde_json::from_str(SNAPSHOT).unwrap();
        assert_eq!(serde_json::to_value(snapshot()).unwrap(), expected);
    }

    #[test]
    fn a_newer_side_may_say_more() {
        let more = SNAPSHOT.replacen("\"generation\": 7,", "\"generation\": 7, \"later\": {},", 1);
        assert_eq!(serde_json::from_str::<Snapshot>(&more).unwrap(), snapshot());
    }

    #[test]
    fn an_older_controller_may_say_less() {
        let prefixes = r#""probe_prefixes": ["192.0.2.224/28", "2001:db8:a:ffff::/64"],"#;
        let delivery = r#",
            "delivery": "cutthrough+spool""#;
        let confirmed = r#",
            "confirmed": true"#;
        let tier = r#",
            "tier": "headers""#;
        let limits = r#",
            "limits": "small""#;
        let less = SNAPSHOT.replacen(prefixes, "", 1);
        assert_ne!(less, SNAPSHOT);
        let without_limits = less.replacen(limits, "", 1);
        assert_ne!(without_limits, less);
        let without_tier = without_limits.replacen(tier, "", 1);
        assert_ne!(without_tier, without_limits);
        let without_delivery = without_tier.replacen(delivery, "", 1);
        assert_ne!(without_delivery, without_tier);
        let least = without_delivery.replacen(confirmed, "", 1);
        assert_ne!(least, without_delivery);
        let mut least: serde_json::Value = serde_json::from_str(&least).unwrap();
        assert!(
            least
                .as_object_mut()
                .unwrap()
                .remove("submission")
                .is_some()
        );
        let least = least.to_string();
        let mut expected = Snapshot {
            probe_prefixes: Vec::new(),
            submission: Submission::default(),
            ..snapshot()
        };
        expected.customers[0].confirmed = false;
        expected.customers[0].delivery = Delivery::Cutthrough;
        expected.customers[0].tier = None;
        expected.customers[0].limits = None;
        assert_eq!(serde_json::from_str::<Snapshot>(&least).unwrap(), expected);
    }

    #[test]
    fn what_a_password_could_be_guessed_by_is_not_shown() {
        let shown = format!("{:?}", snapshot());
        assert!(shown.contains("ann@example.org"));
        for secret in ["argon2id", "W22Z", "WG5d", "wfPL"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_treatment_has_one_name() {
        for treatment in Treatment::ALL {
            let written = serde_json::to_value(treatment).unwrap();
            assert_eq!(written, treatment.name());
            assert_eq!(Treatment::from_name(treatment.name()), Some(treatment));
        }
    }

    #[test]
    fn a_delivery_has_one_name() {
        for delivery in Delivery::ALL {
            let written = serde_json::to_value(delivery).unwrap();
            assert_eq!(written, delivery.name());
            assert_eq!(Delivery::from_name(delivery.name()), Some(delivery));
        }
    }

    #[test]
    fn a_tier_has_one_name() {
        for tier in Tier::ALL {
            let written = serde_json::to_value(tier).unwrap();
            assert_eq!(written, tier.name());
            assert_eq!(Tier::from_name(tier.name()), Some(tier));
        }
    }

    #[test]
    fn an_egress_has_one_name() {
        for egress in Egress::ALL {
            let written = serde_json::to_value(egress).unwrap();
            assert_eq!(written, egress.name());
            assert_eq!(Egress::from_name(egress.name()), Some(egress));
        }
        assert_eq!(Egress::from_name("later"), None);
    }

    #[test]
    fn a_word_that_a_relay_cannot_act_on_is_refused() {
        for known in ["\"filter\"", "\"cutthrough+spool\""] {
            let unknown = SNAPSHOT.replacen(known, "\"later\"", 1);
            assert_ne!(unknown, SNAPSHOT);
            assert!(serde_json::from_str::<Snapshot>(&unknown).is_err());
        }
    }
}
