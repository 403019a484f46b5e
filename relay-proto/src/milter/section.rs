//! A header section as a filter is shown it: field by field, and where the body begins.
//!
//! Filters are told of fields and of a body, and of nothing between. So the first line that is neither a field nor goes
//! on with one ends the header section, as it does for Sendmail: nothing of a message is hidden from the filter, however
//! broken it is.

use std::ffi::CString;

/// The fields of a section, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Each as it was sent.
    pub fields: Vec<Field<'a>>,
    /// Where what follows them begins, the empty line passed over.
    pub body_at: usize,
    /// There are more fields than were wanted; the next one is where the body is said to begin.
    pub is_cut: bool,
}

/// One field, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What stands before the colon, without blanks.
    pub name: &'a [u8],
    /// What stands behind it, without the end of its last line.
    pub value: &'a [u8],
}

impl<'a> Section<'a> {
    /// The fields at the beginning of `content`, at most so many. `content` ends with the empty line, or before it.
    #[must_use]
    pub fn read(content: &'a [u8], fields_max: usize) -> Self {
        let mut section = Self {
            fields: Vec::new(),
            body_at: 0,
            is_cut: false,
        };
        loop {
            let rest = content.get(section.body_at..).unwrap_or_default();
            let Some((field, octets)) = field(rest) else {
                // The empty line belongs to neither side.
                if rest.starts_with(b"\r\n") {
                    section.body_at = section.body_at.saturating_add(2);
                }
                return section;
            };
            if section.fields.len() >= fields_max {
                section.is_cut = true;
                return section;
            }
            section.fields.push(field);
            section.body_at = section.body_at.saturating_add(octets);
        }
    }
}

impl Field<'_> {
    /// The words of a frame about it, of at most so many octets together: lines are separated by LF, and a NUL, which ends
    /// a word, is a space. Whether all of it fits.
    #[must_use]
    pub fn words(&self, leading_space: bool, octets_max: usize) -> (CString, CString, bool) {
        let value = match self.value {
            [b' ', rest @ ..] if !leading_space => rest,
            value => value,
        };
        // Two NULs stand in the frame, too, and a name that is longer than half of it is nobody's.
        let name = self.name.get(..octets_max / 2).unwrap_or(self.name);
        let room = octets_max.saturating_sub(name.len().saturating_add(2));
        let mut octets: Vec<u8> = Vec::with_capacity(value.len().min(room));
        for (at, &octet) in value.iter().enumerate() {
            if octet == b'\r' && value.get(at.saturating_add(1)) == Some(&b'\n') {
                continue;
            }
            octets.push(octet);
        }
        let fits = octets.len() <= room && name.len() == self.name.len();
        octets.truncate(room);
        (word(name), word(&octets), fits)
    }
}

/// A word of a frame.
fn word(octets: &[u8]) -> CString {
    let octets = octets.iter().map(|octet| match octet {
        0 => b' ',
        octet => *octet,
    });
    CString::new(octets.collect::<Vec<u8>>()).unwrap_or_default()
}

/// The field that `rest` begins with, and its length with the end of its last line.
fn field(rest: &[u8]) -> Option<(Field<'_>, usize)> {
    let colon = memchr::memchr2(b':', b'\n', rest)?;
    let (name, value) = rest.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    // RFC 5322 section 2.2: printable ASCII; blanks before the colon are of section 4.5.
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let value = value.strip_prefix(b":")?;
    let end = end_of_field(value);
    let value = value.get(..end)?;
    let octets = colon.saturating_add(1).saturating_add(end);
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    Some((Field { name, value }, octets))
}

/// Behind the first line's end that no blank follows.
fn end_of_field(value: &[u8]) -> usize {
    let ends = memchr::memchr_iter(b'\n', value).map(|at| at.saturating_add(1));
    let mut ends = ends.filter(|end| !matches!(value.get(*end), Some(b' ' | b'\t')));
    ends.next().unwrap_or(value.len())
}
