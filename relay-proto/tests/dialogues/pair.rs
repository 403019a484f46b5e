//! Our client against our server, over a wire with delay, on a virtual clock.

use std::time::Duration;

use crate::wire::Pair;

pub(crate) const DELIVERED: [&str; 5] = [
    "Mail 250 2.0.0 taken",
    "Rcpt 250 2.0.0 taken",
    "Data 354 end data with <CR><LF>.<CR><LF>",
    "Message 250 2.0.0 taken",
    "Quit 221 2.0.0 bye",
];

#[test]
fn a_message_crosses_with_tls_and_arrives_octet_for_octet() {
    let content = b"Subject: x\r\n\r\n.\r\n..\r\n.leading\r\n\r\nlast\r\n";
    for cut in [1, 2, 5, 1000] {
        let mut pair = Pair::new(content, cut);
        pair.run();
        assert_eq!(pair.log, DELIVERED, "cut {cut}");
        assert_eq!(pair.received, content, "cut {cut}");
        assert!(pair.server.is_tls() && pair.client.is_tls());
        // Greeting, EHLO, STARTTLS, EHLO and five commands: no step waits for a timer.
        assert!(pair.now < Duration::from_secs(1), "{:?}", pair.now);
    }
}

#[test]
fn a_silent_application_is_given_up_by_the_client_in_its_time() {
    for (question, lost, seconds) in [
        ("mail", "lost Mail no reply in time", 300),
        ("rcpt", "lost Rcpt no reply in time", 300),
        ("data", "lost Data no reply in time", 120),
        ("message", "lost Message no reply in time", 600),
    ] {
        let mut pair = Pair::new(b"x\r\n", 1000);
        pair.silent_at = Some(question);
        pair.run();
        assert!(pair.log.iter().any(|line| line == lost), "{:?}", pair.log);
        let over = pair.now - Duration::from_secs(seconds);
        assert!(over < Duration::from_secs(1), "{question}: {:?}", pair.now);
    }
}
