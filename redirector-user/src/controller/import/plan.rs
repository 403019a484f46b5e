//! What a file changes: compared in one pass with what stands, before anything is stored.
//!
//! An import touches its own: what came by the same origin, or, without one, what people and programs have done one by
//! one. What another origin holds otherwise is a conflict, and left alone unless it is to be taken over. A flag that two
//! people have agreed upon, for ever, is no file's to change: such a row is refused, and the file with it.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::super::{
    conditions::{does_the_same, says_the_same},
    state::State,
    tenants::follow,
};
use super::How;
use crate::{
    api::view::{ChangeView, ImportView, Sign},
    policy::{
        dial::{
            Ended, Flag, Proposal, Refusal,
            term::{ForEver, Stage},
        },
        guards::reach::Reach,
        import::{BadLine, BadLines, Row, Wanted, WantedAssignment, WantedCustomer},
        tenant::{After, Assignment, Customer, CustomerId, Reassignment, Tenants},
    },
    store::{
        audit::Kind,
        tenants::{CustomerChange, Fresh, Package},
    },
};

/// What stands.
pub(super) struct Standing<'a> {
    pub(super) state: &'a State,
    pub(super) tenants: &'a Tenants,
    pub(super) customers: &'a BTreeMap<CustomerId, Customer>,
    pub(super) now: Timestamp,
}

/// What a file changes.
pub(super) struct Plan {
    pub(super) package: Package,
    /// Whom that is about.
    pub(super) reach: Reach,
    /// Prefixes that have no flag yet.
    pub(super) fresh: usize,
    /// Rows that must not be taken; then none is.
    pub(super) refused: BadLines,
    pub(super) view: ImportView,
}

/// Compares a file with what stands.
pub(super) fn plan(wanted: Wanted, how: &How, standing: &Standing<'_>) -> Plan {
    let mut planning = Planning {
        how,
        standing,
        plan: Plan {
            package: Package {
                by: how.actor.clone(),
                at: standing.now,
                ..Package::default()
            },
            reach: Reach::default(),
            fresh: 0,
            refused: BadLines::default(),
            view: ImportView {
                dry_run: how.dry_run,
                skipped: wanted
                    .skipped
                    .iter()
                    .map(|(why, rows)| ((*why).to_owned(), *rows))
                    .collect(),
                ..ImportView::default()
            },
        },
    };
    planning.customers(&wanted.customers, wanted.all_customers);
    if let Some(rows) = wanted.assignments {
        planning.assignments(rows);
    }
    if wanted.all_customers && how.prune {
        planning.prune_customers(&wanted.customers);
    }
    if let Some(rows) = wanted.flags {
        planning.flags(rows);
    }
    planning.plan
}

struct Planning<'a> {
    how: &'a How,
    standing: &'a Standing<'a>,
    plan: Plan,
}

