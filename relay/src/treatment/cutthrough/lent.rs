//! What a treatment needs of cut-through that decides for itself when the destination is reached.

use relay_proto::client::Extensions;
use relay_proto::server::{Answer, Offer};

use super::{Cutthrough, promise, shutting_down};
use crate::egress::Way;
use crate::outbound::Upstream;

impl Cutthrough {
    /// Goes on with a connection that somebody else has opened.
    pub(in crate::treatment) fn adopt(&mut self, upstream: Upstream, way: Way) {
        self.upstream = Some(upstream);
        self.way = Some(way);
    }

    /// What is offered where the destination offers this.
    pub(in crate::treatment) fn offer(&self, destination: &Extensions) -> Offer {
        promise::offer(self.relay.offer(), destination)
    }

    /// Whether the destination has shown that it speaks no TLS that we do.
    pub(in crate::treatment) fn has_met_old_tls(&self) -> bool {
        self.old_tls
    }

    /// The last word of a relay that is to end, if this one is.
    pub(in crate::treatment) fn draining(&self) -> Option<Answer> {
        self.drain.has_begun().then(|| shutting_down(&self.relay))
    }
}
