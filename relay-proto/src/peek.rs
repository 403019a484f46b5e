//! What a TLS client says first, read without answering it.
//!
//! [`peek`] is given all that has come since STARTTLS, each time anew, until it is sure; the caller keeps the
//! octets and hands them on untouched, to its own TLS or to somebody else's. Nothing is decrypted, because a
//! ClientHello is in clear text (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
//!
//! # Diagnostics
//! Nothing panics and nothing is returned as an error. What is not a ClientHello is [`Peeked::NotTls`], with the
//! reason; a TLS library would say the same, only later.

mod reader;

use std::borrow::Cow;

use reader::Reader;

/// What the octets are so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peeked {
    /// Nothing but the beginning of a ClientHello; more must come.
    Incomplete,
    /// No ClientHello, whatever may follow: why.
    NotTls(&'static str),
    /// A whole ClientHello; more may have come behind it.
    Hello(ClientHello),
}

/// What matters of a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server that the client means (RFC 6066 section 3), in lower case; `None` also for what is no
    /// host's name, as an address.
    pub server_name: Option<String>,
    /// The versions that it offers, as 0x0303 for TLS 1.2, in its own order; values without a meaning, which
    /// clients put among them (RFC 8701), are left out.
    pub versions: Vec<u16>,
    /// The protocols that it offers to speak inside (RFC 7301), in its own order.
    pub alpn: Vec<Vec<u8>>,
}

/// What `octets`, all that a client has sent from the beginning of TLS on, begin with. Looks at no more than
/// [`MAX_OCTETS`], and at that many it is always sure.
#[must_use]
pub fn peek(octets: &[u8]) -> Peeked {
    let whole = octets.get(..MAX_OCTETS);
    match read(whole.unwrap_or(octets)) {
        Ok(hello) => Peeked::Hello(hello),
        Err(Not::Whole) if whole.is_none() => Peeked::Incomplete,
        Err(Not::Whole) => Peeked::NotTls(TOO_LONG),
        Err(Not::Tls(why)) => Peeked::NotTls(why),
    }
}

/// Why there is no ClientHello.
enum Not {
    /// It may still become one.
    Whole,
    Tls(&'static str),
}

fn read(octets: &[u8]) -> Result<ClientHello, Not> {
    let message = message(octets)?;
    client_hello(Reader::new(&message)).ok_or(Not::Tls("a malformed ClientHello"))
}

/// The first handshake message, without its header, put together from the records that it was cut into.
fn message(octets: &[u8]) -> Result<Cow<'_, [u8]>, Not> {
    let mut records = Reader::new(octets);
    let mut joined = Cow::Borrowed(&[][..]);
    loop {
        let fragment = fragment(&mut records)?;
        match &mut joined {
            Cow::Borrowed([]) => joined = Cow::Borrowed(fragment.octets),
            several @ (Cow::Borrowed(_) | Cow::Owned(_)) => {
                several.to_mut().extend_from_slice(fragment.octets);
            }
        }
        let mut message = Reader::new(&joined);
        if let Some(kind) = message.u8()
            && kind != CLIENT_HELLO
        {
            return Err(Not::Tls("not a ClientHello"));
        }
        if let Some(length) = message.u24() {
            if length > MAX_OCTETS {
                return Err(Not::Tls(TOO_LONG));
            }
            if joined.len() >= HEADER_OCTETS + length {
                return Ok(cut(joined, HEADER_OCTETS, length));
            }
        }
        if !fragment.whole {
            return Err(Not::Whole);
        }
    }
}

/// What is there of one record's content.
struct Fragment<'a> {
    octets: &'a [u8],
    whole: bool,
}

