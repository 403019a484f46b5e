//! Rows of a file, whoever wrote it: CSV with a header line, or JSON, an array of objects with the same names.
//!
//! [`Shape`] says which names there are; a row is handed on as those that it has, as text. The file may come from anywhere:
//! a line too long, a field that is not UTF-8, a quote that never ends, an object that is never closed are bad lines like
//! any other. No row takes more memory than [`ROW_OCTETS`], whatever the file holds.

mod csv;
mod json;

pub(super) use self::json::{array, member};
use super::{BadLine, BadLines};
use crate::policy::dial::Refusal;

/// What a row can say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Names of its fields.
    pub(super) columns: &'static [&'static str],
    /// Those that every file must have.
    pub(super) needed: &'static [&'static str],
    /// Good rows at most.
    pub(super) most: usize,
    /// Where that stands, and what to do about it.
    pub(super) most_is: &'static str,
}

/// Fields of a row that are not empty: the number of the column, and what stands there.
pub(super) type Fields<'a> = [(usize, std::borrow::Cow<'a, str>)];

/// Goes through a file, until it ends or no more can be taken. `take` judges each row, by its line.
pub(super) fn each(
    file: &[u8],
    shape: &Shape,
    take: &mut dyn FnMut(u64, &Fields<'_>) -> Result<(), Refusal>,
) -> BadLines {
    let mut bad = BadLines::default();
    let mut taken = 0;
    let mut judged = |line: u64, row: Result<&Fields<'_>, Refusal>| {
        if taken == shape.most && row.is_ok() {
            let what = usage(format!(
                "beyond {}, which is {}; raise it",
                shape.most_is, shape.most
            ));
            bad.push(BadLine { line, what });
            return false;
        }
        match row.and_then(|fields| take(line, fields)) {
            Ok(()) => taken += 1,
            Err(what) => bad.push(BadLine { line, what }),
        }
        bad.count < BadLines::MOST
    };
    match prepared(file) {
        Err(what) => bad.push(BadLine { line: 1, what }),
        Ok(file) if is_json(file) => json::each(file, shape, &mut judged),
        Ok(file) => csv::each(file, shape, &mut judged),
    }
    bad
}

/// Without the mark that spreadsheets begin UTF-8 with.
pub(super) fn prepared(file: &[u8]) -> Result<&[u8], Refusal> {
    if [b"\xff\xfe", b"\xfe\xff"]
        .iter()
        .any(|mark| file.starts_with(*mark))
    {
        return Err(usage("is UTF-16; save the file as UTF-8 and try again"));
    }
    Ok(file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file))
}

/// Whether a file is JSON: no header line begins like that.
pub(super) fn is_json(file: &[u8]) -> bool {
    let first = file.iter().find(|octet| !octet.is_ascii_whitespace());
    matches!(first, Some(b'[' | b'{'))
}

/// The number of a column.
fn column(shape: &Shape, name: &str) -> Result<usize, Refusal> {
    let found = shape.columns.iter().position(|known| *known == name);
    found.ok_or_else(|| {
        let known = shape.columns.join(", ");
        usage(format!("column {name:?}: unknown; columns are {known}"))
    })
}

pub(super) fn usage(what: impl Into<String>) -> Refusal {
    Refusal::Usage(what.into())
}

/// What judges rows; `false` = no more are wanted.
type Judge<'a> = dyn FnMut(u64, Result<&Fields<'_>, Refusal>) -> bool + 'a;

/// Octets of a row of JSON; what NetBox says of a prefix has about two thousand.
pub(super) const ROW_OCTETS: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
