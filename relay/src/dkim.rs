//! The relay's signatures (DKIM, RFC 6376 and RFC 8463): on its own mail, and on its customers' if the operator wants to
//! answer for that.
//!
//! [`Signer::open`] reads the keys that the configuration names; [`Signer::sign`] yields the fields to put on top of a
//! message of the relay's own, `customers` those for mail that it relays. The fields that people and programs look at are
//! signed, and that there is no second one of each. What has to stand in the DNS for others to verify it is
//! [`Signer::records`].
//!
//! # Diagnostics
//! Returned: [`Invalid`], which names the key and its file.

use std::fmt;
use std::path::Path;

use mail_auth::common::crypto::{self, Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rcgen::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::config::{DkimKey, Invalid};

mod customers;

/// Signs with each key.
#[derive(Default)]
pub struct Signer {
    /// For what the relay writes itself.
    own: Vec<Key>,
    /// For what it relays.
    customers: Vec<Key>,
}

struct Key {
    signer: DkimSigner<crypto::DkimKey, Done>,
    record: Record,
}

/// A TXT record of the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name, without a dot at the end.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Signer {
    /// Reads the keys.
    pub fn open(keys: &[DkimKey]) -> Result<Self, Invalid> {
        let own = keys.iter().filter(|key| key.signs.own());
        let own: Result<_, _> = own.map(|key| Key::open(key, SIGNED, &[])).collect();
        let customers = keys.iter().filter(|key| key.signs.customers());
        let customers: Result<_, _> = customers
            .map(|key| Key::open(key, customers::SIGNED, customers::TRACE))
            .collect();
        Ok(Self {
            own: own?,
            customers: customers?,
        })
    }

    /// The fields that go on top of `message`, which is the relay's own, whole lines; empty without a key.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, mail_auth::Error> {
        let mut fields = Vec::new();
        for key in &self.own {
            key.signer.sign(message)?.write_header(&mut fields);
        }
        Ok(fields)
    }

    /// What has to be published, one for each key.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        for key in self.own.iter().chain(&self.customers) {
            // A key that signs both is there twice.
            if !records.contains(&key.record) {
                records.push(key.record.clone());
            }
        }
        records
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.records().iter().map(|record| &record.name))
            .finish()
    }
}

impl Key {
    /// A key that signs the fields `alone`, of which there may then be no more, and those of `beside`, above which others
    /// may add theirs.
    fn open(config: &DkimKey, alone: &[&str], beside: &[&str]) -> Result<Self, Invalid> {
        let path: &Path = &config.key;
        let wrong = |problem: &dyn fmt::Display| Invalid::new("dkim.key", path.display(), problem);
        let der = PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(&error))?;
        let public = KeyPair::try_from(&der).map_err(|error| wrong(&error))?;
        let public = public.public_key_pem();
        let public: String = public
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let (key, text) = if let Some(key) = ed25519(&der) {
            // Its DNS record has the bare key (RFC 8463 section 4.2), which its PEM has behind 12 octets that are always
            // the same (RFC 8410 section 4): 16 characters.
            let bare = public.get(ED25519_PREFIX.len()..).unwrap_or_default();
            debug_assert!(public.starts_with(ED25519_PREFIX));
            (
                crypto::DkimKey::Ed25519(key),
                format!("v=DKIM1; k=ed25519; p={bare}"),
            )
        } else {
            let key = RsaKey::<Sha256>::from_key_der(der);
            let key = key.map_err(|error| {
                wrong(&format!(
                    "{error}; must be an RSA key of 2048 bits or more, or an Ed25519 key (PKCS#8)"
                ))
            })?;
            (
                crypto::DkimKey::Rsa(key),
                format!("v=DKIM1; k=rsa; p={public}"),
            )
        };
        // Each name once more than there are fields of it: a field that is added breaks the signature.
        let names = alone.iter().flat_map(|name| [*name, *name]);
        let names = names.chain(beside.iter().copied());
        let signer = DkimSigner::from_key(key)
            .domain(&config.domain)
            .selector(&config.selector)
            .headers(names)
            .header_canonicalization(Canonicalization::Relaxed)
            .body_canonicalization(Canonicalization::Relaxed);
        Ok(Self {
            signer,
            record: Record {
                name: format!("{}._domainkey.{}", config.selector, config.domain),
                text,
            },
        })
    }
}

fn ed25519(der: &PrivateKeyDer<'_>) -> Option<Ed25519Key> {
    match der {
        PrivateKeyDer::Pkcs8(der) => {
            Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der()).ok()
        }
        _ => None,
    }
}

/// As it stands in the file of a zone: of strings of at most 255 octets (RFC 1035 section 3.3).
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. IN TXT (", self.name)?;
        let mut rest = self.text.as_str();
        while let Some((string, after)) = rest.split_at_checked(rest.len().min(STRING_OCTETS)) {
            if string.is_empty() {
                break;
            }
            write!(f, " \"{string}\"")?;
            rest = after;
        }
        f.write_str(" )")
    }
}

const SIGNED: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
];
const ED25519_PREFIX: &str = "MCowBQYDK2VwAyEA";
const STRING_OCTETS: usize = 255;
