//! A customer whose mail the relay's own queue takes.

use contract::Delivery;
use relay::metrics::Counter;
use tempfile::tempdir;

use crate::gate::{Gate, Options};
use crate::host::wait_until;
use crate::sink::Sink;
use crate::swaks;

const CONTENT: &[u8] = b"Subject: hi\r\nMessage-ID: <1@customer.example>\r\n\r\nhello\r\n.\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_message_is_acknowledged_and_then_delivered() {
    let sink = Sink::start();
    let spool = tempdir().unwrap();
    let gate = Gate::start(Options::with_spool(
        sink.address,
        Delivery::Queue,
        spool.path(),
    ));
    let transcript = swaks::send(gate.address, CONTENT, &[]).await;
    transcript.assert_accepted();
    transcript.assert_heard("250 2.0.0 queued as ");
    wait_until("the message to arrive", || sink.taken().len() == 1);
    assert_eq!(sink.only().content(), CONTENT);
    gate.wait_for_count(Counter::Queued, 1).await;
}
