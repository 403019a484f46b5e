//! Fields with a tag and a length, so that a reader can pass over what it does not know.
//!
//! A tag is an octet, a length a number of seven bits an octet, least first, the eighth bit set on all but the last.
//! Tags from [`CRITICAL`] on must be understood: to pass over such a field would be to treat a message as something
//! that it is not.

/// Tags from here on must be understood.
pub(crate) const CRITICAL: u8 = 128;

/// Octets that break the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Fields being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Fields after these octets.
    pub(crate) fn after(octets: &[u8]) -> Self {
        Self(octets.to_vec())
    }

    /// A field of any octets.
    pub(crate) fn octets(&mut self, tag: u8, value: &[u8]) {
        self.0.push(tag);
        push_number(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A field of text.
    pub(crate) fn text(&mut self, tag: u8, value: &str) {
        self.octets(tag, value.as_bytes());
    }

    /// A field of a number.
    pub(crate) fn number(&mut self, tag: u8, value: u64) {
        let mut octets = Vec::new();
        push_number(&mut octets, value);
        self.octets(tag, &octets);
    }

    /// A field that is there or not.
    pub(crate) fn flag(&mut self, tag: u8, value: bool) {
        if value {
            self.octets(tag, &[]);
        }
    }

    /// A field of fields.
    pub(crate) fn group(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        let mut group = Self::default();
        write(&mut group);
        self.octets(tag, &group.0);
    }

    /// All of it.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Each field of these octets; nothing comes after an error.
pub(crate) fn fields(octets: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), Malformed>> {
    let mut rest = octets;
    core::iter::from_fn(move || {
        let (&tag, after) = rest.split_first()?;
        rest = after;
        let value = take_number(&mut rest)
            .and_then(|length| usize::try_from(length).ok())
            .and_then(|length| rest.split_at_checked(length));
        rest = value.map_or(&[], |(_, after)| after);
        Some(value.map(|(value, _)| (tag, value)).ok_or(Malformed))
    })
}

/// The field's text.
pub(crate) fn text(value: &[u8]) -> Result<&str, Malformed> {
    core::str::from_utf8(value).map_err(|_not_utf8| Malformed)
}

/// The field's number.
pub(crate) fn number(mut value: &[u8]) -> Result<u64, Malformed> {
    let number = take_number(&mut value).ok_or(Malformed)?;
    value.is_empty().then_some(number).ok_or(Malformed)
}

/// Appends a number.
pub(crate) fn push_number(octets: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            octets.push(low & 0x7f);
            return;
        }
        octets.push(low | 0x80);
    }
}

/// Takes a number off the front. A number has one form only: no octets that add nothing.
pub(crate) fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&octet, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(octet & 0x7f);
        let shifted = bits << shift;
        if shifted >> shift != bits {
            return None;
        }
        number |= shifted;
        if octet & 0x80 == 0 {
            return (octet != 0 || shift == 0).then_some(number);
        }
    }
    None
}
