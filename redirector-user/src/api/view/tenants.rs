//! Customers, assignments, and what a file of either changes.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FlagView;
use crate::policy::tenant::{Assignment, Customer, CustomerId};

/// One customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerView {
    /// The operator's key.
    pub id: CustomerId,
    /// Name; `None` once erased, or never told.
    pub name: Option<String>,
    /// Address for mail; `None` once erased, or never told.
    pub contact: Option<String>,
    /// Which file brought it; `None` = a person.
    pub origin: Option<String>,
    /// How the trail names it, as `customer:7`.
    pub subject: String,
    /// When it was first named.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// What it has now; empty in lists.
    #[serde(default)]
    pub assignments: Vec<AssignmentView>,
}

/// `PUT /v1/customers/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerRequest {
    /// Its name; nothing leaves it as it is, and an empty text takes it away.
    #[schema(example = "Example Hosting Ltd")]
    pub name: Option<String>,
    /// Its address for mail; nothing leaves it as it is, and an empty text takes it away.
    #[schema(example = "abuse@customer.example")]
    pub contact: Option<String>,
    /// Who says so.
    #[serde(default)]
    pub actor: String,
}

/// What a customer has and had, and what was done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerHistoryView {
    /// The operator's key.
    pub id: CustomerId,
    /// Prefixes, the newest first.
    pub assignments: Vec<AssignmentView>,
    /// Flags that were made for it, the newest first.
    pub flags: Vec<FlagView>,
}

/// That a prefix is, or was, a customer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignmentView {
    /// What.
    #[schema(value_type = String)]
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

/// `PUT /v1/assignments/{prefix}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignRequest {
    /// Whose it is.
    #[schema(example = "C-1042")]
    pub customer: String,
    /// Since when; default now.
    pub from: Option<Timestamp>,
    /// A single IPv6 address means itself, not its /64.
    #[serde(default)]
    pub exact: bool,
    /// Who says so.
    #[serde(default)]
    pub actor: String,
}

/// What a change of an assignment is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedView {
    /// The assignment, as it is now.
    #[serde(flatten)]
    pub assignment: AssignmentView,
    /// Whether anything was changed.
    pub changed: bool,
    /// Whose the prefix was before.
    pub was: Option<CustomerId>,
    /// Flags that have ended, because they were another customer's.
    pub ended_flags: usize,
}

/// `GET /v1/who`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhoView {
    /// Of what.
    #[schema(value_type = String)]
    pub target: IpNetwork,
    /// At which moment.
    pub at: Timestamp,
    /// The most specific assignment around it.
    pub assignment: AssignmentView,
    /// The customer, if it is not removed.
    pub customer: Option<CustomerView>,
    /// Flags around it at that moment, the most specific first.
    pub flags: Vec<FlagView>,
}

/// One difference between a file and what stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// What is done about it.
    pub sign: Sign,
    /// About what: `customer`, `assignment` or `flag`.
    pub about: String,
    /// The customer's key, or the prefix.
    pub what: String,
    /// What stands.
    pub before: Option<String>,
    /// What the file says.
    pub after: Option<String>,
    /// Line of the file; `None` if it is what the file does not have any more.
    pub line: Option<u64>,
    /// Of a conflict: whose it is.
    pub held_by: Option<String>,
}

/// What is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// It is not there yet.
    Add,
    /// It is there otherwise.
    Change,
    /// The file does not have it any more.
    Remove,
    /// It is there otherwise, and another's: it is left alone.
    Conflict,
}

impl From<Assignment> for AssignmentView {
    fn from(assignment: Assignment) -> Self {
        let Assignment {
            prefix,
            customer,
            from,
            to,
            origin,
        } = assignment;
        Self {
            prefix,
            customer,
            from,
            to,
            origin,
        }
    }
}

impl From<Customer> for CustomerView {
    fn from(customer: Customer) -> Self {
        Self {
            subject: crate::store::tenants::subject(customer.number),
            id: customer.id,
            name: customer.name,
            contact: customer.contact,
            origin: customer.origin,
            created_at: customer.created_at,
            changed_at: customer.changed_at,
            assignments: Vec::new(),
        }
    }
}
