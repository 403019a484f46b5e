//! DKIM (RFC 6376): the keys that the domain publishes, one for each selector that is named.

use data_encoding::BASE64;
use x509_parser::{
    prelude::FromDer as _,
    public_key::{PublicKey, RSAPublicKey},
    x509::SubjectPublicKeyInfo,
};

use super::{
    Check, Finding, Question, Verdict,
    facts::DomainFacts,
    zone::{tag, tags},
};

/// What is to be said of each key.
pub(super) fn judge(question: &Question, facts: &DomainFacts) -> Vec<Finding> {
    if facts.dkim.is_empty() {
        let none = Finding::new(
            Check::Dkim,
            &question.domain,
            Verdict::Unknown,
            "no selector is named",
        )
        .fix("name one with --selector: it is what s= says in the DKIM-Signature of a message");
        return vec![none];
    }
    let each = facts.dkim.iter().map(|(selector, texts)| {
        let name = format!("{selector}._domainkey.{}", question.domain);
        match texts {
            Err(silence) => Finding::unknown(Check::Dkim, name, silence),
            Ok(texts) => of_selector(selector, name, texts),
        }
    });
    each.collect()
}

fn of_selector(selector: &str, name: String, texts: &[String]) -> Finding {
    let finding = |verdict, seen: String| {
        let finding = Finding::new(Check::Dkim, &name, verdict, seen);
        match verdict {
            Verdict::Pass => finding,
            Verdict::Warn | Verdict::Unknown | Verdict::Fail => {
                finding.paste(command(selector, &name))
            }
        }
    };
    let text = match texts {
        [] => {
            return finding(Verdict::Fail, format!("{name} has no TXT record")).fix(
                "make a key of 2048 bits, publish it, and sign with it; this prints the record",
            );
        }
        [one] => one,
        several => {
            // Section 3.6.2.2: whoever verifies takes any of them.
            return finding(
                Verdict::Fail,
                format!("{} TXT records, where one must be", several.len()),
            )
            .fix("take all but the key's own out; or, for a new key under a new selector");
        }
    };
    match read(text) {
        Err(wrong) => finding(Verdict::Fail, format!("{}: {}", shown(text), wrong.seen()))
            .fix("publish a key that can be used, and sign with it; this makes one and prints the record"),
        Ok(Key { what, testing, weak }) if testing => {
            let again = if weak { ", and of few bits" } else { "" };
            finding(Verdict::Warn, format!("{}: {what}, t=y{again}", shown(text)))
                .fix("take t=y out: signatures that are only a test vouch for nothing (section 3.6.1)")
        }
        Ok(Key { what, weak: true, .. }) => finding(Verdict::Warn, format!("{}: {what}", shown(text)))
            .fix("2048 bits are expected today (RFC 8301 section 3.2); this makes such a key and prints the record"),
        Ok(Key { what, .. }) => finding(Verdict::Pass, what),
    }
}

/// A key that can be used.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    what: String,
    testing: bool,
    weak: bool,
}

/// Why a record is no key.
#[derive(Debug, PartialEq, Eq)]
enum NoKey {
    NoTags,
    Version,
    Missing,
    Revoked,
    Kind(String),
    Hash,
    Service,
    Unreadable,
    Short(usize),
}

impl NoKey {
    fn seen(&self) -> String {
        match self {
            Self::NoTags => String::from("not a list of tags"),
            Self::Version => String::from("v= must be DKIM1, and come first"),
            Self::Missing => String::from("has no p="),
            Self::Revoked => {
                String::from("p= is empty: the key is revoked (RFC 6376 section 3.6.1)")
            }
            Self::Kind(kind) => format!("k={kind} is no kind of key that others know"),
            Self::Hash => String::from(
                "h= does not allow sha256, and sha1 is not accepted any more (RFC 8301)",
            ),
            Self::Service => String::from("s= does not allow email"),
            Self::Unreadable => {
                String::from("p= cannot be read as a key; is a part of it missing?")
            }
            Self::Short(bits) => {
                format!("{bits} bits; below 1024 nobody verifies (RFC 8301 section 3.2)")
            }
        }
    }
}

