//! How long the session waits for what, and what it says when that was too long.

use core::time::Duration;

use super::{Session, State};
use crate::Time;
use crate::server::{Abort, EarlyTalk, Stress, Timeouts, replies};

impl Session {
    /// Time has passed.
    pub fn expire(&mut self, now: Time) {
        self.now = now;
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let reply = match &self.state {
            State::Asked(_) | State::Closed => return,
            State::Pregreet => return self.greet(),
            State::Handshake => return self.close(),
            State::Content(content) => match content.framing_error() {
                // Its sender believes that it has ended the message, and waits.
                Some(error) => replies::malformed_content(error),
                None if content.pace.is_silent(now, &self.config) => replies::timed_out(),
                None => replies::too_slow(),
            },
            State::Chunk(chunks) if chunks.pace.is_silent(now, &self.config) => {
                replies::timed_out()
            }
            State::Chunk(_) => replies::too_slow(),
            // It is answered now or never.
            State::Discard(discard) => discard.reply.clone(),
            State::Idle
            | State::Authenticating(_)
            | State::Envelope(_)
            | State::BetweenChunks(_) => {
                if now >= self.end_of_session() {
                    replies::session_too_long()
                } else {
                    replies::timed_out()
                }
            }
        };
        self.abort(Abort::Timeout);
        self.close_with(&reply);
    }

    /// When [`Self::expire`] will matter; `None` while a question is open, whose answer is the
    /// application's to bound, and after the end.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let Timeouts {
            command,
            command_under_stress,
            handshake,
            malformed,
            ..
        } = self.config.timeouts;
        let command = match self.stress {
            Stress::None => command,
            Stress::High => command_under_stress,
        };
        // Octets of an unfinished line do not extend it, or a client could hold the session for ever.
        let line = self.waiting_since.saturating_add(command);
        match &self.state {
            State::Pregreet => {
                let pause = self.config.pregreet.map_or(Duration::ZERO, |p| p.pause);
                Some(self.started.saturating_add(pause))
            }
            State::Idle | State::Authenticating(_) | State::Envelope(_) => {
                Some(line.min(self.end_of_session()))
            }
            State::BetweenChunks(chunks) => {
                let message = chunks.pace.end_of_message(&self.config);
                Some(line.min(self.end_of_session()).min(message))
            }
            State::Content(content) => Some(match content.framing_error() {
                Some(_) => content.pace.deadline_after(malformed, &self.config),
                None => content.pace.deadline(&self.config, self.stress),
            }),
            State::Chunk(chunks) => Some(chunks.pace.deadline(&self.config, self.stress)),
            State::Discard(discard) => Some(discard.pace.deadline(&self.config, self.stress)),
            State::Handshake => Some(self.waiting_since.saturating_add(handshake)),
            State::Asked(_) | State::Closed => None,
        }
    }

    fn end_of_session(&self) -> Time {
        self.started.saturating_add(self.config.timeouts.session)
    }

    pub(super) fn refuse_early_talk(&mut self) {
        self.talked_early = true;
        let reply = match self.config.pregreet.map(|pregreet| pregreet.early_talk) {
            Some(EarlyTalk::Refused) => replies::refused_for_early_talk(),
            Some(EarlyTalk::Deferred) | None => replies::deferred_for_early_talk(),
        };
        self.close_with(&reply);
    }
}
