//! Customers, whose a prefix is and was, and what follows for flags when it becomes another's.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{Controller, Problem, clock, state::State, views::view};
use crate::{
    api::view::{
        AssignRequest, AssignedView, AssignmentView, CustomerHistoryView, CustomerRequest,
        CustomerView, WhoView,
    },
    policy::{
        dial::{Ended, line, read_target},
        import::WantedCustomer,
        rules::{ACTOR_PREFIX, Conduct},
        tenant::{
            After, Assignment, Customer, CustomerId, Fate, Reassignment, Tenants, fate, lies_in,
            span,
        },
    },
    store::{
        audit::{Kind, OUTGATED},
        tenants::{CustomerChange, Fresh, Package},
    },
};

/// Which customers are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// One that there is not yet.
    New,
    /// One that there is.
    Known,
    /// Either.
    Any,
}

impl Controller {
    /// Sees to it that there is a customer of whom this is known. Answers whether that changed anything, too.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] for one that must be new, [`Problem::NotFound`] for one that must be known.
    pub async fn set_customer(
        &self,
        id: &str,
        request: &CustomerRequest,
        only: Only,
    ) -> Result<(CustomerView, bool), Problem> {
        let actor = actor(&request.actor)?;
        let wanted = WantedCustomer::read(id, request.name.as_deref(), request.contact.as_deref())?;
        self.unless_importing()?;
        let mut state = self.lock().await;
        let known = self.store.customer(&wanted.id).await?;
        let now = clock();
        let (before, fresh) = match (known, only) {
            (Some(_), Only::New) => {
                return Err(Problem::Guard(format!(
                    "customer {id} is there already; `outgate customer set` changes it"
                )));
            }
            (None, Only::Known) => return Err(unknown(&wanted.id)),
            (Some(known), Only::Known | Only::Any) => (known, Fresh::Known),
            (None, Only::New | Only::Any) => {
                let customer = Customer {
                    id: wanted.id.clone(),
                    number: 0,
                    name: None,
                    contact: None,
                    origin: None,
                    created_at: now,
                    changed_at: now,
                };
                (customer, Fresh::New)
            }
        };
        let mut after = before.clone();
        // What was said and is empty is taken away.
        if request.name.is_some() {
            after.name = wanted.name;
        }
        if request.contact.is_some() {
            after.contact = wanted.contact;
        }
        if fresh == Fresh::Known && after == before {
            return Ok((self.customer_view(before), false));
        }
        after.changed_at = now;
        let package = Package {
            by: actor,
            at: now,
            customers: vec![CustomerChange::Set(after, fresh)],
            ..Package::default()
        };
        self.put(&mut state, package).await?;
        let stored = self.store.customer(&wanted.id).await?;
        let stored = stored.ok_or_else(|| unknown(&wanted.id))?;
        Ok((self.customer_view(stored), true))
    }

    /// Removes a customer that has nothing, and what is personal of it; what it had stays known by its key.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`], [`Problem::Guard`] while it has a prefix.
    pub async fn remove_customer(&self, id: &str, by: &str) -> Result<CustomerView, Problem> {
        let (id, actor) = (CustomerId::read(id)?, actor(by)?);
        self.unless_importing()?;
        let mut state = self.lock().await;
        let customer = self.store.customer(&id).await?;
        let customer = customer.ok_or_else(|| unknown(&id))?;
        let view = self.customer_view(customer.clone());
        if let Some(first) = view.assignments.first() {
            return Err(Problem::Guard(format!(
                "customer {id} has {}; `outgate unassign {}` first",
                first.prefix, first.prefix
            )));
        }
        let package = Package {
            by: actor,
            at: clock(),
            customers: vec![CustomerChange::Remove(customer)],
            ..Package::default()
        };
        self.put(&mut state, package).await?;
        Ok(view)
    }

