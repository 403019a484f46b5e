//! Messages as they are sent, and as they lie in a mailbox at the other end.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use data_encoding::BASE64_MIME;

/// A message to send: header, empty line, body; lines end in CRLF.
#[derive(Clone, Debug)]
pub struct Message {
    /// Octets that occur in this message and in no other.
    pub token: String,
    /// The content.
    pub content: Vec<u8>,
}

impl Message {
    /// A message that a careless hop would damage: a folded and oddly spaced header, a signature
    /// header, lines of dots, trailing blanks, tabs, octets above 127, a line near the limit, and
    /// no empty line at its end.
    #[must_use]
    pub fn awkward() -> Self {
        Self::with_body(
            &[
                b"The first line.\r\n.\r\n..two dots\r\n.one dot\r\n".as_slice(),
                b"trailing blanks   \t\r\n\ttab first\r\n\r\n\r\n",
                b"caf\xc3\xa9, na\xefve (one of these is not UTF-8)\r\n",
                "x".repeat(990).as_bytes(),
                b"\r\nFrom the beginning of a line\r\n-- \r\nlast",
            ]
            .concat(),
        )
    }

    /// A message that every spam filter refuses.
    #[must_use]
    pub fn gtube() -> Self {
        Self::with_body(format!("Buy now.\r\n{GTUBE}\r\n").as_bytes())
    }

    /// A message with a file in it, which a mail program would have encoded.
    #[must_use]
    pub fn with_attachment(name: &str, file: &[u8]) -> Self {
        let encoded = BASE64_MIME.encode(file);
        let mut message = Self::with_body(
            format!(
                "--b\r\n\r\nSee the file.\r\n--b\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{encoded}--b--\r\n"
            )
            .as_bytes(),
        );
        let mime = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n";
        message.content = [mime, message.content.as_slice()].concat();
        message
    }

    /// A message of about that many octets.
    #[must_use]
    pub fn of_octets(octets: usize) -> Self {
        let line = format!("{}\r\n", "0123456789".repeat(7));
        Self::with_body(line.repeat(octets / line.len() + 1).as_bytes())
    }

    fn with_body(body: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("lab-{}-{number}", std::process::id());
        let header = format!(
            "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=example.org; s=lab;\r\n\
             \th=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\
             \tb=c2lnbmVkIGJ5IG5vYm9keQ==\r\n\
             From: \"A. Sender\"  <sender@example.org>\r\n\
             To: recipient@example.net\r\n\
             Subject:   two blanks\r\n  and a fold\r\n\
             Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\
             Message-Id: <{token}@example.org>\r\n\
             X-Case-And-SPACES:\tkept\t\r\n\
             \r\n"
        );
        let mut content = [header.as_bytes(), body].concat();
        if !content.ends_with(b"\r\n") {
            // SMTP has no message that ends within a line.
            content.extend_from_slice(b"\r\n");
        }
        Self { token, content }
    }
}

/// A message as a mailbox holds it: the receiving server's trace fields, perhaps the relay's, the
/// sender's content; lines end in LF, as mailboxes keep them.
#[derive(Clone, Debug)]
pub struct Stored {
    octets: Vec<u8>,
}

impl Stored {
    /// What a mailbox file holds.
    #[must_use]
    pub fn new(octets: Vec<u8>) -> Self {
        Self { octets }
    }

    /// Whether this is what became of `message`.
    #[must_use]
    pub fn holds(&self, token: &str) -> bool {
        self.octets
            .windows(token.len())
            .any(|window| window == token.as_bytes())
    }

