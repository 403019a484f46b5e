//! The trace fields that the relay puts on top of a message, and how many there were before it.
//!
//! ```text
//! Received: from mail.customer.example ([192.0.2.10])
//!  by relay-1.example.net (Outgate at Example Hosting)
//!  with ESMTPS id 0190c8a1
//!  for <user@example.org>;
//!  Fri, 21 Nov 2025 20:03:00 +0000
//! X-Outgate-Token: T2RyuZYQ9mpk0Z2v0bXq5Q1d1oXyqk3yKk2qzq1Yw4o9sE1m7r3k2Q0a
//!  9mB4tKQx7n0
//! X-Outgate-Id: 0190c8a1
//! ```
//! (RFC 5321 section 4.4, protocol names of RFC 3848 and RFC 6531 section 4.3.) What a client chose,
//! its EHLO name and the recipient, can neither end a line nor open or close a comment.

mod hops;

use core::net::IpAddr;

use crate::address::ForwardPath;
use crate::envelope::EhloName;
pub use hops::Hops;

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
    /// The client has shown who it is.
    pub authenticated: bool,
    /// MAIL said SMTPUTF8.
    pub smtputf8: bool,
    /// Our identifier of the message.
    pub id: &'a str,
    /// What leads from a complaint to the client, and says nothing to others: base64url, of any length.
    pub token: Option<&'a str>,
    /// The recipient, if there is exactly one: with several, naming one would disclose it to the others.
    pub recipient: Option<&'a ForwardPath>,
    /// RFC 5322 date-time.
    pub date: &'a str,
}

impl Trace<'_> {
    /// `Received:` and `X-Outgate-Id:`, folded, each line ending in CRLF and none longer than 998 octets.
    #[must_use]
    pub fn fields(&self) -> String {
        let client = match self.client.to_canonical() {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let ehlo = only(self.ehlo.as_str(), is_name);
        let hostname = only(self.hostname, is_name);
        let operator = only(self.operator, is_comment);
        let id = only(self.id, is_name);
        let mut clauses = vec![
            format!("from {ehlo} ({client})"),
            format!("by {hostname} (Outgate at {operator})"),
            format!("with {} id {id}", self.protocol()),
        ];
        if let Some(recipient) = self.recipient.filter(|path| self.may_name(path)) {
            clauses.push(format!("for {recipient}"));
        }
        let clauses = clauses.join("\r\n ");
        let date = only(self.date, is_comment);
        let token = self.token.map(token_field).unwrap_or_default();
        format!("Received: {clauses};\r\n {date}\r\n{token}X-Outgate-Id: {id}\r\n")
    }

    fn protocol(&self) -> &'static str {
        match (self.smtputf8, self.esmtp, self.tls, self.authenticated) {
            (true, _, false, false) => "UTF8SMTP",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, true, true) => "UTF8SMTPSA",
            (false, true, false, false) => "ESMTP",
            (false, true, true, false) => "ESMTPS",
            (false, true, false, true) => "ESMTPA",
            (false, true, true, true) => "ESMTPSA",
            // There is no name for HELO under TLS, and AUTH needs EHLO.
            (false, false, _, _) => "SMTP",
        }
    }

    /// A header of a message that is not internationalised is ASCII.
    fn may_name(&self, path: &ForwardPath) -> bool {
        self.smtputf8 || path.is_ascii()
    }
}

/// Folded, because what is pasted into a complaint should not be folded by others.
fn token_field(token: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    let mut field = String::from("X-Outgate-Token: ");
    for (place, c) in token
        .chars()
        .filter(fits)
        .take(MAX_TOKEN_OCTETS)
        .enumerate()
    {
        if place > 0 && place % TOKEN_LINE_OCTETS == 0 {
            field.push_str("\r\n ");
        }
        field.push(c);
    }
    field.push_str("\r\n");
    field
}

/// At most [`MAX_WORD_OCTETS`] of `text`, with `?` for whatever is not allowed.
fn only(text: &str, allowed: impl Fn(char) -> bool) -> String {
    let allowed = |c| if allowed(c) { c } else { '?' };
    text.chars().take(MAX_WORD_OCTETS).map(allowed).collect()
}

/// What domain names, address literals and identifiers consist of.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".-_:[]".contains(c)
}

/// Visible ASCII and spaces that neither open, close nor quote anything in a comment.
fn is_comment(c: char) -> bool {
    (c.is_ascii_graphic() || c == ' ') && !"()\\".contains(c)
}

