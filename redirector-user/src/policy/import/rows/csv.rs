//! Rows of CSV.

use std::{borrow::Cow, cell::Cell, io, rc::Rc};

use csv::{ByteRecord, ReaderBuilder};

use super::{Judge, Shape, column, usage};
use crate::policy::dial::Refusal;

/// A file, of which no more is handed out for a record than one may have.
struct Bounded<'a> {
    rest: &'a [u8],
    left: Rc<Cell<usize>>,
}

impl io::Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.left.get()).min(self.rest.len());
        if most == 0 && !self.rest.is_empty() {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let (now, rest) = self.rest.split_at(most);
        for (place, octet) in into.iter_mut().zip(now) {
            *place = *octet;
        }
        self.rest = rest;
        self.left.set(self.left.get() - most);
        Ok(most)
    }
}

pub(super) fn each(file: &[u8], shape: &Shape, judge: &mut Judge<'_>) {
    let left = Rc::new(Cell::new(0));
    let mut lines = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER_OCTETS)
        .from_reader(Bounded {
            rest: file,
            left: Rc::clone(&left),
        });
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| {
        // What the buffer holds of it, and the buffer once more.
        left.set(LINE_OCTETS + 2 * BUFFER_OCTETS);
        let more = lines
            .read_byte_record(record)
            .map_err(|error| match error.kind() {
                csv::ErrorKind::Io(_) => too_long(),
                _ => usage(format!("not CSV: {error}")),
            })?;
        match more && record.as_slice().len() > LINE_OCTETS {
            true => Err(too_long()),
            false => Ok(more),
        }
    };
    let columns = match next(&mut record) {
        Ok(true) => columns(&record, shape),
        Ok(false) => Err(usage("the file is empty; its first line names the columns")),
        Err(refusal) => Err(refusal),
    };
    let columns = match columns {
        Ok(columns) => columns,
        Err(refusal) => {
            judge(1, Err(refusal));
            return;
        }
    };
    let mut numbers = Numbers::new(file);
    loop {
        let more = next(&mut record);
        let line = numbers.of(&record);
        match more {
            Ok(false) => return,
            Ok(true) => {
                let row = fields(&record, &columns);
                if !judge(line, row.as_deref().map_err(Clone::clone)) {
                    return;
                }
            }
            // Nobody can tell where the next one begins.
            Err(refusal) => {
                judge(line, Err(refusal));
                return;
            }
        }
    }
}

/// The columns of a header, in its order.
fn columns(header: &ByteRecord, shape: &Shape) -> Result<Vec<usize>, Refusal> {
    let mut columns = Vec::new();
    for name in header {
        let name = text(name)?;
        let column = column(shape, name)?;
        if columns.contains(&column) {
            return Err(usage(format!("column {name}: named twice")));
        }
        columns.push(column);
    }
    for name in shape.needed {
        let named = columns
            .iter()
            .filter_map(|column| shape.columns.get(*column));
        if !named.into_iter().any(|known| known == name) {
            return Err(usage(format!(
                "no column {name}; the first line names the columns"
            )));
        }
    }
    Ok(columns)
}

fn fields<'a>(
    record: &'a ByteRecord,
    columns: &[usize],
) -> Result<Vec<(usize, Cow<'a, str>)>, Refusal> {
    if record.len() != columns.len() {
        return Err(usage(format!(
            "{} fields, and the header names {}",
            record.len(),
            columns.len()
        )));
    }
    let mut fields = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(record) {
        let value = text(field)?;
        if !value.is_empty() {
            fields.push((*column, Cow::Borrowed(value)));
        }
    }
    Ok(fields)
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

fn too_long() -> Refusal {
    usage(format!(
        "longer than {LINE_OCTETS} octets; is there a quote without its end?"
    ))
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

/// Octets of a line; the longest that makes sense has about 600.
const LINE_OCTETS: usize = 4096;
const BUFFER_OCTETS: usize = 8192;
