//! From the customer's first recipient to the destination's MAIL: a way, a connection, a place in the way's count.

use relay_proto::envelope::{EhloName, Mail};
use tracing::debug;

use super::secured::Demanded;
use super::{Begun, Cutthrough, promise};
use crate::egress::{Leg, NoWay};
use crate::outbound::requirement::Requirement;
use crate::outbound::{Lost, Unreachable, Upstream};

impl Cutthrough {
    /// Says MAIL to the destination, connecting first if need be. The message is in the count of its way then.
    pub(super) async fn begin(
        &mut self,
        mail: &Mail,
        ehlo: Option<EhloName>,
        demanded: &Demanded,
    ) -> Result<Begun, Unreachable> {
        let requirement = &demanded.requirement;
        if let Some(mut upstream) = self.kept_upstream(requirement).await {
            if self.takes_claim().await {
                // A destination may close a connection that was idle between two messages. Nothing of
                // this message is there yet, so a new connection loses nothing.
                match self.begin_on(&mut upstream, mail, demanded).await {
                    Ok(begun) => {
                        self.upstream = Some(upstream);
                        return Ok(begun);
                    }
                    Err(lost) => {
                        debug!(error = %lost, "kept connection was gone, connecting again");
                        // The next one takes its own, or there would be none left for it.
                        self.claim = None;
                    }
                }
            } else {
                // Another way may not have sent all that it may.
                upstream.quit().await;
            }
        }
        for _ in 0..WAYS_MAX {
            let mut upstream = self.reach(ehlo.clone(), requirement).await?;
            if !self.takes_claim().await {
                // The last place was taken while the connection was made.
                upstream.quit().await;
                continue;
            }
            let begun = self
                .begin_on(&mut upstream, mail, demanded)
                .await
                .map_err(Unreachable::Session)?;
            self.upstream = Some(upstream);
            return Ok(begun);
        }
        Err(NoWay::WarmingUp.into())
    }

    /// Has the message that begins counted for its way, if that may send one more.
    async fn takes_claim(&mut self) -> bool {
        // The one before it has been sent, or never will be.
        self.claim = None;
        if let Some(way) = &self.way {
            self.claim = self.relay.egresses.claim(way).await;
        }
        self.claim.is_some()
    }

    /// MAIL, if the destination can take what it announces.
    pub(super) async fn begin_on(
        &self,
        upstream: &mut Upstream,
        mail: &Mail,
        demanded: &Demanded,
    ) -> Result<Begun, Lost> {
        if let Some(reply) = promise::broken(mail, upstream.extensions()) {
            let capabilities = self.relay.outbound.capabilities();
            capabilities.forget(self.destination);
            return Ok(Begun::Refused(reply));
        }
        let mail = demanded.sayable(mail, upstream);
        let reply = upstream.mail(&mail).await?;
        Ok(if reply.code().is_positive() {
            Begun::Yes
        } else if reply.code().is_transient() && self.fallback.is_some() {
            debug!(%reply, "sender deferred");
            Begun::Away
        } else {
            Begun::Refused(reply)
        })
    }

    /// A session with the destination, for a customer that calls itself `ehlo`, by the first way that works.
    pub(super) async fn reach(
        &mut self,
        ehlo: Option<EhloName>,
        requirement: &Requirement,
    ) -> Result<Upstream, Unreachable> {
        let egresses = std::sync::Arc::clone(&self.relay.egresses);
        let mut legs = self.admitted.legs(&egresses, ehlo, self.destination);
        loop {
            let leg = Leg {
                requirement: requirement.clone(),
                customer_in_clear: !self.customer_tls,
                ..legs.best()?
            };
            let reached = self.reach_over(&leg).await;
            self.way = Some(leg.way.clone());
            match reached {
                Err(Unreachable::Connect(error)) if legs.may_go_on(leg, &error) => {}
                reached => return reached,
            }
        }
    }

    /// The same by the way that the message is counted for.
    pub(super) async fn reach_again(
        &self,
        ehlo: Option<EhloName>,
        requirement: &Requirement,
    ) -> Result<Upstream, Unreachable> {
        let Some(way) = self.way.clone() else {
            return Err(NoWay::Down.into());
        };
        let leg = Leg {
            way,
            ehlo,
            destination: self.destination,
            requirement: requirement.clone(),
            customer_in_clear: !self.customer_tls,
            told: None,
        };
        self.reach_over(&leg).await
    }
}

/// So often a way may turn out to be used up while it is taken.
const WAYS_MAX: usize = 3;
