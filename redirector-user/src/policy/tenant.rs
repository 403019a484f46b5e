//! Customers, and which prefix was whose: what a flag is for, and what becomes of it when its prefix goes to another.
//!
//! A flag is about what one customer did. So it belongs to the most specific assignment around it ([`Tenants::of`]), and
//! [`fate`] says what happens to it when assignments change. No store and no clock here.

use std::{collections::BTreeMap, fmt};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::dial::{Flag, Refusal};

/// The operator's own key of a customer, as `C-1042`: 1 to 64 letters, digits, `.`, `_`, `-`, `:` or `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "C-1042")]
pub struct CustomerId(String);

/// One customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The operator's key.
    pub id: CustomerId,
    /// How the trail names it.
    pub number: u32,
    /// Name; `None` once erased, or never told.
    pub name: Option<String>,
    /// Address for mail; `None` once erased, or never told.
    pub contact: Option<String>,
    /// Which file brought it; `None` = a person.
    pub origin: Option<String>,
    /// When it was first named.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Who has a prefix, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What.
    pub prefix: IpNetwork,
    /// Whose.
    pub customer: CustomerId,
    /// Since when.
    pub from: Timestamp,
    /// Until when, exclusive; `None` = still.
    pub to: Option<Timestamp>,
    /// Which file brought it; `None` = a person.
    pub origin: Option<String>,
}

/// The assignment that a flag is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Whose it is.
    pub customer: CustomerId,
    /// What was assigned to it.
    pub prefix: IpNetwork,
    /// Since when.
    pub since: Timestamp,
}

/// A change of who has a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// What.
    pub prefix: IpNetwork,
    /// When.
    pub at: Timestamp,
    /// Who had it by an assignment of exactly this prefix.
    pub before: Option<Assignment>,
    /// Who has it by one.
    pub after: Option<Assignment>,
    /// Whose it was, by whatever assignment.
    pub was: Option<CustomerId>,
    /// Whose it is.
    pub is: Option<CustomerId>,
}

/// Assignments of the moment, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenants(BTreeMap<IpNetwork, Assignment>);

/// The same, as it will be after some changes.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    now: &'a Tenants,
    changes: &'a BTreeMap<IpNetwork, Reassignment>,
}

/// What becomes of a flag when assignments change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It belongs to whom it did.
    Stays,
    /// It is the same customer's by another assignment, or somebody's for the first time.
    Moves(Tenant),
    /// Whom it was made for does not have the prefix any more; the words for it.
    Ends(String),
}

impl CustomerId {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`] says what is allowed.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        let letter = |octet: u8| octet.is_ascii_alphanumeric() || b"._-:@".contains(&octet);
        if (1..=64).contains(&text.len()) && text.bytes().all(letter) {
            return Ok(Self(text.to_owned()));
        }
        Err(Refusal::Usage(format!(
            "customer {text:?}: allowed are 1 to 64 letters, digits, '.', '_', '-', ':' or '@', as C-1042"
        )))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CustomerId {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::read(&text)
    }
}

impl<'de> Deserialize<'de> for CustomerId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Assignment {
    /// As a flag notes it.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant {
            customer: self.customer.clone(),
            prefix: self.prefix,
            since: self.from,
        }
    }
}

impl Tenants {
    /// The assignment of exactly this prefix.
    #[must_use]
    pub fn on(&self, prefix: IpNetwork) -> Option<&Assignment> {
        self.0.get(&prefix)
    }

    /// The most specific assignment around a prefix.
    #[must_use]
    pub fn of(&self, prefix: IpNetwork) -> Option<&Assignment> {
        around(prefix).find_map(|prefix| self.on(prefix))
    }

    /// All of them, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = &Assignment> {
        self.0.values()
    }

    /// Takes a change in.
    pub fn note(&mut self, change: &Reassignment) {
        match &change.after {
            Some(after) => drop(self.0.insert(change.prefix, after.clone())),
            None => drop(self.0.remove(&change.prefix)),
        }
    }
}

impl FromIterator<Assignment> for Tenants {
    fn from_iter<T: IntoIterator<Item = Assignment>>(assignments: T) -> Self {
        let by_prefix = assignments.into_iter().map(|it| (it.prefix, it));
        Self(by_prefix.collect())
    }
}

impl<'a> After<'a> {
    /// What will be after these changes.
    #[must_use]
    pub const fn new(now: &'a Tenants, changes: &'a BTreeMap<IpNetwork, Reassignment>) -> Self {
        Self { now, changes }
    }

    /// The most specific assignment around a prefix then.
    #[must_use]
    pub fn of(self, prefix: IpNetwork) -> Option<&'a Assignment> {
        around(prefix).find_map(|prefix| match self.changes.get(&prefix) {
            Some(change) => change.after.as_ref(),
            None => self.now.on(prefix),
        })
    }
}

/// What becomes of a flag, where this is the most specific assignment around it from now on.
#[must_use]
pub fn fate(flag: &Flag, after: Option<&Assignment>) -> Fate {
    let after = after.map(Assignment::tenant);
    match (&flag.tenant, after) {
        (None, None) => Fate::Stays,
        (Some(before), Some(after)) if **before == after => Fate::Stays,
        // Until now nobody knew whose it was.
        (None, Some(after)) => Fate::Moves(after),
        // Or it was made when the prefix was another's already, and that was said later.
        (Some(before), Some(after))
            if before.customer == after.customer || flag.terms.created_at >= after.since =>
        {
            Fate::Moves(after)
        }
        (Some(_), Some(after)) => Fate::Ends(format!("reassigned to {}", after.customer)),
        (Some(_), None) => Fate::Ends(String::from("reassigned to nobody")),
    }
}

/// A prefix and those around it, the most specific first.
pub fn around(prefix: IpNetwork) -> impl Iterator<Item = IpNetwork> {
    let lengths = (0..=prefix.prefix()).rev();
    lengths.filter_map(move |length| {
        let around = IpNetwork::new(prefix.network(), length).ok()?;
        IpNetwork::new(around.network(), length).ok()
    })
}

/// What a prefix and all that lies in it are among in a list by prefix: by the first address, then by the length.
#[must_use]
pub fn span(prefix: IpNetwork) -> std::ops::RangeInclusive<IpNetwork> {
    let length = if prefix.is_ipv4() { 32 } else { 128 };
    let last = IpNetwork::new(prefix.broadcast(), length);
    prefix..=last.unwrap_or(prefix)
}

/// Whether the first prefix is the second, or lies in it.
#[must_use]
pub fn lies_in(narrow: IpNetwork, wide: IpNetwork) -> bool {
    wide.prefix() <= narrow.prefix() && wide.contains(narrow.network())
}

#[cfg(test)]
mod tests;
