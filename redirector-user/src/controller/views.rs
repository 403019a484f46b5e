//! What the controller tells about itself.

use std::{collections::BTreeMap, net::IpAddr, sync::PoisonError};

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::{
    abi::{Role, Via},
    counters::Counter,
};

use super::{
    Controller, Problem,
    state::{RelayRecord, State},
};
use crate::{
    api::view::{
        AssignmentView, DrainView, FlagCounts, FlagView, HistoryView, PoolView, ProbationView,
        RelayHealth, RelayView, SharedStoreView, SparedView, StatusView, TunnelView,
    },
    config::Config,
    edge::{Edge, EdgeError, Entrance, Ingress, Judgement, Unjudgeable, health::Health},
    policy::{
        bypass::Bypass,
        dial::{Flag, FlagId},
    },
    store::{audit, flags::subject},
};

/// What an answer to `why` rests on.
#[derive(Clone, Debug)]
pub struct Reasons {
    /// What the program would do.
    pub judgement: Judgement,
    /// The flag behind it.
    pub flag: Option<FlagView>,
    /// Whose the source is, if that is known.
    pub assignment: Option<AssignmentView>,
    /// Flags over the source that have ended, the newest first.
    pub past: Vec<FlagView>,
    /// The relay that it would meet.
    pub relay_name: Option<String>,
    /// How frames get to that relay.
    pub via: Option<Via>,
    /// The customer prefix that the source is in.
    pub customer_prefix: Option<IpNetwork>,
    /// Role of the interface that the connection is taken to come in by.
    pub role: Role,
    /// Whether any such interface has the program.
    pub guarded: bool,
    /// Those of them whose program is of another build than this controller's.
    pub other_build: Vec<String>,
    /// Until when nobody is redirected away from the destination, and by what, if that is the reason.
    pub bypass: Option<String>,
    /// Why nobody can flag the source, if the rule is there for that.
    pub protected: Option<String>,
}

/// A connection that somebody might open.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who.
    pub source: IpAddr,
    /// Whereto, of the same family.
    pub destination: IpAddr,
    /// The port there.
    pub port: u16,
    /// Where its SYN comes in.
    pub entrance: Entrance,
}

