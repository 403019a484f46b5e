//! The file of `outgate apply`: TOML, with customers, assignments and flags, and the origin that they are kept under.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use serde::Deserialize;
use toml::{Spanned, Value};

use super::{
    BadLine, BadLines, Column, Flags, Judges, Wanted,
    assignments::{Book, COLUMNS, WantedCustomer},
    rows::{self, usage},
};
use crate::policy::dial::Refusal;

/// Reads a file of policy. All of its flags are `actor`'s and as old as each other.
///
/// # Errors
///
/// [`BadLines`] names each line that is wrong; nothing is taken then.
pub fn read(file: &[u8], actor: &str, judges: &Judges, now: Timestamp) -> Result<Wanted, BadLines> {
    let mut bad = BadLines::default();
    let only = |line, what| {
        let mut bad = BadLines::default();
        bad.push(BadLine { line, what });
        bad
    };
    let text = rows::prepared(file).map_err(|what| only(1, what))?;
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = line_of(text, error.valid_up_to());
        only(
            line,
            usage("not UTF-8; save the file as UTF-8 and try again"),
        )
    })?;
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        only(line_of(text.as_bytes(), at), usage(error.message()))
    })?;
    let lines = Lines::new(text.as_bytes());
    let mut book = Book::new(judges);
    book.wanted.origin = Some(raw.origin);
    book.wanted.all_customers = true;
    for customer in raw.customer {
        let (line, customer) = (lines.of(&customer), customer.into_inner());
        let (name, contact) = (customer.name.as_deref(), customer.contact.as_deref());
        let read = WantedCustomer::read(&customer.id, name, contact);
        let judged = read.and_then(|read| match book.line_of(&read.id) {
            None => book.note_customer(line, read),
            Some(first) => Err(usage(format!(
                "customer {} stands on line {first} already",
                read.id
            ))),
        });
        if let Err(what) = judged {
            bad.push(BadLine { line, what });
        }
    }
    for assignment in raw.assignment {
        let line = lines.of(&assignment);
        let judged = fields(assignment.into_inner(), &COLUMNS);
        if let Err(what) = judged.and_then(|fields| book.take(line, &fields)) {
            bad.push(BadLine { line, what });
        }
    }
    let mut flags = Flags::new(actor, judges, now);
    for flag in raw.flag {
        let line = lines.of(&flag);
        let judged = fields(flag.into_inner(), &Column::NAMES);
        if let Err(what) = judged.and_then(|fields| flags.take(line, &fields)) {
            bad.push(BadLine { line, what });
        }
    }
    let mut wanted = book.wanted;
    wanted.flags = Some(flags.rows);
    bad.lines.sort_by_key(|bad| bad.line);
    bad.or(wanted)
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    origin: String,
    #[serde(default)]
    customer: Vec<Spanned<RawCustomer>>,
    #[serde(default)]
    assignment: Vec<Spanned<BTreeMap<String, Value>>>,
    #[serde(default)]
    flag: Vec<Spanned<BTreeMap<String, Value>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCustomer {
    id: String,
    name: Option<String>,
    contact: Option<String>,
}

/// A column, and what stands there.
type Field = (usize, Cow<'static, str>);

/// Lines of what has a place in the file.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &[u8]) -> Self {
        let ends = text
            .iter()
            .enumerate()
            .filter(|(_, octet)| **octet == b'\n');
        Self(ends.map(|(at, _)| at).collect())
    }

    fn of<T>(&self, it: &Spanned<T>) -> u64 {
        let begin = it.span().start;
        self.0.partition_point(|end| *end < begin) as u64 + 1
    }
}

fn line_of(text: &[u8], at: usize) -> u64 {
    let before = text.get(..at).unwrap_or(text);
    before.iter().filter(|octet| **octet == b'\n').count() as u64 + 1
}

fn fields(row: BTreeMap<String, Value>, columns: &[&str]) -> Result<Vec<Field>, Refusal> {
    let field = |(name, value): (String, Value)| -> Result<Field, Refusal> {
        let column = columns.iter().position(|known| *known == name);
        let column = column.ok_or_else(|| {
            let known = columns.join(", ");
            usage(format!("{name}: unknown; allowed are {known}"))
        })?;
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Boolean(true) => String::from("yes"),
            Value::Boolean(false) => String::from("no"),
            Value::Integer(number) => number.to_string(),
            Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                return Err(usage(format!(
                    "{name}: text, a whole number, or true or false is expected"
                )));
            }
        };
        Ok((column, Cow::Owned(text)))
    };
    let fields: Result<Vec<_>, Refusal> = row.into_iter().map(field).collect();
    let mut fields = fields?;
    fields.retain(|(_, text)| !text.is_empty());
    Ok(fields)
}
