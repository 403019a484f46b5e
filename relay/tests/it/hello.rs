//! ClientHellos of the libraries that customers have, read as they come.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use relay_proto::peek::{ClientHello, MAX_OCTETS, Peeked, peek};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::host::Running;

const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

/// Nothing is sure before the last octet.
#[track_caller]
fn read(octets: &[u8]) -> ClientHello {
    let sure = (0..=octets.len()).find(|&length| peek(&octets[..length]) != Peeked::Incomplete);
    assert_eq!(sure, Some(octets.len()));
    match peek(octets) {
        Peeked::Hello(hello) => hello,
        other => panic!("{other:?}: {}", octets.escape_ascii()),
    }
}

/// What OpenSSL's client says first.
fn openssl(options: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _client = Running::start(
        Command::new("openssl")
            .args(["s_client", "-connect", &address])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let (mut stream, _) = listener.accept().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut octets = Vec::new();
    while peek(&octets) == Peeked::Incomplete {
        let mut octet = [0];
        stream.read_exact(&mut octet).unwrap();
        octets.extend(octet);
    }
    octets
}

#[test]
fn what_openssl_says_is_understood() {
    let plain = read(&openssl(&["-noservername"]));
    assert_eq!(plain.server_name, None);
    // What it offers besides depends on how old it is willing to be.
    assert!(plain.versions.starts_with(&[TLS_1_3, TLS_1_2]));
    assert!(plain.alpn.is_empty());

    let named = read(&openssl(&["-servername", "MX.example", "-alpn", "smtp,h2"]));
    assert_eq!(named.server_name.as_deref(), Some("mx.example"));
    assert_eq!(named.alpn, [b"smtp".to_vec(), b"h2".to_vec()]);

    let older = read(&openssl(&["-servername", "mx.example", "-tls1_2"]));
    assert_eq!(older.versions, [TLS_1_2]);

    // Cut into records of the least size that OpenSSL makes.
    let cut = openssl(&["-servername", "mx.example", "-max_send_frag", "512"]);
    assert_eq!(read(&cut).server_name.as_deref(), Some("mx.example"));
}

#[test]
fn what_rustls_says_is_understood() {
    for (name, expected) in [("mx.example", Some("mx.example")), ("203.0.113.10", None)] {
        for fragment in [None, Some(64), Some(16384)] {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
            config.max_fragment_size = fragment;
            config.alpn_protocols = vec![b"smtp".to_vec()];
            let name = ServerName::try_from(name).unwrap();
            let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
            let mut octets = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut octets).unwrap();
            }
            assert!(octets.len() < MAX_OCTETS);
            let hello = read(&octets);
            assert_eq!(hello.server_name.as_deref(), expected);
            assert_eq!(hello.versions, [TLS_1_3, TLS_1_2]);
            assert_eq!(hello.alpn, [b"smtp".to_vec()]);
        }
    }
}
