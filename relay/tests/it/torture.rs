//! Messages that no honest program writes, through a relay with the scanners that it has in itself.
//!
//! Whatever they are, the relay lives, answers, and does as its `[verdict]` says with what it could not judge.

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::sink::Sink;

mod messages;

use messages::{Judged, messages};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_judged_or_called_unscannable_and_the_relay_goes_on() {
    let sink = Sink::start();
    let gate = Gate::start(Options {
        more: "[verdict]\nunscannable = \"reject\"\n[session]\nmax_line_octets = 0\n".into(),
        ..Options::to(sink.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    for (name, message, judged) in messages() {
        customer.envelope("b@mx.example").await;
        customer.expect("DATA\r\n", "354").await;
        customer.say(&crate::swaks::stuffed(&message)).await;
        if !message.ends_with(b"\r\n") {
            customer.say(b"\r\n").await;
        }
        let expected = match judged {
            Judged::Whole => "250 ",
            Judged::Unscannable | Judged::Found => "550 5.7.1 ",
        };
        let reply = customer.expect(".\r\n", "").await;
        assert!(reply.starts_with(expected), "{name}: {reply}");
        assert_eq!(
            reply.contains("GTUBE"),
            judged == Judged::Found,
            "{name}: {reply}"
        );
    }
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer
        .expect("Subject: x\r\n\r\nx\r\n.\r\n", "250 ")
        .await;
}
