//! Whether a chain of certificates shows what is demanded.
//!
//! The peer has proved in the handshake that it holds the key of the first one; nothing else is known of them.

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256, Sha512};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{Dane, Demand, Matching, Selector, Tlsa, Unsatisfied, Usage};
use crate::dns::DnsName;
use crate::outbound::trust::Trust;

/// Judges; `chain` is `None` in clear text. What is only tested is judged, too.
pub(crate) fn judge(
    demand: &Demand,
    chain: Option<&[CertificateDer<'_>]>,
    trust: &Trust,
    now: UnixTime,
) -> Result<(), Unsatisfied> {
    if *demand == Demand::Opportunistic {
        return Ok(());
    }
    let chain = chain.ok_or(Unsatisfied::ClearText)?;
    match demand {
        Demand::Opportunistic | Demand::Encrypted => Ok(()),
        Demand::Dane(dane) => by_tlsa(dane, chain, now),
        Demand::Certified { name, .. } => {
            let (leaf, others) = split(chain).ok_or(Unsatisfied::Untrusted)?;
            let anchors = &trust.store().roots;
            path(&leaf, anchors, others, now)?;
            named(&leaf, std::slice::from_ref(name))
        }
    }
}

fn by_tlsa(dane: &Dane, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Unsatisfied> {
    let (leaf, others) = split(chain).ok_or(Unsatisfied::Dane)?;
    let mut worst = Unsatisfied::Dane;
    for record in strongest(&dane.records) {
        match record.usage {
            // Neither its name nor its dates matter: the record says both (RFC 7672 section 3.1.1).
            Usage::EndEntity => {
                if matches(record, &chain[0]) {
                    return Ok(());
                }
            }
            Usage::TrustAnchor => {
                match below(record, &leaf, others, now).and_then(|()| named(&leaf, &dane.names)) {
                    Ok(()) => return Ok(()),
                    Err(Unsatisfied::Dane) => {}
                    Err(unsatisfied) => worst = unsatisfied,
                }
            }
        }
    }
    Err(worst)
}

/// Of records that differ in the digest alone, those with the best one, and those without (RFC 7671 section 9).
fn strongest(records: &[Tlsa]) -> impl Iterator<Item = &Tlsa> {
    records.iter().filter(|record| {
        record.matching == Matching::Full
            || !records.iter().any(|other| {
                (other.usage, other.selector) == (record.usage, record.selector)
                    && other.matching > record.matching
            })
    })
}

/// Whether the server is certified, directly or not, by the authority that the record names.
fn below(
    record: &Tlsa,
    leaf: &EndEntityCert<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Unsatisfied> {
    // The server must send it (RFC 7672 section 3.1.2), unless the record holds all of it.
    let whole = (record.selector == Selector::Certificate && record.matching == Matching::Full)
        .then(|| CertificateDer::from(record.data.as_ref()));
    let sent = others
        .iter()
        .filter(|certificate| matches(record, certificate));
    let anchors: Vec<TrustAnchor<'_>> = sent
        .chain(&whole)
        .filter_map(|certificate| anchor_from_trusted_cert(certificate).ok())
        .collect();
    if anchors.is_empty() {
        return Err(Unsatisfied::Dane);
    }
    path(leaf, &anchors, others, now)
}

/// Whether a path leads to one of `anchors`.
fn path(
    leaf: &EndEntityCert<'_>,
    anchors: &[TrustAnchor<'_>],
    others: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Unsatisfied> {
    let usage = KeyUsage::server_auth();
    match leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        anchors,
        others,
        now,
        usage,
        None,
        None,
    ) {
        Ok(_path) => Ok(()),
        Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
            Err(Unsatisfied::Expired)
        }
        Err(_other) => Err(Unsatisfied::Untrusted),
    }
}

fn named(leaf: &EndEntityCert<'_>, names: &[DnsName]) -> Result<(), Unsatisfied> {
    let is_for = |name: &DnsName| {
        let name = ServerName::try_from(name.as_str());
        name.is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    };
    if names.iter().any(is_for) {
        Ok(())
    } else {
        Err(Unsatisfied::OtherName)
    }
}

fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    match record.selector {
        Selector::Certificate => record.is_of(certificate),
        Selector::PublicKey => EndEntityCert::try_from(certificate)
            .is_ok_and(|certificate| record.is_of(&certificate.subject_public_key_info())),
    }
}

impl Tlsa {
    fn is_of(&self, part: &[u8]) -> bool {
        match self.matching {
            Matching::Full => *part == *self.data,
            Matching::Sha256 => Sha256::digest(part)[..] == *self.data,
            Matching::Sha512 => Sha512::digest(part)[..] == *self.data,
        }
    }
}

fn split<'a>(
    chain: &'a [CertificateDer<'a>],
) -> Option<(EndEntityCert<'a>, &'a [CertificateDer<'a>])> {
    let (leaf, others) = chain.split_first()?;
    // More are never sent in good faith, and each costs a look.
    let others = others.get(..CHAIN_MAX).unwrap_or(others);
    Some((EndEntityCert::try_from(leaf).ok()?, others))
}

const CHAIN_MAX: usize = 16;

#[cfg(test)]
mod tests;
