//! The real clamd as scanner: by its Unix socket and by TCP, what it finds, and what it cannot look into.

use std::io::Write as _;

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use relay::metrics::Counter;

use crate::gate::{Gate, Options};
use crate::sink::Sink;
use crate::swaks;

mod instance;

pub(crate) use instance::{
    Clamd, FILE_OCTETS_MAX, SIGNATURE, STREAM_OCTETS_MAX, sample, scanner, unpacked,
};

/// A message with this file in it.
pub(crate) fn with_attachment(name: &str, file: &[u8]) -> String {
    let encoded = BASE64.encode(file);
    let lines: Vec<&str> = encoded
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "Subject: a file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nSee the file.\r\n--b\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n\
         Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {}\r\n--b--\r\n",
        lines.join("\r\n")
    )
}

/// The archive with a bit set that says of its file that it is encrypted.
fn encrypted(mut zip: Vec<u8>) -> Vec<u8> {
    for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let header = memchr::memmem::find(&zip, signature).unwrap();
        zip[header + flags] |= 1;
    }
    zip
}

/// A few kilobytes that are a hundred times what clamd looks at.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; FILE_OCTETS_MAX];
    for _ in 0..100 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clamd_finds_is_refused_by_its_name_and_never_delivered() {
    let clamd = Clamd::start();
    for way in clamd.ways() {
        let sink = Sink::start();
        let gate = Gate::start(Options {
            scanners: scanner(&way),
            // Small, so that the message comes out of the spill file.
            memory_octets: 2000,
            ..Options::to(sink.address)
        });
        for name in ["clam.exe", "clam.zip", "clam.pdf", "clam.tar.gz"] {
            let message = with_attachment(name, &sample(name));
            let transcript = swaks::send(gate.address, message.as_bytes(), &[]).await;
            for part in ["550 5.7.1 ", "malware", SIGNATURE, " id="] {
                transcript.assert_heard(part);
            }
        }
        assert_eq!(sink.taken().len(), 0, "{way}");
        let message = with_attachment("note.txt", &b"nothing to see\n".repeat(1000));
        let transcript = swaks::send(gate.address, message.as_bytes(), &[]).await;
        transcript.assert_accepted();
        assert_eq!(sink.only().content(), message.as_bytes(), "{way}");
        gate.wait_for_count(Counter::Rejected, 4).await;
        gate.assert_counted(Counter::ScannerFailed, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clamd_cannot_look_into_is_unscannable_and_has_a_policy() {
    let clamd = Clamd::start();
    let long = format!(
        "Subject: long\r\n\r\n{}",
        format!("{}\r\n", "x".repeat(70)).repeat(2 * STREAM_OCTETS_MAX / 72)
    );
    let messages = [
        with_attachment("secret.zip", &encrypted(sample("clam.zip"))),
        with_attachment("zeros.gz", &bomb()),
        long,
    ];
    for (policy, expected) in [
        ("accept", "250 2.0.0 Ok"),
        ("reject", "550 5.7.1 "),
        ("defer", "451 4.7.1 "),
    ] {
        let sink = Sink::start();
        let gate = Gate::start(Options {
            scanners: scanner(&clamd.ways()[0]),
            more: format!("[verdict]\nunscannable = \"{policy}\"\n"),
            ..Options::to(sink.address)
        });
        for message in &messages {
            let transcript = swaks::send(gate.address, message.as_bytes(), &[]).await;
            transcript.assert_heard(expected);
        }
        let taken = if policy == "accept" {
            messages.len()
        } else {
            0
        };
        assert_eq!(sink.taken().len(), taken, "{policy}");
        // To be unable to look into something is no failure.
        gate.assert_counted(Counter::ScannerFailed, 0);
    }
    // By TCP the answer comes with a reset behind it, while we still write.
    for way in &clamd.ways()[1..] {
        let sink = Sink::start();
        let gate = Gate::start(Options {
            scanners: scanner(way),
            more: "[verdict]\nunscannable = \"reject\"\n".into(),
            ..Options::to(sink.address)
        });
        let transcript = swaks::send(gate.address, messages[2].as_bytes(), &[]).await;
        transcript.assert_heard("550 5.7.1 ");
        transcript.assert_heard("StreamMaxLength");
        gate.assert_counted(Counter::ScannerFailed, 0);
    }
}
