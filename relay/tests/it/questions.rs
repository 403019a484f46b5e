//! What a relay asks of the DNS about a message: what the queue needs to know of its envelope, and nothing that a scanner
//! would ask which was not told to.
//!
//! A tap reads every packet of the namespace, wherever it goes, so that what a library asks past the relay's own
//! configuration is seen as well.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt,
};

use crate::clamd::{Clamd, sample, with_attachment};
use crate::host::wait_until;
use crate::namespace::{self, CUSTOMER, CUSTOMER6, RELAY, RELAY6};
use crate::program::Home;
use crate::steer::{at, mail_of};

/// All packets of the namespace that it was made in.
struct Tap(OwnedFd);

impl Tap {
    fn start() -> Self {
        // Without these the kernel would refuse what nobody in the namespace has a way to.
        for family in ["-4", "-6"] {
            let words = [family, "route", "add", "default", "dev", "lo"];
            let done = Command::new("ip").args(words).status().unwrap();
            assert!(done.success(), "{words:?}");
        }
        // ETH_P_ALL, in network byte order.
        let every = NonZeroU32::new(u32::from(3_u16.to_be())).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, every).unwrap();
        sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20).unwrap();
        Self(socket)
    }

    /// What was asked for since the last time.
    fn names(&self) -> BTreeSet<String> {
        let mut packet = vec![0; 65_536];
        let mut names = BTreeSet::new();
        while let Ok((octets, _)) = recv(&self.0, &mut *packet, RecvFlags::empty()) {
            names.extend(question(&packet[..octets]));
        }
        names
    }
}

/// The name that a packet asks for, from its IP header on; a segment to the same port counts as one.
fn question(packet: &[u8]) -> Option<String> {
    let (header, protocol) = match packet.first()? >> 4 {
        4 => (usize::from(packet[0] & 15) * 4, packet[9]),
        6 => (40, packet[6]),
        _ => return None,
    };
    let segment = packet.get(header..)?;
    if segment.get(2..4)? != 53_u16.to_be_bytes() {
        return None;
    }
    match protocol {
        6 => Some("by TCP".into()),
        17 => Some(name(segment.get(8 + 12..)?)),
        _ => None,
    }
}

/// Without the dot at its end, so that the root is empty.
fn name(mut octets: &[u8]) -> String {
    let mut labels = Vec::new();
    while let [length, rest @ ..] = octets
        && *length > 0
    {
        let (label, rest) = rest.split_at(usize::from(*length));
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        octets = rest;
    }
    labels.join(".")
}

/// Of names that a blocklist would be asked about, each in its own place.
fn message() -> Vec<u8> {
    let head = "From: Ann <ann@author.example>\r\nReply-To: ann@reply.example\r\n\
                List-Unsubscribe: <https://unsubscribe.example/u>\r\nX-Originating-IP: [203.0.113.66]\r\n";
    let file = sample("clam.pdf");
    let body = with_attachment("note.pdf", &file).replace(
        "See the file.",
        "See http://www.link.example/x and http://203.0.113.77/y, or write to bob@body.example.",
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

#[test]
fn no_scanner_asks_the_dns_about_what_it_scans() {
    namespace::inside("questions", || {
        let clamd = Clamd::start();
        let tap = Tap::start();
        let mut home = Home::authorised(
            false,
            &format!(
                "[[authorised]]\nlisten = [\"{RELAY}:2526\", \"[{RELAY6}]:2526\"]\n\
                 from = [\"{CUSTOMER}/32\", \"{CUSTOMER6}/128\"]\ndestination = \"mx\"\ndelivery = \"queue\"\n"
            ),
        );
        let spool = home.path("spool");
        home.add_table(&format!(
            "[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n\
             [dns]\nservers = [\"127.0.0.1\"]\n\
             [behaviour]\nsame_text_customers = 5\n\
             [verdict]\nmalware = \"hold\"\n\
             [[scanner]]\nkind = \"classifier\"\n{}",
            clamd.scanner()
        ));
        let message = message();
        let program = home.start();
        for (customer, relay) in [(CUSTOMER, RELAY), (CUSTOMER6, RELAY6)] {
            let options = ["--local-interface", customer];
            mail_of(&message, at(relay, 2526), &options).assert_heard("250 2.0.0 ");
        }
        let plain = b"From: ann@author.example\r\nSubject: x\r\n\r\nhttp://www.link.example/x\r\n";
        let options = ["--local-interface", CUSTOMER];
        mail_of(plain, at(RELAY, 2526), &options).assert_heard("250 2.0.0 queued as ");
        let mut names = BTreeSet::new();
        wait_until("a question", || {
            names.extend(tap.names());
            names.iter().any(|name| name.ends_with("mx.example"))
        });
        assert!(program.stop().success(), "{}", home.log());
        names.extend(tap.names());
        // What the queue needs to know: whose server takes it, and whether SPF vouches for the envelope's sender.
        let envelope = |name: &&String| {
            let domains = ["mx.example", "customer.example"];
            name.is_empty() || domains.iter().any(|domain| name.ends_with(domain))
        };
        let others: Vec<_> = names.iter().filter(|name| !envelope(name)).collect();
        assert!(others.is_empty(), "{others:?}");
    });
}
