//! What was sent from addresses that a list names.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};

use super::host;
use crate::{
    controller::{Controller, Problem, clock},
    policy::{moment::Moment, rules::Observation},
    store::listings::{Evidence, OfFlag, Sent},
};

impl Controller {
    /// What was sent from each of them until now, as far as anybody has seen it.
    pub(super) async fn evidence(
        &self,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<BTreeMap<IpAddr, Evidence>, Problem> {
        if addresses.is_empty() {
            return Ok(BTreeMap::new());
        }
        let now = clock();
        let ago = |days: i64| {
            let span = SignedDuration::from_hours(24 * days);
            now.checked_sub(span).unwrap_or(Timestamp::MIN)
        };
        let hosts: BTreeSet<IpNetwork> = addresses.iter().copied().map(host).collect();
        let seen = self.seen_sending(&hosts, ago(DAYS), now).await?;
        let mut found = BTreeMap::new();
        for address in addresses {
            let host = host(*address);
            let evidence = Evidence {
                customer: self.store.with_tenants(|tenants| {
                    let assignment = tenants.of(IpNetwork::from(*address));
                    assignment.map(|assignment| assignment.customer.clone())
                }),
                day: self.store.mail_since(host, ago(1)).await?,
                week: self.store.mail_since(host, ago(DAYS)).await?,
                radar: seen.get(&host).copied().unwrap_or_default(),
                flags: self.flags_that_stand(*address, now).await,
            };
            found.insert(*address, evidence);
        }
        Ok(found)
    }

    async fn flags_that_stand(&self, address: IpAddr, now: Timestamp) -> Vec<OfFlag> {
        let state = self.lock().await;
        let over = state.flags.over(IpNetwork::from(address));
        let over = over.filter(|flag| flag.is_active(now) && flag.activated_at.is_some());
        over.map(|flag| OfFlag {
            id: flag.id.0,
            prefix: flag.terms.prefix,
            action: flag.terms.action.name().to_owned(),
            reason: flag.terms.reason.to_string(),
            since: flag.activated_at.map(Moment::at),
        })
        .collect()
    }

    /// What the edge saw of them: by what is kept of its figures, in one walk for all of them; and of who was too quiet for
    /// that, by the radar's own windows.
    async fn seen_sending(
        &self,
        hosts: &BTreeSet<IpNetwork>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<BTreeMap<IpNetwork, Sent>, Problem> {
        let mut sums: BTreeMap<IpNetwork, (Observation, Timestamp)> = BTreeMap::new();
        let mut after = since;
        loop {
            let page = self.store.rotations(after, now, PAGE).await?;
            let Some(last) = page.last().map(|rotation| rotation.until) else {
                break;
            };
            after = last;
            for rotation in &page {
                for host in hosts {
                    if let Some(seen) = rotation.seen.get(host) {
                        let nothing = (Observation::NOTHING, rotation.until);
                        let (sum, last_at) = sums.entry(*host).or_insert(nothing);
                        sum.unite(seen);
                        *last_at = rotation.until;
                    }
                }
            }
        }
        let sums = sums.into_iter().filter(|(_, (sum, _))| sum.syns > 0);
        let mut sent: BTreeMap<IpNetwork, Sent> = sums
            .map(|(host, (sum, last_at))| {
                let sent = Sent {
                    syns: sum.syns,
                    octets: sum.octets,
                    destinations: sum.destinations.estimate(),
                    reset: sum.reset,
                    short: sum.short,
                    last_at: Some(last_at),
                };
                (host, sent)
            })
            .collect();
        let quiet: Vec<_> = hosts
            .iter()
            .filter(|host| !sent.contains_key(host))
            .collect();
        let history = self.history();
        for host in quiet {
            let course = history.course(*host, since);
            if let Some((last_at, _)) = course.last() {
                let sum = |of: fn(&crate::radar::window::Figures) -> u64| {
                    course.iter().map(|(_, figures)| of(figures)).sum()
                };
                let most = course.iter().map(|(_, figures)| figures.destinations).max();
                let seen = Sent {
                    syns: sum(|it| it.syns),
                    octets: sum(|it| it.octets_out),
                    destinations: most.unwrap_or_default(),
                    reset: sum(|it| it.reset),
                    short: sum(|it| it.short),
                    last_at: Some(*last_at),
                };
                sent.insert(*host, seen);
            }
        }
        Ok(sent)
    }
}

/// As far as is looked back.
const DAYS: i64 = 7;
/// Rotations that are read at once.
const PAGE: u32 = 100;
