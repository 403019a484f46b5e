//! Command lines of the client, read on the server's side.
//!
//! A line is read whole into a [`Command`] or into a [`CommandError`]; whether the command fits the
//! dialogue is for [`crate::server`] to say. White space after a line, and between the colon of `FROM:` or
//! `TO:` and the path, is tolerated (RFC 5321 section 4.1.1); parameters of extensions that are never
//! offered are not.
//!
//! # Diagnostics
//! [`CommandError`] is the peer's doing, and carries what its reply needs; of AUTH nothing, because a
//! password may stand there.

use core::str::FromStr;

use crate::envelope::{BodyType, EhloName, Mail, Malformed, Recipient, TlsTag, is_xtext};
use crate::wire::address::{AddressError, Cursor};
use crate::wire::auth::Mechanism;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// EHLO.
    Ehlo(EhloName),
    /// HELO.
    Helo(EhloName),
    /// MAIL.
    Mail(Mail),
    /// RCPT.
    Rcpt(Recipient),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP, with anything after it.
    Noop,
    /// VRFY, with anything after it.
    Vrfy,
    /// HELP, with anything after it.
    Help,
    /// QUIT.
    Quit,
    /// STARTTLS.
    StartTls,
    /// AUTH. Its further arguments are dropped here.
    Auth(Mechanism),
    /// BDAT: so many octets of content follow (RFC 3030).
    Bdat {
        /// How many.
        octets: u64,
        /// No more of this message follow after them.
        last: bool,
    },
    /// A command of RFC 5321 or of an extension that is never offered.
    Unsupported,
    /// Another protocol: a browser or a proxy client that was pointed at this port.
    Foreign,
}

/// Why a line is not a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error("command not recognized")]
    Unknown,
    /// Control characters, or octets that are not UTF-8.
    #[error("command is not printable text")]
    NotText,
    /// The argument of the command.
    #[error("{0}")]
    Argument(&'static str),
    /// The argument of BDAT: how much content follows is not known.
    #[error("BDAT needs a number of octets, and then LAST or nothing")]
    Chunk,
    /// The path of MAIL.
    #[error("{0}")]
    ReversePath(AddressError),
    /// The path of RCPT.
    #[error("{0}")]
    ForwardPath(AddressError),
    /// A parameter of MAIL or RCPT that was not offered.
    #[error("parameter not recognized: {0}")]
    Parameter(String),
}

impl Command {
    /// Reads a line, given without its CRLF.
    ///
    /// # Errors
    /// The line is not a command, or its argument is malformed.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let text = str::from_utf8(line).map_err(|_utf8| CommandError::NotText)?;
        let text = text.trim_end_matches([' ', '\t']);
        if text.chars().any(char::is_control) {
            return Err(CommandError::NotText);
        }
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        let argument = argument.trim_start_matches(' ');
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => ehlo_name(argument).map(Self::Ehlo),
            "HELO" => ehlo_name(argument).map(Self::Helo),
            "MAIL" => mail(argument).map(Self::Mail),
            "RCPT" => rcpt(argument).map(Self::Rcpt),
            "DATA" => alone(argument, Self::Data),
            "RSET" => alone(argument, Self::Rset),
            "QUIT" => alone(argument, Self::Quit),
            "STARTTLS" => alone(argument, Self::StartTls),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if argument.is_empty() => Err(CommandError::Argument("VRFY needs an argument")),
            "VRFY" => Ok(Self::Vrfy),
            "BDAT" => bdat(argument),
            "AUTH" => auth(argument),
            "ATRN" | "BURL" | "ETRN" | "EXPN" | "SAML" | "SEND" | "SOML" | "TURN" | "XCLIENT"
            | "XFORWARD" => Ok(Self::Unsupported),
            "CONNECT" | "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" => Ok(Self::Foreign),
            _ => Err(CommandError::Unknown),
        }
    }
}

fn alone(argument: &str, command: Command) -> Result<Command, CommandError> {
    if argument.is_empty() {
        Ok(command)
    } else {
        Err(CommandError::Argument("the command takes no argument"))
    }
}

fn ehlo_name(argument: &str) -> Result<EhloName, CommandError> {
    let needed = "EHLO and HELO need one domain name or address literal";
    EhloName::new(argument).ok_or(CommandError::Argument(needed))
}

fn auth(argument: &str) -> Result<Command, CommandError> {
    match argument.split(' ').next() {
        Some("") | None => Err(CommandError::Argument("AUTH needs a mechanism")),
        Some(mechanism) => Ok(Command::Auth(Mechanism::named(mechanism))),
    }
}

