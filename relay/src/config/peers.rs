//! `[peers]`: other relays of the same operator, to and from which queued mail is handed over.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Invalid;
use super::check::{absolute, duration, listeners};

/// Other relays.
#[derive(Debug, Clone)]
pub struct PeersConfig {
    /// Where their mail is taken; empty = from nobody.
    pub listen: Vec<SocketAddr>,
    /// The certificate that this relay shows to them, PEM. They know it by its fingerprint.
    pub certificate: PathBuf,
    /// Its key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// They; at least one, with names and fingerprints of their own.
    pub relays: Vec<PeerRelay>,
    /// The one of them that gets what is queued when this relay stops.
    pub hand_over_on_drain: Option<PeerRelay>,
    /// How long that may take.
    pub hand_over_limit: Duration,
}

/// Another relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRelay {
    /// Its name, as people say it here.
    pub name: String,
    /// Where it takes mail, in the order to try; empty = it only gives.
    pub addresses: Vec<SocketAddr>,
    /// Certificates that it may show; more than one while it changes its own.
    pub fingerprints: Vec<Fingerprint>,
}

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

/// Text that is no [`Fingerprint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 64 hexadecimal digits, colons between them or not, as `openssl x509 -noout -fingerprint -sha256 -in FILE` prints"
)]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits: String = text.chars().filter(|&it| it != ':').collect();
        let digits = digits.to_ascii_lowercase();
        let octets = data_encoding::HEXLOWER.decode(digits.as_bytes());
        let octets = octets.ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or(NotAFingerprint)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `[peers]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeers {
    #[serde(default)]
    listen: Vec<String>,
    certificate: PathBuf,
    key: PathBuf,
    #[serde(default)]
    relay: Vec<RawPeerRelay>,
    hand_over_on_drain: Option<String>,
    #[serde(default = "default_hand_over_limit")]
    hand_over_limit: String,
}

/// `[[peers.relay]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeerRelay {
    name: String,
    #[serde(default)]
    address: Vec<String>,
    fingerprint: Vec<String>,
}

impl RawPeers {
    /// `has_spool`: there is something to hand over, and where to put what is taken.
    pub(super) fn check(self, has_spool: bool) -> Result<PeersConfig, Invalid> {
        if !has_spool {
            let problem = "needs [spool]: what is handed over is kept there";
            return Err(Invalid::new("peers", "present", problem));
        }
        let mut relays: Vec<PeerRelay> = Vec::new();
        for raw in self.relay {
            let relay = raw.check()?;
            if relays.iter().any(|other| other.name == relay.name) {
                let problem = "is the name of another [[peers.relay]]";
                return Err(Invalid::new("peers.relay.name", relay.name, problem));
            }
            let mut others = relays.iter().flat_map(|other| &other.fingerprints);
            if let Some(both) = others.find(|it| relay.fingerprints.contains(it)) {
                let problem = "is the fingerprint of another [[peers.relay]]";
                return Err(Invalid::new("peers.relay.fingerprint", both, problem));
            }
            relays.push(relay);
        }
        if relays.is_empty() {
            let problem = "must appear at least once: nobody else may hand mail over";
            return Err(Invalid::new("peers.relay", "[]", problem));
        }
        let hand_over_on_drain = match self.hand_over_on_drain {
            None => None,
            Some(name) => {
                let known = relays.iter().find(|it| it.name == name).cloned();
                let known = known.filter(|it| !it.addresses.is_empty());
                let problem = "must be the name of a [[peers.relay]] that has an address";
                let invalid = || Invalid::new("peers.hand_over_on_drain", &name, problem);
                Some(known.ok_or_else(invalid)?)
            }
        };
        Ok(PeersConfig {
            listen: listeners("peers.listen", &self.listen)?,
            certificate: absolute("peers.certificate", self.certificate)?,
            key: absolute("peers.key", self.key)?,
            relays,
            hand_over_on_drain,
            hand_over_limit: duration(
                "peers.hand_over_limit",
                &self.hand_over_limit,
                Duration::from_secs(1),
                Duration::from_secs(3600),
            )?,
        })
    }
}

impl RawPeerRelay {
    fn check(self) -> Result<PeerRelay, Invalid> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(fits) {
            let problem = "must be 1 to 64 letters, digits, '-', '_' or '.'";
            return Err(Invalid::new("peers.relay.name", self.name, problem));
        }
        let fingerprint = |text: &String| {
            let parsed = text.parse::<Fingerprint>();
            parsed.map_err(|problem| Invalid::new("peers.relay.fingerprint", text, problem))
        };
        let fingerprints: Vec<Fingerprint> = self
            .fingerprint
            .iter()
            .map(fingerprint)
            .collect::<Result<_, _>>()?;
        if fingerprints.is_empty() {
            let problem = "must name at least one certificate: by it the relay is known";
            return Err(Invalid::new("peers.relay.fingerprint", "[]", problem));
        }
        Ok(PeerRelay {
            addresses: listeners("peers.relay.address", &self.address)?,
            name: self.name,
            fingerprints,
        })
    }
}

