//! What a filter is told before the content: the commands of a session of SMTP, and the macros in front of them.

use std::ffi::CString;

use relay_proto::envelope::BodyType;
use relay_proto::milter::Command;

use super::super::Submission;

/// The session up to DATA.
pub(super) fn commands(submission: &Submission) -> Vec<Command> {
    let mut commands = vec![Command::Connect {
        // Nobody has looked its name up: so it is said of who has none.
        name: word(&format!("[{}]", submission.client)),
        client: submission.client,
        port: 0,
    }];
    if let Some(ehlo) = &submission.ehlo {
        commands.push(Command::Helo(word(ehlo.as_str())));
    }
    let mail = &submission.mail;
    let mut words = vec![mail.reverse_path.to_string()];
    words.extend(mail.size.map(|octets| format!("SIZE={octets}")));
    words.extend(mail.body.map(|body| {
        let body = match body {
            BodyType::SevenBit => "7BIT",
            BodyType::EightBitMime => "8BITMIME",
        };
        format!("BODY={body}")
    }));
    words.extend(mail.smtputf8.then(|| "SMTPUTF8".to_owned()));
    commands.push(Command::Mail(words.iter().map(|it| word(it)).collect()));
    commands.extend(submission.recipients.iter().map(|recipient| {
        let path = recipient.forward_path.to_string();
        Command::Recipient(vec![word(&path)])
    }));
    commands.push(Command::Data);
    commands
}

/// What is known beside a command, by the names that Sendmail's macros have, and Postfix sends.
pub(super) fn macros(
    command: &Command,
    submission: &Submission,
    hostname: &str,
) -> Option<Command> {
    let client = submission.client;
    let mut values: Vec<(&str, String)> = Vec::new();
    match command {
        Command::Connect { .. } => values.extend([
            ("j", hostname.to_owned()),
            ("_", format!("[{client}]")),
            ("{daemon_name}", "outgate-relay".to_owned()),
            (
                "v",
                concat!("outgate-relay ", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            ("{client_addr}", client.to_string()),
            ("{client_name}", format!("[{client}]")),
            ("{client_ptr}", "unknown".to_owned()),
        ]),
        Command::Mail(words) => {
            values.push(("i", submission.id.clone()));
            values.extend(address("{mail_addr}", "{mail_host}", words));
            values.push(("{mail_mailer}", "esmtp".to_owned()));
            values.extend(submission.user.clone().map(|user| ("{auth_authen}", user)));
        }
        Command::Recipient(words) => {
            values.push(("i", submission.id.clone()));
            values.extend(address("{rcpt_addr}", "{rcpt_host}", words));
            values.push(("{rcpt_mailer}", "esmtp".to_owned()));
        }
        Command::Data | Command::EndOfHeader | Command::EndOfBody => {
            values.push(("i", submission.id.clone()));
        }
        Command::Negotiate(_)
        | Command::Macros { .. }
        | Command::Helo(_)
        | Command::Header { .. }
        | Command::Body(_)
        | Command::Abort
        | Command::Quit => return None,
    }
    let values = values.iter().map(|(name, value)| (word(name), word(value)));
    Some(Command::Macros {
        of: command.letter(),
        values: values.collect(),
    })
}

/// The address of a path without its brackets, and its domain.
fn address(
    whole: &'static str,
    domain: &'static str,
    words: &[CString],
) -> [(&'static str, String); 2] {
    let path = words
        .first()
        .map(|path| path.to_string_lossy().into_owned());
    let path = path.unwrap_or_default();
    let path = path.trim_start_matches('<').trim_end_matches('>');
    let host = path.rsplit_once('@').map_or("", |(_, host)| host);
    [(whole, path.to_owned()), (domain, host.to_owned())]
}

/// Nothing of a session has a NUL in it.
fn word(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use relay_proto::address::ReversePath;
    use relay_proto::envelope::{EhloName, Mail, Recipient};

    use super::*;
    use crate::message::Message;

    fn submission() -> Submission {
        let mut mail = Mail::new("<a@customer.example>".parse().unwrap());
        mail.size = Some(70);
        mail.body = Some(BodyType::EightBitMime);
        mail.smtputf8 = true;
        Submission {
            id: "7".into(),
            client: "2001:db8::10".parse().unwrap(),
            user: Some("shop".into()),
            ehlo: EhloName::new("client.example"),
            mail,
            recipients: vec![Recipient::new("<b@mx.example>".parse().unwrap())],
            content: Message::from(Bytes::new()),
        }
    }

    /// As text, a word after the other.
    fn told(submission: &Submission) -> Vec<String> {
        let mut told = Vec::new();
        for command in commands(submission) {
            for frame in macros(&command, submission, "relay.example")
                .iter()
                .chain([&command])
            {
                let octets = frame.encode();
                let text = String::from_utf8_lossy(&octets[4..]).replace('\0', " ");
                told.push(text.trim_end().to_owned());
            }
        }
        told
    }

    #[test]
    fn a_session_is_told_with_what_is_known_of_it() {
        let version = env!("CARGO_PKG_VERSION");
        let connection = format!(
            "DCj relay.example _ [2001:db8::10] {{daemon_name}} outgate-relay v outgate-relay {version} \
             {{client_addr}} 2001:db8::10 {{client_name}} [2001:db8::10] {{client_ptr}} unknown"
        );
        let mail = "DMi 7 {mail_addr} a@customer.example {mail_host} customer.example {mail_mailer} esmtp {auth_authen} shop";
        let expected = [
            connection.as_str(),
            "C[2001:db8::10] 6  2001:db8::10",
            "Hclient.example",
            mail,
            "M<a@customer.example> SIZE=70 BODY=8BITMIME SMTPUTF8",
            "DRi 7 {rcpt_addr} b@mx.example {rcpt_host} mx.example {rcpt_mailer} esmtp",
            "R<b@mx.example>",
            "DTi 7",
            "T",
        ];
        let told = told(&submission());
        // The port's two octets are blanks here, too.
        let told: Vec<String> = told.iter().map(|it| it.replace("6   ", "6  ")).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_notification_of_nobody_comes_from_nobody() {
        let mut submission = submission();
        submission.mail = Mail::new(ReversePath::Null);
        submission.user = None;
        submission.ehlo = None;
        let told = told(&submission);
        assert!(told.contains(&"M<>".to_owned()), "{told:?}");
        let macros = "DMi 7 {mail_addr}  {mail_host}  {mail_mailer} esmtp";
        assert!(told.contains(&macros.to_owned()), "{told:?}");
        assert!(!told.iter().any(|it| it.starts_with('H')), "{told:?}");
    }
}