/// Section 3.6.1.
fn read(text: &str) -> Result<Key, NoKey> {
    let tags = tags(text).ok_or(NoKey::NoTags)?;
    let version = tags.iter().position(|(name, _)| name == "v");
    match (version, tag(&tags, "v")) {
        (None, _) | (Some(0), Some("DKIM1")) => {}
        (Some(_), _) => return Err(NoKey::Version),
    }
    let holds = |name: &str, any: &[&str]| {
        tag(&tags, name).is_none_or(|value| {
            value
                .split(':')
                .any(|word| any.contains(&word.trim().to_ascii_lowercase().as_str()))
        })
    };
    let key = tag(&tags, "p").ok_or(NoKey::Missing)?;
    // White space may stand anywhere in it (section 3.2).
    let key: String = key.split_ascii_whitespace().collect();
    if key.is_empty() {
        return Err(NoKey::Revoked);
    }
    if !holds("h", &["sha256"]) {
        return Err(NoKey::Hash);
    }
    if !holds("s", &["*", "email"]) {
        return Err(NoKey::Service);
    }
    let octets = BASE64
        .decode(key.as_bytes())
        .map_err(|_no_base64| NoKey::Unreadable)?;
    let kind = tag(&tags, "k").unwrap_or("rsa").to_ascii_lowercase();
    let testing =
        tag(&tags, "t").is_some_and(|flags| flags.split(':').any(|flag| flag.trim() == "y"));
    match kind.as_str() {
        "rsa" => {
            let bits = rsa_bits(&octets).ok_or(NoKey::Unreadable)?;
            if bits < LEAST_BITS {
                return Err(NoKey::Short(bits));
            }
            Ok(Key {
                what: format!("RSA, {bits} bits"),
                testing,
                weak: bits < GOOD_BITS,
            })
        }
        // RFC 8463 section 4.2: the key itself, 32 octets.
        "ed25519" if octets.len() == 32 => Ok(Key {
            what: String::from("Ed25519"),
            testing,
            weak: false,
        }),
        "ed25519" => Err(NoKey::Unreadable),
        other => Err(NoKey::Kind(other.to_owned())),
    }
}

/// As everybody publishes it (SubjectPublicKeyInfo), or as the RFC says (RSAPublicKey).
fn rsa_bits(octets: &[u8]) -> Option<usize> {
    if let Ok((_, info)) = SubjectPublicKeyInfo::from_der(octets) {
        return match info.parsed() {
            Ok(PublicKey::RSA(key)) => Some(bits(&key)),
            Ok(_) | Err(_) => None,
        };
    }
    let (_, key) = RSAPublicKey::from_der(octets).ok()?;
    Some(bits(&key))
}

fn bits(key: &RSAPublicKey<'_>) -> usize {
    let mut modulus = key.modulus.iter().skip_while(|octet| **octet == 0);
    match modulus.next() {
        Some(first) => modulus.count() * 8 + 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("\"{short}{more}\"")
}

fn command(selector: &str, name: &str) -> String {
    format!(
        "openssl genrsa -out {selector}.key 2048 && echo \"{name}. IN TXT ( \\\"v=DKIM1; k=rsa; p=\\\" $(openssl rsa -in \
         {selector}.key -pubout -outform DER | base64 -w 250 | sed 's/.*/\"&\"/') )\""
    )
}

/// RFC 8301 section 3.2.
const LEAST_BITS: usize = 1024;
/// The same.
const GOOD_BITS: usize = 2048;
/// Of a record; the rest is key.
const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a modulus of so many bits, as `RSAPublicKey`.
    fn rsa(bits: usize) -> String {
        let mut modulus = vec![0xff; bits / 8];
        modulus.insert(0, 0);
        let length =
            |octets: usize| [&[0x82][..], &u16::try_from(octets).unwrap().to_be_bytes()].concat();
        let integer = [&[0x02][..], &length(modulus.len()), &modulus].concat();
        let exponent = [0x02, 0x03, 0x01, 0x00, 0x01];
        let body = [&integer[..], &exponent].concat();
        BASE64.encode(&[&[0x30][..], &length(body.len()), &body].concat())
    }

    #[test]
    fn keys_are_read_and_weighed() {
        let of = |bits| format!("v=DKIM1; k=rsa; p={}", rsa(bits));
        let what = |text: &str| read(text).map(|key| (key.what, key.weak));
        assert_eq!(what(&of(2048)), Ok((String::from("RSA, 2048 bits"), false)));
        assert_eq!(what(&of(1024)), Ok((String::from("RSA, 1024 bits"), true)));
        assert_eq!(what(&of(768)), Err(NoKey::Short(768)));
        let ed = BASE64.encode(&[7; 32]);
        assert!(read(&format!("v=DKIM1; k=ed25519; p={ed}")).is_ok());
        assert!(read(&format!("k=ed25519; p={ed}; t=y:s")).unwrap().testing);
        let two = rsa(2048);
        for (text, expected) in [
            ("v=DKIM1; p=", NoKey::Revoked),
            ("v=DKIM1; p= ; k=rsa", NoKey::Revoked),
            ("v=DKIM1; k=rsa", NoKey::Missing),
            ("v=DKIM2; p=AA==", NoKey::Version),
            ("p=AA==; v=DKIM1", NoKey::Version),
            ("hello", NoKey::NoTags),
            ("v=DKIM1; p=AAAA", NoKey::Unreadable),
            ("v=DKIM1; p=@@@@", NoKey::Unreadable),
            ("v=DKIM1; k=ed25519; p=AAAA", NoKey::Unreadable),
            ("v=DKIM1; k=dsa; p=AAAA", NoKey::Kind(String::from("dsa"))),
            (&format!("v=DKIM1; h=sha1; p={two}"), NoKey::Hash),
            (&format!("v=DKIM1; s=tlsrpt; p={two}"), NoKey::Service),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