fn fragment<'a>(records: &mut Reader<'a>) -> Result<Fragment<'a>, Not> {
    // Each octet is judged as soon as it is there: who speaks something else waits for an answer.
    match records.u8().ok_or(Not::Whole)? {
        HANDSHAKE => {}
        ALERT => return Err(Not::Tls("an alert")),
        _ => return Err(Not::Tls("not a TLS handshake")),
    }
    // RFC 8446 section 5.1: the minor version says nothing.
    if records.u8().ok_or(Not::Whole)? != 3 {
        return Err(Not::Tls("not a TLS handshake"));
    }
    let _minor = records.u8().ok_or(Not::Whole)?;
    let length = usize::from(records.u16().ok_or(Not::Whole)?);
    // RFC 8446 section 5.1: fragments of handshake messages are never empty.
    if length == 0 || length > MAX_FRAGMENT_OCTETS {
        return Err(Not::Tls("a malformed record"));
    }
    Ok(match records.take(length) {
        Some(octets) => Fragment {
            octets,
            whole: true,
        },
        None => Fragment {
            octets: records.rest(),
            whole: false,
        },
    })
}

fn cut(octets: Cow<'_, [u8]>, skipped: usize, length: usize) -> Cow<'_, [u8]> {
    match octets {
        Cow::Borrowed(octets) => {
            let mut reader = Reader::new(octets);
            let found = reader.take(skipped).and_then(|_header| reader.take(length));
            Cow::Borrowed(found.unwrap_or_default())
        }
        Cow::Owned(mut octets) => {
            octets.truncate(skipped + length);
            octets.drain(..skipped);
            Cow::Owned(octets)
        }
    }
}

/// RFC 8446 section 4.1.2.
fn client_hello(mut body: Reader<'_>) -> Option<ClientHello> {
    let legacy_version = body.u16()?;
    let _random = body.take(32)?;
    let _session = body.vector_u8()?;
    let suites = body.vector_u16()?;
    let compressions = body.vector_u8()?;
    if suites.is_empty() || compressions.is_empty() {
        return None;
    }
    let mut hello = ClientHello {
        versions: vec![legacy_version],
        ..ClientHello::default()
    };
    // Clients without extensions have existed (RFC 5246 section 7.4.1.2).
    if !body.is_empty() {
        let mut extensions = body.vector_u16()?;
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            let content = extensions.vector_u16()?;
            match kind {
                SERVER_NAME => hello.server_name = server_name(content)?,
                ALPN => hello.alpn = alpn(content)?,
                SUPPORTED_VERSIONS => hello.versions = versions(content)?,
                _ => {}
            }
        }
    }
    body.is_empty().then_some(hello)
}

/// The first host's name of the list. `None` inside: there is none that could be one.
fn server_name(mut content: Reader<'_>) -> Option<Option<String>> {
    let mut names = content.vector_u16()?;
    let mut found = None;
    while !names.is_empty() {
        let kind = names.u8()?;
        let name = names.vector_u16()?.rest();
        if kind == HOST_NAME && found.is_none() {
            found = host_name(name);
        }
    }
    Some(found)
}

/// It is logged, and compared with other names, so it may hold nothing but what a name holds.
fn host_name(octets: &[u8]) -> Option<String> {
    let fits = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet);
    let letter = octets.iter().any(u8::is_ascii_alphabetic);
    let is_name = octets.len() <= MAX_NAME_OCTETS && octets.iter().all(fits) && letter;
    let name = core::str::from_utf8(octets).ok().filter(|_| is_name)?;
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

fn alpn(mut content: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut protocols = content.vector_u16()?;
    let mut found = Vec::new();
    while !protocols.is_empty() {
        found.push(protocols.vector_u8()?.rest().to_vec());
    }
    Some(found)
}

fn versions(mut content: Reader<'_>) -> Option<Vec<u16>> {
    let mut versions = content.vector_u8()?;
    let mut found = Vec::new();
    while !versions.is_empty() {
        let version = versions.u16()?;
        // RFC 8701 section 2.
        let is_grease = version & 0x0f0f == 0x0a0a;
        if !is_grease {
            found.push(version);
        }
    }
    Some(found)
}

/// Bound on a ClientHello with the headers of its records. Those with post-quantum keys have two thousand.
pub const MAX_OCTETS: usize = 16 << 10;
/// RFC 8446 section 5.1.
const MAX_FRAGMENT_OCTETS: usize = 1 << 14;
/// Kind and length of a handshake message.
const HEADER_OCTETS: usize = 4;
/// RFC 1035 section 3.1.
const MAX_NAME_OCTETS: usize = 255;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const HOST_NAME: u8 = 0;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const TOO_LONG: &str = "a ClientHello that is too long";

#[cfg(test)]
mod tests;