fn default_hand_over_limit() -> String {
    "1m".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn check(toml: &str) -> Result<PeersConfig, String> {
        let toml = format!("certificate = \"/c.pem\"\nkey = \"/k.pem\"\n{toml}");
        let raw: RawPeers = toml::from_str(&toml).map_err(|error| error.to_string())?;
        raw.check(true).map_err(|invalid| invalid.to_string())
    }

    fn relay(name: &str, fingerprint: &str) -> String {
        format!(
            "[[relay]]\nname = \"{name}\"\naddress = [\"[2001:db8::1]:2530\"]\nfingerprint = [\"{fingerprint}\"]\n"
        )
    }

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let plain: Fingerprint = DIGITS.parse().unwrap();
        let pairs: Vec<String> = DIGITS.to_uppercase().chars().map(String::from).collect();
        let printed = pairs.chunks(2).map(<[String]>::concat).collect::<Vec<_>>();
        assert_eq!(printed.join(":").parse(), Ok(plain));
        assert_eq!(plain.to_string(), DIGITS);
        for wrong in ["", "00", "zz", &DIGITS.repeat(2)] {
            assert_eq!(
                wrong.parse::<Fingerprint>(),
                Err(NotAFingerprint),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_relay_that_takes_over_is_one_of_those_with_an_address() {
        let both = format!("hand_over_on_drain = \"b\"\n{}", relay("b", DIGITS));
        let peers = check(&both).unwrap();
        assert_eq!(peers.hand_over_on_drain.unwrap().name, "b");
        assert_eq!(peers.hand_over_limit, Duration::from_secs(60));
    }

    #[test]
    fn wrong_values_are_named_with_what_is_allowed() {
        let (one, other) = (relay("a", DIGITS), relay("b", DIGITS));
        let nowhere = format!("[[relay]]\nname = \"b\"\nfingerprint = [\"{DIGITS}\"]\n");
        for (toml, expected) in [
            (String::new(), "peers.relay: []: must appear at least once"),
            (
                one.clone() + &one,
                "peers.relay.name: a: is the name of another",
            ),
            (one.clone() + &other, "is the fingerprint of another"),
            (
                relay("a b", DIGITS),
                "peers.relay.name: a b: must be 1 to 64",
            ),
            (
                relay("a", "00"),
                "peers.relay.fingerprint: 00: must be 64 hexadecimal digits",
            ),
            (
                "[[relay]]\nname = \"a\"\nfingerprint = []\n".into(),
                "must name at least one certificate",
            ),
            (
                format!("hand_over_on_drain = \"b\"\n{nowhere}"),
                "peers.hand_over_on_drain: b: must be the name of a [[peers.relay]]",
            ),
            (
                format!("hand_over_limit = \"2h\"\n{one}"),
                "peers.hand_over_limit: 2h: must be between",
            ),
            (
                format!("listen = [\"x\"]\n{one}"),
                "peers.listen: x: must be ADDRESS:PORT",
            ),
        ] {
            let said = check(&toml).unwrap_err();
            assert!(said.contains(expected), "{toml}: {said}");
        }
        let raw: RawPeers =
            toml::from_str(&format!("certificate = \"/c\"\nkey = \"/k\"\n{one}")).unwrap();
        let said = raw.check(false).unwrap_err().to_string();
        assert!(said.contains("needs [spool]"), "{said}");
    }
}
