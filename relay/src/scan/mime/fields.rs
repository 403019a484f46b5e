//! A header section as fields, and the few of them that say what a part is.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use super::FIELD_OCTETS_MAX;

/// One field, as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Without the colon and what stands before it.
    pub(super) name: &'a [u8],
    /// Everything behind the colon, folds included, without the last line's end.
    pub(super) value: &'a [u8],
}

/// The fields of a section in their order. What is no field is passed over.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(section: &'a [u8]) -> Self {
        Self(section)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let section = self.0;
            if section.is_empty() {
                return None;
            }
            let end = end_of_field(section);
            let (field, rest) = section.split_at(end);
            self.0 = rest;
            let field = trim_line_end(field);
            if !is_field(field) {
                continue;
            }
            let colon = memchr::memchr(b':', field)?;
            return Some(Field {
                name: field[..colon].trim_ascii_end(),
                value: &field[colon + 1..],
            });
        }
    }
}

/// Whether a line begins a field: a name of visible characters, and a colon, perhaps after blanks (RFC 5322 section 4.5.8).
pub(super) fn is_field(line: &[u8]) -> bool {
    let name = line
        .iter()
        .take_while(|octet| octet.is_ascii_graphic() && **octet != b':')
        .count();
    let rest = line[name..].trim_ascii_start();
    name > 0 && rest.first() == Some(&b':')
}

/// Whether it goes on with the one before.
pub(super) fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// A line without its end.
pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What the header of a part says about its body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// Type and subtype in small letters.
    pub(super) media: Option<String>,
    pub(super) charset: Option<String>,
    pub(super) boundary: Option<String>,
    pub(super) encoding: Encoding,
}

/// Content-Transfer-Encoding.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary, or one that nobody knows.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Description {
    /// Of several fields of a name the first counts, as it does for most programs that show mail.
    pub(super) fn read(section: &[u8]) -> Self {
        let mut description = Self::default();
        let (mut typed, mut encoded) = (false, false);
        for field in Fields::new(section) {
            if field.name.eq_ignore_ascii_case(b"content-type") && !typed {
                typed = true;
                description.read_type(field.value);
            } else if field
                .name
                .eq_ignore_ascii_case(b"content-transfer-encoding")
                && !encoded
            {
                encoded = true;
                description.encoding = encoding(field.value);
            }
        }
        description
    }

    fn read_type(&mut self, value: &[u8]) {
        let Some(parsed) = parsed(value) else {
            return;
        };
        let subtype = parsed.subtype().unwrap_or_default();
        self.media = Some(format!("{}/{subtype}", parsed.ctype()).to_ascii_lowercase());
        let attribute = |name| parsed.attribute(name).map(str::to_owned);
        self.charset = attribute("charset");
        self.boundary = attribute("boundary").filter(|boundary| !boundary.is_empty());
    }
}

fn parsed(value: &[u8]) -> Option<ContentType<'static>> {
    if value.len() > FIELD_OCTETS_MAX {
        return None;
    }
    // The end of a line that nothing continues is what ends a field for mail-parser.
    let line = [value, b"\n"].concat();
    match MessageStream::new(&line).parse_content_type().into_owned() {
        HeaderValue::ContentType(parsed) => Some(parsed),
        _ => None,
    }
}

fn encoding(value: &[u8]) -> Encoding {
    let value: Cow<'_, str> = String::from_utf8_lossy(value);
    let mut words = value.split(|it: char| it.is_ascii_whitespace() || it == '(' || it == ';');
    let word = words.find(|word| !word.is_empty()).unwrap_or_default();
    if word.eq_ignore_ascii_case("base64") {
        Encoding::Base64
    } else if word.eq_ignore_ascii_case("quoted-printable") {
        Encoding::QuotedPrintable
    } else {
        Encoding::Identity
    }
}

/// Where the field at the beginning of `section` ends, its last line's end included.
fn end_of_field(section: &[u8]) -> usize {
    let mut ends = memchr::memchr_iter(b'\n', section);
    ends.find(|end| !is_continuation(&section[end + 1..]))
        .map_or(section.len(), |end| end + 1)
}
