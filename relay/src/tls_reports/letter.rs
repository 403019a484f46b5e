//! A report as a message (RFC 8460 section 5.3). Pure.
//!
//! All of it is 7-bit ASCII. `TLS-Required: No` (RFC 8689 section 5) asks the servers behind ours for what ours does: that
//! the policy which the report is about does not keep it.

use data_encoding::BASE64_MIME;
use relay_proto::address::Mailbox;

use super::report::{Report, Reporting};

/// What the message says beside the report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a Mailbox,
    /// Whose mail it is about.
    pub(super) domain: &'a str,
    /// The message's own name.
    pub(super) id: &'a str,
    /// RFC 5322 date-time.
    pub(super) date: &'a str,
}

/// The message, without a signature. `file` is the compressed report.
pub(super) fn compose(
    letter: &Letter<'_>,
    report: &Report,
    file: &[u8],
    by: Reporting<'_>,
) -> Vec<u8> {
    let Letter {
        from,
        to,
        domain,
        id,
        date,
    } = letter;
    let Reporting {
        contact,
        submitter,
        hostname,
        ..
    } = by;
    let (report_id, file_name) = (&report.report_id, report.file_name());
    // Neither base64 nor the text has it.
    let boundary = format!("=_{id}_tlsrpt");
    let (good, bad) = report.totals();
    let contact = if contact.is_ascii() { contact } else { from };
    let text = format!(
        "From: <{from}>\r\n\
         To: <{to}>\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}.tlsrpt@{hostname}>\r\n\
         Subject: Report Domain: {domain}\r\n Submitter: {submitter}\r\n Report-ID: <{report_id}>\r\n\
         TLS-Report-Domain: {domain}\r\n\
         TLS-Report-Submitter: {submitter}\r\n\
         TLS-Required: No\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"{boundary}\"\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\
         \r\n\
         This is a report about the TLS of mail servers (RFC 8460).\r\n\
         \r\n\
         Mail of: {domain}\r\n\
         Sessions as its policies demand: {good}\r\n\
         Sessions that were not: {bad}\r\n\
         Sent by: {submitter}\r\n\
         Contact: {contact}\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Type: application/tlsrpt+gzip\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment;\r\n filename=\"{file_name}\"\r\n\
         \r\n"
    );
    let mut message = text.into_bytes();
    message.extend_from_slice(BASE64_MIME.encode(file).as_bytes());
    message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;
    use mail_parser::{MessageParser, MimeHeaders};
    use relay_proto::address::ForwardPath;

    use super::super::report::tests::{BY, counted};
    use super::*;

    #[test]
    fn the_message_has_what_the_rfc_looks_for() {
        let counted = counted("sts", "example.org", "mx.example.org", &["version: STSv1"]);
        let day = Date::constant(2026, 11, 21);
        let report = Report::of(day, "example.org", &[counted], BY);
        let ForwardPath::Mailbox(to) = "<r@example.org>".parse().unwrap() else {
            unreachable!();
        };
        let letter = Letter {
            from: "tls@example.net",
            to: &to,
            domain: "example.org",
            id: "01K8Z3V5M0000",
            date: "Sun, 22 Nov 2026 03:00:00 +0000",
        };
        let file = report.gzip().unwrap();
        let message = compose(&letter, &report, &file, BY);
        assert!(message.is_ascii());
        let lines = message.split(|octet| *octet == b'\n');
        assert!(lines.clone().all(|line| line.len() <= 998));
        let parsed = MessageParser::default().parse(&message).unwrap();
        assert_eq!(
            parsed.subject(),
            Some(
                "Report Domain: example.org Submitter: example.net \
                 Report-ID: <20261121.example.org@relay-1.example.net>"
            )
        );
        for (name, value) in [
            ("TLS-Report-Domain", "example.org"),
            ("TLS-Report-Submitter", "example.net"),
            ("TLS-Required", "No"),
            ("Auto-Submitted", "auto-generated"),
        ] {
            let found = parsed.header(name).and_then(|it| it.as_text());
            assert_eq!(found, Some(value), "{name}");
        }
        let kind = parsed.content_type().unwrap();
        assert_eq!(
            (kind.ctype(), kind.subtype()),
            ("multipart", Some("report"))
        );
        assert_eq!(kind.attribute("report-type"), Some("tlsrpt"));
        let attachment = parsed.attachment(0).unwrap();
        assert_eq!(attachment.attachment_name(), Some(report.file_name()));
        assert_eq!(attachment.contents(), file);
    }
}
