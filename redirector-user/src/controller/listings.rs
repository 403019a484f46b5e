//! Asking lists in the DNS about customers' addresses, as [`crate::listings`] says what is to be asked.
//!
//! One task drives it; every question, a person's too, waits for its turn in the one pace. What opens or closes is stored with
//! its event and what was sent from there; what cannot be stored is kept and tried again.

mod asking;
mod evidence;

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Mutex,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{Controller, Problem, clock};
use crate::{
    api::view::{ListedView, ListingView, ListsView},
    config::Config,
    dns::{Asker, NoResolver},
    dnsbl::{self, first_of_64},
    listings::{Heard, Ranges, Watch},
    policy::dial::read_target,
    store::{
        Store,
        listings::{Listing, ListingId, Which},
    },
};

/// What the asking needs.
pub(super) struct Listings {
    asker: Asker,
    pace: Mutex<Interval>,
    watch: std::sync::Mutex<Watch>,
    /// The addresses of the rounds, as the store knows them.
    ranges: String,
}

impl fmt::Debug for Listings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listings").finish_non_exhaustive()
    }
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ListingsError {
    /// There is no resolver.
    #[error(transparent)]
    NoResolver(#[from] NoResolver),
    /// The store failed.
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl Listings {
    /// Takes over what the store has; what nobody asks about any more is closed. `None` = no list is configured.
    pub(super) async fn begin(
        config: &Config,
        store: &Store,
    ) -> Result<Option<Arc<Self>>, ListingsError> {
        // What stands is another edge's, if several share the store: one of them asks the lists.
        if store.is_shared() && config.listings.zones.is_empty() {
            return Ok(None);
        }
        let standing = store.standing_listings().await.map_err(Problem::from)?;
        let (kept, gone): (Vec<_>, Vec<_>) = standing
            .into_iter()
            .partition(|listing| is_watched(config, listing));
        if !gone.is_empty() {
            tracing::info!(
                listings = gone.len(),
                "listings that nobody asks about any more were closed"
            );
            let closed = store.unwatch_listings(&gone, clock()).await;
            closed.map_err(Problem::from)?;
        }
        let listings = &config.listings;
        if listings.zones.is_empty() {
            return Ok(None);
        }
        let ours: Vec<String> = config
            .customer_prefixes
            .iter()
            .filter(|prefix| prefix.is_ipv4())
            .map(ToString::to_string)
            .collect();
        let ranges = ours.join(" ");
        let sweeps = store.listing_sweeps(&ranges).await.map_err(Problem::from)?;
        let kept = kept
            .into_iter()
            .map(|listing| (listing.zone, listing.address, listing.standing));
        let addresses = Ranges::of(&config.customer_prefixes);
        warn_of_pace(config, &addresses);
        let watch = Watch::new(listings, addresses, kept.collect(), &sweeps, clock());
        let mut pace = interval(Duration::from_secs(1) / listings.rate.get());
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Some(Arc::new(Self {
            asker: Asker::forgetful(&listings.resolvers, AT_ONCE)?,
            pace: Mutex::new(pace),
            watch: std::sync::Mutex::new(watch),
            ranges,
        })))
    }

    /// Waits until one more question may be put.
    async fn turn(&self) {
        self.pace.lock().await.tick().await;
    }

    /// A panic while it was held has left an answer out at worst.
    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    /// Confirmed listings, the newest first.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn list_listings(&self, which: &Which) -> Result<Vec<ListingView>, Problem> {
        let listings = self.store.listings(which).await?;
        Ok(listings.into_iter().map(ListingView::from).collect())
    }

    /// One listing.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`].
    pub async fn show_listing(&self, id: ListingId) -> Result<ListingView, Problem> {
        let listing = self.store.listing(id).await?;
        listing.map(ListingView::from).ok_or_else(|| {
            Problem::NotFound(format!(
                "no listing {}; `outgate listing ls --all` shows what there is",
                id.0
            ))
        })
    }

    /// Open listings of an address; of an IPv6 address those of its /64.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn listed_now(&self, source: IpAddr) -> Result<Vec<ListingView>, Problem> {
        let which = Which {
            prefix: Some(host(source)),
            zone: None,
            open: true,
            since: None,
            limit: LISTED_NOW,
        };
        self.list_listings(&which).await
    }

    /// How the lists are, and how far the rounds.
    #[must_use]
    pub fn lists(&self) -> ListsView {
        let now = clock();
        let of_zones = self.listings.as_ref().map(|it| it.watch().of_zones(now));
        ListsView::new(&self.config.listings, of_zones.unwrap_or_default(), now)
    }

    /// Asks every list about all of a prefix, now; what is heard counts as a look.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] where no list is configured, [`Problem::Guard`] for who is no customer, [`Problem::Usage`] for more
    /// than the pace allows in a minute.
    pub async fn check_listings(&self, target: &str) -> Result<Vec<ListedView>, Problem> {
        let prefix = read_target(target, true)?;
        let Some(listings) = self.listings.clone() else {
            return Err(Problem::NotFound(String::from(
                "no list is asked; name some in outgated.toml ([[listings.zone]])",
            )));
        };
        self.guards(&*self.lock().await).check(prefix)?;
        let zones = &self.config.listings.zones;
        let family = dnsbl::Family::of(prefix.ip());
        let zones: Vec<_> = zones
            .iter()
            .filter(|it| it.families.contains(&family))
            .collect();
        let bits = if prefix.is_ipv4() { 32 } else { 128 };
        let each = u32::try_from(zones.len()).unwrap_or(u32::MAX);
        let at_most = self.config.listings.rate.get().saturating_mul(CHECK_S);
        let questions = 1_u32
            .checked_shl(bits - u32::from(prefix.prefix()))
            .and_then(|addresses| (addresses + 2).checked_mul(each));
        if questions.is_none_or(|questions| questions > at_most.min(CHECK_MAX)) {
            return Err(Problem::Usage(format!(
                "{prefix} has too many addresses to be asked about at once: {each} lists, {} questions a second ([listings] rate); \
                 ask about a smaller prefix, or wait for the round (`outgate listing zones`)",
                self.config.listings.rate
            )));
        }
        let mut answers = tokio::task::JoinSet::new();
        for zone in zones {
            listings.turn().await;
            listings.turn().await;
            let of_itself = dnsbl::ask_of_itself(&listings.asker, &zone.name, family).await;
            let not_believed = of_itself.not_to_be_believed();
            for address in &prefix {
                listings.turn().await;
                let (listings, zone) = (Arc::clone(&listings), zone.clone());
                let not_believed = not_believed.clone();
                answers.spawn(async move {
                    let listed = dnsbl::ask(&listings.asker, &zone.name, address).await;
                    let heard = Heard::judge(&zone, &listed);
                    if not_believed.is_none() {
                        let mut watch = listings.watch();
                        watch.heard_by_the_way(&zone.name, address, heard.clone(), clock());
                    }
                    ListedView::new(&zone.name, address, heard, not_believed)
                });
            }
        }
        let mut answers = answers.join_all().await;
        answers.sort_by(|one, other| (one.address, &one.zone).cmp(&(other.address, &other.zone)));
        Ok(answers)
    }

    /// Throws away what was over long ago.
    pub(super) async fn trim_listings(&self) -> Result<(), Problem> {
        if let Some(keep) = self.config.listings.keep {
            let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
            let before = clock().checked_sub(keep).unwrap_or(Timestamp::MIN);
            self.store.trim_listings(before).await?;
        }
        Ok(())
    }
}

