//! The trace fields that the relay puts on top of a message, and nothing else of it.

use core::net::IpAddr;

use crate::address::ForwardPath;
use crate::envelope::EhloName;

/// What the trace fields of one message say.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// What the client called itself.
    pub ehlo: &'a EhloName,
    /// The client's address: the customer's.
    pub client: IpAddr,
    /// Our name.
    pub hostname: &'a str,
    /// Who runs this.
    pub operator: &'a str,
    /// The client said EHLO.
    pub esmtp: bool,
    /// TLS was on.
    pub tls: bool,
    /// MAIL said SMTPUTF8.
    pub smtputf8: bool,
    /// Our identifier of the message.
    pub id: &'a str,
    /// The recipient, if there is exactly one: with several, naming one would disclose it to the others.
    pub recipient: Option<&'a ForwardPath>,
    /// RFC 5322 date-time.
    pub date: &'a str,
}

impl Trace<'_> {
    /// `Received:` and `X-Outgate-Id:`, folded, each line ending in CRLF.
    #[must_use]
    pub fn fields(&self) -> String {
        format!(
            "Received: from {} ({}) by {}; {}\r\nX-Outgate-Id: {}\r\n",
            self.ehlo, self.client, self.hostname, self.date, self.id
        )
    }
}