impl Controller {
    /// Everything at a glance.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub async fn status(&self) -> Result<StatusView, Problem> {
        let interfaces = self.attachments().await?;
        let missing = self.missing_from(&interfaces).await;
        let heartbeat_age_s = {
            let last = self.last_heartbeat.lock();
            let last = *last.unwrap_or_else(PoisonError::into_inner);
            last.map_or(0, |at| at.elapsed().as_secs())
        };
        let state = self.lock().await;
        let pools = self.config.pools.iter();
        let pools = pools.map(|pool| pool_view(&state, &self.config, pool));
        Ok(StatusView {
            generation: state.generation,
            interfaces,
            missing,
            pools: pools.collect(),
            flags: FlagCounts {
                active: state.flags.active() - state.flags.pending(),
                pending: state.flags.pending(),
            },
            flows: state.flows,
            flows_max: self.config.edge.flows_max,
            heartbeat_age_s,
            store: self.store.place().map(|(place, edge)| SharedStoreView {
                place: place.to_owned(),
                edge: edge.to_owned(),
                away_since: self.store.is_away_since(),
            }),
        })
    }

    /// Every pool with its relays, in the order of the configuration.
    pub async fn pools(&self) -> Vec<PoolView> {
        let state = self.lock().await;
        let pools = self.config.pools.iter();
        pools
            .map(|pool| pool_view(&state, &self.config, pool))
            .collect()
    }

    /// Every counter of the kernel program.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub async fn counters(&self) -> Result<BTreeMap<&'static str, u64>, Problem> {
        Ok(self.kernel.call(|edge| edge.counters()).await??)
    }

    /// What the program would do with a new connection, and why.
    ///
    /// # Errors
    ///
    /// [`Problem::Edge`] if the program is not on the interface, else what the kernel or the store answers.
    pub async fn why(&self, opening: Opening) -> Result<Reasons, Problem> {
        let Opening {
            source,
            destination,
            port,
            entrance,
        } = opening;
        let judge = move |edge: &mut Edge| {
            let ingress = edge.entrance(&entrance)?;
            let judgement = edge.judge(source, destination, port, &ingress)?;
            Ok::<_, EdgeError>((judgement, ingress))
        };
        let (judgement, ingress) = self.kernel.call(judge).await??;
        let flag = match judgement.flag_id.filter(|id| *id != 0) {
            Some(id) => self.flag_in_kernel(FlagId(id)).await,
            None => None,
        };
        // What the kernel does can be told without the store.
        let past = match self.ended_over(source).await {
            Err(problem) if problem.is_away() => Vec::new(),
            past => past?,
        };
        let pool = flag.as_ref().and_then(|flag| flag.pool.as_ref());
        let via = pool.and_then(|name| {
            let mut pools = self.config.pools.iter();
            pools.find(|pool| pool.name == *name).map(|pool| pool.via)
        });
        let state = self.lock().await;
        let relay = judgement.relay.and_then(|(number, _)| {
            state
                .relays
                .iter()
                .find(|(_, relay)| relay.number == number)
                .map(|(name, _)| name.clone())
        });
        let rule = judgement.rule.filter(|_| flag.is_none());
        let protected = rule.and_then(|rule| state.protected.on(rule).cloned());
        let bypassed = judgement.counter == Counter::Bypassed.name();
        let bypass = state.bypasses.over(destination.into(), Timestamp::now());
        let bypass = bypass.filter(|_| bypassed).map(Bypass::in_words);
        Ok(Reasons {
            bypass,
            protected,
            judgement,
            flag,
            assignment: self.store.with_tenants(|tenants| {
                let assignment = tenants.of(source.into());
                assignment.cloned().map(AssignmentView::from)
            }),
            past,
            relay_name: relay,
            via,
            customer_prefix: self
                .config
                .customer_prefixes
                .iter()
                .copied()
                .find(|prefix| prefix.contains(source)),
            role: ingress.role,
            guarded: !ingress.interfaces.is_empty(),
            other_build: ingress.other_build,
        })
    }

    /// A flag with its history, as far as the store answers.
    async fn flag_in_kernel(&self, id: FlagId) -> Option<FlagView> {
        if let Ok(flag) = self.show_flag(id).await {
            return Some(flag);
        }
        let state = self.lock().await;
        let flag = state.flags.get(&id).cloned()?;
        Some(told(&state, flag, Vec::new()))
    }

    /// What the program would do with each of these frames, for itself.
    ///
    /// # Errors
    ///
    /// [`Problem::Edge`] if the program is not on the interface, else what the kernel answers.
    pub async fn judge_frames(
        &self,
        entrance: Entrance,
        frames: Vec<Vec<u8>>,
    ) -> Result<(Ingress, Vec<Result<Judgement, Unjudgeable>>), Problem> {
        let judge = move |edge: &mut Edge| {
            let ingress = edge.entrance(&entrance)?;
            let judged = frames.iter().map(|frame| edge.judge_frame(frame, &ingress));
            let judged = judged.collect::<Result<Vec<_>, EdgeError>>()?;
            Ok::<_, EdgeError>((ingress, judged))
        };
        Ok(self.kernel.call(judge).await??)
    }

    /// Flags by number, from the one after `after`, at most so many; with `ended`, the ended ones too.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn list_flags(
        &self,
        ended: bool,
        after: u32,
        at_most: u32,
    ) -> Result<Vec<FlagView>, Problem> {
        let flags = self.store.flags(ended, after, at_most).await?;
        let state = self.lock().await;
        Ok(flags
            .into_iter()
            .map(|flag| view(&state, flag, Vec::new()))
            .collect())
    }

    /// Active flags that cover a prefix, the most specific first; with `ended`, the newest ended flag of
    /// exactly this prefix after them.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn flags_over(
        &self,
        target: IpNetwork,
        ended: bool,
    ) -> Result<Vec<FlagView>, Problem> {
        let mut flags: Vec<Flag> = self.lock().await.flags.over(target).cloned().collect();
        if ended
            && let Some(newest) = self.store.newest(target).await?
            && newest.ended.is_some()
        {
            flags.push(newest);
        }
        let state = self.lock().await;
        Ok(flags
            .into_iter()
            .map(|flag| view(&state, flag, Vec::new()))
            .collect())
    }

    /// One flag with its history.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`].
    pub async fn show_flag(&self, id: FlagId) -> Result<FlagView, Problem> {
        let flag = self.store.flag(id).await?;
        let flag = flag.ok_or_else(|| {
            Problem::NotFound(format!(
                "no flag {id}; `outgate flag ls --all` lists every one there was"
            ))
        })?;
        let history = self
            .store
            .trail_of(&subject(id))
            .await?
            .iter()
            .map(history)
            .collect();
        let state = self.lock().await;
        Ok(told(&state, flag, history))
    }
}

