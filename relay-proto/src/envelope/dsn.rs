//! What a client asks about delivery status notifications (RFC 3461).
//!
//! The values are kept as the client wrote them, in xtext, and said again that way: only who writes a
//! notification decodes them, and what is decoded has been checked to hold no control character.

use core::fmt;
use core::str::FromStr;

/// Value of `RET=`: what a notification of failure quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// `FULL`.
    Full,
    /// `HDRS`.
    Headers,
}

/// Value of `ENVID=`: 1 to 100 octets of xtext.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnvelopeId(String);

/// Value of `NOTIFY=`: when the sender wants to be told. All false is `NEVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Notify {
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

/// Value of `ORCPT=`: an address type, `;` and an address in xtext, at most 500 octets; under the type
/// `utf-8` the address may have other characters than ASCII (RFC 6533).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginalRecipient(String);

/// The value of a parameter breaks the grammar of RFC 3461 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the value is malformed, see RFC 3461 section 4")]
pub struct Malformed;

impl OriginalRecipient {
    /// As the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can be said without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl FromStr for Ret {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Ok(Self::Full),
            "HDRS" => Ok(Self::Headers),
            _ => Err(Malformed),
        }
    }
}

impl FromStr for EnvelopeId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let fits = (1..=100).contains(&text.len()) && text.is_ascii() && is_xtext(text);
        fits.then(|| Self(text.to_owned())).ok_or(Malformed)
    }
}

impl FromStr for Notify {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut notify = Self {
            success: false,
            failure: false,
            delay: false,
        };
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(notify);
        }
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return Err(Malformed),
            }
        }
        Ok(notify)
    }
}

impl FromStr for OriginalRecipient {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (kind, address) = text.split_once(';').ok_or(Malformed)?;
        let kind_fits = !kind.is_empty() && kind.chars().all(is_atom);
        let address_fits = is_xtext(address)
            && !address.is_empty()
            && (address.is_ascii() || kind.eq_ignore_ascii_case("utf-8"));
        let fits = kind_fits && address_fits && text.len() <= 500;
        fits.then(|| Self(text.to_owned())).ok_or(Malformed)
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            ("SUCCESS", self.success),
            ("FAILURE", self.failure),
            ("DELAY", self.delay),
        ];
        let words: Vec<&str> = words
            .into_iter()
            .filter_map(|(word, wanted)| wanted.then_some(word))
            .collect();
        match words.as_slice() {
            [] => f.write_str("NEVER"),
            words => f.write_str(&words.join(",")),
        }
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `xtext` of RFC 3461 section 4, and the characters beyond ASCII of RFC 6533 section 3. What `+XX` stands
/// for must be printable, too: whoever decodes it puts it into a header field.
pub(crate) fn is_xtext(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fits = match c {
            '+' => {
                let digits = (chars.next().and_then(hex), chars.next().and_then(hex));
                matches!(digits, (Some(high), Some(low)) if (0x20..0x7f).contains(&(high * 16 + low)))
            }
            '=' => false,
            '!'..='~' => true,
            _ => !c.is_ascii() && !c.is_control() && !c.is_whitespace(),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Upper case alone, as the grammar has it.
fn hex(c: char) -> Option<u32> {
    c.to_digit(16).filter(|_| !c.is_ascii_lowercase())
}

/// RFC 5322 section 3.2.3 `atext`, but for `=` and `+`, which have a meaning in parameters.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*-/?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T: FromStr<Err = Malformed> + fmt::Display>(text: &str) -> Option<String> {
        text.parse::<T>().ok().map(|value| value.to_string())
    }

    #[test]
    fn values_are_said_as_they_were_understood() {
        let long = "x".repeat(100);
        let cases = [
            (said::<Ret>("full"), Some("FULL")),
            (said::<Ret>("HDRS"), Some("HDRS")),
            (said::<Ret>("BODY"), None),
            (said::<EnvelopeId>("QQ314159"), Some("QQ314159")),
            (said::<EnvelopeId>("a+2Bb+3Dc+20"), Some("a+2Bb+3Dc+20")),
            (said::<EnvelopeId>(&long), Some(&long)),
            (said::<EnvelopeId>(&format!("{long}x")), None),
            (said::<EnvelopeId>(""), None),
            (said::<EnvelopeId>("a=b"), None),
            (said::<EnvelopeId>("a+b"), None),
            (said::<EnvelopeId>("a+2b"), None),
            (said::<EnvelopeId>("a+2"), None),
            (said::<EnvelopeId>("a+0D+0A"), None),
            (said::<EnvelopeId>("ä"), None),
            (said::<Notify>("never"), Some("NEVER")),
            (said::<Notify>("delay,Success"), Some("SUCCESS,DELAY")),
            (said::<Notify>("FAILURE"), Some("FAILURE")),
            (said::<Notify>("NEVER,DELAY"), None),
            (said::<Notify>("DELAY,"), None),
            (said::<Notify>(""), None),
            (
                said::<OriginalRecipient>("rfc822;a+2Bb@example.org"),
                Some("rfc822;a+2Bb@example.org"),
            ),
            (
                said::<OriginalRecipient>("utf-8;ä@example.org"),
                Some("utf-8;ä@example.org"),
            ),
            (
                said::<OriginalRecipient>("UTF-8;\\x{e4}@example.org"),
                Some("UTF-8;\\x{e4}@example.org"),
            ),
            (said::<OriginalRecipient>("rfc822;ä@example.org"), None),
            (said::<OriginalRecipient>("a@example.org"), None),
            (said::<OriginalRecipient>(";a@example.org"), None),
            (said::<OriginalRecipient>("rfc822;"), None),
            (said::<OriginalRecipient>("rfc822;a+00"), None),
            (
                said::<OriginalRecipient>(&format!("rfc822;{}", "x".repeat(500))),
                None,
            ),
        ];
        for (index, (said, expected)) in cases.into_iter().enumerate() {
            assert_eq!(said.as_deref(), expected, "case {index}");
        }
    }
}
