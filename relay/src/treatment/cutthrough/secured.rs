//! What recipients' domains, and senders, demand of the destination's TLS, and that it is shown before MAIL.
//!
//! The customer has chosen the destination; a domain's DANE or MTA-STS is in force if that is one of the domain's
//! servers (then the customer would have been held to it, too), and else there is nothing to hold it to. One message may
//! be for several domains, and then the one connection must show what each of them demands.
//!
//! A sender demands by REQUIRETLS (RFC 8689) that the destination is authenticated: as a server of the recipient's
//! domain, because nothing else says what its name is. What it says by `TLS-Required: No` is in the header, which is not
//! there yet when MAIL goes to the destination, so it changes nothing here; where a queue takes what is deferred, it does
//! there.

use relay_proto::address::Domain;
use relay_proto::envelope::{Mail, Recipient, TlsTag};
use relay_proto::reply::Reply;
use tracing::{debug, info};

use super::Cutthrough;
use crate::egress::Leg;
use crate::metrics::Counter;
use crate::outbound::requirement::{Requirement, Unsatisfied};
use crate::outbound::{Unreachable, Upstream};
use crate::routing::{RouteError, Terms, Unauthenticated};

/// What one domain demands.
#[derive(Debug, Clone, Default)]
pub(super) struct Demanded {
    /// `None` = it is nobody's who could demand anything.
    domain: Option<Domain>,
    pub(super) requirement: Requirement,
    /// What must be shown so that REQUIRETLS may be said, if anything can.
    strict: Option<Requirement>,
}

/// What the domains of one message demand.
#[derive(Debug, Default)]
pub(super) struct Demands(Vec<Demanded>);

impl Demands {
    /// Takes one more, if the destination shows that, too. Else the recipient needs a message of its own.
    pub(super) fn admit(&mut self, demanded: Demanded, upstream: &Upstream) -> Result<(), Reply> {
        if let Some(domain) = &demanded.domain
            && self.of(domain).is_some()
        {
            return Ok(());
        }
        if let Err(why) = upstream.satisfies(&demanded.requirement) {
            let text = format!(
                "your destination does not show what this recipient's domain demands beside the others: {why}; \
                 send it a message of its own"
            );
            return Err(Reply::new(452, "4.5.3", &text));
        }
        self.0.push(demanded);
        Ok(())
    }

    /// What the first domain demands; a new connection asks for that.
    pub(super) fn first(&self) -> Demanded {
        self.0.first().cloned().unwrap_or_default()
    }

    /// Whether another connection shows all of it.
    pub(super) fn hold(&self, upstream: &Upstream) -> Result<(), Unsatisfied> {
        self.0
            .iter()
            .try_for_each(|demanded| upstream.satisfies(&demanded.requirement))
    }

    fn of(&self, domain: &Domain) -> Option<&Demanded> {
        let same = |demanded: &&Demanded| demanded.domain.as_ref() == Some(domain);
        self.0.iter().find(same)
    }
}

impl Demanded {
    /// As MAIL is said to this destination: REQUIRETLS only where it is what RFC 8689 section 2 wants it to be.
    pub(super) fn sayable(&self, mail: &Mail, upstream: &Upstream) -> Mail {
        let shown = |strict: &Requirement| upstream.satisfies(strict).is_ok();
        let kept = mail.tls == TlsTag::Required
            && upstream.extensions().require_tls
            && self.strict.as_ref().is_some_and(shown);
        Mail {
            // Who insists has been refused already, or is by the session: it never goes on without.
            tls: if kept || mail.insists_on_tls() {
                mail.tls
            } else {
                TlsTag::None
            },
            ..mail.clone()
        }
    }
}

