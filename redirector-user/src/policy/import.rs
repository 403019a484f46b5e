//! A file of flags: CSV with a header line, read into proposals, all of them or none.
//!
//! Columns are named as the options of `outgate flag add`. `prefix` and `reason` must be there; what is left
//! empty has its default. The file may come from anywhere: a line too long, a field that is not UTF-8, a quote
//! that never ends are bad lines like any other, and each bad line is named with its number.
//!
//! # Diagnostics
//!
//! [`BadLines`]. Nothing that a file can hold panics or is silently left out.

use std::{collections::BTreeMap, fmt};

use csv::{ByteRecord, ReaderBuilder};
use ipnetwork::IpNetwork;
use jiff::Timestamp;

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

/// Reads a file. All flags are `actor`'s and as old as each other.
///
/// # Errors
///
/// [`BadLines`] names each line that is wrong; nothing is taken then.
pub fn read(
    file: &[u8],
    actor: &str,
    judges: &Judges,
    now: Timestamp,
) -> Result<Vec<Proposal>, BadLines> {
    // Spreadsheets begin UTF-8 with a mark.
    let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let mut lines = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(file);
    let (mut bad, mut record) = (BadLines::default(), ByteRecord::new());
    let columns = match next(&mut lines, &mut record) {
        Ok(true) => columns(&record),
        Ok(false) => Err(usage("the file is empty; its first line names the columns")),
        Err(refusal) => Err(refusal),
    };
    let columns = columns.map_err(|what| BadLines::only(BadLine { line: 1, what }))?;
    let mut numbers = Numbers::new(file);
    let mut proposals = Vec::new();
    let mut seen: BTreeMap<IpNetwork, u64> = BTreeMap::new();
    loop {
        let more = next(&mut lines, &mut record);
        let line = numbers.of(&record);
        let proposal = match more {
            Ok(false) => break,
            Ok(true) if proposals.len() == judges.lines_max => {
                let most = judges.lines_max;
                let what = usage(format!(
                    "beyond edge.policies_max, which is {most}; raise it"
                ));
                bad.push(BadLine { line, what });
                break;
            }
            Ok(true) => request(&record, &columns, actor)
                .and_then(|request| Proposal::read(&request, &judges.pools, now)),
            Err(refusal) => {
                bad.push(BadLine {
                    line,
                    what: refusal,
                });
                break;
            }
        };
        let judged = proposal.and_then(|proposal| {
            judges.guards.check(proposal.prefix)?;
            match seen.insert(proposal.prefix, line) {
                None => Ok(proposal),
                Some(first) => Err(usage(format!(
                    "{} stands on line {first} already",
                    proposal.prefix
                ))),
            }
        });
        match judged {
            Ok(proposal) => proposals.push(proposal),
            Err(what) => bad.push(BadLine { line, what }),
        }
    }
    if bad.count == 0 {
        Ok(proposals)
    } else {
        Err(bad)
    }
}

/// Numbers of lines. The reader's own are those of the empty lines before a record, and of a CR whose LF is
/// still to come.
struct Numbers<'a> {
    file: &'a [u8],
    /// What is counted already, and its number.
    at: usize,
    line: u64,
}

impl<'a> Numbers<'a> {
    const fn new(file: &'a [u8]) -> Self {
        Self {
            file,
            at: 0,
            line: 1,
        }
    }

    /// The line that a record begins on; records come in the order of the file.
    fn of(&mut self, record: &ByteRecord) -> u64 {
        let from = record.position().map_or(0, csv::Position::byte);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = self.file.get(from..).unwrap_or(&[]);
        let empty = rest.iter().take_while(|octet| b"\r\n".contains(octet));
        let begin = from + empty.count();
        let passed = self.file.get(self.at..begin).unwrap_or(&[]);
        let follow = self.file.get(self.at + 1..).unwrap_or(&[]);
        let follow = follow.iter().map(Some).chain([None]);
        let ends = passed.iter().zip(follow).filter(|(octet, next)| {
            **octet == b'\n' || (**octet == b'\r' && *next != Some(&b'\n'))
        });
        self.line += ends.count() as u64;
        self.at = begin.max(self.at);
        self.line
    }
}

