//! `[session]`: what one session may do, and what it may cost besides its message.

use std::num::NonZeroU32;
use std::time::Duration;

use relay_proto::limits::Limits;
use relay_proto::server::{self, ContentLimits, EarlyTalk, MinimumRate, Pregreet, Timeouts};
use serde::Deserialize;

use super::check::duration;
use super::{Identity, Invalid};

/// What one session may do.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Whether a client must wait for its greeting.
    pub pregreet: Option<Pregreet>,
    /// How slow content may come.
    pub minimum_rate: Option<MinimumRate>,
    /// How long a session may last between messages.
    pub max_duration: Duration,
    /// Messages of one session, and recipients of one message; EHLO says both (RFC 9422).
    pub max_messages: NonZeroU32,
    /// See there.
    pub max_recipients: NonZeroU32,
    /// What content may be.
    pub content: ContentLimits,
    /// From how many per cent of all connections on sessions are under stress.
    pub stressed_at_percent: usize,
}

/// `[session]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    pause: String,
    early_talk: String,
    min_octets_per_second: u32,
    max_duration: String,
    max_line_octets: u64,
    max_received: u32,
    stressed_at: usize,
    max_messages: u32,
    max_recipients: u32,
}

impl Default for RawSession {
    fn default() -> Self {
        let content = ContentLimits::default();
        Self {
            pause: "0s".into(),
            early_talk: "defer".into(),
            min_octets_per_second: MinimumRate::default().octets_per_second,
            max_duration: "2h".into(),
            max_line_octets: content.max_line_octets,
            max_received: content.max_received,
            stressed_at: 80,
            max_messages: MESSAGES_MAX,
            max_recipients: RECIPIENTS_MIN,
        }
    }
}

impl SessionLimits {
    /// What EHLO says of them.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            mails: Some(self.max_messages),
            recipients: Some(self.max_recipients),
            recipient_domains: None,
        }
    }

    /// What sessions are told.
    pub(crate) fn server_config(&self, identity: &Identity) -> server::Config {
        server::Config {
            max_mails: self.max_messages.get(),
            max_recipients: usize::try_from(self.max_recipients.get()).unwrap_or(usize::MAX),
            content: self.content,
            minimum_rate: self.minimum_rate,
            pregreet: self.pregreet,
            timeouts: Timeouts {
                session: self.max_duration,
                ..Timeouts::default()
            },
            ..server::Config::new(&identity.hostname, &identity.operator)
        }
    }
}

impl TryFrom<RawSession> for SessionLimits {
    type Error = Invalid;

    fn try_from(raw: RawSession) -> Result<Self, Invalid> {
        let early_talk = match raw.early_talk.as_str() {
            "defer" => EarlyTalk::Deferred,
            "refuse" => EarlyTalk::Refused,
            _ => {
                let problem = "must be \"defer\" or \"refuse\"";
                return Err(Invalid::new("session.early_talk", raw.early_talk, problem));
            }
        };
        let pause = duration("session.pause", &raw.pause, Duration::ZERO, PAUSE_MAX)?;
        let max_duration = duration(
            "session.max_duration",
            &raw.max_duration,
            Duration::from_secs(600),
            Duration::from_secs(86_400),
        )?;
        if (1..LINE_OCTETS_MIN).contains(&raw.max_line_octets) {
            return Err(Invalid::new(
                "session.max_line_octets",
                raw.max_line_octets,
                "must be 0 (no limit) or at least 1000 (RFC 5321)",
            ));
        }
        if (1..RECEIVED_MIN).contains(&raw.max_received) {
            return Err(Invalid::new(
                "session.max_received",
                raw.max_received,
                "must be 0 (no limit) or at least 10: mail passes several servers on its way",
            ));
        }
        if !(1..=100).contains(&raw.stressed_at) {
            return Err(Invalid::new(
                "session.stressed_at",
                raw.stressed_at,
                "must be between 1 and 100 per cent of limits.connections",
            ));
        }
        let max_messages = NonZeroU32::new(raw.max_messages)
            .filter(|messages| messages.get() <= MESSAGES_MAX)
            .ok_or_else(|| {
                let problem = format!("must be between 1 and {MESSAGES_MAX}");
                Invalid::new("session.max_messages", raw.max_messages, problem)
            })?;
        let max_recipients = NonZeroU32::new(raw.max_recipients)
            .filter(|recipients| (RECIPIENTS_MIN..=RECIPIENTS_MAX).contains(&recipients.get()))
            .ok_or_else(|| {
                let problem =
                    format!("must be between {RECIPIENTS_MIN} (RFC 5321) and {RECIPIENTS_MAX}");
                Invalid::new("session.max_recipients", raw.max_recipients, problem)
            })?;
        Ok(Self {
            max_messages,
            max_recipients,
            pregreet: (!pause.is_zero()).then_some(Pregreet { pause, early_talk }),
            minimum_rate: (raw.min_octets_per_second > 0).then(|| MinimumRate {
                octets_per_second: raw.min_octets_per_second,
                ..MinimumRate::default()
            }),
            max_duration,
            content: ContentLimits {
                max_line_octets: raw.max_line_octets,
                max_received: raw.max_received,
                ..ContentLimits::default()
            },
            stressed_at_percent: raw.stressed_at,
        })
    }
}

/// Honest clients wait five minutes for a greeting (RFC 5321 section 4.5.3.2.1), but people who look at a
/// slow server do not.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// RFC 5321 section 4.5.3.1.6.
const LINE_OCTETS_MIN: u64 = 1000;
const RECEIVED_MIN: u32 = 10;
/// More of them would end by the number of their commands.
const MESSAGES_MAX: u32 = 5000;
/// RFC 5321 section 4.5.3.1.8.
const RECIPIENTS_MIN: u32 = 100;
/// Each is kept until the message has its answer.
const RECIPIENTS_MAX: u32 = 1000;
