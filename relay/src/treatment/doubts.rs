//! Messages of one session that were answered 250, which the customer may not have heard.
//!
//! A customer that has not sends such a message again. What is still in doubt when the session has ended is kept
//! ([`crate::unheard`]), and the retry is told 250 without a second copy.

use std::io;

use relay_proto::address::ReversePath;
use relay_proto::envelope::Recipient;
use relay_proto::reply::Reply;
use tracing::info;

use super::outcome::Outcome;
use crate::Relay;
use crate::inbound::hearing::Hearing;
use crate::message::Message;
use crate::metrics::Counter;
use crate::origin::CustomerAddr;
use crate::unheard::{ContentHash, Fingerprint};

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct InDoubt {
    pub(super) fingerprint: Fingerprint,
    /// No other message of its sender reads like it, unless it is the same one.
    names_itself: bool,
}

/// All of one session.
#[derive(Debug, Default)]
pub(super) struct Doubts(Vec<InDoubt>);

impl InDoubt {
    /// The message of this envelope and content.
    pub(super) async fn new(
        customer: CustomerAddr,
        reverse_path: &ReversePath,
        recipients: &[Recipient],
        hash: ContentHash,
        content: &Message,
    ) -> Self {
        Self {
            fingerprint: hash.fingerprint(customer, reverse_path, recipients),
            // What cannot be read back cannot be delivered either.
            names_itself: names_itself(content).await.unwrap_or(false),
        }
    }
}

impl Doubts {
    /// The customer will be told 250 for this one.
    pub(super) fn add(&mut self, message: InDoubt) {
        // Only a customer that sends on without listening has more than one.
        if self.0.len() >= IN_DOUBT_MAX {
            self.0.remove(0);
        }
        self.0.push(message);
    }

    /// Whether there is any.
    pub(super) fn exist(&self) -> bool {
        !self.0.is_empty()
    }

    /// What has become known about what was said so far.
    pub(super) fn heard(&mut self, hearing: Hearing) {
        match hearing {
            Hearing::Acknowledged => self.0.clear(),
            Hearing::Unacknowledged => {}
            // A client that has read the 250 and resets may send the same octets again because it means to. It
            // is told from one that has not by the message alone.
            Hearing::Reset => self.0.retain(|message| message.names_itself),
        }
    }

    /// Keeps what is still in doubt.
    pub(super) async fn remember(&mut self, relay: &Relay) {
        for message in std::mem::take(&mut self.0) {
            relay.unheard.remember(message.fingerprint).await;
            relay.metrics().count(Counter::Unheard);
            info!("the customer may not know that its message was taken");
        }
    }
}

/// A message that was taken on an earlier connection, whose 250 got lost.
pub(super) fn already_taken(id: &str) -> Outcome {
    let text = format!("took this message before, when our answer got lost id={id}");
    Outcome {
        verdict: "already-delivered",
        counter: Counter::AlreadyDelivered,
        reply: Reply::new(250, "2.0.0", &text),
    }
}

/// Whether a message has a Message-ID or Date field, so that its sender would not write these octets twice.
/// Looks at the first block only; a header is hardly ever longer.
async fn names_itself(content: &Message) -> io::Result<bool> {
    let block = content.reader().next().await?.unwrap_or_default();
    let mut header = block
        .split(|&octet| octet == b'\n')
        .take_while(|line| !matches!(line, [] | [b'\r']));
    Ok(header.any(|line| {
        NAMES.iter().any(|name| {
            line.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        })
    }))
}

const NAMES: [&[u8]; 2] = [b"message-id:", b"date:"];
const IN_DOUBT_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MessageLimits;
    use crate::message::Intake;

    #[tokio::test]
    async fn a_message_names_itself_by_its_header_alone() {
        for (content, expected) in [
            ("Subject: x\r\nMessage-Id: <1@x>\r\n\r\nx\r\n", true),
            ("DATE: Thu, 1 Jan 2026 00:00:00 +0000\r\n", true),
            ("Subject: x\r\n\r\nMessage-ID: <1@x>\r\n", false),
            ("Subject: x\r\n Message-ID: <1@x>\r\n\r\n", false),
            ("X-Message-ID: <1@x>\r\nMessage-ID\r\n\r\n", false),
            ("\r\nMessage-ID: <1@x>\r\n", false),
            ("", false),
        ] {
            let limits = MessageLimits {
                max_octets: 1000,
                memory_octets: 1000,
                spill_dir: std::env::temp_dir(),
            };
            let mut intake = Intake::new(&limits);
            intake.append(content.as_bytes()).await;
            let message = intake.finish().await.unwrap();
            assert_eq!(names_itself(&message).await.unwrap(), expected, "{content}");
        }
    }
}