impl Cutthrough {
    /// What the recipient's domain, and the sender, demand of the destination; the reply, if that cannot be found out, or
    /// cannot be shown by anybody.
    pub(super) async fn demanded_for(&self, recipient: &Recipient) -> Result<Demanded, Reply> {
        // What is not scanned goes to the operator's own server, which the configuration names.
        if !self.scanned {
            return Ok(Demanded::default());
        }
        let transaction = self.transaction.as_ref();
        let insists = transaction.is_some_and(|it| it.mail.insists_on_tls());
        let Some(mailbox) = recipient.forward_path.mailbox() else {
            return if insists {
                Err(self.unauthenticated(Unauthenticated::Nameless))
            } else {
                Ok(Demanded::default())
            };
        };
        let domain = mailbox.domain();
        if let Some(known) = transaction.and_then(|it| it.demands.of(domain)) {
            return Ok(known.clone());
        }
        let destination = self.destination.socket_addr();
        match self.relay.router.required(domain, destination).await {
            Ok(Terms {
                strict: Err(why), ..
            }) if insists => Err(self.unauthenticated(why)),
            Ok(Terms { usual, strict }) => {
                let strict = strict.ok();
                let insisted = strict.clone().filter(|_| insists);
                Ok(Demanded {
                    domain: Some(domain.clone()),
                    requirement: insisted.unwrap_or(usual),
                    strict,
                })
            }
            Err(RouteError::NotNow { status, text } | RouteError::Never { status, text }) => {
                self.relay.metrics().count(Counter::Insecure);
                info!(
                    error = text,
                    "policy of the recipient's domain is not known"
                );
                // Whatever it is, another try may find out.
                let status = format!("4{}", status.get(1..).unwrap_or(".7.5"));
                Err(Reply::new(451, &status, &format!("{text}; try again")))
            }
        }
    }

    /// The reply to a sender that insists on REQUIRETLS where that cannot be kept. Another server of the domain may be
    /// better only where this one is not known as such.
    fn unauthenticated(&self, why: Unauthenticated) -> Reply {
        self.relay.metrics().count(Counter::Insecure);
        let id = self.transaction.as_ref().map(|transaction| &transaction.id);
        info!(queue.id = id, error = %why, "REQUIRETLS cannot be kept");
        let destination = self.destination;
        if why.is_final() {
            let text = format!("REQUIRETLS cannot be kept with {destination}: {why}");
            Reply::new(550, "5.7.30", &text)
        } else {
            let text = format!(
                "REQUIRETLS cannot be kept with {destination}: {why}; try again or try your next MX"
            );
            Reply::new(451, "4.7.5", &text)
        }
    }

    /// The connection that is open, if it shows what is required; else it is ended, because another one, which
    /// asks for the right name, may.
    pub(super) async fn kept_upstream(&mut self, requirement: &Requirement) -> Option<Upstream> {
        let upstream = self.upstream.take()?;
        let clear_for_tls = upstream.leaves_tls_out() && self.customer_tls;
        if !clear_for_tls && self.relay.outbound.holds(&upstream, requirement) {
            return Some(upstream);
        }
        debug!("the open connection does not show what is required, connecting again");
        upstream.quit().await;
        None
    }

    /// A new connection.
    pub(super) async fn reach_over(&self, leg: &Leg) -> Result<Upstream, Unreachable> {
        let upstream = self.relay.outbound.reach(leg).await?;
        if upstream.leaves_tls_out() {
            self.relay.metrics().count(Counter::TlsLeftOut);
            info!("destination's TLS never works; in clear text, as the customer is");
        }
        Ok(upstream)
    }

    /// The reply for a recipient whose domain demands what is not shown. Another of its servers may show it, and it may be
    /// mended.
    pub(super) fn insecure(&self, demanded: &Demanded, why: Unsatisfied) -> Reply {
        self.relay.metrics().count(Counter::Insecure);
        let id = self.transaction.as_ref().map(|transaction| &transaction.id);
        info!(queue.id = id, error = %why, "destination does not show what its domain demands");
        let destination = self.destination;
        let domain = demanded.domain.as_ref().map(ToString::to_string);
        let domain = domain.as_deref().unwrap_or("its domain");
        let text = format!(
            "{destination} is not trusted with mail for {domain}: {why}; try again or try your next MX"
        );
        Reply::new(451, "4.7.5", &text)
    }
}
