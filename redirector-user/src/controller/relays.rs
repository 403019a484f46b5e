//! Relays: what they learn, what they acknowledge, whether they answer, and the way to them.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use contract::{CustomerPolicy, Generation, Snapshot};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Controller, Problem, clock, local_sources, state::State, users};
use crate::{
    config::{self, Through},
    edge::{health::ProbeError, nexthop},
    feed::Own,
};

impl Controller {
    /// What a relay must know, as soon as there is something newer than `have`; `None` if there was nothing
    /// within `wait`. Asking with `have` acknowledges it.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] for a relay that is not configured.
    pub async fn snapshot(
        &self,
        relay: &str,
        have: Option<Generation>,
        wait: Duration,
    ) -> Result<Option<Snapshot>, Problem> {
        let deadline = Instant::now() + wait;
        let mut generations = self.generation.subscribe();
        {
            let mut state = self.lock().await;
            self.acknowledge(&mut state, relay, have).await?;
            if have != Some(state.generation) {
                return Ok(Some(self.snapshot_of(&state)));
            }
        }
        let newer = generations.wait_for(|generation| Some(*generation) != have);
        tokio::select! {
            newer = timeout_at(deadline, newer) => if newer.is_err() { return Ok(None) },
            () = self.stopped() => return Ok(None),
        }
        Ok(Some(self.snapshot_of(&*self.lock().await)))
    }

    async fn acknowledge(
        &self,
        state: &mut State,
        name: &str,
        have: Option<Generation>,
    ) -> Result<(), Problem> {
        let current = state.generation;
        let relay = state.relays.get_mut(name);
        let relay = relay.ok_or_else(|| self.no_such_relay(name))?;
        // A generation that never was here comes from another life of the store: it acknowledges nothing.
        let acknowledged = have.filter(|have| *have <= current);
        if relay.adopted_until.is_none() && relay.acknowledged == acknowledged {
            return Ok(());
        }
        // What the relay says of itself ends all belief; also when it has less than it once had.
        relay.adopted_until = None;
        relay.acknowledged = acknowledged;
        tracing::debug!(
            relay.name = name,
            generation = acknowledged.map(|generation| generation.0),
            "acknowledged"
        );
        self.reconcile(state).await
    }

    fn snapshot_of(&self, state: &State) -> Snapshot {
        let active = state.flags.values().filter(|flag| flag.ended.is_none());
        let customers = active.filter_map(|flag| {
            let redirect = flag.terms.action.redirect()?;
            Some(CustomerPolicy {
                prefix: flag.terms.prefix,
                flag_id: flag.id.0,
                pool: redirect.pool.clone(),
                treatment: redirect.treatment,
                egress: redirect.egress,
                delivery: redirect.delivery,
                tier: redirect.tier,
                limits: redirect.limits.clone(),
                reason: flag.terms.reason.to_string(),
                expires_at: flag.terms.expires_at.at(),
                confirmed: redirect.confirmed,
            })
        });
        Snapshot {
            generation: state.generation,
            customer_prefixes: self.config.customer_prefixes.iter().copied().collect(),
            probe_sources: state.probe_sources.iter().copied().collect(),
            probe_prefixes: self.config.health.reserved.clone(),
            customers: customers.collect(),
            submission: users::submission(state),
        }
    }

