//! Whether DMARC (RFC 9989) would hold it against a message that it leaves from another address than its customer's.
//!
//! Receivers refuse a message whose author's domain wants that, unless SPF passes for the address that it comes from,
//! or a DKIM signature holds, in a domain of the author's organisation. A signature holds wherever the message comes from;
//! SPF does not. So the question is only whether it would pass from the customer's own address, and not from
//! this one; a message that would fail from both is not made worse by us.
//!
//! A doubt speaks for the message: a resolver that fails, a policy that asks for nothing, a signature that cannot be
//! verified in time or for its size.

use std::fmt;
use std::net::IpAddr;

use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcOutput, DmarcResult, Parameters, SpfOutput,
};
use relay_proto::address::Domain;
use relay_proto::envelope::{EhloName, Mail};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{OCTETS_MAX, Patience, SIGNATURES_MAX, Voucher, signatures};
use crate::message::Message;

/// A message that is about to leave.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// Its customer's address, and what that called itself.
    pub customer: IpAddr,
    /// The same.
    pub ehlo: Option<&'a EhloName>,
    /// The address that destinations see.
    pub leaves_from: IpAddr,
    /// What EHLO says there.
    pub leaves_as: &'a str,
    /// Its reverse-path.
    pub mail: &'a Mail,
    /// All of it.
    pub content: &'a Message,
}

/// Receivers would take it from its customer's address, and refuse it from this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoilt {
    /// The author's domain, whose policy it is.
    pub author: String,
    /// The domain whose SPF record has the customer's address and not this one.
    pub sender: String,
    /// This one.
    pub leaves_from: IpAddr,
}

impl fmt::Display for Spoilt {
    /// What would have to change, for who runs the domain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            author,
            sender,
            leaves_from,
        } = self;
        let mechanism = match leaves_from {
            IpAddr::V4(v4) => format!("ip4:{v4}"),
            IpAddr::V6(v6) => format!("ip6:{v6}"),
        };
        write!(
            f,
            "add {mechanism} to the SPF record of {sender}, or sign with DKIM d={author}"
        )
    }
}

/// Of one sender, by SPF.
struct Identity<'a> {
    address: IpAddr,
    helo: &'a str,
    /// Empty for a null reverse-path.
    reverse_path: &'a str,
}

impl Voucher {
    /// Whether it is spoilt, as far as `patience` goes. `None`: nothing speaks against it, or nobody can tell.
    pub async fn spoils(&self, leaving: &Leaving<'_>, patience: &Patience) -> Option<Spoilt> {
        if leaving.leaves_from == leaving.customer {
            return None;
        }
        let until = patience.until(self.deadline);
        let judged = timeout_at(until, self.judge(leaving, until)).await;
        let spoilt = judged.unwrap_or_else(|_elapsed| {
            debug!("DMARC cannot be judged in time");
            None
        });
        debug!(leaves_from = %leaving.leaves_from, spoilt = ?spoilt.as_ref(), "DMARC judged");
        spoilt
    }

    async fn judge(&self, leaving: &Leaving<'_>, until: Instant) -> Option<Spoilt> {
        let head = head(leaving.content).await?;
        let message = AuthenticatedMessage::parse(&head)?;
        // Without an author there is no policy, and nobody has to be asked.
        message.from.iter().find(|author| author.contains('@'))?;
        let mailbox = leaving.mail.reverse_path.mailbox();
        if mailbox.is_some_and(|it| !matches!(it.domain(), Domain::Name(_))) {
            return None;
        }
        let reverse_path = mailbox.map_or_else(String::new, ToString::to_string);
        let here = Identity {
            address: leaving.leaves_from,
            helo: leaving.leaves_as,
            reverse_path: &reverse_path,
        };
        let from_here = self.spf(&here).await;
        let unsigned = self.dmarc(&message, &[], &here, &from_here).await;
        let is_lenient = matches!(unsigned.policy(), Policy::None | Policy::Unspecified);
        if is_lenient || !fails(unsigned.spf_result()) {
            return None;
        }
        let author = unsigned.domain().to_owned();
        let is_signed = signatures(&head) > 0;
        if is_signed && !self.signatures_fail(&reverse_path, leaving, until).await {
            return None;
        }
        let customers = Identity {
            address: leaving.customer,
            helo: leaving.ehlo.map_or("unknown", EhloName::as_str),
            reverse_path: &reverse_path,
        };
        let from_there = self.spf(&customers).await;
        let there = self.dmarc(&message, &[], &customers, &from_there).await;
        (*there.spf_result() == DmarcResult::Pass).then(|| Spoilt {
            author,
            sender: customers.domain().to_owned(),
            leaves_from: leaving.leaves_from,
        })
    }

