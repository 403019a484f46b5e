//! Who may hand over, to whom, and what is said to those who may not; and a taker that goes away at the worst moment.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use relay::config::Fingerprint;
use relay_proto::handover::{Frame, HEAD_OCTETS, Head, Hello, SpoolName, Welcome};
use relay_proto::queued::UnixMillis;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::pair::{Letter, Site};
use crate::host::wait_until;
use crate::sink::Sink;

fn letter() -> Letter {
    Letter::to(&["a@mx.example"], "Subject: x\r\n\r\nx\r\n")
}

fn nobody() -> Fingerprint {
    Fingerprint::of(b"nobody's certificate")
}

#[test]
fn only_certificates_that_are_known_are_spoken_to() {
    let sink = Sink::start();
    for family in ["127.0.0.1", "::1"] {
        let (mut from, mut to) = Site::pair(family, sink.address);
        from.fill(&[letter()]);
        to.other.1 = nobody();
        to.start();
        let said = from.transfer(&[], 1);
        let hint = format!(
            "other does not take our certificate: put its fingerprint, {}, into a [[peers.relay]] there",
            from.fingerprint
        );
        assert!(said.contains(&hint), "{said}");
        to.stop();
        assert!(
            to.home.log().contains("only relays of [[peers.relay]]"),
            "{}",
            to.home.log()
        );
        assert!(
            to.home
                .log()
                .contains("counter=\"peers_refused_total\" value=1"),
            "{}",
            to.home.log()
        );

        to.other.1 = from.fingerprint;
        from.other.1 = nobody();
        to.start();
        let said = from.transfer(&[], 1);
        assert!(
            said.contains("shows a certificate that is none of those in [[peers.relay]] here"),
            "{said}"
        );
        assert_eq!((from.queued(), to.queued()), (1, 0));
        to.stop();
    }
}

#[test]
fn who_shows_no_certificate_or_speaks_an_older_tls_is_refused() {
    let sink = Sink::start();
    let (_from, mut to) = Site::pair("127.0.0.1", sink.address);
    to.start();
    for (version, expected) in [
        ("-tls1_2", "alert protocol version"),
        ("-tls1_3", "alert certificate required"),
    ] {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &to.listen.to_string(),
            version,
            "-ign_eof",
        ]);
        let output = openssl.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{version}: {said}");
    }
    to.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_refused_with_what_to_do() {
    let sink = Sink::start();
    let (from, mut to) = Site::pair("127.0.0.1", sink.address);
    to.start();
    for (versions, expected) in [
        (7..=9, "upgrade relay-1 first"),
        (0..=0, "upgrade relay-0 first"),
    ] {
        let mut stream = connect(&from, to.listen).await;
        let hello = Hello {
            versions,
            relay: "relay-0".into(),
            spool: SpoolName([1; 16]),
            tried_until: UnixMillis(0),
        };
        stream
            .write_all(&Frame::Hello(hello).encode())
            .await
            .unwrap();
        let Frame::Refused(said) = read(&mut stream).await else {
            panic!("not refused");
        };
        assert!(said.contains(expected), "{said}");
    }
    // Nonsense ends the connection, and nothing else.
    let mut stream = connect(&from, to.listen).await;
    stream.write_all(b"EHLO x\r\n").await.unwrap();
    let mut octets = Vec::new();
    let _ended = stream.read_to_end(&mut octets).await.is_ok();
    assert!(octets.is_empty());
    wait_until("a word about it", || {
        to.home.log().contains("a frame of a later version")
    });
    to.stop();
}

/// The answer to a message is lost, and nobody can be asked: it is not attempted, and not given to another, until its
/// taker says that it has not got it.
#[test]
fn a_message_in_doubt_is_nobodys_until_its_taker_was_asked() {
    let sink = Sink::start();
    let (mut from, mut to) = Site::pair("127.0.0.1", sink.address);
    from.fill(&[letter()]);
    to.configure();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let taker = runtime.spawn(loses_the_answer(acceptor(&to), to.listen));
    let said = from.transfer(&[], 1);
    assert!(said.contains("other refuses: not any more"), "{said}");
    runtime.block_on(taker).unwrap();
    let doubts = fs::read_to_string(from.home.path("spool/doubts.json")).unwrap();
    assert!(doubts.contains("\"other\""), "{doubts}");

    from.start();
    wait_until("its question", || {
        from.home
            .log()
            .contains("cannot ask about messages in doubt")
    });
    from.runs(&["queue", "flush", "--all"], 0);
    let state = |from: &mut Site| {
        let jobs: serde_json::Value =
            serde_json::from_str(&from.runs(&["queue", "ls", "-j"], 0)).unwrap();
        jobs[0]["state"].as_str().unwrap_or("gone").to_owned()
    };
    assert_eq!(state(&mut from), "in-flight");
    assert_eq!(sink.written(), 0);
    from.stop();
    // Nobody has it but this one.
    to.start();
    from.start();
    wait_until("the message", || sink.written() == 1);
    from.stop();
    to.stop();
    assert!(
        !fs::read_to_string(from.home.path("spool/doubts.json"))
            .unwrap()
            .contains("other")
    );
}

fn pem(site: &Site) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_file(site.home.path("peer.pem")).unwrap();
    (
        certificate,
        PrivateKeyDer::from_pem_file(site.home.path("peer.key")).unwrap(),
    )
}

/// What `site` shows, to whoever comes.
fn acceptor(site: &Site) -> TlsAcceptor {
    let (certificate, key) = pem(site);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// Takes one batch and goes; then refuses.
async fn loses_the_answer(acceptor: TlsAcceptor, address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    assert!(matches!(read(&mut stream).await, Frame::Hello(_)));
    let welcome = Frame::Welcome(Welcome {
        version: 1,
        relay: "fake".into(),
        room_octets: 1 << 30,
        kept: Vec::new(),
    });
    stream.write_all(&welcome.encode()).await.unwrap();
    while read(&mut stream).await != Frame::Commit {}
    drop(stream);
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    assert!(matches!(read(&mut stream).await, Frame::Hello(_)));
    let refused = Frame::Refused("not any more".into());
    stream.write_all(&refused.encode()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// A connection with the certificate of `site`.
async fn connect(site: &Site, address: SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let (certificate, key) = pem(site);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anybody(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![certificate], key);
    let connector = TlsConnector::from(Arc::new(config.unwrap()));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    connector.connect(name, stream).await.unwrap()
}

async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Frame {
    let mut head = [0; HEAD_OCTETS];
    stream.read_exact(&mut head).await.unwrap();
    let head = Head::decode(head).unwrap();
    let mut octets = vec![0; head.octets()];
    stream.read_exact(&mut octets).await.unwrap();
    Frame::decode(head, &Bytes::from(octets)).unwrap()
}

/// The test knows whom it has started.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
