//! Who has what, as files say it: CSV or JSON with the columns prefix, customer, name, contact and exact, or what NetBox
//! exports of `/api/ipam/prefixes/` and `/api/ipam/ip-addresses/`.
//!
//! Of NetBox, what has no tenant, is not active or deprecated, or is outside of the customer prefixes is nobody's
//! assignment here; it is counted. An address there has the length of its network, which says nothing about whose it is.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

use super::{
    BadLine, BadLines, Judges, Row, Wanted, once,
    rows::{self, Fields, Shape, usage},
};
use crate::policy::{
    dial::{Refusal, line as one_line, read_target},
    tenant::CustomerId,
};

/// That a prefix is a customer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedAssignment {
    /// What.
    pub prefix: IpNetwork,
    /// Whose.
    pub customer: CustomerId,
}

/// What is said of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCustomer {
    /// The operator's key.
    pub id: CustomerId,
    /// Its name, if it is said.
    pub name: Option<String>,
    /// Its address for mail, if it is said.
    pub contact: Option<String>,
}

/// What is read so far.
pub(super) struct Book<'a> {
    judges: &'a Judges,
    seen: BTreeMap<IpNetwork, u64>,
    /// Of addresses, whose they are.
    singles: BTreeMap<IpNetwork, CustomerId>,
    customers: BTreeMap<CustomerId, usize>,
    pub(super) wanted: Wanted,
}

impl WantedCustomer {
    /// Reads what is said of a customer.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`] names the field.
    pub fn read(id: &str, name: Option<&str>, contact: Option<&str>) -> Result<Self, Refusal> {
        let said = |what: &str, text: Option<&str>| {
            let text = text.filter(|text| !text.trim().is_empty());
            text.map(|text| one_line(what, text, TEXT_OCTETS))
                .transpose()
        };
        let contact = said("contact", contact)?;
        if let Some(contact) = contact.as_deref().filter(|contact| !is_mailbox(contact)) {
            return Err(usage(format!(
                "contact {contact:?}: allowed is one address for mail, as abuse@customer.example"
            )));
        }
        Ok(Self {
            id: CustomerId::read(id)?,
            name: said("name", name)?,
            contact,
        })
    }
}

impl<'a> Book<'a> {
    pub(super) fn new(judges: &'a Judges) -> Self {
        Self {
            judges,
            seen: BTreeMap::new(),
            singles: BTreeMap::new(),
            customers: BTreeMap::new(),
            wanted: Wanted {
                assignments: Some(Vec::new()),
                ..Wanted::default()
            },
        }
    }

    pub(super) fn read(&mut self, file: &[u8]) -> BadLines {
        match rows::prepared(file) {
            Ok(text) if text.trim_ascii_start().starts_with(b"{") => self.read_netbox(text),
            _ => rows::each(file, &SHAPE, &mut |line, fields| self.take(line, fields)),
        }
    }

    /// Takes a row of our own.
    pub(super) fn take(&mut self, line: u64, fields: &Fields<'_>) -> Result<(), Refusal> {
        let field = |name: usize| {
            let found = fields.iter().find(|(column, _)| *column == name);
            found.map(|(_, value)| value.as_ref())
        };
        let exact = match field(EXACT) {
            None | Some("no" | "false" | "0") => false,
            Some("yes" | "true" | "1") => true,
            Some(other) => {
                return Err(usage(format!("exact {other:?}: allowed are yes and no")));
            }
        };
        let prefix = read_target(field(PREFIX).unwrap_or_default(), exact)?;
        let customer = field(CUSTOMER).ok_or_else(|| usage("no customer; say whose it is"))?;
        let customer = WantedCustomer::read(customer, field(NAME), field(CONTACT))?;
        self.inside(prefix)?;
        once(&mut self.seen, prefix, line)?;
        self.note(line, prefix, customer)
    }

    /// The line that first names a customer.
    pub(super) fn line_of(&self, id: &CustomerId) -> Option<u64> {
        let row = self.wanted.customers.get(*self.customers.get(id)?);
        row.map(|row| row.line)
    }

