//! What lists in the DNS say of customers' addresses, as events.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Item;
use crate::{
    dnsbl::Family,
    listings::Standing,
    policy::dial::FlagId,
    precheck::Fqdn,
    store::listings::{ClosedBy, Evidence, ListingId},
};

/// Something that became of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Its number.
    pub id: ListingId,
    /// Which list.
    pub zone: &'a str,
    /// Whom it names.
    pub address: IpAddr,
    /// What the list has said.
    pub standing: &'a Standing,
    /// What was sent from there until then; `None` = nobody has looked.
    pub evidence: Option<&'a Evidence>,
    /// Why it is over; `None` = it is not.
    pub closed: Option<ClosedBy>,
}

impl Listing<'_> {
    /// The event.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Item {
        let flag = self.evidence.and_then(|it| it.flags.first());
        Item {
            at,
            relay: None,
            kind: self.kind().to_owned(),
            customer: Some(IpNetwork::from(self.address)),
            flag: flag.map(|flag| FlagId(flag.id)),
            // What was sent was counted when it was.
            counts: None,
            detail: self.detail(),
        }
    }

    const fn kind(&self) -> &'static str {
        match self.closed {
            None => "listed",
            Some(ClosedBy::Delisted) => "delisted",
            Some(ClosedBy::Unwatched) => "listing_unwatched",
        }
    }

    fn detail(&self) -> Value {
        let mut detail = json!({
            "listing": self.id,
            "zone": self.zone,
            "codes": self.standing.codes,
            "text": self.standing.words,
            "first_at": self.standing.first_at,
            "opened_at": self.standing.opened_at,
            "last_at": self.standing.last_at,
        });
        if let Some(evidence) = self.evidence {
            detail["sent"] = serde_json::to_value(evidence).unwrap_or_default();
        }
        detail
    }
}

/// That a list is set aside, and why, or is to be believed again.
#[must_use]
pub fn list_item(at: Timestamp, zone: &Fqdn, family: Family, why: Option<&str>) -> Item {
    let (kind, detail) = match why {
        Some(why) => (
            "list_set_aside",
            json!({ "zone": zone, "family": family, "why": why }),
        ),
        None => ("list_back", json!({ "zone": zone, "family": family })),
    };
    Item {
        at,
        relay: None,
        kind: kind.to_owned(),
        customer: None,
        flag: None,
        counts: None,
        detail,
    }
}
