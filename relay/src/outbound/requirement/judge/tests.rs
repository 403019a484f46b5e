use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use sha2::{Digest, Sha256, Sha512};

use super::*;

/// A root, an authority below it, and servers.
struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
    middle: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap());
        let root = root.unwrap();
        let middle = KeyPair::generate().unwrap();
        let middle = CertifiedIssuer::signed_by(authority("middle"), middle, &root).unwrap();
        Self { root, middle }
    }

    /// A server's chain, with the root at its end.
    fn chain(&self, name: &str, from: SystemTime, to: SystemTime) -> Vec<CertificateDer<'static>> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = from.into();
        params.not_after = to.into();
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.middle).unwrap();
        vec![
            leaf.der().clone(),
            self.middle.der().clone(),
            self.root.der().clone(),
        ]
    }

    fn now(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let now = SystemTime::now();
        self.chain(name, now - DAY, now + DAY)
    }

    fn trust(&self) -> Trust {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("authorities.pem");
        std::fs::write(&file, self.root.pem()).unwrap();
        Trust::load(Some(&file))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn name(text: &str) -> DnsName {
    DnsName::new(text).unwrap()
}

fn certified(host: &str) -> Demand {
    Demand::Certified {
        name: name(host),
        testing: false,
    }
}

fn part(selector: Selector, certificate: &CertificateDer<'_>) -> Vec<u8> {
    match selector {
        Selector::Certificate => certificate.to_vec(),
        Selector::PublicKey => {
            let certificate = EndEntityCert::try_from(certificate).unwrap();
            certificate.subject_public_key_info().to_vec()
        }
    }
}

fn record(
    usage: Usage,
    selector: Selector,
    matching: Matching,
    certificate: &CertificateDer<'_>,
) -> Tlsa {
    let part = part(selector, certificate);
    let data = match matching {
        Matching::Full => part,
        Matching::Sha256 => Sha256::digest(part).to_vec(),
        Matching::Sha512 => Sha512::digest(part).to_vec(),
    };
    Tlsa {
        usage,
        selector,
        matching,
        data: data.into(),
    }
}

fn dane(records: Vec<Tlsa>) -> Demand {
    Demand::Dane(std::sync::Arc::new(Dane {
        base: name("mx.example"),
        names: vec![name("mx.example"), name("example.org")],
        records,
    }))
}

#[track_caller]
fn judged(demand: &Demand, chain: &[CertificateDer<'_>]) -> Result<(), Unsatisfied> {
    let trust = Trust::load(Some(std::path::Path::new("/dev/null")));
    judge(demand, Some(chain), &trust, UnixTime::now())
}

#[test]
fn clear_text_is_enough_for_nobody_who_demands_something() {
    let pki = Pki::new();
    let trust = pki.trust();
    let clear = |demand: &Demand| judge(demand, None, &trust, UnixTime::now());
    assert_eq!(clear(&Demand::Opportunistic), Ok(()));
    let chain = pki.now("mx.example");
    let record = record(
        Usage::EndEntity,
        Selector::PublicKey,
        Matching::Sha256,
        &chain[0],
    );
    for demand in [
        Demand::Encrypted,
        certified("mx.example"),
        dane(vec![record]),
    ] {
        assert_eq!(clear(&demand), Err(Unsatisfied::ClearText), "{demand:?}");
    }
    assert_eq!(judged(&Demand::Encrypted, &chain), Ok(()));
    assert_eq!(judged(&Demand::Opportunistic, &[]), Ok(()));
}

#[test]
fn an_authority_vouches_for_a_name_and_a_time() {
    let (pki, other) = (Pki::new(), Pki::new());
    let trust = pki.trust();
    let says = |demand: &Demand, chain: &[CertificateDer<'_>]| {
        judge(demand, Some(chain), &trust, UnixTime::now())
    };
    let chain = pki.now("mx.example");
    assert_eq!(says(&certified("mx.example"), &chain), Ok(()));
    // Roots need not be sent, what is in between must be.
    assert_eq!(says(&certified("mx.example"), &chain[..2]), Ok(()));
    assert_eq!(
        says(&certified("mx.example"), &chain[..1]),
        Err(Unsatisfied::Untrusted)
    );
    assert_eq!(
        says(&certified("my.example"), &chain),
        Err(Unsatisfied::OtherName)
    );
    let wildcard = pki.now("*.mx.example");
    assert_eq!(says(&certified("a.mx.example"), &wildcard), Ok(()));
    assert_eq!(
        says(&certified("mx.example"), &wildcard),
        Err(Unsatisfied::OtherName)
    );
    let strange = other.now("mx.example");
    assert_eq!(
        says(&certified("mx.example"), &strange),
        Err(Unsatisfied::Untrusted)
    );
    assert_eq!(
        says(&certified("mx.example"), &[]),
        Err(Unsatisfied::Untrusted)
    );
    let now = SystemTime::now();
    for (from, to) in [(now - 2 * DAY, now - DAY), (now + DAY, now + 2 * DAY)] {
        let chain = pki.chain("mx.example", from, to);
        assert_eq!(
            says(&certified("mx.example"), &chain),
            Err(Unsatisfied::Expired)
        );
    }
}

#[test]
fn a_record_of_the_server_itself_is_enough_whatever_else_is_wrong() {
    let (pki, other) = (Pki::new(), Pki::new());
    let now = SystemTime::now();
    let chain = pki.chain("elsewhere.example", now - 2 * DAY, now - DAY);
    let strange = other.now("mx.example");
    for selector in [Selector::Certificate, Selector::PublicKey] {
        for matching in [Matching::Full, Matching::Sha256, Matching::Sha512] {
            let demand = dane(vec![record(
                Usage::EndEntity,
                selector,
                matching,
                &chain[0],
            )]);
            assert_eq!(judged(&demand, &chain), Ok(()), "{selector:?} {matching:?}");
            assert_eq!(judged(&demand, &chain[..1]), Ok(()));
            assert_eq!(judged(&demand, &strange), Err(Unsatisfied::Dane));
            assert_eq!(judged(&demand, &[]), Err(Unsatisfied::Dane));
            // That of an authority is none of the server.
            let demand = dane(vec![record(
                Usage::EndEntity,
                selector,
                matching,
                &chain[1],
            )]);
            assert_eq!(judged(&demand, &chain), Err(Unsatisfied::Dane));
        }
    }
}

#[test]
fn a_record_of_an_authority_needs_a_path_a_name_and_a_time() {
    let pki = Pki::new();
    let chain = pki.now("mx.example");
    let by_domain = pki.now("example.org");
    let strange = pki.now("elsewhere.example");
    let now = SystemTime::now();
    let old = pki.chain("mx.example", now - 2 * DAY, now - DAY);
    for place in [1, 2] {
        for selector in [Selector::Certificate, Selector::PublicKey] {
            for matching in [Matching::Full, Matching::Sha256, Matching::Sha512] {
                let record = record(Usage::TrustAnchor, selector, matching, &chain[place]);
                let demand = dane(vec![record]);
                assert_eq!(
                    judged(&demand, &chain),
                    Ok(()),
                    "{place} {selector:?} {matching:?}"
                );
                assert_eq!(judged(&demand, &by_domain), Ok(()));
                assert_eq!(judged(&demand, &strange), Err(Unsatisfied::OtherName));
                assert_eq!(judged(&demand, &old), Err(Unsatisfied::Expired));
            }
        }
    }
    // The authority must be sent, unless the record is all of it.
    let digest = record(
        Usage::TrustAnchor,
        Selector::PublicKey,
        Matching::Sha256,
        &chain[1],
    );
    assert_eq!(
        judged(&dane(vec![digest]), &chain[..1]),
        Err(Unsatisfied::Dane)
    );
    let whole = record(
        Usage::TrustAnchor,
        Selector::Certificate,
        Matching::Full,
        &chain[1],
    );
    assert_eq!(judged(&dane(vec![whole]), &chain[..1]), Ok(()));
    // The server is no authority, and naming it as one does not make it one.
    let leaf = record(
        Usage::TrustAnchor,
        Selector::Certificate,
        Matching::Sha256,
        &chain[0],
    );
    assert_eq!(judged(&dane(vec![leaf]), &chain), Err(Unsatisfied::Dane));
}

#[test]
fn an_authority_that_is_only_sent_along_vouches_for_nobody() {
    let (pki, attacker) = (Pki::new(), Pki::new());
    let true_chain = pki.now("mx.example");
    let mut forged = attacker.now("mx.example");
    forged.push(true_chain[1].clone());
    let record = record(
        Usage::TrustAnchor,
        Selector::PublicKey,
        Matching::Sha256,
        &true_chain[1],
    );
    assert_eq!(
        judged(&dane(vec![record]), &forged),
        Err(Unsatisfied::Untrusted)
    );
}

#[test]
fn one_of_several_records_is_enough_but_the_better_digest_counts() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (chain, strange) = (pki.now("mx.example"), other.now("mx.example"));
    let of = |matching, chain: &[CertificateDer<'_>]| {
        record(Usage::EndEntity, Selector::PublicKey, matching, &chain[0])
    };
    // A key that is about to take over.
    let two = vec![of(Matching::Sha256, &strange), of(Matching::Sha256, &chain)];
    assert_eq!(judged(&dane(two), &chain), Ok(()));
    let weaker = vec![of(Matching::Sha512, &strange), of(Matching::Sha256, &chain)];
    assert_eq!(judged(&dane(weaker), &chain), Err(Unsatisfied::Dane));
    let whole = vec![of(Matching::Sha512, &strange), of(Matching::Full, &chain)];
    assert_eq!(judged(&dane(whole), &chain), Ok(()));
}

const DAY: Duration = Duration::from_secs(24 * 3600);