    /// Takes what is said of a customer beside its assignments.
    pub(super) fn note_customer(
        &mut self,
        line: u64,
        customer: WantedCustomer,
    ) -> Result<(), Refusal> {
        let Some(known) = self.customers.get(&customer.id) else {
            self.customers
                .insert(customer.id.clone(), self.wanted.customers.len());
            self.wanted.customers.push(Row { line, it: customer });
            return Ok(());
        };
        let Some(known) = self.wanted.customers.get_mut(*known) else {
            return Ok(());
        };
        let first = known.line;
        for (what, known, now) in [
            ("name", &mut known.it.name, customer.name),
            ("contact", &mut known.it.contact, customer.contact),
        ] {
            match (&*known, now) {
                (Some(before), Some(now)) if *before != now => {
                    return Err(usage(format!(
                        "{what} {now:?} of customer {}: line {first} says {before:?}",
                        customer.id
                    )));
                }
                (None, Some(now)) => *known = Some(now),
                (_, _) => {}
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        line: u64,
        prefix: IpNetwork,
        customer: WantedCustomer,
    ) -> Result<(), Refusal> {
        let it = WantedAssignment {
            prefix,
            customer: customer.id.clone(),
        };
        self.note_customer(line, customer)?;
        let rows = self.wanted.assignments.get_or_insert_default();
        rows.push(Row { line, it });
        Ok(())
    }

    fn inside(&self, prefix: IpNetwork) -> Result<(), Refusal> {
        if self.judges.guards.customer_prefix(prefix).is_some() {
            return Ok(());
        }
        Err(Refusal::Guard(format!(
            "{prefix} is in none of customer_prefixes; assign what is, or add it to outgated.toml"
        )))
    }

    fn read_netbox(&mut self, file: &[u8]) -> BadLines {
        let mut bad = BadLines::default();
        let mut pages = false;
        let found = rows::member(file, "results", &mut |name, value| {
            pages |= name == "next" && !value.is_null();
        });
        let at = match found {
            Ok(_) if pages => {
                let what = usage(
                    "is one page of several (next is not null); export all of it, with ?limit=0",
                );
                bad.push(BadLine { line: 1, what });
                return bad;
            }
            Ok(at) => at,
            Err((line, what)) => {
                bad.push(BadLine { line, what });
                return bad;
            }
        };
        let mut taken = BTreeSet::new();
        let read = rows::array(file, at, &mut |line, row: Result<Netbox, Refusal>| {
            if taken.len() == ROWS_MAX {
                let what = usage(format!("beyond {ROWS_MAX} assignments; split the file"));
                bad.push(BadLine { line, what });
                return false;
            }
            let judged = row.and_then(|row| self.take_netbox(line, row));
            match judged {
                Ok(Ok(prefix)) => drop(taken.insert(prefix)),
                Ok(Err(skipped)) => *self.wanted.skipped.entry(skipped).or_default() += 1,
                Err(what) => bad.push(BadLine { line, what }),
            }
            bad.count < BadLines::MOST
        });
        if let Err((line, what)) = read {
            bad.push(BadLine { line, what });
        }
        bad
    }

    /// Takes a row of NetBox, or says why it is none of ours.
    fn take_netbox(
        &mut self,
        line: u64,
        row: Netbox,
    ) -> Result<Result<IpNetwork, &'static str>, Refusal> {
        let Some(tenant) = row.tenant else {
            return Ok(Err("without a tenant"));
        };
        let status = match &row.status {
            Some(Value::Object(status)) => status.get("value").and_then(Value::as_str),
            Some(Value::String(status)) => Some(status.as_str()),
            _ => None,
        };
        if status.is_some_and(|status| !IN_USE.contains(&status)) {
            return Ok(Err("not active"));
        }
        let (prefix, single) = match (&row.prefix, &row.address) {
            (Some(prefix), _) => (read_target(prefix, true)?, false),
            (None, Some(address)) => {
                let host = address.split('/').next().unwrap_or_default();
                (read_target(host, false)?, true)
            }
            (None, None) => return Err(usage("neither a prefix nor an address")),
        };
        if self.judges.guards.customer_prefix(prefix).is_none() {
            return Ok(Err("outside of customer_prefixes"));
        }
        let key = tenant
            .slug
            .or_else(|| tenant.name.clone())
            .unwrap_or_default();
        let customer = WantedCustomer::read(&key, tenant.name.as_deref(), None)?;
        // Several addresses of one host are one /64.
        if single && self.singles.get(&prefix) == Some(&customer.id) {
            return Ok(Ok(prefix));
        }
        once(&mut self.seen, prefix, line)?;
        if single {
            self.singles.insert(prefix, customer.id.clone());
        }
        self.note(line, prefix, customer)?;
        Ok(Ok(prefix))
    }
}

/// What is read of an object of NetBox.
#[derive(Debug, Deserialize)]
struct Netbox {
    prefix: Option<String>,
    address: Option<String>,
    tenant: Option<NetboxTenant>,
    status: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct NetboxTenant {
    slug: Option<String>,
    name: Option<String>,
}

/// Enough to be written to; the relay that sends it judges the rest.
fn is_mailbox(text: &str) -> bool {
    let parts = text.rsplit_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && !text.contains([' ', '<', '>', ','])
}

pub(super) const COLUMNS: [&str; 5] = ["prefix", "customer", "name", "contact", "exact"];
const PREFIX: usize = 0;
const CUSTOMER: usize = 1;
const NAME: usize = 2;
const CONTACT: usize = 3;
const EXACT: usize = 4;
const SHAPE: Shape = Shape {
    columns: &COLUMNS,
    needed: &["prefix", "customer"],
    most: ROWS_MAX,
    most_is: "the most assignments of a file",
};
/// Each costs about 300 octets of memory.
const ROWS_MAX: usize = 1_000_000;
const TEXT_OCTETS: usize = 200;
/// Prefixes and addresses of NetBox that somebody has.
const IN_USE: [&str; 3] = ["active", "dhcp", "slaac"];
