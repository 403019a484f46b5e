//! A pass over the kernel, and what leads to one: a new generation, a sweep.

use std::sync::PoisonError;

use contract::Generation;
use jiff::Timestamp;

use super::{Controller, Problem, clock, since, state::State};
use crate::{
    edge,
    feed::Own,
    metrics::Change,
    reconcile::{Setting, gathered},
};

impl Controller {
    /// Brings the kernel from what it holds to what it must hold.
    ///
    /// On an error the kernel is asked what it holds now; the next pass goes on from there.
    pub(super) async fn reconcile(&self, state: &mut State) -> Result<(), Problem> {
        let desired = state.desired(&self.config, Timestamp::now(), edge::monotonic_s());
        let setting = Setting {
            at_once: state.at_once,
            held: desired.policies_held,
            whole: desired.whole,
        };
        let operations = gathered(&desired.edge, &desired.held, setting);
        if !operations.is_empty() {
            let applied = self.kernel.call(move |edge| edge.apply(&operations));
            let applied = applied.await.and_then(|it| it.map_err(Problem::from));
            if let Err(error) = applied {
                state.give_back(desired.held);
                state.doubt(self.kernel.call(|edge| edge.actual()).await??);
                return Err(error);
            }
        }
        state.hold(desired.edge);
        let fresh = state.newly_in_force(&desired.standing);
        if !fresh.is_empty() {
            let now = clock();
            match self.store.activate(&fresh, now).await {
                Ok(()) => {}
                // They are in the kernel; the store hears of it with a later pass.
                Err(error) if error.is_passing() => {
                    state.standing = desired.standing;
                    self.passes.send_modify(|pass| *pass = pass.wrapping_add(1));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
            let stored = fresh.iter().filter_map(|id| state.flags.get(id));
            let stored = stored.map(|flag| since(flag.terms.created_at.at(), now));
            self.metrics().in_force(Change::Flag, stored);
            state.mark_active(&fresh, now);
            match &fresh[..] {
                many if many.len() > NAMED_MOST => {
                    tracing::info!(flags = many.len(), "flags in force");
                }
                few => {
                    for id in few {
                        tracing::info!(flag.id = id.0, "flag in force");
                    }
                }
            }
        }
        state.at_once &= !desired.standing.pending.is_empty();
        state.standing = desired.standing;
        self.tell_failures(state).await;
        self.passes.send_modify(|pass| *pass = pass.wrapping_add(1));
        // A flag that has just come into force may ask more of the relays in rotation.
        if fresh.is_empty() {
            Ok(())
        } else {
            Box::pin(self.reconcile(state)).await
        }
    }

    /// A new generation: tells the relays, and the kernel.
    pub(super) async fn advance(
        &self,
        state: &mut State,
        generation: Generation,
    ) -> Result<(), Problem> {
        state.generation = generation;
        self.generation.send_replace(generation);
        self.reconcile(state).await
    }

    /// Makes a new generation if relays learn something else from the configuration than before.
    pub(super) async fn publish(&self) -> Result<(), Problem> {
        let mut state = self.state.lock().await;
        let published = serde_json::json!({
            "customer_prefixes": self.config.customer_prefixes,
            "probe_sources": state.probe_sources,
            "probe_prefixes": self.config.health.reserved,
        });
        if state.published.as_ref() == Some(&published) {
            return Ok(());
        }
        let generation = self.store.publish(&published, clock()).await?;
        state.published = Some(published);
        if generation != state.generation {
            tracing::info!(
                generation = generation.0,
                "configuration published to relays"
            );
            self.advance(&mut state, generation).await?;
        }
        Ok(())
    }

    /// Sweeps ended flows out, ends what lingered for them, and tries again whatever failed before.
    pub(super) async fn sweep(&self) -> Result<(), Problem> {
        let mut state = self.lock().await;
        let report = self.kernel.call(|edge| edge.sweep()).await??;
        if report.pressure && !state.pressure {
            let flows_max = self.config.edge.flows_max;
            tracing::warn!(
                flows = report.live,
                flows_max,
                "the flow table fills up; raise edge.flows_max"
            );
        }
        if report.pressure != state.pressure {
            self.tell(match report.pressure {
                true => Own::MapPressure {
                    flows: report.live,
                    flows_max: self.config.edge.flows_max,
                },
                false => Own::MapPressureOver,
            })
            .await;
        }
        state.pressure = report.pressure;
        state.flows = report.live;
        state.live_customers = report.customers;
        state.relay_flows = report.by_relay;
        self.reconcile(&mut state).await
    }

    pub(super) async fn heartbeat(&self) -> Result<(), Problem> {
        self.kernel.call(|edge| edge.heartbeat()).await??;
        let now = tokio::time::Instant::now();
        // A poisoned clock is still a clock.
        let mut last = self
            .last_heartbeat
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(now);
        Ok(())
    }
}

/// Flags that come into force together and are named in the log each; the trail has all.
const NAMED_MOST: usize = 100;