    /// Whether it is certain that no signature of the author's organisation holds.
    async fn signatures_fail(
        &self,
        reverse_path: &str,
        leaving: &Leaving<'_>,
        until: Instant,
    ) -> bool {
        if leaving.content.octets() > OCTETS_MAX {
            return false;
        }
        let Ok(_place) = self.hashing.acquire().await else {
            return false;
        };
        let Ok(content) = leaving.content.read_whole().await else {
            return false;
        };
        if signatures(&content) > SIGNATURES_MAX {
            return false;
        }
        // Hashing a body takes as long as it is large.
        let (this, reverse_path) = (self.clone(), reverse_path.to_owned());
        let (address, helo) = (leaving.leaves_from, leaving.leaves_as.to_owned());
        let runtime = tokio::runtime::Handle::current();
        let judged = spawn_blocking(move || {
            let judged = async {
                let message = AuthenticatedMessage::parse(&content)?;
                let verified = this
                    .authenticator
                    .verify_dkim(Parameters::new(&message))
                    .await;
                let identity = Identity {
                    address,
                    helo: &helo,
                    reverse_path: &reverse_path,
                };
                let spf = this.spf(&identity).await;
                let output = this.dmarc(&message, &verified, &identity, &spf).await;
                Some(fails(output.dkim_result()))
            };
            runtime.block_on(timeout_at(until, judged))
        });
        matches!(judged.await, Ok(Ok(Some(true))))
    }

    async fn spf(&self, identity: &Identity<'_>) -> SpfOutput {
        let Identity {
            address,
            helo,
            reverse_path,
        } = *identity;
        // RFC 7208 section 2.4: without a reverse-path it is postmaster of the name in EHLO.
        let asked = if reverse_path.is_empty() {
            SpfParameters::verify_ehlo(address, helo, &self.hostname)
        } else {
            SpfParameters::verify_mail_from(address, helo, &self.hostname, reverse_path)
        };
        self.authenticator.check_host(Parameters::new(asked)).await
    }

    async fn dmarc(
        &self,
        message: &AuthenticatedMessage<'_>,
        dkim: &[DkimOutput<'_>],
        identity: &Identity<'_>,
        spf: &SpfOutput,
    ) -> DmarcOutput {
        let asked = DmarcParameters::new(message, dkim, identity.domain(), spf);
        self.authenticator
            .verify_dmarc(Parameters::new(asked))
            .await
    }
}

impl Identity<'_> {
    /// The domain that SPF speaks about.
    fn domain(&self) -> &str {
        let domain = self.reverse_path.rsplit_once('@');
        domain.map_or(self.helo, |(_, domain)| domain)
    }
}

/// Certainly. What cannot be looked up neither passes nor fails.
fn fails(result: &DmarcResult) -> bool {
    match result {
        DmarcResult::Pass | DmarcResult::TempError(_) => false,
        DmarcResult::Fail(_) | DmarcResult::PermError(_) | DmarcResult::None => true,
    }
}

/// The header section with its empty line; `None` if it is too long or cannot be read.
pub(super) async fn head(content: &Message) -> Option<Vec<u8>> {
    let section = content.header_section(HEAD_OCTETS_MAX).await.ok()?;
    (!section.is_cut).then_some(section.octets)
}

/// Honest headers are a tenth of that.
const HEAD_OCTETS_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MessageLimits;
    use crate::message::Intake;

    #[tokio::test]
    async fn the_head_ends_with_its_empty_line_wherever_blocks_end() {
        let directory = tempfile::tempdir().unwrap();
        let whole = |text: Vec<u8>| {
            let limits = MessageLimits {
                max_octets: 1 << 20,
                memory_octets: 1000,
                spill_dir: directory.path().to_owned(),
            };
            async move {
                let mut intake = Intake::new(&limits);
                intake.append(&text).await;
                intake.finish().await.unwrap()
            }
        };
        for length in [
            10, 65_500, 65_530, 65_531, 65_532, 65_533, 65_534, 65_535, 65_536, 70_000,
        ] {
            let mut text = b"X: ".to_vec();
            text.resize(length, b'x');
            text.extend_from_slice(b"\r\n\r\nbody\r\n\r\nmore\r\n");
            let expected = length + 4;
            let message = whole(text.clone()).await;
            assert_eq!(head(&message).await.unwrap(), text[..expected], "{length}");
        }
        let endless = whole(vec![b'x'; 300 << 10]).await;
        assert_eq!(head(&endless).await, None);
    }

    #[test]
    fn the_remedy_names_record_and_domain() {
        let mut spoilt = Spoilt {
            author: "example.org".into(),
            sender: "bounce.example.org".into(),
            leaves_from: "198.51.100.20".parse().unwrap(),
        };
        assert_eq!(
            spoilt.to_string(),
            "add ip4:198.51.100.20 to the SPF record of bounce.example.org, or sign with DKIM d=example.org"
        );
        spoilt.leaves_from = "2001:db8:2::20".parse().unwrap();
        assert!(spoilt.to_string().starts_with("add ip6:2001:db8:2::20 to "));
    }
}
