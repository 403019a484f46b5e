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
        self.actions.pop_front()
    }

    fn flush(&mut self) {
        if !self.held.is_empty() {
            let octets = self.held.split().freeze();
            self.actions.push_back(Action::Send(octets));
        }
    }
}