/// One flag as it is told to whoever asks for it alone: with what stays free inside of it.
pub(super) fn told(state: &State, flag: Flag, history: Vec<HistoryView>) -> FlagView {
    let stands = flag.ended.is_none();
    let within = state.protected.within(flag.terms.prefix);
    let spared = within.take(SPARED_NAMED).filter(|_| stands);
    let spared = spared.map(|(prefix, why)| SparedView {
        prefix,
        why: why.clone(),
    });
    FlagView {
        spared: spared.collect(),
        ..view(state, flag, history)
    }
}

/// One flag as lists tell it.
pub(super) fn view(state: &State, flag: Flag, history: Vec<HistoryView>) -> FlagView {
    let (awaiting, serving) = (state.awaited(flag.id), state.serving(&flag));
    let customer = flag.terms.prefix;
    let conduct = state.conduct.get(&customer);
    let probation = conduct.and_then(|conduct| {
        let probation = conduct.probation.as_ref();
        let probation = probation.filter(|probation| probation.flag == flag.id)?;
        Some(ProbationView::new(customer, conduct.lifts, probation))
    });
    FlagView {
        probation,
        ..FlagView::new(flag, awaiting, serving, history)
    }
}

/// A row of the trail as it is told.
pub(super) fn history(row: &audit::Row) -> HistoryView {
    HistoryView {
        // What was written came from a valid time.
        at: Timestamp::from_microsecond(row.at_us).unwrap_or_default(),
        actor: row.actor.clone(),
        event: row.kind.clone(),
        detail: row
            .payload
            .as_deref()
            .and_then(|payload| serde_json::from_str(payload).ok()),
    }
}

/// One pool with its relays.
pub(super) fn pool_view(state: &State, config: &Config, pool: &crate::config::Pool) -> PoolView {
    let records = pool.relays.iter();
    let records = records.filter_map(|relay| state.relays.get(&relay.name));
    PoolView {
        name: pool.name.clone(),
        via: pool.via.name().to_owned(),
        on_failure: pool.on_failure.name().to_owned(),
        third_party: pool.third_party,
        relays: records
            .map(|record| relay_view(state, config, record))
            .collect(),
    }
}

fn relay_view(state: &State, config: &Config, relay: &RelayRecord) -> RelayView {
    RelayView {
        name: relay.config.name.clone(),
        address: relay.config.addresses().collect(),
        port: relay.config.port.get(),
        state: match relay.health() {
            Health::Up => RelayHealth::Up,
            Health::Down => RelayHealth::Down,
            Health::Unknown => RelayHealth::Unknown,
        },
        in_rotation: state.standing.in_rotation.contains(&relay.config.name),
        acknowledged: relay
            .acknowledged
            .filter(|acknowledged| *acknowledged > Generation::default()),
        since: relay.since,
        weight: relay.config.weight,
        flows: state
            .relay_flows
            .get(&relay.number)
            .copied()
            .unwrap_or_default(),
        drained: state.drained.get(&relay.config.name).map(|word| DrainView {
            since: word.at,
            by: word.by.clone(),
            reason: word.reason.clone(),
        }),
        probed: config.health.through.name().to_owned(),
        trouble: relay.trouble.clone(),
        tunnel: relay.config.tunnel.map(|tunnel| TunnelView {
            local: tunnel.local,
            remote: tunnel.remote,
            mtu: tunnel.mtu,
        }),
    }
}

/// Protected prefixes in an answer.
const SPARED_NAMED: usize = 20;