    /// Probes every address of one relay, and takes the answer in. A relay is up only if all of them greet:
    /// the edge cannot choose by family which customers a relay gets.
    pub(super) async fn probe(&self, relay: &config::Relay) -> Result<(), Problem> {
        // Through the data path it is asked by the way that customers take, so that one must be known first.
        let through = &self.config.health.through;
        let mut outcome = match through {
            Through::Direct => Ok(()),
            Through::DataPath(_) => self.find_path(relay).await?,
        };
        let mut asked = relay.addresses();
        while let (Ok(()), Some(address)) = (&outcome, asked.next()) {
            let probed = self.probe_listener(relay, address).await;
            outcome = probed.map_err(|error| (address, error));
        }
        // A relay that greets is about to be sent customers, so the way to it must be known first.
        if outcome.is_ok() && self.lacks_path(relay).await {
            self.refresh_paths().await?;
        }
        let trouble = match &outcome {
            Ok(()) => None,
            Err((address, error)) => Some(self.trouble(relay, *address, error).await),
        };
        let mut state = self.lock().await;
        let Some(record) = state.relays.get_mut(&relay.name) else {
            return Ok(());
        };
        record.trouble = trouble;
        // Who cannot ask has learnt nothing: what was known last stays in force.
        if matches!(outcome, Err((_, ProbeError::NoProbe(_)))) {
            return Ok(());
        }
        let Some(health) = record.monitor.observe(outcome.is_ok()) else {
            return Ok(());
        };
        record.since = clock();
        self.tell(match &record.trouble {
            None => Own::RelayUp(&relay.name),
            Some(error) => Own::RelayDown {
                relay: &relay.name,
                error,
            },
        })
        .await;
        let probed = through.name();
        match &record.trouble {
            None => tracing::info!(relay.name, ?health, probed, "relay health changed"),
            Some(error) => {
                tracing::warn!(relay.name, ?health, probed, error, "relay health changed");
            }
        }
        self.reconcile(&mut state).await
    }

    /// Asks the kernel where the internet is: which relays stand beyond it follows from that.
    pub(super) async fn learn_uplinks(&self, state: &mut State) -> Result<(), Problem> {
        state.uplinks = self.kernel.call(|edge| edge.uplinks()).await??;
        Ok(())
    }

    /// Asks the kernel for the ways to a relay if one is missing; the inner error says which one still is.
    async fn find_path(
        &self,
        relay: &config::Relay,
    ) -> Result<Result<(), (IpAddr, ProbeError)>, Problem> {
        if !self.lacks_path(relay).await {
            return Ok(Ok(()));
        }
        let troubles = self.refresh_paths().await?;
        let state = self.lock().await;
        let known = state.relays.get(&relay.name);
        let missing = relay
            .addresses()
            .find(|to| known.is_some_and(|known| !known.paths.contains_key(to)));
        Ok(match missing {
            None => Ok(()),
            Some(address) => {
                let mut of_relay = troubles.iter();
                let reason =
                    of_relay.find_map(|said| said.strip_prefix(&format!("{}: ", relay.name)));
                let reason = reason.unwrap_or("no way to it is known").to_owned();
                Err((address, ProbeError::NoWay(reason)))
            }
        })
    }

    async fn lacks_path(&self, relay: &config::Relay) -> bool {
        let state = self.lock().await;
        let known = state.relays.get(&relay.name);
        known.is_some_and(|known| relay.addresses().any(|to| !known.paths.contains_key(&to)))
    }

    /// Asks the kernel for the ways to the relays, and for our own addresses towards them.
    ///
    /// A way that cannot be found now stays what it was: a neighbour entry that has just aged out is no
    /// reason to stop sending.
    pub(super) async fn refresh_paths(&self) -> Result<Vec<String>, Problem> {
        let relays = self.config.relays();
        let ways = relays.flat_map(|(_, relay)| relay.addresses().map(move |to| (relay, to)));
        let asked = ways.map(async |(relay, to)| (relay, to, nexthop::towards(relay, to).await));
        let mut troubles = Vec::new();
        let mut paths = BTreeMap::new();
        // All at once: each silent one takes a second.
        for (relay, to, answer) in join_all(asked).await {
            match answer {
                Ok(path) => drop(paths.insert((relay.name.as_str(), to), path)),
                Err(error) => troubles.push(format!("{}: {error}", relay.name)),
            }
        }
        {
            let mut state = self.lock().await;
            for ((name, address), path) in paths {
                if let Some(relay) = state.relays.get_mut(name) {
                    relay.paths.insert(address, path);
                }
            }
            // Sources only grow while we run: a probe may still be under way from an old one.
            let sources: Vec<IpAddr> = local_sources(&self.config).into_values().collect();
            state.probe_sources.extend(sources);
            self.learn_uplinks(&mut state).await?;
            self.reconcile(&mut state).await?;
        }
        self.publish().await?;
        Ok(troubles)
    }
}
