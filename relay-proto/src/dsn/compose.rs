//! The octets of a notification (RFC 3464, RFC 6522, RFC 6533).
//!
//! To a sender whose address is ASCII all of it is 7-bit: what else there is stands in quoted-printable, or, in addresses, in
//! the ASCII form of RFC 6533 section 3. To another all of it is UTF-8.

use super::encode::{from_xtext, quoted_printable, to_ascii_address};
use super::text::{CRLF, Charset, address, field, folded, said};
use super::{Action, Composed, Head, Notice, Reporter, Told, Words};
use crate::address::ForwardPath;
use crate::envelope::OriginalRecipient;
use crate::queued::{Cause, Source, UnixMillis};

impl Notice<'_> {
    /// Writes it at `now`. `date` writes a moment as RFC 5322 section 3.3 has it; `id` is the notification's own
    /// name, the queue id that it will have.
    #[must_use]
    pub fn compose(
        &self,
        id: &str,
        reporter: &Reporter<'_>,
        head: &Head,
        now: UnixMillis,
        date: impl Fn(UnixMillis) -> String,
    ) -> Composed {
        let smtputf8 = !self.sender.is_ascii();
        let charset = if smtputf8 {
            Charset::Utf8
        } else {
            Charset::Ascii
        };
        let parts = [
            self.human_part(reporter, charset, &date),
            self.status_part(reporter, charset, now, &date),
            self.header_part(charset, head),
        ];
        let boundary = boundary(id, &parts);
        let mut out = self.fields(id, reporter, charset, head, &date(now), &boundary);
        out.push_str(CRLF);
        for part in parts {
            out.push_str(&format!("--{boundary}{CRLF}{part}{CRLF}"));
        }
        out.push_str(&format!("--{boundary}--{CRLF}"));
        Composed {
            octets: out.into_bytes(),
            smtputf8,
        }
    }

    fn fields(
        &self,
        id: &str,
        reporter: &Reporter<'_>,
        charset: Charset,
        head: &Head,
        now: &str,
        boundary: &str,
    ) -> String {
        let mut out = String::new();
        let mut field = |name, value: &str| field(&mut out, charset, name, value);
        let operator = reporter.operator.replace(['"', '\\'], "'");
        field("Date", now);
        field(
            "From",
            &format!("\"Mail delivery, {operator}\" <{}>", reporter.from),
        );
        field("To", &format!("<{}>", self.sender));
        field("Subject", self.subject());
        field("Message-ID", &format!("<{id}@{}>", reporter.hostname));
        if let Some(message_id) = head.message_id() {
            // So that mail programs show it beside the message that it is about.
            field("In-Reply-To", message_id);
            field("References", message_id);
        }
        // RFC 3834 section 5: no autoresponder answers, and no list takes it.
        field("Auto-Submitted", "auto-replied");
        field("MIME-Version", "1.0");
        field(
            "Content-Type",
            "multipart/report; report-type=delivery-status;",
        );
        // The line before is one of a folded field.
        out.push_str(&format!("\tboundary=\"{boundary}\"{CRLF}"));
        out.push_str(&encoding(charset));
        out
    }

    fn human_part(
        &self,
        reporter: &Reporter<'_>,
        charset: Charset,
        date: &impl Fn(UnixMillis) -> String,
    ) -> String {
        let text = self.human(reporter, date);
        let described = "Content-Description: What happened\r\n";
        match charset {
            Charset::Ascii if !text.is_ascii() => {
                let text = quoted_printable(text.as_bytes());
                format!(
                    "{described}Content-Type: text/plain; charset=utf-8{CRLF}\
                     Content-Transfer-Encoding: quoted-printable{CRLF}{CRLF}{text}"
                )
            }
            Charset::Ascii => format!(
                "{described}Content-Type: text/plain; charset=us-ascii{CRLF}{}{CRLF}{text}",
                encoding(charset)
            ),
            Charset::Utf8 => format!(
                "{described}Content-Type: text/plain; charset=utf-8{CRLF}{}{CRLF}{text}",
                encoding(charset)
            ),
        }
    }

    fn status_part(
        &self,
        reporter: &Reporter<'_>,
        charset: Charset,
        now: UnixMillis,
        date: &impl Fn(UnixMillis) -> String,
    ) -> String {
        let kind = match charset {
            Charset::Ascii => "message/delivery-status",
            Charset::Utf8 => "message/global-delivery-status",
        };
        let mut out = format!(
            "Content-Description: The same for programs{CRLF}Content-Type: {kind}{CRLF}{}{CRLF}",
            encoding(charset)
        );
        if let Some(envelope_id) = &self.queued.mail.envelope_id {
            let id = from_xtext(&envelope_id.to_string());
            field(&mut out, charset, "Original-Envelope-Id", &id);
        }
        let reporting = format!("dns; {}", reporter.hostname);
        field(&mut out, charset, "Reporting-MTA", &reporting);
        if let Source::Customer {
            ehlo: Some(name), ..
        } = &self.queued.source
        {
            let name = format!("dns; {name}");
            field(&mut out, charset, "Received-From-MTA", &name);
        }
        let arrived = date(self.queued.arrived);
        field(&mut out, charset, "Arrival-Date", &arrived);
        let queue_id = self.queued.id.to_string();
        field(&mut out, charset, "X-Outgate-Queue-Id", &queue_id);
        for told in &self.told {
            out.push_str(CRLF);
            recipient(&mut out, charset, told, now, date);
        }
        out
    }

    fn header_part(&self, charset: Charset, head: &Head) -> String {
        let mut header = self.queued.trace.clone().into_bytes();
        header.extend_from_slice(head.fields());
        let text = core::str::from_utf8(&header);
        let written = text.ok().filter(|text| text.split(CRLF).all(is_line));
        let described = "Content-Description: Header of your message\r\n";
        match (charset, written) {
            (Charset::Utf8, Some(text)) => format!(
                "{described}Content-Type: message/global-headers{CRLF}{}{CRLF}{text}",
                encoding(charset)
            ),
            (Charset::Ascii, Some(text)) if text.is_ascii() => format!(
                "{described}Content-Type: text/rfc822-headers{CRLF}{}{CRLF}{text}",
                encoding(charset)
            ),
            // RFC 6522 section 4 has this for headers that are not as they should be.
            (Charset::Ascii | Charset::Utf8, _) => format!(
                "{described}Content-Type: text/rfc822-headers{CRLF}\
                 Content-Transfer-Encoding: quoted-printable{CRLF}{CRLF}{}",
                quoted_printable(&header)
            ),
        }
    }
}

