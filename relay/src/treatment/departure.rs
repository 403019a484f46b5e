//! Whether a message may leave from an address of the relay, and what else becomes of it.
//!
//! Who looks at the mail of others should not make it fail: where the author's DMARC policy would have receivers
//! refuse a message from the relay's address that they would have taken from the customer's own, that one is used if
//! the policy lends it, and else the sender hears in its session what would have to change.

use std::net::SocketAddr;

use contract::Egress;
use relay_proto::reply::Reply;
use tracing::info;

use super::inspection::Inspection;
use super::outcome::Outcome;
use crate::egress::Way;
use crate::message::Message;
use crate::metrics::Counter;
use crate::vouch::{Leaving, Spoilt};

/// What a message does.
#[derive(Debug)]
pub(super) enum Departure {
    /// It goes the way that was chosen.
    AsChosen,
    /// It goes from its customer's own address.
    FromCustomer,
    /// Nowhere.
    Refused(Outcome),
}

impl Inspection<'_> {
    /// Judges a message that would go by `way` to `destination`.
    pub(super) async fn departure(
        &self,
        way: &Way,
        destination: SocketAddr,
        content: &Message,
    ) -> Departure {
        let Some(voucher) = &self.relay.aligning else {
            return Departure::AsChosen;
        };
        let Some(leaves_from) = self.relay.egresses.seen_as(way, destination) else {
            return Departure::AsChosen;
        };
        let ehlo = self.facts.ehlo.as_ref();
        let own = &self.relay.config.identity.hostname;
        let leaves_as = way.ehlo_name(ehlo, own);
        let leaving = Leaving {
            customer: self.admitted.customer.ip(),
            ehlo,
            leaves_from,
            leaves_as: &leaves_as,
            mail: self.mail,
            content,
        };
        let Some(spoilt) = voucher.spoils(&leaving, self.patience).await else {
            return Departure::AsChosen;
        };
        let id = self.id;
        if self.admitted.egress() == Egress::PoolOrCustomer {
            self.relay.metrics().count(Counter::DmarcOwnAddress);
            info!(queue.id = %id, egress.way = %way, "DMARC would fail from there; it leaves from its customer's address");
            return Departure::FromCustomer;
        }
        info!(queue.id = %id, egress.way = %way, remedy = %spoilt, "DMARC would fail from there; its sender is told");
        Departure::Refused(Outcome {
            verdict: "dmarc",
            counter: Counter::DmarcRefused,
            reply: self.told(&spoilt),
        })
    }

    /// RFC 7372 section 3.3: several checks of authentication failed.
    fn told(&self, spoilt: &Spoilt) -> Reply {
        let help_url = &self.relay.config.identity.help_url;
        let (author, id) = (&spoilt.author, self.id);
        let text = format!(
            "mail of {author} leaves here from {} and would fail its DMARC policy there: {spoilt}; {help_url} id={id}",
            spoilt.leaves_from
        );
        Reply::new(550, "5.7.26", &bounded(&text))
    }
}

/// Names in it are as long as somebody else likes; a reply is one line (RFC 5321 section 4.5.3.1.5).
fn bounded(text: &str) -> String {
    let visible = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().map(visible).take(REPLY_CHARS_MAX).collect()
}

const REPLY_CHARS_MAX: usize = 480;