/// Reads the next record; `false` = there is none.
fn next(lines: &mut csv::Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, Refusal> {
    let more = lines.read_byte_record(record);
    let more = more.map_err(|error| usage(format!("not CSV: {error}")))?;
    if more && record.as_slice().len() > LINE_OCTETS {
        return Err(usage(format!(
            "longer than {LINE_OCTETS} octets; is there a quote without its end?"
        )));
    }
    Ok(more)
}

/// The columns of a header, in its order.
fn columns(header: &ByteRecord) -> Result<Vec<Column>, Refusal> {
    let mut columns = Vec::new();
    for name in header {
        let name = text(name)?;
        let column = Column::ALL.into_iter().find(|column| column.name() == name);
        let column = column.ok_or_else(|| {
            let known = Column::ALL.map(Column::name).join(", ");
            usage(format!("column {name:?}: unknown; columns are {known}"))
        })?;
        if columns.contains(&column) {
            return Err(usage(format!("column {name}: named twice")));
        }
        columns.push(column);
    }
    for needed in [Column::Prefix, Column::Reason] {
        if !columns.contains(&needed) {
            let name = needed.name();
            return Err(usage(format!(
                "no column {name}; the first line names the columns"
            )));
        }
    }
    Ok(columns)
}

fn request(record: &ByteRecord, columns: &[Column], actor: &str) -> Result<FlagRequest, Refusal> {
    if record.len() != columns.len() {
        return Err(usage(format!(
            "{} fields, and the header names {}",
            record.len(),
            columns.len()
        )));
    }
    let mut request = FlagRequest {
        actor: actor.to_owned(),
        ..FlagRequest::default()
    };
    for (column, field) in columns.iter().zip(record) {
        let value = text(field)?;
        if value.is_empty() {
            continue;
        }
        let value = value.to_owned();
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
            Column::Exact => request.exact = yes(*column, &value)?,
            Column::Cut => request.cut = yes(*column, &value)?,
            Column::Confirmed => request.confirmed = yes(*column, &value)?,
            Column::Notify => request.notify = Some(yes(*column, &value)?),
        }
    }
    Ok(request)
}

fn text(field: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(field)
        .map_err(|_malformed| usage("not UTF-8; save the file as UTF-8 and try again"))?;
    if text.contains('\0') {
        return Err(usage(
            "holds NUL; is it UTF-16? save the file as UTF-8 and try again",
        ));
    }
    Ok(text.trim())
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

fn usage(what: impl Into<String>) -> Refusal {
    Refusal::Usage(what.into())
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

    const fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Reason => "reason",
            Self::Action => "action",
            Self::Pool => "pool",
            Self::Treatment => "treatment",
            Self::Egress => "egress",
            Self::Rate => "rate",
            Self::Burst => "burst",
            Self::For => "for",
            Self::Ticket => "ticket",
            Self::Exact => "exact",
            Self::Cut => "cut",
            Self::Confirmed => "confirmed",
            Self::Notify => "notify",
            Self::Delivery => "delivery",
            Self::Tier => "tier",
            Self::Limits => "limits",
        }
    }
}

impl BadLines {
    /// Bad lines that are named.
    pub const NAMED: usize = 1000;

    fn only(line: BadLine) -> Self {
        let mut bad = Self::default();
        bad.push(line);
        bad
    }

    fn push(&mut self, line: BadLine) {
        self.count += 1;
        if self.lines.len() < Self::NAMED {
            self.lines.push(line);
        }
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
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// Octets of a line; the longest that makes sense has about 600.
const LINE_OCTETS: usize = 4096;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests;