    /// Each `Received` field, newest first, unfolded.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        self.header()
            .into_iter()
            .filter(|field| field.starts_with("Received:"))
            .collect()
    }

    /// The relay's `X-Outgate-Id`, if it passed one.
    #[must_use]
    pub fn outgate_id(&self) -> Option<String> {
        let field = self
            .header()
            .into_iter()
            .find(|field| field.starts_with(OUTGATE_ID))?;
        field.split_once(": ").map(|(_, id)| id.trim().to_owned())
    }

    /// Whether the server that stored it took it over TLS, by its own `Received` field.
    #[must_use]
    pub fn arrived_by_tls(&self) -> bool {
        let own = self.received().into_iter().next().unwrap_or_default();
        let own = own.to_ascii_uppercase();
        own.contains("WITH ESMTPS") || own.contains("WITH UTF8SMTPS")
    }

    /// Whether the server that stored it took it from that address, by its own `Received` field.
    #[must_use]
    pub fn arrived_from(&self, address: IpAddr) -> bool {
        // Exim leaves the tag of RFC 5321 section 4.1.3 out.
        let [tagged, bare] = [address_literal(address), format!("[{address}]")];
        self.received()
            .first()
            .is_some_and(|field| field.contains(&tagged) || field.contains(&bare))
    }

    /// Whether the relay's own `Received` field names that customer.
    #[must_use]
    pub fn relayed_for(&self, customer: IpAddr) -> bool {
        let literal = address_literal(customer);
        self.received()
            .get(1)
            .is_some_and(|field| field.contains("(Outgate at ") && field.contains(&literal))
    }

    /// Whether header and body, as sent, stand octet for octet at the end, below trace fields only.
    ///
    /// # Errors
    /// The first octet that differs, with what is around it on both sides.
    pub fn preserves(&self, message: &Message) -> Result<(), String> {
        let sent = with_lf(&message.content);
        let Some(above) = self.octets.len().checked_sub(sent.len()) else {
            return Err(format!(
                "{} octets sent, only {} stored",
                sent.len(),
                self.octets.len()
            ));
        };
        let (trace, stored) = self.octets.split_at(above);
        if let Some(at) = stored
            .iter()
            .zip(&sent)
            .position(|(stored, sent)| stored != sent)
        {
            let around = |octets: &[u8]| {
                let range = at.saturating_sub(20)..(at + 20).min(octets.len());
                octets
                    .get(range)
                    .unwrap_or_default()
                    .escape_ascii()
                    .to_string()
            };
            return Err(format!(
                "octet {at}: sent \"{}\", stored \"{}\"",
                around(&sent),
                around(stored)
            ));
        }
        let foreign = fields(trace)
            .into_iter()
            .find(|field| !TRACE_FIELDS.iter().any(|name| field.starts_with(name)));
        foreign.map_or(Ok(()), |field| {
            Err(format!("above the sender's header stands {field:?}"))
        })
    }

    /// The text, for a person.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }

    fn header(&self) -> Vec<String> {
        let end = self
            .octets
            .windows(2)
            .position(|window| window == b"\n\n")
            .unwrap_or(self.octets.len());
        fields(self.octets.get(..end).unwrap_or_default())
    }
}

/// RFC 5321 section 4.1.3, as both Postfix and the relay write it in trace fields.
fn address_literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// Header fields, unfolded.
fn fields(header: &[u8]) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in String::from_utf8_lossy(header).lines() {
        match fields.last_mut() {
            Some(field) if line.starts_with([' ', '\t']) => {
                field.push(' ');
                field.push_str(line.trim_start());
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

fn with_lf(content: &[u8]) -> Vec<u8> {
    let mut lf = Vec::with_capacity(content.len());
    let mut rest = content.iter().peekable();
    while let Some(octet) = rest.next() {
        if *octet != b'\r' || rest.peek() != Some(&&b'\n') {
            lf.push(*octet);
        }
    }
    lf
}

const OUTGATE_ID: &str = "X-Outgate-Id: ";

/// What servers may put on top.
const TRACE_FIELDS: [&str; 6] = [
    "Received:",
    "Return-Path:",
    "X-Original-To:",
    "Delivered-To:",
    OUTGATE_ID,
    "X-Outgate-Token: ",
];

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

#[cfg(test)]
mod tests {
    use super::*;

    fn stored_with(trace: &str, message: &Message) -> Stored {
        Stored::new([trace.as_bytes(), &with_lf(&message.content)].concat())
    }

    const TRACE: &str = "Return-Path: <sender@example.org>\n\
        Received: from relay-1.example.net (unknown [198.51.100.2])\n\tby mx1 (Postfix) with ESMTPS id 1\n\
        Received: from host ([192.0.2.10]) by relay-1 (Outgate at Example)\n\twith ESMTPS id 2; date\n\
        X-Outgate-Token: UBB5SWkreTdo\n Afcn\n\
        X-Outgate-Id: 2\n";

    #[test]
    fn trace_fields_are_read_and_content_is_compared_below_them() {
        let message = Message::awkward();
        let stored = stored_with(TRACE, &message);
        assert_eq!(stored.preserves(&message), Ok(()));
        assert_eq!(stored.outgate_id().as_deref(), Some("2"));
        assert!(stored.arrived_from("198.51.100.2".parse().unwrap()));
        assert!(!stored.arrived_from("192.0.2.10".parse().unwrap()));
        assert!(stored.relayed_for("192.0.2.10".parse().unwrap()));
        assert!(stored.arrived_by_tls());
        assert!(stored.holds(&message.token));
    }

    #[test]
    fn one_changed_octet_is_noticed() {
        let message = Message::awkward();
        let mut stored = stored_with(TRACE, &message);
        let last = stored.octets.len() - 3;
        stored.octets[last] ^= 1;
        assert!(
            stored
                .preserves(&message)
                .unwrap_err()
                .starts_with("octet ")
        );
    }

    #[test]
    fn a_field_of_unknown_name_above_the_content_is_noticed() {
        let message = Message::awkward();
        let stored = stored_with("Received: x\nX-Spam: yes\n", &message);
        assert!(stored.preserves(&message).unwrap_err().contains("X-Spam"));
    }
}
