//! The feed of events: what relays tell, and what the controller itself does, in one order.
//!
//! An [`Item`] is an event before the store has given it its number. Relays' come from [`Item::of_relay`], the
//! controller's own from [`Own`]. Nothing here touches the store or a clock.

mod life;
mod listing;
mod own;

use std::net::IpAddr;

use contract::event::{Event, Happening};
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::Value;

pub use self::{
    life::Life,
    listing::{Listing, list_item},
    own::Own,
};
use crate::policy::dial::FlagId;

/// One event that has no number yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// When, by the clock of whoever saw it.
    pub at: Timestamp,
    /// Which relay; `None` = the controller.
    pub relay: Option<String>,
    /// What kind.
    pub kind: String,
    /// Whom it is about.
    pub customer: Option<IpNetwork>,
    /// By which flag.
    pub flag: Option<FlagId>,
    /// Counts, if it has some.
    pub counts: Option<Counts>,
    /// The rest: a JSON object.
    pub detail: Value,
}

/// What is added up over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages whose content reached a relay.
    pub messages: u64,
    /// Of these, those that it refused.
    pub refused: u64,
    /// Of these, those that were spam or malware.
    pub spam: u64,
}

impl Item {
    /// A relay's event.
    #[must_use]
    pub fn of_relay(relay: &str, event: &Event) -> Self {
        let mut detail = serde_json::to_value(&event.happening).unwrap_or_default();
        if let Some(detail) = detail.as_object_mut() {
            detail.remove("kind");
        }
        let rates = if let Happening::Rates(rates) = &event.happening {
            Some(rates)
        } else {
            None
        };
        Self {
            at: event.at,
            relay: Some(relay.to_owned()),
            kind: kind(event.happening.kind()),
            customer: event.customer.map(|address| match rates {
                Some(_) => subnet(address),
                None => IpNetwork::from(address),
            }),
            flag: event.flag_id.map(FlagId),
            counts: rates.map(|rates| Counts {
                messages: rates.messages,
                refused: rates.refused,
                spam: rates.spam,
            }),
            detail,
        }
    }
}

/// Whom figures are about: an IPv6 host rotates inside of its /64.
fn subnet(address: IpAddr) -> IpNetwork {
    let subnet = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(_) => IpNetwork::new(address, 64).ok(),
    };
    subnet.unwrap_or_else(|| IpNetwork::from(address))
}

/// A kind as relays of any version may name it: words that fit a line of server-sent events, and a terminal.
fn kind(said: &str) -> String {
    let letter = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
    if (1..=KIND_OCTETS_MAX).contains(&said.len()) && said.bytes().all(letter) {
        said.to_owned()
    } else {
        String::from("unknown")
    }
}

/// The first and the last address of a prefix, in a form that sorts: family, then hexadecimal digits.
#[must_use]
pub fn keys(prefix: IpNetwork) -> (String, String) {
    match prefix {
        IpNetwork::V4(prefix) => {
            let first = u32::from(prefix.network());
            let last = u32::from(prefix.broadcast());
            (format!("4{first:08x}"), format!("4{last:08x}"))
        }
        IpNetwork::V6(prefix) => {
            let first = u128::from(prefix.network());
            let last = u128::from(prefix.broadcast());
            (format!("6{first:032x}"), format!("6{last:032x}"))
        }
    }
}

/// Octets of a kind.
const KIND_OCTETS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use contract::event::Rates;
    use serde_json::json;

    use super::*;

    fn event(customer: &str, happening: Happening) -> Event {
        Event {
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            customer: Some(customer.parse().unwrap()),
            flag_id: Some(3),
            happening,
        }
    }

    #[test]
    fn a_relays_event_keeps_what_it_says() {
        let rates = Happening::Rates(Rates {
            messages: 7,
            refused: 2,
            spam: 1,
            ..Rates::default()
        });
        let item = Item::of_relay("relay-1", &event("2001:db8:a:a::", rates.clone()));
        assert_eq!(item.customer, Some("2001:db8:a:a::/64".parse().unwrap()));
        assert_eq!(item.kind, "rates");
        assert_eq!(item.detail["messages"], 7);
        assert_eq!(item.detail.get("kind"), None);
        let counts = Counts {
            messages: 7,
            refused: 2,
            spam: 1,
        };
        assert_eq!(item.counts, Some(counts));
        let item = Item::of_relay("relay-1", &event("192.0.2.10", rates));
        assert_eq!(item.customer, Some("192.0.2.10/32".parse().unwrap()));
        let kept = Happening::Kept {
            record: String::from("r1"),
        };
        let item = Item::of_relay("relay-1", &event("2001:db8:a:a::10", kept));
        assert_eq!(item.customer, Some("2001:db8:a:a::10/128".parse().unwrap()));
        assert_eq!(item.detail, json!({ "record": "r1" }));
        assert_eq!(item.counts, None);
    }

    #[test]
    fn a_kind_is_a_word_whatever_a_relay_says() {
        for (said, kept) in [
            ("later_2", "later_2"),
            ("", "unknown"),
            ("two words", "unknown"),
            ("x\ndata: y", "unknown"),
            (&"x".repeat(KIND_OCTETS_MAX + 1), "unknown"),
        ] {
            let happening = serde_json::from_value(json!({ "kind": said, "x": 1 })).unwrap();
            let item = Item::of_relay("relay-1", &event("192.0.2.10", happening));
            assert_eq!(item.kind, kept);
            assert_eq!(item.detail, json!({ "x": 1 }));
        }
    }

    #[test]
    fn keys_sort_as_addresses_do() {
        let key = |prefix: &str| keys(prefix.parse().unwrap());
        assert_eq!(
            key("192.0.2.0/24"),
            ("4c0000200".into(), "4c00002ff".into())
        );
        let (first, last) = key("2001:db8:a::/48");
        let (host, same) = key("2001:db8:a:a::10/128");
        assert_eq!(host, same);
        assert!(first < host && host < last);
        assert!(key("255.255.255.255/32").1 < key("::/128").0);
    }
}
