//! The task that asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::{AT_ONCE, Listings, is_ours};
use crate::{
    controller::{Controller, Problem, clock, keeping::Trouble},
    dnsbl::{self, first_of_64},
    feed::list_item,
    listings::{Ask, Heard, News, Noted, Step},
};

/// An answer, and to what.
enum Answer {
    Address(usize, IpAddr, Heard),
    /// When it was asked.
    OfItself(usize, Timestamp, Option<String>),
}

/// Whom relays have told of lately, and when.
#[derive(Debug, Default)]
struct Lately {
    heard: BTreeMap<IpNetwork, Timestamp>,
    /// Number of the last event that was looked at.
    through: u64,
}

impl Controller {
    /// Asks, until the controller stops.
    pub(in crate::controller) async fn ask_lists(self: Arc<Self>) {
        let Some(listings) = self.listings.clone() else {
            return;
        };
        let mut kept = Trouble::new("who is likely to be listed cannot be read");
        let mut stored = Trouble::new("what lists say cannot be stored");
        let mut lately = Lately::default();
        let every = (self.config.listings.watch / 4).clamp(KEPT_LEAST, KEPT_MOST);
        let (mut look_around, mut write) = (Instant::now(), Instant::now() + WRITE);
        let mut under_way: JoinSet<Answer> = JoinSet::new();
        let mut ask: Option<Ask> = None;
        loop {
            let now = Instant::now();
            if now >= look_around {
                kept.report(self.keep_watch(&listings, &mut lately).await);
                look_around = Instant::now() + every;
            }
            if now >= write || listings.watch().is_urgent() {
                stored.report(self.store_looks(&listings, now >= write).await);
                if now >= write {
                    write = Instant::now() + WRITE;
                }
            }
            if ask.is_none() && under_way.len() < AT_ONCE {
                ask = listings.watch().next(clock());
            }
            tokio::select! {
                Some(answer) = under_way.join_next(), if !under_way.is_empty() => {
                    self.take_answer(&listings, answer).await;
                }
                () = listings.turn(), if ask.is_some() => {
                    if let Some(ask) = ask.take() {
                        begin(&listings, ask, &mut under_way);
                    }
                }
                () = sleep(NAP), if ask.is_none() => {}
                () = sleep_until(look_around.min(write)) => {}
            }
        }
    }

    async fn take_answer(&self, listings: &Listings, answer: Result<Answer, JoinError>) {
        let now = clock();
        match answer {
            Ok(Answer::Address(lane, address, heard)) => {
                listings.watch().heard(lane, address, heard, now);
            }
            Ok(Answer::OfItself(lane, asked_at, why_not)) => {
                let (news, of) = {
                    let mut watch = listings.watch();
                    let news = watch.heard_of_itself(lane, asked_at, why_not, now);
                    let of = watch.zone(lane);
                    (news, of.map(|(zone, family)| (zone.name.clone(), family)))
                };
                let Some((zone, family)) = of else {
                    return;
                };
                let item = match &news {
                    News::None => return,
                    News::SetAside(why) => {
                        tracing::warn!(%zone, %family, why, "a list is not to be believed, and is set aside");
                        list_item(now, &zone, family, Some(why))
                    }
                    News::Back => {
                        tracing::info!(%zone, %family, "a list is to be believed again");
                        list_item(now, &zone, family, None)
                    }
                };
                if let Err(error) = self.store.tell(vec![item]).await {
                    tracing::error!(%error, "an event could not be stored");
                }
            }
            Err(error) => tracing::error!(%error, "a question to a list ended badly"),
        }
    }

    /// Stores what has happened since the last time, and, now and then, how far the rounds are.
    async fn store_looks(&self, listings: &Listings, rounds_too: bool) -> Result<(), Problem> {
        let mut notes = listings.watch().notes();
        while !notes.is_empty() {
            let rest = notes.split_off(notes.len().min(NOTES_AT_ONCE));
            if let Err(problem) = self.store_notes(&notes).await {
                notes.extend(rest);
                listings.watch().put_back(notes);
                return Err(problem);
            }
            notes = rest;
        }
        if rounds_too {
            let sweeps = listings.watch().sweeps();
            self.store
                .note_listing_sweeps(&listings.ranges, &sweeps)
                .await?;
        }
        Ok(())
    }

    async fn store_notes(&self, notes: &[Noted]) -> Result<(), Problem> {
        let opens = notes.iter().filter(|noted| noted.step == Step::Opens);
        let opens: BTreeSet<IpAddr> = opens.map(|noted| noted.address).collect();
        let evidence = self.evidence(&opens).await?;
        self.store.note_listings(notes, &evidence).await?;
        for noted in notes {
            let Noted { zone, address, .. } = noted;
            match noted.step {
                Step::Opens => {
                    tracing::info!(%zone, customer.addr = %address, "a list names a customer's address");
                }
                Step::Closes => {
                    tracing::info!(%zone, customer.addr = %address, "a list does not name a customer's address any more");
                }
                Step::Nothing | Step::Begins | Step::Stays | Step::Forgets | Step::Doubts => {}
            }
        }
        Ok(())
    }