/// The fields about one recipient.
fn recipient(
    out: &mut String,
    charset: Charset,
    told: &Told<'_>,
    now: UnixMillis,
    date: &impl Fn(UnixMillis) -> String,
) {
    if let Some(original) = &told.recipient.original {
        field(
            out,
            charset,
            "Original-Recipient",
            &original_recipient(charset, original),
        );
    }
    let path = &told.recipient.forward_path;
    field(
        out,
        charset,
        "Final-Recipient",
        &final_recipient(charset, path),
    );
    let action = match told.action {
        Action::Failed => "failed",
        Action::Delayed { .. } => "delayed",
        Action::Delivered => "delivered",
        Action::Relayed => "relayed",
        Action::Expanded => "expanded",
    };
    field(out, charset, "Action", action);
    field(out, charset, "Status", &told.status());
    if let Some(remote) = told.remote {
        let name = match &remote.name {
            Some(name) => format!("dns; {name}"),
            None => format!("dns; [{}]", remote.address.ip()),
        };
        field(out, charset, "Remote-MTA", &name);
    }
    let diagnostic = match told.words {
        Words::Taken(reply)
        | Words::Final(Cause::Reply(reply))
        | Words::NotYet(Cause::Reply(reply)) => {
            format!("smtp; {}", said(reply))
        }
        Words::Final(Cause::Local { text, status: _ })
        | Words::NotYet(Cause::Local { text, status: _ }) => {
            format!("x-outgate; {text}")
        }
    };
    folded(out, charset, "Diagnostic-Code", &diagnostic);
    field(out, charset, "Last-Attempt-Date", &date(now));
    if let Action::Delayed { until } = told.action {
        field(out, charset, "Will-Retry-Until", &date(until));
    }
}

fn final_recipient(charset: Charset, path: &ForwardPath) -> String {
    let address = address(path);
    match charset {
        _ if address.is_ascii() => format!("rfc822; {address}"),
        Charset::Ascii => format!("utf-8; {}", to_ascii_address(&address)),
        Charset::Utf8 => format!("utf-8; {address}"),
    }
}

/// RFC 3461 section 6.3 (c): as it was given, decoded.
fn original_recipient(charset: Charset, original: &OriginalRecipient) -> String {
    let (kind, address) = original
        .as_str()
        .split_once(';')
        .unwrap_or(("rfc822", original.as_str()));
    match charset {
        // Its escapes are those of RFC 6533, which this form keeps.
        _ if kind.eq_ignore_ascii_case("utf-8") && address.is_ascii() => {
            format!("{kind}; {address}")
        }
        Charset::Ascii if !address.is_ascii() => format!("{kind}; {}", to_ascii_address(address)),
        Charset::Ascii | Charset::Utf8 => format!("{kind}; {}", from_xtext(address)),
    }
}

/// Of a header field that needs no encoding.
fn is_line(line: &str) -> bool {
    line.len() <= MAX_LINE_OCTETS && !line.contains(['\0', '\r', '\n'])
}

fn encoding(charset: Charset) -> String {
    let bits = match charset {
        Charset::Ascii => "7bit",
        Charset::Utf8 => "8bit",
    };
    format!("Content-Transfer-Encoding: {bits}{CRLF}")
}

/// A boundary that no part holds, whatever peers have written into them.
fn boundary(id: &str, parts: &[String]) -> String {
    let mut boundary = format!("outgate-{id}");
    let mut number = 0_u32;
    while parts.iter().any(|part| part.contains(&boundary)) {
        number += 1;
        boundary = format!("outgate-{id}-{number}");
    }
    boundary
}

/// RFC 5322 section 2.1.1, without CRLF.
const MAX_LINE_OCTETS: usize = 998;
