//! Files of flags, of assignments, and of policy: read whole into what they ask for, or not at all.
//!
//! Columns of flags are named as the options of `outgate flag add`. `prefix` and `reason` must be there; what is left
//! empty has its default. [`rows`] reads CSV and JSON alike, [`assignments`] who has what, also as NetBox exports it, and
//! [`document`] the file of `outgate apply`. Each bad line is named with its number.
//!
//! # Diagnostics
//!
//! [`BadLines`]. Nothing that a file can hold panics or is silently left out.

mod assignments;
mod document;
mod rows;

use std::{collections::BTreeMap, fmt};

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use self::{
    assignments::Book,
    rows::{Fields, Shape, usage},
};
pub use self::{
    assignments::{WantedAssignment, WantedCustomer},
    document::read as read_policy,
};
use super::{
    dial::{FlagRequest, PoolTerms, Proposal, Refusal},
    guards::Guards,
};

/// What lines are judged by.
#[derive(Clone, Debug)]
pub struct Judges {
    /// The configured pools in order.
    pub pools: Vec<PoolTerms>,
    /// Whom nobody may flag.
    pub guards: Guards,
    /// Lines at most.
    pub lines_max: usize,
}

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Under which label, if the file itself says so.
    pub origin: Option<String>,
    /// Flags; `None` = the file is about something else.
    pub flags: Option<Vec<Row<Proposal>>>,
    /// Assignments; `None` = the file is about something else.
    pub assignments: Option<Vec<Row<WantedAssignment>>>,
    /// Customers.
    pub customers: Vec<Row<WantedCustomer>>,
    /// Whether these are all customers of its origin.
    pub all_customers: bool,
    /// Rows that say nothing about a customer here, and why; how many.
    pub skipped: BTreeMap<&'static str, usize>,
}

/// What a row asks for, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// Number of the line in the file, from 1.
    pub line: u64,
    /// What.
    pub it: T,
}

/// A line that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Number of the line in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: Refusal,
}

/// Why a file is not taken. The first [`BadLines::NAMED`] are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct BadLines {
    /// In the order of the file.
    pub lines: Vec<BadLine>,
    /// How many there are.
    pub count: usize,
}

/// Reads a file of flags. All of them are `actor`'s and as old as each other.
///
/// # Errors
///
/// [`BadLines`] names each line that is wrong; nothing is taken then.
pub fn read(
    file: &[u8],
    actor: &str,
    judges: &Judges,
    now: Timestamp,
) -> Result<Vec<Row<Proposal>>, BadLines> {
    let shape = Shape {
        columns: &Column::NAMES,
        needed: &["prefix", "reason"],
        most: judges.lines_max,
        most_is: "edge.policies_max",
    };
    let mut flags = Flags::new(actor, judges, now);
    let bad = rows::each(file, &shape, &mut |line, fields| flags.take(line, fields));
    bad.or(flags.rows)
}

/// Reads a file of assignments: CSV, JSON, or what NetBox exports.
///
/// # Errors
///
/// As [`read`].
pub fn read_assignments(file: &[u8], judges: &Judges) -> Result<Wanted, BadLines> {
    let mut book = Book::new(judges);
    let bad = book.read(file);
    bad.or(book.wanted)
}

/// Flags as they are read, one by one.
struct Flags<'a> {
    actor: &'a str,
    judges: &'a Judges,
    now: Timestamp,
    seen: BTreeMap<IpNetwork, u64>,
    rows: Vec<Row<Proposal>>,
}

