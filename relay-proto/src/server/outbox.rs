//! What the caller has yet to do, in order.
//!
//! Replies are held together until something else must happen or the caller asks, so that the answers to
//! pipelined commands leave in one piece (RFC 2920 section 3.2). They are not held across a question: it
//! may take as long as the destination takes, and a reply that waited for it would use up the
//! client's own timers (RFC 5321 section 4.5.3.2).

use std::collections::VecDeque;

use bytes::BytesMut;

use super::Action;
use crate::reply::Reply;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    actions: VecDeque<Action>,
    /// Replies that come after all of `actions`.
    held: BytesMut,
    /// Octets of the replies among `actions`.
    sent_octets: usize,
}

impl Outbox {
    pub(super) fn say(&mut self, reply: &Reply, utf8: bool) {
        reply.encode(utf8, &mut self.held);
    }

    pub(super) fn push(&mut self, action: Action) {
        self.flush();
        self.actions.push_back(action);
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.flush();
        }
        let action = self.actions.pop_front();
        if let Some(Action::Send(octets)) = &action {
            self.sent_octets = self.sent_octets.saturating_sub(octets.len());
        }
        action
    }

    /// Octets of replies.
    pub(super) fn octets(&self) -> usize {
        self.sent_octets + self.held.len()
    }

    /// Whether the client must read before it hears more: a command of five octets may have a reply of fifty.
    pub(super) fn is_full(&self) -> bool {
        self.octets() >= MAX_OCTETS
    }

    fn flush(&mut self) {
        if !self.held.is_empty() {
            let octets = core::mem::take(&mut self.held).freeze();
            self.sent_octets += octets.len();
            self.actions.push_back(Action::Send(octets));
        }
    }
}

/// Bound on replies, but for the last one.
pub(super) const MAX_OCTETS: usize = 64 * 1024;
