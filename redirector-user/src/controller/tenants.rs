//! Customers, whose a prefix is and was, and what follows for flags when it becomes another's.

mod reassign;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

pub(super) use self::reassign::follow;
use super::{Controller, Problem, clock, state::State, views::view};
use crate::{
    api::view::{AssignmentView, CustomerHistoryView, CustomerRequest, CustomerView, WhoView},
    policy::{
        dial::line,
        import::WantedCustomer,
        rules::ACTOR_PREFIX,
        tenant::{Customer, CustomerId},
    },
    store::tenants::{CustomerChange, Fresh, Package},
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
