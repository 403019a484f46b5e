//! Servers of the operator's that are told who sends: a Postfix, its postscreen, and one behind HAProxy.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use relay_proto::proxy::{Proxied, encode};

use crate::haproxy::HaProxy;
use crate::host::{wait_for_greeting, wait_until};
use crate::namespace::{self, CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};
use crate::postfix::{Instance, NOBODY, main_cf, make_certificate};
use crate::program::Home;
use crate::steer::{at, mail_of};

/// Domains, where their mail goes, and whether that is told who sends.
const WAYS: [(&str, &str, bool); 5] = [
    ("four.example", "203.0.113.10:25", true),
    ("six.example", "[2001:db8:b:1::10]:25", true),
    ("screened.example", "203.0.113.10:2525", true),
    ("behind.example", "203.0.113.10:2526", true),
    ("plain.example", "203.0.113.10:26", false),
];

/// A Postfix that takes mail for all of them.
fn postfix() -> Instance {
    let instance = Instance::new();
    instance.make_directory("mail", NOBODY);
    make_certificate(instance.root(), "mx.example");
    let domains = WAYS.map(|(domain, ..)| domain).join(" ");
    let main_cf = main_cf(instance.root())
        + &format!("virtual_mailbox_domains = {domains}\nsmtpd_peername_lookup = no\n");
    let services = format!(
        "{MX}:25 inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
[{MX6}]:25 inet n - n - - smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
{MX}:2525 inet n - n - 1 postscreen
  -o postscreen_upstream_proxy_protocol=haproxy
  -o postscreen_tls_security_level=none
  -o postscreen_greet_wait=1s
smtpd pass - - n - - smtpd
{MX}:26 inet n - n - - smtpd
virtual unix - n n - - virtual
"
    );
    instance.start(&main_cf, &services);
    wait_for_greeting(at(MX, 26));
    instance
}

/// What was delivered: Postfix's own fields on top, LF line ends.
fn delivered(postfix: &Instance) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(postfix.path("mail/box/new")) else {
        return Vec::new();
    };
    files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

fn home() -> Home {
    let mut home = Home::authorised(
        false,
        &format!(
            "[[authorised]]\nlisten = [\"{RELAY}:2526\", \"[{RELAY6}]:2526\"]\n\
             from = [\"{CUSTOMER}/32\", \"{CUSTOMER6}/128\"]\ndestination = \"mx\"\ndelivery = \"queue\"\n"
        ),
    );
    let spool = home.path("spool");
    // One connection to a site, which is kept: each message finds that of the one before it.
    home.add_table(&format!(
        "[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n\
         [queue]\ninitial_connections = 1\nmax_connections = 1\nkeep_connection = \"60s\"\n"
    ));
    for (domain, to, is_told) in WAYS {
        home.add_table(&format!(
            "[[route]]\ndomain = \"{domain}\"\nto = [\"{to}\"]\n{}",
            if is_told { "send_proxy = \"v2\"\n" } else { "" }
        ));
    }
    home
}

#[test]
fn the_operators_servers_see_the_customer() {
    namespace::inside("proxied", || {
        let postfix = postfix();
        let through = [("203.0.113.10:2526 accept-proxy", "203.0.113.10:25")];
        let _haproxy = HaProxy::start(&through);
        let home = home();
        let program = home.start();
        let (four, six) = (format!("[{CUSTOMER}]"), format!("[IPv6:{CUSTOMER6}]"));
        let mut count = 0;
        for (domain, _, is_told) in WAYS {
            let recipient = format!("b@{domain}");
            for (round, (customer, relay, seen)) in
                [(CUSTOMER, RELAY, &four), (CUSTOMER6, RELAY6, &six)]
                    .repeat(2)
                    .into_iter()
                    .enumerate()
            {
                let subject = format!("Subject: {domain} {round}\r\n");
                let options = ["--local-interface", customer, "--to", &recipient];
                let message = format!("{subject}\r\nx\r\n");
                mail_of(message.as_bytes(), at(relay, 2526), &options)
                    .assert_heard("250 2.0.0 queued as ");
                count += 1;
                wait_until(&subject, || delivered(&postfix).len() == count);
                let all = delivered(&postfix);
                let ours = |text: &&String| text.contains(subject.trim_end());
                let text = all.iter().find(ours).expect(&subject);
                let from = "Received: from relay-1.example.net (unknown ";
                let (_, client) = text.split_once(from).expect(text);
                assert_eq!(client.starts_with(seen), is_told, "{text}");
            }
        }
        let log = postfix.log();
        assert!(log.contains(&format!("CONNECT from {four}:0 ")), "{log}");
        assert!(program.stop().success(), "{}", home.log());
    });
}

#[test]
fn the_relays_own_mail_is_its_own() {
    namespace::inside("proxylocal", || {
        let postfix = postfix();
        let _haproxy = HaProxy::start(&[("203.0.113.10:2526 accept-proxy", "203.0.113.10:25")]);
        for port in [25, 2525, 2526] {
            let mut stream = TcpStream::connect(at(MX, port)).unwrap();
            stream.write_all(&encode(&Proxied::Local).unwrap()).unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            assert!(line.starts_with("220"), "{port}: {line}\n{}", postfix.log());
        }
    });
}