    /// Customers by key, from the one after `after`, at most so many.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn list_customers(
        &self,
        after: &str,
        at_most: u32,
    ) -> Result<Vec<CustomerView>, Problem> {
        let customers = self.store.customers(after, at_most).await?;
        Ok(customers.into_values().map(CustomerView::from).collect())
    }

    /// One customer with what it has.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`].
    pub async fn show_customer(&self, id: &str) -> Result<CustomerView, Problem> {
        let id = CustomerId::read(id)?;
        let customer = self.store.customer(&id).await?;
        let customer = customer.ok_or_else(|| unknown(&id))?;
        Ok(self.customer_view(customer))
    }

    /// What a customer has and had, also if it is removed.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if nothing is known of it.
    pub async fn customer_history(&self, id: &str) -> Result<CustomerHistoryView, Problem> {
        let id = CustomerId::read(id)?;
        let assignments = self.store.assignments_of(&id).await?;
        let flags = self.store.flags_of(&id, HISTORY_FLAGS).await?;
        if assignments.is_empty() && flags.is_empty() && self.store.customer(&id).await?.is_none() {
            return Err(unknown(&id));
        }
        let state = self.lock().await;
        let flags = flags.into_iter().map(|flag| view(&state, flag, Vec::new()));
        Ok(CustomerHistoryView {
            id,
            assignments: assignments.into_iter().map(AssignmentView::from).collect(),
            flags: flags.collect(),
        })
    }

    /// Assignments of the moment by prefix, of one customer or of all, from the one after a prefix, at most so many.
    pub fn list_assignments(
        &self,
        customer: Option<&CustomerId>,
        after: Option<IpNetwork>,
        at_most: usize,
    ) -> Vec<AssignmentView> {
        self.store.with_tenants(|tenants| {
            let wanted = tenants
                .iter()
                .filter(|it| customer.is_none_or(|customer| *customer == it.customer))
                .filter(|it| after.is_none_or(|after| it.prefix > after));
            wanted
                .take(at_most)
                .cloned()
                .map(AssignmentView::from)
                .collect()
        })
    }

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

    /// Whose a prefix was, or is, and what was flagged around it.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if nobody is known to have had it.
    pub async fn who(&self, target: IpNetwork, at: Timestamp) -> Result<WhoView, Problem> {
        let assignment = self.store.who(target, at).await?;
        let assignment = assignment.ok_or_else(|| {
            Problem::NotFound(format!(
                "{target} was nobody's at {at}, as far as is known; `outgate assign` says whose it is"
            ))
        })?;
        let customer = self.store.customer(&assignment.customer).await?;
        let flags = self.store.flags_at(target, at).await?;
        let state = self.lock().await;
        let flags = flags.into_iter().map(|flag| view(&state, flag, Vec::new()));
        Ok(WhoView {
            target,
            at,
            customer: customer.map(CustomerView::from),
            assignment: assignment.into(),
            flags: flags.collect(),
        })
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

    /// Stores changes, and puts them into force; the caller has the lock.
    async fn put(&self, state: &mut State, package: Package) -> Result<(), Problem> {
        let added = self.store.apply(package, |_stored| {}).await?;
        self.absorb(state, added).await
    }

    fn customer_view(&self, customer: Customer) -> CustomerView {
        let assignments = self.list_assignments(Some(&customer.id), None, usize::MAX);
        CustomerView {
            assignments,
            ..customer.into()
        }
    }
}

/// Completes a package that changes assignments: whose each prefix was and is, and what becomes of the flags in it and
/// of what is remembered of whoever was there.
pub(super) fn follow(state: &State, tenants: &Tenants, package: &mut Package) {
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

fn actor(text: &str) -> Result<String, Problem> {
    if text.trim().starts_with(ACTOR_PREFIX) {
        return Err(Problem::Usage(format!(
            "actor {text:?}: {ACTOR_PREFIX} names what rules do by themselves; say who you are"
        )));
    }
    Ok(line("actor", text, 100)?)
}

fn unknown(id: &CustomerId) -> Problem {
    Problem::NotFound(format!(
        "no customer {id}; `outgate customer add {id}` makes one"
    ))
}

/// As many as a person looks through.
const HISTORY_FLAGS: u32 = 1000;
/// A /24, or a /56 of IPv6.
const SOURCES_BITS: u32 = 8;