impl Planning<'_> {
    fn is_own(&self, origin: Option<&str>) -> bool {
        self.how.take_over || origin == self.how.origin.as_deref()
    }

    fn customers(&mut self, rows: &[Row<WantedCustomer>], explicit: bool) {
        for Row { line, it } in rows {
            let now = self.standing.now;
            let fresh = || Customer {
                id: it.id.clone(),
                number: 0,
                name: None,
                contact: None,
                origin: self.how.origin.clone(),
                created_at: now,
                changed_at: now,
            };
            let known = self.standing.customers.get(&it.id);
            let before = known.cloned().unwrap_or_else(fresh);
            let after = Customer {
                name: it.name.clone().or_else(|| before.name.clone()),
                contact: it.contact.clone().or_else(|| before.contact.clone()),
                changed_at: now,
                origin: self.how.origin.clone(),
                ..before.clone()
            };
            let same = (&before.name, &before.contact) == (&after.name, &after.contact);
            if known.is_some() && same {
                continue;
            }
            let own = known.is_none() || self.is_own(before.origin.as_deref());
            let sign = match (known, own) {
                (None, _) => Sign::Add,
                (Some(_), true) => Sign::Change,
                // What assignments say of a customer beside is not worth a conflict.
                (Some(_), false) if explicit => Sign::Conflict,
                (Some(_), false) => continue,
            };
            self.note(ChangeView {
                sign,
                about: String::from("customer"),
                what: it.id.to_string(),
                before: known.map(described_customer),
                after: Some(described_customer(&after)),
                line: Some(*line),
                held_by: held_by(sign, before.origin.as_deref()),
            });
            if own {
                let fresh = if known.is_none() {
                    Fresh::New
                } else {
                    Fresh::Known
                };
                self.change_customer(CustomerChange::Set(after, fresh));
            }
        }
    }

    fn change_customer(&mut self, change: CustomerChange) {
        self.plan.package.customers.push(change);
        self.plan.view.customers += 1;
    }

    /// Removes customers of the origin that the file does not have any more, and that have nothing.
    fn prune_customers(&mut self, rows: &[Row<WantedCustomer>]) {
        let named: BTreeSet<_> = rows.iter().map(|row| &row.it.id).collect();
        let changes = &self.plan.package.assignments;
        let unchanged = self.standing.tenants.iter();
        let unchanged = unchanged.filter(|it| !changes.contains_key(&it.prefix));
        let after = changes.values().filter_map(|change| change.after.as_ref());
        let housed: BTreeSet<_> = unchanged
            .chain(after)
            .map(|it| it.customer.clone())
            .collect();
        let gone = self.standing.customers.values().filter(|customer| {
            customer.origin.is_some()
                && customer.origin == self.how.origin
                && !named.contains(&customer.id)
                && !housed.contains(&customer.id)
        });
        for customer in gone {
            self.note(ChangeView {
                sign: Sign::Remove,
                about: String::from("customer"),
                what: customer.id.to_string(),
                before: Some(described_customer(customer)),
                after: None,
                line: None,
                held_by: None,
            });
            self.change_customer(CustomerChange::Remove(customer.clone()));
        }
    }

    fn assignments(&mut self, rows: Vec<Row<WantedAssignment>>) {
        self.plan.view.assignments = rows.len();
        let named: BTreeSet<IpNetwork> = rows.iter().map(|row| row.it.prefix).collect();
        let tenants = self.standing.tenants;
        for Row { line, it } in rows {
            let before = tenants.on(it.prefix);
            let sign = match before {
                None => Sign::Add,
                Some(before) if before.customer == it.customer => continue,
                Some(before) if self.is_own(before.origin.as_deref()) => Sign::Change,
                Some(_) => Sign::Conflict,
            };
            let after = Assignment {
                prefix: it.prefix,
                customer: it.customer,
                from: self.standing.now,
                to: None,
                origin: self.how.origin.clone(),
            };
            self.note(ChangeView {
                sign,
                about: String::from("assignment"),
                what: it.prefix.to_string(),
                before: before.map(|before| before.customer.to_string()),
                after: Some(after.customer.to_string()),
                line: Some(line),
                held_by: held_by(sign, before.and_then(|before| before.origin.as_deref())),
            });
            if sign != Sign::Conflict {
                self.reassign(it.prefix, before, Some(after));
            }
        }
        if self.how.prune {
            let own = tenants.iter().filter(|it| it.origin == self.how.origin);
            for gone in own.filter(|it| !named.contains(&it.prefix)) {
                self.note(ChangeView {
                    sign: Sign::Remove,
                    about: String::from("assignment"),
                    what: gone.prefix.to_string(),
                    before: Some(gone.customer.to_string()),
                    after: None,
                    line: None,
                    held_by: None,
                });
                self.reassign(gone.prefix, Some(gone), None);
            }
        }
        self.plan.view.reassigned = self.plan.package.assignments.len();
        follow(self.standing.state, tenants, &mut self.plan.package);
        self.plan.view.ended = self.plan.package.ends.len();
        for change in self.plan.package.assignments.values() {
            // To give somebody what nobody had takes nothing from anybody.
            if change.was.is_some() && change.was != change.is {
                self.plan.reach.touch(change.prefix, change.was.clone());
            }
        }
    }

    fn reassign(
        &mut self,
        prefix: IpNetwork,
        before: Option<&Assignment>,
        after: Option<Assignment>,
    ) {
        let change = Reassignment {
            prefix,
            at: self.standing.now,
            before: before.cloned(),
            after,
            was: None,
            is: None,
        };
        self.plan.package.assignments.insert(prefix, change);
    }

    fn flags(&mut self, rows: Vec<Row<Proposal>>) {
        self.plan.view.flags = rows.len();
        let named: BTreeSet<IpNetwork> = rows.iter().map(|row| row.it.prefix).collect();
        let ending: BTreeSet<_> = self.plan.package.ends.iter().map(|(id, ..)| *id).collect();
        for Row { line, it } in rows {
            let before = self.standing.state.flags.on(it.prefix);
            let before = before.filter(|flag| !ending.contains(&flag.id));
            let sign = match before {
                None => Sign::Add,
                Some(before) if says_the_same(before, &it) => {
                    self.plan.view.unchanged += 1;
                    continue;
                }
                Some(before) if self.is_own(before.terms.origin.as_deref()) => Sign::Change,
                Some(_) => Sign::Conflict,
            };
            if sign == Sign::Change
                && let Some((flag, stands)) = before.and_then(for_ever)
            {
                // No file has a word for it, so whoever says the same otherwise says nothing against it.
                if does_the_same(flag, &it) {
                    self.plan.view.unchanged += 1;
                    continue;
                }
                let what = Refusal::Guard(format!(
                    "flag {} on {} {stands}, and a file cannot change that; take the line out, or \
                     `outgate flag rm {} --reason ...` first",
                    flag.id, it.prefix, flag.id
                ));
                self.plan.refused.push(BadLine { line, what });
                continue;
            }
            self.note(ChangeView {
                sign,
                about: String::from("flag"),
                what: it.prefix.to_string(),
                before: before.map(|before| described_flag(&before.terms)),
                after: Some(described_flag(&it)),
                line: Some(line),
                held_by: held_by(
                    sign,
                    before.and_then(|before| before.terms.origin.as_deref()),
                ),
            });
            if sign == Sign::Conflict {
                continue;
            }
            self.plan.fresh += usize::from(sign == Sign::Add);
            self.plan.view.replaced += usize::from(sign == Sign::Change);
            self.touch(it.prefix);
            self.plan.package.flags.push(Proposal {
                origin: self.how.origin.clone().map(Into::into),
                ..it
            });
        }
        if !self.how.prune {
            return;
        }
        let standing = self.standing.state.flags.values();
        let own = standing
            .filter(|flag| {
                flag.ended.is_none() && flag.terms.origin.as_deref() == self.how.origin.as_deref()
            })
            .filter(|flag| !ending.contains(&flag.id) && !named.contains(&flag.terms.prefix));
        for flag in own {
            self.note(ChangeView {
                sign: Sign::Remove,
                about: String::from("flag"),
                what: flag.terms.prefix.to_string(),
                before: Some(described_flag(&flag.terms)),
                after: None,
                line: None,
                held_by: None,
            });
            self.touch(flag.terms.prefix);
            self.plan.view.lifted += 1;
            let origin = self.how.origin.as_deref().unwrap_or_default();
            let ended = Ended {
                at: self.standing.now,
                by: self.how.actor.clone(),
                reason: format!("not in the file of origin {origin} any more"),
            };
            let ends = &mut self.plan.package.ends;
            ends.push((flag.id, Kind::FlagLifted, ended));
        }
    }

    fn touch(&mut self, prefix: IpNetwork) {
        let after = After::new(self.standing.tenants, &self.plan.package.assignments);
        let customer = after.of(prefix).map(|it| it.customer.clone());
        self.plan.reach.touch(prefix, customer);
    }

    fn note(&mut self, change: ChangeView) {
        let is_conflict = change.sign == Sign::Conflict;
        let view = &mut self.plan.view;
        view.conflicts += usize::from(is_conflict);
        if (self.how.diff || is_conflict) && view.changes.len() < CHANGES_MAX {
            view.changes.push(change);
        }
    }
}