const MAX_WORD_OCTETS: usize = 255;
const MAX_TOKEN_OCTETS: usize = 512;
/// With the name of the field it stays within 78 (RFC 5322 section 2.1.1).
const TOKEN_LINE_OCTETS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn trace<'a>(ehlo: &'a EhloName, recipient: Option<&'a ForwardPath>) -> Trace<'a> {
        Trace {
            ehlo,
            client: "192.0.2.10".parse().unwrap(),
            hostname: "relay-1.example.net",
            operator: "Example Hosting",
            esmtp: true,
            tls: true,
            authenticated: false,
            smtputf8: false,
            id: "0190c8a1",
            token: None,
            recipient,
            date: "Fri, 21 Nov 2025 20:03:00 +0000",
        }
    }

    #[test]
    fn the_fields_say_who_when_and_how() {
        let ehlo = EhloName::new("mail.customer.example").unwrap();
        let recipient = "<user@example.org>".parse().unwrap();
        let expected = "Received: from mail.customer.example ([192.0.2.10])\r\n \
            by relay-1.example.net (Outgate at Example Hosting)\r\n \
            with ESMTPS id 0190c8a1\r\n \
            for <user@example.org>;\r\n \
            Fri, 21 Nov 2025 20:03:00 +0000\r\n\
            X-Outgate-Id: 0190c8a1\r\n";
        assert_eq!(trace(&ehlo, Some(&recipient)).fields(), expected);
        let several = expected.replace("\r\n for <user@example.org>;", ";");
        assert_eq!(trace(&ehlo, None).fields(), several);
    }

    #[test]
    fn a_token_is_folded_and_cannot_end_the_field() {
        let ehlo = EhloName::new("x").unwrap();
        let long = "A-_9".repeat(40);
        let mut trace = trace(&ehlo, None);
        trace.token = Some(&long);
        let fields = trace.fields();
        assert!(
            fields.split("\r\n").all(|line| line.len() <= 78),
            "{fields}"
        );
        let unfolded = fields.replace("\r\n ", "");
        assert!(unfolded.contains(&format!("\r\nX-Outgate-Token: {long}\r\nX-Outgate-Id: ")));
        trace.token = Some("a\r\nX-Evil: 1\u{2028}");
        assert!(
            trace
                .fields()
                .contains("X-Outgate-Token: aX-Evil1\r\nX-Outgate-Id")
        );
    }

    #[test]
    fn nobody_writes_a_line_or_a_comment_of_his_own() {
        let ehlo = EhloName::new("x)(by;evil\"\\<>,@").unwrap();
        let recipient = "<\"a) (b; c\"@example.org>".parse().unwrap();
        let mut hostile = trace(&ehlo, Some(&recipient));
        hostile.operator = "Ex)ample\r\nX-Evil: 1\u{2028}(";
        hostile.id = "1\r\nX-Evil: 2";
        hostile.date = "now\r\n\r\nbody";
        hostile.client = "2001:db8::1".parse().unwrap();
        let fields = hostile.fields();
        let lines: Vec<&str> = fields.split_terminator("\r\n").collect();
        assert_eq!(
            lines,
            [
                "Received: from x??by?evil?????? ([IPv6:2001:db8::1])",
                " by relay-1.example.net (Outgate at Ex?ample??X-Evil: 1??)",
                " with ESMTPS id 1??X-Evil:?2",
                " for <\"a) (b; c\"@example.org>;",
                " now????body",
                "X-Outgate-Id: 1??X-Evil:?2",
            ]
        );
    }

    #[test]
    fn the_protocol_has_its_registered_name() {
        let ehlo = EhloName::new("x").unwrap();
        let cases = [
            ((false, false, false, false), "SMTP"),
            ((true, false, false, false), "ESMTP"),
            ((true, true, false, false), "ESMTPS"),
            ((true, false, false, true), "ESMTPA"),
            ((true, true, false, true), "ESMTPSA"),
            ((true, false, true, false), "UTF8SMTP"),
            ((true, true, true, false), "UTF8SMTPS"),
            ((true, false, true, true), "UTF8SMTPA"),
            ((true, true, true, true), "UTF8SMTPSA"),
        ];
        for ((esmtp, tls, smtputf8, authenticated), name) in cases {
            let fields = Trace {
                esmtp,
                tls,
                authenticated,
                smtputf8,
                ..trace(&ehlo, None)
            }
            .fields();
            assert!(fields.contains(&format!(" with {name} id ")), "{fields}");
        }
    }

    #[test]
    fn an_internationalised_recipient_is_named_only_in_internationalised_mail() {
        let ehlo = EhloName::new("x").unwrap();
        let recipient = "<ä@example.org>".parse().unwrap();
        let mut trace = trace(&ehlo, Some(&recipient));
        assert!(trace.fields().is_ascii());
        trace.smtputf8 = true;
        assert!(trace.fields().contains("for <ä@example.org>"));
    }

    #[test]
    fn no_line_is_longer_than_a_header_may_be() {
        let long = "x".repeat(255);
        let longer = "y".repeat(5000);
        let ehlo = EhloName::new(&long).unwrap();
        let mut trace = trace(&ehlo, None);
        (trace.hostname, trace.operator, trace.id, trace.date) =
            (&longer, &longer, &longer, &longer);
        assert!(trace.fields().split("\r\n").all(|line| line.len() <= 998));
    }
}