/// RFC 3030 section 2. More octets than 64 bits can count are an error: nobody can send them.
fn bdat(argument: &str) -> Result<Command, CommandError> {
    let (size, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    let rest = rest.trim_start_matches(' ');
    let digits = !size.is_empty() && size.bytes().all(|octet| octet.is_ascii_digit());
    let last = rest.eq_ignore_ascii_case("LAST");
    match size.parse() {
        Ok(octets) if digits && (last || rest.is_empty()) => Ok(Command::Bdat { octets, last }),
        Ok(_) | Err(_) => Err(CommandError::Chunk),
    }
}

fn mail(argument: &str) -> Result<Mail, CommandError> {
    let needed = CommandError::Argument("MAIL needs FROM:<address>");
    let mut cursor = after_keyword(argument, "FROM:").ok_or(needed)?;
    let reverse_path = cursor.reverse_path().map_err(CommandError::ReversePath)?;
    let mut mail = Mail::new(reverse_path);
    let parameters = parameters(cursor, CommandError::ReversePath(AddressError::Brackets))?;
    for parameter in parameters {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (parameter, None),
        };
        let repeated = match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) => mail.size.replace(size(value)?).is_some(),
            ("BODY", Some(value)) => mail.body.replace(body(value)?).is_some(),
            // `<>` is a word of xtext, too.
            ("AUTH", Some(value)) if !value.is_empty() && is_xtext(value) => {
                core::mem::replace(&mut mail.auth, true)
            }
            ("AUTH", Some(_)) => return Err(CommandError::Argument(SUBMITTER)),
            ("SMTPUTF8", None) => core::mem::replace(&mut mail.smtputf8, true),
            ("RET", Some(value)) => mail.ret.replace(dsn(value, RET)?).is_some(),
            ("ENVID", Some(value)) => mail.envelope_id.replace(dsn(value, ENVID)?).is_some(),
            ("REQUIRETLS", None) => {
                core::mem::replace(&mut mail.tls, TlsTag::Required) == TlsTag::Required
            }
            ("SIZE" | "BODY" | "RET" | "ENVID" | "AUTH", None) => {
                return Err(CommandError::Argument(NO_VALUE));
            }
            ("SMTPUTF8", Some(_)) => {
                return Err(CommandError::Argument("SMTPUTF8 takes no value"));
            }
            ("REQUIRETLS", Some(_)) => {
                return Err(CommandError::Argument("REQUIRETLS takes no value"));
            }
            _ => return Err(CommandError::Parameter(keyword.to_owned())),
        };
        if repeated {
            return Err(CommandError::Argument("a parameter is given twice"));
        }
    }
    Ok(mail)
}

fn rcpt(argument: &str) -> Result<Recipient, CommandError> {
    let needed = CommandError::Argument("RCPT needs TO:<address>");
    let mut cursor = after_keyword(argument, "TO:").ok_or(needed)?;
    let forward_path = cursor.forward_path().map_err(CommandError::ForwardPath)?;
    let mut recipient = Recipient::new(forward_path);
    let parameters = parameters(cursor, CommandError::ForwardPath(AddressError::Brackets))?;
    for parameter in parameters {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (parameter, None),
        };
        let repeated = match (keyword.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) => recipient.notify.replace(dsn(value, NOTIFY)?).is_some(),
            ("ORCPT", Some(value)) => recipient.original.replace(dsn(value, ORCPT)?).is_some(),
            ("NOTIFY" | "ORCPT", None) => return Err(CommandError::Argument(NO_VALUE)),
            _ => return Err(CommandError::Parameter(keyword.to_owned())),
        };
        if repeated {
            return Err(CommandError::Argument("a parameter is given twice"));
        }
    }
    Ok(recipient)
}

/// A value of RFC 3461.
fn dsn<T: FromStr<Err = Malformed>>(value: &str, wrong: &'static str) -> Result<T, CommandError> {
    value
        .parse()
        .map_err(|Malformed| CommandError::Argument(wrong))
}

fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<Cursor<'a>> {
    let (start, rest) = argument.split_at_checked(keyword.len())?;
    start
        .eq_ignore_ascii_case(keyword)
        .then(|| Cursor::new(rest.trim_start_matches(' ')))
}

/// The words after a path, which a space must part from it.
fn parameters<'a>(
    cursor: Cursor<'a>,
    otherwise: CommandError,
) -> Result<impl Iterator<Item = &'a str>, CommandError> {
    let rest = cursor.rest();
    if rest.is_empty() || rest.starts_with(' ') {
        Ok(rest.split(' ').filter(|word| !word.is_empty()))
    } else {
        Err(otherwise)
    }
}

/// RFC 1870 section 3: 1 to 20 digits.
fn size(value: &str) -> Result<u64, CommandError> {
    let malformed = CommandError::Argument("SIZE must be a number of octets");
    if !(1..=20).contains(&value.len()) || !value.bytes().all(|o| o.is_ascii_digit()) {
        return Err(malformed);
    }
    // 20 digits can be more than 64 bits hold; whatever the limit is, that is over it.
    Ok(value.parse().unwrap_or(u64::MAX))
}

/// RFC 6152 section 2. BINARYMIME is not offered: it would have to leave with BDAT, and not every
/// destination has that.
fn body(value: &str) -> Result<BodyType, CommandError> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        _ => Err(CommandError::Argument("BODY must be 7BIT or 8BITMIME")),
    }
}

const SUBMITTER: &str = "AUTH must be <> or a mailbox in xtext, see RFC 4954 section 5";
const NO_VALUE: &str = "the parameter needs a value";
const RET: &str = "RET must be FULL or HDRS";
const ENVID: &str = "ENVID must be at most 100 octets of xtext, see RFC 3461 section 4";
const NOTIFY: &str = "NOTIFY must be NEVER, or some of SUCCESS, FAILURE and DELAY";
const ORCPT: &str = "ORCPT must be an address type, a semicolon and xtext, see RFC 3461 section 4";

#[cfg(test)]
mod tests;