    /// Says who is likely to be listed: flagged, seen by the radar, or told of by relays.
    async fn keep_watch(&self, listings: &Listings, lately: &mut Lately) -> Result<(), Problem> {
        let now = clock();
        let since = now.checked_sub(LATELY).unwrap_or(Timestamp::MIN);
        let (heard, through) = self.store.heard_of(lately.through, since).await?;
        lately.through = through;
        lately
            .heard
            .extend(heard.into_iter().map(|customer| (customer, now)));
        lately.heard.retain(|_, at| *at >= since);
        let mut likely: BTreeSet<IpNetwork> = lately.heard.keys().copied().collect();
        likely.extend(self.history().sources_since(since));
        {
            let state = self.lock().await;
            let flagged = state.flags.newest().filter(|flag| flag.is_active(now));
            likely.extend(flagged.take(FLAGS_MAX).map(|flag| flag.terms.prefix));
        }
        let kept = addresses(likely);
        let ours = |address: &IpAddr| is_ours(&self.config, *address);
        let kept = kept.into_iter().filter(ours).take(KEPT_MAX).collect();
        listings.watch().keep_watch(kept, now);
        Ok(())
    }
}

fn begin(listings: &Arc<Listings>, ask: Ask, under_way: &mut JoinSet<Answer>) {
    let listings = Arc::clone(listings);
    let lane = match ask {
        Ask::OfItself(lane) | Ask::Address(lane, _) => lane,
    };
    let zone = {
        let watch = listings.watch();
        watch
            .zone(lane)
            .map(|(zone, family)| (zone.clone(), family))
    };
    let Some((zone, family)) = zone else {
        return;
    };
    under_way.spawn(async move {
        match ask {
            Ask::Address(lane, address) => {
                let listed = dnsbl::ask(&listings.asker, &zone.name, address).await;
                Answer::Address(lane, address, Heard::judge(&zone, &listed))
            }
            Ask::OfItself(lane) => {
                // It is two questions.
                listings.turn().await;
                let asked_at = clock();
                let said = dnsbl::ask_of_itself(&listings.asker, &zone.name, family).await;
                Answer::OfItself(lane, asked_at, said.not_to_be_believed())
            }
        }
    });
}

/// Which addresses of such prefixes are asked about. Of an IPv6 /64 of which no address is known it is the first: lists
/// name whole /64s, too.
fn addresses(prefixes: BTreeSet<IpNetwork>) -> BTreeSet<IpAddr> {
    let (mut found, mut subnets) = (BTreeSet::new(), BTreeSet::new());
    for prefix in prefixes {
        match prefix {
            IpNetwork::V4(prefix) if prefix.prefix() >= EXPANDED => {
                found.extend(prefix.iter().map(IpAddr::V4));
            }
            IpNetwork::V6(prefix) if prefix.prefix() == 128 => {
                found.insert(IpAddr::V6(prefix.ip()));
            }
            IpNetwork::V6(prefix) if prefix.prefix() >= 64 => {
                subnets.insert(first_of_64(prefix.ip()));
            }
            // The round has them; of IPv6 nobody has.
            IpNetwork::V4(_) | IpNetwork::V6(_) => {}
        }
    }
    let known: BTreeSet<_> = found
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(first_of_64(*address)),
        })
        .collect();
    found.extend(subnets.difference(&known).copied().map(IpAddr::V6));
    found
}

/// How long somebody who was seen is likely to be listed.
const LATELY: SignedDuration = SignedDuration::from_hours(24);
/// How often is looked who is: a quarter of the time between two looks, within these.
const KEPT_LEAST: Duration = Duration::from_secs(1);
const KEPT_MOST: Duration = Duration::from_secs(60);
/// Looks that changed nothing are stored together.
const WRITE: Duration = Duration::from_secs(30);
const NAP: Duration = Duration::from_millis(100);
/// In one transaction: others wait for it.
const NOTES_AT_ONCE: usize = 200;
/// The newest ones are those that matter.
const FLAGS_MAX: usize = 20_000;
/// Whoever is likely to be listed, and there are more of them, is left to the round.
const KEPT_MAX: usize = 100_000;
/// Flags on a wider prefix are about a range, not about a sender.
const EXPANDED: u8 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_subnet_its_known_addresses_stand_for_it() {
        let asked = |prefixes: &[&str]| -> Vec<String> {
            let prefixes = prefixes.iter().map(|text| text.parse().unwrap());
            let found = addresses(prefixes.collect());
            found.iter().map(ToString::to_string).collect()
        };
        let cases: [(&[&str], &[&str]); 5] = [
            (&["192.0.2.10/32"], &["192.0.2.10"]),
            (&["192.0.2.10/31"], &["192.0.2.10", "192.0.2.11"]),
            (&["192.0.0.0/16", "2001:db8:a::/48"], &[]),
            (&["2001:db8:a:a::/64"], &["2001:db8:a:a::"]),
            (
                &[
                    "2001:db8:a:a::/64",
                    "2001:db8:a:a::10/128",
                    "2001:db8:a:b::/64",
                ],
                &["2001:db8:a:a::10", "2001:db8:a:b::"],
            ),
        ];
        for (prefixes, expected) in cases {
            assert_eq!(asked(prefixes), expected, "{prefixes:?}");
        }
        assert_eq!(asked(&["192.0.2.0/24"]).len(), 256);
    }
}
