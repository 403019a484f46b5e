//! What became of a message that a customer has sent whole: one word for the log, a counter, and the reply.

use std::time::Instant;

use relay_proto::envelope::Recipient;
use relay_proto::reply::Reply;
use relay_proto::server::Answer;
use tracing::{error, info};

use super::inspection::Asked;
use super::telling;
use crate::Relay;
use crate::admission::Admitted;
use crate::egress::Way;
use crate::inbound::session::Facts;
use crate::metrics::Counter;
use crate::stream::Protection;

/// What became of a message.
#[derive(Debug)]
pub(super) struct Outcome {
    /// One word for the log.
    pub(super) verdict: &'static str,
    pub(super) counter: Counter,
    pub(super) reply: Reply,
}

/// What the log says about a message besides.
#[derive(Debug)]
pub(super) struct Described<'a> {
    pub(super) id: &'a str,
    pub(super) admitted: &'a Admitted,
    pub(super) octets: u64,
    pub(super) recipients: &'a [Recipient],
    /// What the scanners said.
    pub(super) asked: &'a Asked,
    pub(super) started: Instant,
    /// The leg to the destination; nothing for a message that goes into the queue.
    pub(super) outbound: Protection,
    /// What that leaves from.
    pub(super) way: Option<&'a Way>,
}

impl Outcome {
    /// It was refused for what its customer does or is, whatever stands in it.
    pub(super) fn is_a_limit(&self) -> bool {
        matches!(self.verdict, LIMITED | LOCKED)
    }

    /// Counts it, logs it, tells it, and says it.
    pub(super) fn conclude(
        self,
        relay: &Relay,
        described: &Described<'_>,
        facts: &Facts,
    ) -> Answer {
        relay.metrics().count(self.counter);
        telling::tell(relay, &self, described);
        let outbound = described.outbound;
        // Session parity: of each leg the version, the cipher, and how the peer's name was verified. Customers
        // show no certificate; of destinations any is taken.
        info!(
            queue.id = %described.id,
            verdict = self.verdict,
            reply.code = self.reply.code().value(),
            octets = described.octets,
            egress.way = described.way.map(|way| &**way.name()),
            recipients = described.recipients.len(),
            scanners = %described.asked,
            tls.inbound.version = facts.leg.version(),
            tls.inbound.cipher = facts.leg.cipher(),
            tls.inbound.verified = "none",
            tls.outbound.version = outbound.version(),
            tls.outbound.cipher = outbound.cipher(),
            tls.outbound.verified = if outbound.is_tls() { "opportunistic" } else { "none" },
            elapsed_ms = elapsed_ms(described.started),
            "message outcome"
        );
        if self.reply.code() == 421 {
            Answer::ReplyAndClose(self.reply)
        } else {
            Answer::Reply(self.reply)
        }
    }
}

/// The last word of a relay that is to end.
pub(super) fn shutting_down(relay: &Relay) -> Answer {
    let hostname = &relay.config.identity.hostname;
    let text = format!("{hostname} is shutting down, try again");
    Answer::ReplyAndClose(Reply::new(421, "4.3.2", &text))
}

/// Too much of the time in which the sender waits for its reply has gone by.
pub(super) fn late() -> Outcome {
    let text = "could not be delivered in time, and nothing was sent; try again";
    Outcome {
        verdict: "late",
        counter: Counter::Late,
        reply: Reply::new(451, "4.4.2", text),
    }
}

pub(super) fn spill_failed(id: &str, error: &std::io::Error) -> Outcome {
    error!(queue.id = %id, %error, "a message does not fit; look at message.spill_dir");
    let text = format!("no room for your message now, try again id={id}");
    Outcome {
        verdict: "no-room",
        counter: Counter::SpillFailed,
        reply: Reply::new(452, "4.3.1", &text),
    }
}

pub(super) fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The word of a message beyond a limit.
pub(super) const LIMITED: &str = "limited";
/// The word of a message from a locked site.
pub(super) const LOCKED: &str = "locked";