/// Says so at the start if the pace does not suffice for what is configured.
fn warn_of_pace(config: &Config, ranges: &Ranges) {
    let listings = &config.listings;
    let lists = listings.zones.iter();
    let lists = lists
        .filter(|zone| zone.families.contains(&dnsbl::Family::V4))
        .count() as u64;
    let takes_s = ranges.addresses() * lists / u64::from(listings.rate.get());
    if takes_s > listings.sweep.as_secs() {
        tracing::warn!(
            takes_s,
            sweep_s = listings.sweep.as_secs(),
            "a round over all addresses takes longer than listings.sweep says; raise listings.rate, ask an own copy of the lists, \
             or leave lists out"
        );
    }
}

fn is_watched(config: &Config, listing: &Listing) -> bool {
    let family = dnsbl::Family::of(listing.address);
    let mut zones = config.listings.zones.iter();
    zones.any(|zone| zone.name == listing.zone && zone.families.contains(&family))
        && is_ours(config, listing.address)
}

fn is_ours(config: &Config, address: IpAddr) -> bool {
    let mut ours = config.customer_prefixes.iter();
    ours.any(|prefix| prefix.contains(address))
}

/// What a host has: an address, or an IPv6 /64.
fn host(address: IpAddr) -> IpNetwork {
    match address {
        IpAddr::V4(_) => IpNetwork::from(address),
        IpAddr::V6(six) => subnet(six),
    }
}

fn subnet(address: Ipv6Addr) -> IpNetwork {
    let first = IpAddr::V6(first_of_64(address));
    IpNetwork::new(first, 64).unwrap_or_else(|_too_long| IpNetwork::from(first))
}

/// Questions without an answer yet.
const AT_ONCE: usize = 512;
/// Listings that `why` tells.
const LISTED_NOW: u32 = 20;
/// How long somebody who asks now waits.
const CHECK_S: u32 = 40;
/// Questions that one may ask now.
const CHECK_MAX: u32 = 4096;
