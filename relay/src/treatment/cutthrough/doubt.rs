//! Messages of one session that their destination took, and whose 250 the customer may not have heard.

use std::io;

use tracing::info;

use super::Cutthrough;
use crate::inbound::hearing::Hearing;
use crate::message::Message;
use crate::metrics::Counter;
use crate::unheard::Fingerprint;

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct InDoubt {
    pub(super) fingerprint: Fingerprint,
    /// No other message of its sender reads like it, unless it is the same one.
    pub(super) names_itself: bool,
}

impl Cutthrough {
    /// The customer will be told 250 for this one.
    pub(super) fn doubt(&mut self, message: InDoubt) {
        // Only a customer that sends on without listening has more than one.
        if self.in_doubt.len() >= IN_DOUBT_MAX {
            self.in_doubt.remove(0);
        }
        self.in_doubt.push(message);
    }

    /// Whether anything is in doubt.
    pub(crate) fn awaits_hearing(&self) -> bool {
        !self.in_doubt.is_empty()
    }

    /// What has become known about what was said so far.
    pub(crate) fn heard(&mut self, hearing: Hearing) {
        match hearing {
            Hearing::Acknowledged => self.in_doubt.clear(),
            Hearing::Unacknowledged => {}
            // A client that has read the 250 and resets may send the same octets again because it means to. It
            // is told from one that has not by the message alone.
            Hearing::Reset => self.in_doubt.retain(|message| message.names_itself),
        }
    }

    /// Keeps what is still in doubt.
    pub(super) async fn remember_doubts(&mut self) {
        for message in std::mem::take(&mut self.in_doubt) {
            self.relay.unheard.remember(message.fingerprint).await;
            self.relay.metrics().count(Counter::Unheard);
            info!("the customer may not know that its message was delivered");
        }
    }
}

/// Whether a message has a Message-ID or Date field, so that its sender would not write these octets twice.
/// Looks at the first block only; a header is hardly ever longer.
pub(super) async fn names_itself(content: &Message) -> io::Result<bool> {
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
