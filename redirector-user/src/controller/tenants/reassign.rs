//! Making a prefix another customer's, and what follows for its flags and for what rules remember.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{actor, unknown};
use crate::{
    api::view::{AssignRequest, AssignedView},
    controller::{Controller, Problem, clock, state::State},
    policy::{
        dial::{Ended, read_target},
        rules::Conduct,
        tenant::{After, Assignment, CustomerId, Fate, Reassignment, Tenants, fate, lies_in, span},
    },
    store::{
        audit::{Kind, OUTGATED},
        tenants::Package,
    },
};

impl Controller {
    /// Sees to it that a prefix is a customer's. What rules and people have flagged of another's ends.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::NotFound`] for a customer that there is not, [`Problem::Guard`] outside of the
    /// customer prefixes, and for a time that contradicts what is known.
    pub async fn assign(
        &self,
        target: &str,
        request: &AssignRequest,
    ) -> Result<AssignedView, Problem> {
        let actor = actor(&request.actor)?;
        let prefix = read_target(target, request.exact)?;
        let id = CustomerId::read(&request.customer)?;
        self.unless_importing()?;
        let mut state = self.lock().await;
        let now = clock();
        let from = request.from.unwrap_or(now);
        if self.guards(&state).customer_prefix(prefix).is_none() {
            return Err(Problem::Guard(format!(
                "{prefix} is in none of customer_prefixes; assign what is, or add it to outgated.toml"
            )));
        }
        if self.store.customer(&id).await?.is_none() {
            return Err(unknown(&id));
        }
        let before = self
            .store
            .with_tenants(|tenants| tenants.on(prefix).cloned());
        if let Some(before) = before.clone().filter(|before| before.customer == id) {
            let was = Some(id);
            return Ok(assigned(before, false, was, 0));
        }
        let last = self.store.last_unassigned(prefix).await?;
        let since = before.as_ref().map(|before| before.from);
        may_begin(prefix, from, since.max(last), now)?;
        let after = Assignment {
            prefix,
            customer: id,
            from,
            to: None,
            origin: None,
        };
        self.reassign(&mut state, actor, from, before, Some(after))
            .await
    }

    /// Sees to it that a prefix is nobody's by an assignment of its own.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if it is so, [`Problem::Guard`] for a time that contradicts what is known.
    pub async fn unassign(
        &self,
        prefix: IpNetwork,
        at: Option<Timestamp>,
        by: &str,
    ) -> Result<AssignedView, Problem> {
        let actor = actor(by)?;
        self.unless_importing()?;
        let mut state = self.lock().await;
        let now = clock();
        let at = at.unwrap_or(now);
        let before = self
            .store
            .with_tenants(|tenants| tenants.on(prefix).cloned());
        let Some(before) = before else {
            return Err(Problem::NotFound(format!(
                "{prefix} is not assigned; `outgate who {prefix}` says whether what is around it is"
            )));
        };
        may_begin(prefix, at, Some(before.from), now)?;
        self.reassign(&mut state, actor, at, Some(before), None)
            .await
    }

    async fn reassign(
        &self,
        state: &mut State,
        actor: String,
        at: Timestamp,
        before: Option<Assignment>,
        after: Option<Assignment>,
    ) -> Result<AssignedView, Problem> {
        let Some(prefix) = before.as_ref().or(after.as_ref()).map(|it| it.prefix) else {
            return Err(Problem::Usage(String::from("no prefix to assign")));
        };
        let change = Reassignment {
            prefix,
            at,
            before: before.clone(),
            after: after.clone(),
            was: None,
            is: None,
        };
        let mut package = Package {
            by: actor,
            at: clock(),
            assignments: [(prefix, change)].into(),
            ..Package::default()
        };
        self.store
            .with_tenants(|tenants| follow(state, tenants, &mut package));
        let was = package
            .assignments
            .get(&prefix)
            .and_then(|it| it.was.clone());
        let ended = package.ends.len();
        tracing::info!(%prefix, actor = package.by, flags = ended, "prefix reassigned");
        self.put(state, package).await?;
        let ended_before = before.map(|before| Assignment {
            to: Some(at),
            ..before
        });
        let stands = after.or(ended_before);
        let stands = stands.ok_or_else(|| Problem::Usage(String::from("no prefix to assign")))?;
        Ok(assigned(stands, true, was, ended))
    }
}