fn held_by(sign: Sign, origin: Option<&str>) -> Option<String> {
    let of_nobody = || String::from("no origin: made one by one");
    (sign == Sign::Conflict).then(|| origin.map_or_else(of_nobody, str::to_owned))
}

/// A flag that stands for ever, or is to, and how that is said.
fn for_ever(flag: &Flag) -> Option<(&Flag, String)> {
    let ForEver { stage, .. } = flag.terms.for_ever.as_deref()?;
    let stands = match stage {
        Stage::Approved { by, .. } => format!("stands for ever, which {by} has approved"),
        Stage::Pending => String::from("waits for a second person, to stand for ever"),
        Stage::Rejected { .. } => return None,
    };
    Some((flag, stands))
}

fn described_customer(customer: &Customer) -> String {
    let known = [&customer.name, &customer.contact];
    let known: Vec<_> = known.into_iter().flatten().map(String::as_str).collect();
    known.join(", ")
}

fn described_flag(terms: &Proposal) -> String {
    let mut text = terms.action.name().to_owned();
    if let Some(redirect) = terms.action.redirect() {
        let (pool, treatment) = (&redirect.pool, redirect.treatment.name());
        text += &format!(" to {pool}, {treatment}");
    }
    if let Some(limit) = terms.action.limit() {
        text += &format!(" to {}, burst {}", limit.rate, limit.burst);
    }
    let life = terms.expires_at.at().duration_since(terms.created_at.at());
    text += &format!(", for {} h: {}", life.as_hours(), terms.reason);
    match &terms.ticket {
        Some(ticket) => format!("{text} ({ticket})"),
        None => text,
    }
}

/// An answer that a person can still look through, and a program can still read.
const CHANGES_MAX: usize = 100_000;