impl<'a> Flags<'a> {
    const fn new(actor: &'a str, judges: &'a Judges, now: Timestamp) -> Self {
        Self {
            actor,
            judges,
            now,
            seen: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    fn take(&mut self, line: u64, fields: &Fields<'_>) -> Result<(), Refusal> {
        let request = request(fields, self.actor)?;
        let proposal = Proposal::read(&request, &self.judges.pools, self.now)?;
        self.judges.guards.check_flag(&proposal)?;
        once(&mut self.seen, proposal.prefix, line)?;
        self.rows.push(Row { line, it: proposal });
        Ok(())
    }
}

/// A prefix that is there twice would contradict itself.
fn once(seen: &mut BTreeMap<IpNetwork, u64>, prefix: IpNetwork, line: u64) -> Result<(), Refusal> {
    match seen.insert(prefix, line) {
        None => Ok(()),
        Some(first) => Err(usage(format!("{prefix} stands on line {first} already"))),
    }
}

fn request(fields: &Fields<'_>, actor: &str) -> Result<FlagRequest, Refusal> {
    let mut request = FlagRequest {
        actor: actor.to_owned(),
        ..FlagRequest::default()
    };
    for (column, value) in fields {
        let Some(column) = Column::ALL.get(*column).copied() else {
            continue;
        };
        let value = value.clone().into_owned();
        match column {
            Column::Prefix => request.target = value,
            Column::Reason => request.reason = value,
            Column::Action => request.action = Some(value),
            Column::Pool => request.pool = Some(value),
            Column::Treatment => request.treatment = Some(value),
            Column::Egress => request.egress = Some(value),
            Column::Delivery => request.delivery = Some(value),
            Column::Tier => request.tier = Some(value),
            Column::Limits => request.limits = Some(value),
            Column::Rate => request.rate = Some(value),
            Column::Burst => {
                let burst = value.parse();
                request.burst = Some(burst.map_err(|_malformed| {
                    usage(format!("burst {value:?}: allowed are 1 to 65535"))
                })?);
            }
            Column::For => request.life = Some(value),
            Column::Ticket => request.ticket = Some(value),
            Column::Exact => request.exact = yes(column, &value)?,
            Column::Cut => request.cut = yes(column, &value)?,
            Column::Confirmed => request.confirmed = yes(column, &value)?,
            Column::Notify => request.notify = Some(yes(column, &value)?),
        }
    }
    Ok(request)
}

fn yes(column: Column, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        other => Err(usage(format!(
            "{} {other:?}: allowed are yes and no",
            column.name()
        ))),
    }
}

/// What a line can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Prefix,
    Reason,
    Action,
    Pool,
    Treatment,
    Egress,
    Rate,
    Burst,
    For,
    Ticket,
    Exact,
    Cut,
    Confirmed,
    Notify,
    Delivery,
    Tier,
    Limits,
}

impl Column {
    /// As a file spells them, in the order of [`Column::ALL`].
    const NAMES: [&'static str; 17] = [
        "prefix",
        "reason",
        "action",
        "pool",
        "treatment",
        "egress",
        "rate",
        "burst",
        "for",
        "ticket",
        "exact",
        "cut",
        "confirmed",
        "notify",
        "delivery",
        "tier",
        "limits",
    ];

    const ALL: [Self; 17] = [
        Self::Prefix,
        Self::Reason,
        Self::Action,
        Self::Pool,
        Self::Treatment,
        Self::Egress,
        Self::Rate,
        Self::Burst,
        Self::For,
        Self::Ticket,
        Self::Exact,
        Self::Cut,
        Self::Confirmed,
        Self::Notify,
        Self::Delivery,
        Self::Tier,
        Self::Limits,
    ];

    fn name(self) -> &'static str {
        let known = Self::ALL.iter().zip(Self::NAMES);
        let found = known.into_iter().find(|(column, _)| **column == self);
        found.map_or("", |(_, name)| name)
    }
}

impl BadLines {
    /// Bad lines that are named.
    pub const NAMED: usize = 1000;
    /// Bad lines after which nobody looks at the rest of a file.
    pub const MOST: usize = 100_000;

    /// One more.
    pub fn push(&mut self, line: BadLine) {
        self.count += 1;
        if self.lines.len() < Self::NAMED {
            self.lines.push(line);
        }
    }

    /// What was read, if nothing was wrong.
    fn or<T>(self, read: T) -> Result<T, Self> {
        if self.count == 0 { Ok(read) } else { Err(self) }
    }

    /// Whether each of them is well-formed, and a guard forbids it.
    #[must_use]
    pub fn are_guarded(&self) -> bool {
        let guarded = |line: &BadLine| matches!(line.what, Refusal::Guard(_));
        self.lines.iter().all(guarded)
    }
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = if self.count == 1 { "line" } else { "lines" };
        write!(f, "nothing was imported: {} bad {lines}", self.count)?;
        for BadLine { line, what } in &self.lines {
            write!(f, "\nline {line}: {what}")?;
        }
        match self.count.saturating_sub(self.lines.len()) {
            0 => Ok(()),
            more if self.count == Self::MOST => {
                write!(
                    f,
                    "\nand {more} more; the rest of the file was not looked at"
                )
            }
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
