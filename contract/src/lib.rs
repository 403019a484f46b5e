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
use serde::{Deserialize, Serialize};

pub mod event;
mod limits;
mod policy;
mod submission;
pub mod words;

pub use limits::{LimitsName, NoLimitsName};
pub use policy::{CUSTOMER_EGRESS_PORTS, CustomerPolicy, Delivery, Egress, Tier, Treatment};
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
    fn a_word_that_a_relay_cannot_act_on_is_refused() {
        for known in ["\"filter\"", "\"cutthrough+spool\""] {
            let unknown = SNAPSHOT.replacen(known, "\"later\"", 1);
            assert_ne!(unknown, SNAPSHOT);
            assert!(serde_json::from_str::<Snapshot>(&unknown).is_err());
        }
    }
}