/// Completes a package that changes assignments: whose each prefix was and is, and what becomes of the flags in it and
/// of what is remembered of whoever was there.
pub(in crate::controller) fn follow(state: &State, tenants: &Tenants, package: &mut Package) {
    let changes = std::mem::take(&mut package.assignments);
    let after = After::new(tenants, &changes);
    let customer = |it: Option<&Assignment>| it.map(|it| it.customer.clone());
    let mut seen = BTreeSet::new();
    for change in changes.values() {
        for flag in state.flags.within(change.prefix) {
            if !seen.insert(flag.id) {
                continue;
            }
            match fate(flag, after.of(flag.terms.prefix)) {
                Fate::Stays => {}
                Fate::Moves(tenant) => package.moves.push((flag.id, tenant)),
                Fate::Ends(reason) => {
                    let ended = Ended {
                        at: package.at,
                        by: String::from(OUTGATED),
                        reason,
                    };
                    package.ends.push((flag.id, Kind::FlagReassigned, ended));
                }
            }
        }
        let (was, is) = (tenants.of(change.prefix), after.of(change.prefix));
        if was.is_some() && customer(was) != customer(is) {
            package
                .conduct
                .extend(strangers(state, change.prefix).map(|source| (source, clean(change.at))));
        }
    }
    let described = changes.values().cloned().map(|mut change| {
        change.was = customer(tenants.of(change.prefix));
        change.is = customer(After::new(tenants, &changes).of(change.prefix));
        (change.prefix, change)
    });
    package.assignments = described.collect();
}

/// Of whom rules may remember something that another customer did: those that they remember, and those that they may
/// have counted, as far as these are few.
fn strangers(state: &State, prefix: IpNetwork) -> impl Iterator<Item = IpNetwork> {
    let known = state.conduct.range(span(prefix)).map(|(source, _)| *source);
    let known = known.filter(|source| lies_in(*source, prefix));
    let counted = sources(prefix);
    known.chain(counted).collect::<BTreeSet<_>>().into_iter()
}

/// Sources that the radar tells apart in a prefix, if they are few.
fn sources(prefix: IpNetwork) -> Vec<IpNetwork> {
    let (all, width) = if prefix.is_ipv4() {
        (32, 32)
    } else {
        (64, 128)
    };
    let bits = u32::from(all - prefix.prefix().min(all));
    if bits > SOURCES_BITS {
        return Vec::new();
    }
    let step = |number: u32| {
        let address = match prefix.network() {
            std::net::IpAddr::V4(first) => {
                std::net::IpAddr::V4(u32::from(first).checked_add(number)?.into())
            }
            std::net::IpAddr::V6(first) => {
                let offset = u128::from(number) << (width - all);
                std::net::IpAddr::V6(u128::from(first).checked_add(offset)?.into())
            }
        };
        let source = IpNetwork::new(address, all).ok()?;
        IpNetwork::new(source.network(), all).ok()
    };
    (0..1 << bits).filter_map(step).collect()
}

/// Somebody new: what was counted before is not about him.
fn clean(at: Timestamp) -> Conduct {
    Conduct {
        pardoned_at: Some(at),
        ..Conduct::fresh(at)
    }
}

/// Whether an assignment may begin or end then.
fn may_begin(
    prefix: IpNetwork,
    at: Timestamp,
    known: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Problem> {
    if at > now {
        return Err(Problem::Usage(format!(
            "{at} is still to come; say it when it is so"
        )));
    }
    match known.filter(|known| at <= *known) {
        None => Ok(()),
        Some(known) => Err(Problem::Guard(format!(
            "{prefix} was assigned or given back at {known} already; name a later time"
        ))),
    }
}

fn assigned(
    assignment: Assignment,
    changed: bool,
    was: Option<CustomerId>,
    ended_flags: usize,
) -> AssignedView {
    AssignedView {
        assignment: assignment.into(),
        changed,
        was,
        ended_flags,
    }
}

/// A /24, or a /56 of IPv6.
const SOURCES_BITS: u32 = 8;
