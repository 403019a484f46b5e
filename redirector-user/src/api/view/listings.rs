//! What lists in the DNS say of customers' addresses.

use std::net::{IpAddr, Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    config::Listings,
    dnsbl::Family,
    listings::{Heard, OfZone, Trust},
    precheck::Fqdn,
    store::listings::{ClosedBy, Evidence, Listing, ListingId},
};

/// One address on one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListingView {
    /// Its number.
    pub id: ListingId,
    /// Which list.
    #[schema(value_type = String)]
    pub zone: Fqdn,
    /// Whom it names.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// What it answers.
    #[schema(value_type = Vec<String>)]
    pub codes: Vec<Ipv4Addr>,
    /// Its words.
    pub text: String,
    /// When the address was first found there.
    pub first_at: Timestamp,
    /// When it was last.
    pub last_at: Timestamp,
    /// When a second look had confirmed it.
    pub opened_at: Option<Timestamp>,
    /// Since when it is not found any more; a second look is to confirm that.
    pub absent_at: Option<Timestamp>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// Why it is over.
    pub closed_by: Option<ClosedBy>,
    /// What was sent from there until it was opened; none once that was erased.
    pub sent: Option<Evidence>,
}

/// How the lists are, and how far the rounds over all IPv4 addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListsView {
    /// Queries a second, of all lists together.
    pub rate: u32,
    /// How long a round is to take, in seconds.
    pub sweep_s: u64,
    /// From one look at who is likely to be listed to the next, in seconds.
    pub watch_s: u64,
    /// From the first look to the second, in seconds.
    pub confirm_s: u64,
    /// Each family of each list.
    pub lists: Vec<ListView>,
}

/// One family of one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListView {
    /// Which list.
    #[schema(value_type = String)]
    pub zone: Fqdn,
    /// Which family.
    pub family: Family,
    /// Whether it is to be believed (RFC 5782 section 5).
    pub state: ListState,
    /// Why it is set aside.
    pub why: Option<String>,
    /// Since when it is.
    pub since: Option<Timestamp>,
    /// Addresses that it names.
    pub open: usize,
    /// Those that wait for a second look.
    pub unconfirmed: usize,
    /// Addresses that are asked about besides the round.
    pub watched: usize,
    /// For how long the most overdue of these has been due, in seconds.
    pub behind_s: u64,
    /// Questions about addresses, since the start.
    pub queries: u64,
    /// Those of them that nobody could answer.
    pub silent: u64,
    /// Addresses of a round; 0 = there is none.
    pub addresses: u64,
    /// Those of them that this round has asked about.
    pub asked: u64,
    /// When this round began.
    pub round_began_at: Option<Timestamp>,
    /// When the last one ended.
    pub round_ended_at: Option<Timestamp>,
    /// Seconds since then; in the first round, since it began.
    pub round_age_s: Option<u64>,
}

/// Whether a list is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListState {
    /// It was not asked yet.
    Unknown,
    /// It is.
    Believed,
    /// It is not: nobody is asked about by it, and what it has said stays.
    Aside,
}

/// `POST /v1/listings/check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListedRequest {
    /// Address or prefix.
    #[schema(example = "192.0.2.10")]
    pub target: String,
}

/// What a list says of an address now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListedView {
    /// Which list.
    #[schema(value_type = String)]
    pub zone: Fqdn,
    /// Of whom.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Whether it names the address; `None` = nobody could tell.
    pub listed: Option<bool>,
    /// What it answers.
    #[schema(value_type = Vec<String>)]
    pub codes: Vec<Ipv4Addr>,
    /// Its words, or why nobody could tell.
    pub text: String,
}

impl From<Listing> for ListingView {
    fn from(listing: Listing) -> Self {
        let Listing {
            id,
            zone,
            address,
            standing,
            evidence,
            closed,
        } = listing;
        let (closed_by, closed_at) = closed.unzip();
        Self {
            id,
            zone,
            address,
            codes: standing.codes,
            text: standing.words,
            first_at: standing.first_at,
            last_at: standing.last_at,
            opened_at: standing.opened_at,
            absent_at: standing.absent_at,
            closed_at,
            closed_by,
            sent: evidence,
        }
    }
}

impl ListsView {
    pub(crate) fn new(config: &Listings, of_zones: Vec<OfZone>, now: Timestamp) -> Self {
        Self {
            rate: config.rate.get(),
            sweep_s: config.sweep.as_secs(),
            watch_s: config.watch.as_secs(),
            confirm_s: config.confirm.as_secs(),
            lists: of_zones
                .into_iter()
                .map(|of| ListView::new(of, now))
                .collect(),
        }
    }
}

impl ListView {
    fn new(of: OfZone, now: Timestamp) -> Self {
        let (state, why, since) = match of.trust {
            Trust::Unknown => (ListState::Unknown, None, None),
            Trust::Believed => (ListState::Believed, None, None),
            Trust::Aside { why, since } => (ListState::Aside, Some(why), Some(since)),
        };
        let (sweep, addresses) = of.sweep.unzip();
        let round = sweep
            .as_ref()
            .map(|it| it.finished_at.unwrap_or(it.began_at));
        let age = round.map(|since| now.duration_since(since).max(SignedDuration::ZERO));
        Self {
            zone: of.zone,
            family: of.family,
            state,
            why,
            since,
            open: of.open,
            unconfirmed: of.unconfirmed,
            watched: of.watched,
            behind_s: of.behind.as_secs().unsigned_abs(),
            queries: of.queries,
            silent: of.silent,
            addresses: addresses.unwrap_or_default(),
            asked: sweep.as_ref().map_or(0, |sweep| sweep.place),
            round_began_at: sweep.as_ref().map(|sweep| sweep.began_at),
            round_ended_at: sweep.and_then(|sweep| sweep.finished_at),
            round_age_s: age.map(|age| age.as_secs().unsigned_abs()),
        }
    }
}

impl ListedView {
    pub(crate) fn new(
        zone: &Fqdn,
        address: IpAddr,
        heard: Heard,
        not_believed: Option<String>,
    ) -> Self {
        let (listed, codes, text) = match (heard, not_believed) {
            (_, Some(why)) | (Heard::Silent(why), None) => (None, Vec::new(), why),
            (Heard::Named { codes, words }, None) => (Some(true), codes, words),
            (Heard::Absent, None) => (Some(false), Vec::new(), String::new()),
        };
        Self {
            zone: zone.clone(),
            address,
            listed,
            codes,
            text,
        }
    }
}
