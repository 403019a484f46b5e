//! ClientHellos as they should be, and as they should not.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::check::peek::{prefixes, record};

/// A vector with a length of two octets.
fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(content)].concat()
}

fn body(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    if !extensions.is_empty() {
        body.extend(vector(&extensions.concat()));
    }
    body
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(&[&[0], &vector(name)[..]].concat()))
}

/// Its octets one by one: nothing before the last is sure, and then it is this.
#[track_caller]
fn check(octets: &[u8], expected: &Peeked) {
    for length in 0..octets.len() {
        assert_eq!(peek(&octets[..length]), Peeked::Incomplete, "at {length}");
    }
    assert_eq!(peek(octets), *expected);
    let followed = [octets, b"more"].concat();
    assert_eq!(peek(&followed), *expected);
}

#[test]
fn name_versions_and_protocols_are_read_however_the_hello_is_cut() {
    let body = body(&[
        extension(0x0a0a, b""),
        sni(b"MX.Example."),
        extension(16, &vector(b"\x04smtp\x02h2")),
        extension(43, &[6, 0x1a, 0x1a, 3, 4, 3, 3]),
    ]);
    let expected = Peeked::Hello(ClientHello {
        server_name: Some("mx.example".into()),
        versions: vec![0x0304, 0x0303],
        alpn: vec![b"smtp".to_vec(), b"h2".to_vec()],
    });
    for cut in [0, 1, 2, 3, 4, 5, 40, 100] {
        check(&record(&body, cut), &expected);
    }
}

#[test]
fn a_client_without_extensions_offers_its_legacy_version() {
    let expected = ClientHello {
        versions: vec![0x0303],
        ..ClientHello::default()
    };
    check(&record(&body(&[]), 0), &Peeked::Hello(expected));
}

#[test]
fn what_is_no_hosts_name_is_none() {
    let long = [b'a'; 256];
    for name in [
        &b"192.0.2.1"[..],
        b"",
        b"a b",
        b"a\r\nb",
        b"\xff",
        b"...",
        &long,
    ] {
        let Peeked::Hello(hello) = peek(&record(&body(&[sni(name)]), 0)) else {
            panic!("{name:?}");
        };
        assert_eq!(hello.server_name, None, "{}", name.escape_ascii());
    }
}

#[test]
fn what_is_not_tls_is_known_by_its_first_octets() {
    for (octets, why) in [
        (&b"Q"[..], "not a TLS handshake"),
        (b"EHLO x\r\n", "not a TLS handshake"),
        (b"\x80\x2e\x01", "not a TLS handshake"),
        (b"\x16\x02", "not a TLS handshake"),
        (b"\x15\x03\x01\x00\x02\x01\x00", "an alert"),
        (b"\x16\x03\x01\x00\x00", "a malformed record"),
        (b"\x16\x03\x01\x40\x01", "a malformed record"),
        (b"\x16\x03\x01\x00\x04\x02", "not a ClientHello"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x40\x01", TOO_LONG),
    ] {
        assert_eq!(
            peek(octets),
            Peeked::NotTls(why),
            "{}",
            octets.escape_ascii()
        );
    }
}

#[test]
fn a_hello_that_contradicts_itself_is_malformed() {
    let good = body(&[sni(b"mx.example")]);
    let longer = [&good[..], b"x"].concat();
    let shorter = &good[..good.len() - 1];
    let no_suites = [&[3, 3][..], &[7; 32], &[0, 0, 0, 1, 0]].concat();
    let name_too_long = body(&[extension(0, &[0, 4, 0, 0, 9, b'a'])]);
    let odd_versions = body(&[extension(43, &[3, 3, 4, 3])]);
    for body in [
        &longer[..],
        shorter,
        &no_suites,
        &name_too_long,
        &odd_versions,
        b"",
    ] {
        let expected = Peeked::NotTls("a malformed ClientHello");
        check(&record(body, 0), &expected);
    }
}

#[test]
fn a_hello_that_does_not_end_is_given_up_at_the_bound() {
    // A record holds more than is looked at, headers counted.
    let body = body(&[extension(21, &[0; MAX_OCTETS - 100])]);
    assert!(matches!(peek(&record(&body, 0)), Peeked::Hello(_)));
    let octets = record(&body, 1);
    assert_eq!(peek(&octets[..MAX_OCTETS - 1]), Peeked::Incomplete);
    assert_eq!(peek(&octets), Peeked::NotTls(TOO_LONG));
}

proptest! {
    #[test]
    fn any_octets(octets in vec(any::<u8>(), 0..300)) {
        prefixes(&octets);
    }

    #[test]
    fn any_octets_in_place_of_a_hellos(
        at in 0_usize..120,
        octets in vec(any::<u8>(), 1..8),
        cut in any::<u8>(),
    ) {
        let mut body = body(&[sni(b"mx.example"), extension(43, &[2, 3, 4])]);
        let at = at.min(body.len());
        let end = (at + octets.len()).min(body.len());
        body.splice(at..end, octets);
        prefixes(&record(&body, cut));
    }
}
