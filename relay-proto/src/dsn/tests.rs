//! Notifications as their readers see them.

use core::time::Duration;

use mail_parser::{DateTime, MessageParser, MimeHeaders, PartType};

use super::*;
use crate::envelope::{EhloName, Mail, Notify};
use crate::queued::{Attempt, Egress, Outcome, QueueId, Source};

mod golden;
mod hostile;

pub(super) fn reporter() -> Reporter<'static> {
    Reporter {
        hostname: "relay-1.example.net",
        operator: "Example Hosting",
        help_url: "https://abuse.example.net/smtp",
        from: "mailer-daemon@relay-1.example.net",
    }
}

pub(super) fn date(moment: UnixMillis) -> String {
    DateTime::from_timestamp((moment.0 / 1000).cast_signed()).to_rfc822()
}

/// A message of `sender` to `recipients`, of whom each may have RCPT's parameters behind a blank.
pub(super) fn queued(sender: &str, recipients: &[&str]) -> Queued {
    let mut mail = Mail::new(sender.parse().unwrap());
    mail.smtputf8 = !sender.is_ascii();
    Queued {
        id: QueueId::after(None, ARRIVED),
        arrived: ARRIVED,
        source: Source::Customer {
            address: "192.0.2.10".parse().unwrap(),
            original_dst: Some("203.0.113.10:25".parse().unwrap()),
            ehlo: EhloName::new("mail.customer.example"),
            tls: true,
            flag_id: Some(17),
            user: None,
        },
        egress: Egress::Pool,
        mail,
        recipients: recipients.iter().map(|text| recipient(text)).collect(),
        trace:
            "Received: from mail.customer.example ([192.0.2.10])\r\n by relay-1.example.net;\r\n \
                Sat, 21 Nov 2026 20:03:00 +0000\r\n"
                .into(),
        may_notify: true,
        held: None,
    }
}

fn recipient(text: &str) -> Recipient {
    let mut words = text.split(' ');
    let mut recipient = Recipient::new(words.next().unwrap().parse().unwrap());
    for word in words {
        match word.split_once('=').unwrap() {
            ("NOTIFY", value) => recipient.notify = Some(value.parse().unwrap()),
            ("ORCPT", value) => recipient.original = Some(value.parse().unwrap()),
            (other, _) => panic!("{other}"),
        }
    }
    recipient
}

pub(super) fn remote() -> Remote {
    Remote {
        name: Some("mx.example.org".into()),
        address: "203.0.113.10:25".parse().unwrap(),
    }
}

pub(super) fn attempt(recipient: usize, outcome: Outcome) -> Attempt {
    Attempt {
        recipient,
        outcome,
        remote: Some(remote()),
    }
}

pub(super) fn refused(code: u16, enhanced: &str, text: &str) -> Cause {
    Cause::Reply(Reply::new(code, enhanced, text))
}

pub(super) fn taken(dsn: bool) -> Outcome {
    let reply = Reply::new(250, "2.0.0", "queued as 4711");
    Outcome::Delivered { reply, dsn }
}

pub(super) fn head() -> Head {
    let mut head = Head::new();
    head.push(
        b"From: Alice <alice@customer.example>\r\nTo: bob@example.org\r\nSubject: Hello\r\n\
          Message-ID: <1@customer.example>\r\n\r\nThe text.\r\n",
    );
    head
}

/// 2026-11-21T20:03:00Z.
pub(super) const ARRIVED: UnixMillis = UnixMillis(1_795_291_380_000);
/// An hour later.
pub(super) const NOW: UnixMillis = UnixMillis(ARRIVED.0 + 3_600_000);
pub(super) const ID: &str = "06FA0000X0000";

fn failed() -> Outcome {
    Outcome::Failed(refused(550, "5.1.1", "no such user"))
}

fn deferred() -> Outcome {
    Outcome::Deferred(refused(451, "4.7.1", "greylisted"))
}

#[test]
fn a_notification_is_due_if_the_sender_wants_it() {
    const NO: Option<Action> = None;
    let delayed = Some(Action::Delayed { until: NOW });
    let (failed_, relayed) = (Some(Action::Failed), Some(Action::Relayed));
    // What NOTIFY says; at the end: failed, time is up, taken by a server with DSN and without; delayed.
    for (notify, expected) in [
        ("", [failed_, failed_, NO, NO, delayed]),
        (" NOTIFY=NEVER", [NO, NO, NO, NO, NO]),
        (" NOTIFY=SUCCESS", [NO, NO, NO, relayed, NO]),
        (" NOTIFY=FAILURE", [failed_, failed_, NO, NO, NO]),
        (" NOTIFY=DELAY", [NO, NO, NO, NO, delayed]),
        (
            " NOTIFY=SUCCESS,FAILURE,DELAY",
            [failed_, failed_, NO, relayed, delayed],
        ),
    ] {
        let message = queued(
            "<alice@customer.example>",
            &[&format!("<bob@example.org>{notify}")],
        );
        let of = |notice: Result<Notice<'_>, Untold>| match notice {
            Ok(notice) => Some(notice.told()[0].action),
            Err(Untold::NothingToTell) => None,
            Err(other) => panic!("{other:?}"),
        };
        let end = |outcome| of(Notice::of_the_end(&message, &[attempt(0, outcome)]));
        let delay = |outcome| of(Notice::of_delay(&message, &[attempt(0, outcome)], NOW));
        let found = [
            end(failed()),
            end(deferred()),
            end(taken(true)),
            end(taken(false)),
            delay(deferred()),
        ];
        assert_eq!(found, expected, "{notify}");
        // What is final is no delay.
        assert_eq!((delay(failed()), delay(taken(false))), (None, None));
    }
}

#[test]
fn nobody_is_told_who_may_never_have_sent_anything() {
    let attempts = [attempt(0, failed())];
    let null = queued("<>", &["<bob@example.org>"]);
    let untold = |queued: &Queued| Notice::of_the_end(queued, &attempts).unwrap_err();
    assert_eq!(untold(&null), Untold::NullReversePath);
    let mut message = queued("<alice@customer.example>", &["<bob@example.org>"]);
    message.may_notify = false;
    assert_eq!(untold(&message), Untold::NotVouched);
    let waiting = [attempt(0, deferred())];
    let delay = Notice::of_delay(&message, &waiting, NOW);
    assert_eq!(delay.unwrap_err(), Untold::NotVouched);
    // Nothing would have been told: that is not worth an event about vouching.
    let taken = [attempt(0, taken(false))];
    assert_eq!(
        Notice::of_the_end(&message, &taken).unwrap_err(),
        Untold::NothingToTell
    );
    // An attempt of a recipient that there is not.
    assert_eq!(
        Notice::of_the_end(&message, &[attempt(7, failed())]).unwrap_err(),
        Untold::NothingToTell
    );
    let notify = Notify {
        success: false,
        failure: false,
        delay: false,
    };
    message.recipients[0].notify = Some(notify);
    assert_eq!(untold(&message), Untold::NothingToTell);
}

#[test]
fn a_warning_is_due_at_one_attempt_whatever_the_schedule() {
    let after = Duration::from_secs(4 * 3600);
    for minutes in [
        &[0, 5, 15, 35, 75, 155, 315, 555][..],
        &[0, 240, 480],
        &[239, 241],
        &[0, 600],
    ] {
        let mut previous = Duration::ZERO;
        let mut due = 0;
        for age in minutes
            .iter()
            .map(|minutes| Duration::from_secs(minutes * 60))
        {
            due += u32::from(delay_is_due(after, previous, age));
            previous = age;
        }
        assert_eq!(due, 1, "{minutes:?}");
    }
}

#[test]
fn a_status_is_the_servers_or_the_least_that_is_true() {
    let message = queued("<alice@customer.example>", &["<bob@example.org>"]);
    let local = |status| Cause::Local {
        status,
        text: "x".into(),
    };
    for (outcome, expected) in [
        (failed(), "5.1.1"),
        (
            Outcome::Failed(Cause::Reply(Reply::plain(554, "no"))),
            "5.0.0",
        ),
        // The class of the code wins over an enhanced code that contradicts it.
        (
            Outcome::Failed(Cause::Reply(Reply::plain(550, "4.1.1 no"))),
            "5.0.0",
        ),
        (Outcome::Failed(local("5.4.4")), "5.4.4"),
        (deferred(), "4.4.7"),
        (Outcome::Deferred(local("4.4.1")), "4.4.7"),
    ] {
        let attempts = [attempt(0, outcome)];
        let notice = Notice::of_the_end(&message, &attempts).unwrap();
        assert_eq!(notice.told()[0].status(), expected, "{attempts:?}");
    }
    let attempts = [attempt(0, deferred())];
    let notice = Notice::of_delay(&message, &attempts, NOW).unwrap();
    assert_eq!(notice.told()[0].status(), "4.7.1");
}

#[test]
fn advice_fits_what_was_said_and_by_whom() {
    let message = queued("<alice@customer.example>", &["<bob@example.org>"]);
    let local = |status| Cause::Local {
        status,
        text: "x".into(),
    };
    for (cause, expected) in [
        (refused(550, "5.1.1", "x"), "no such mailbox"),
        (local("5.1.2"), "takes no mail"),
        (refused(552, "5.2.2", "x"), "mailbox is full"),
        (refused(552, "5.3.4", "x"), "too large"),
        (refused(554, "5.4.6", "x"), "in a circle"),
        (refused(550, "5.6.7", "x"), "outside ASCII"),
        (
            refused(550, "5.7.1", "x"),
            "refuses the message by its rules",
        ),
        (local("5.7.10"), "without the demand"),
        (
            refused(550, "5.7.10", "x"),
            "refuses the message by its rules",
        ),
        (local("5.7.30"), "without the demand"),
        (refused(550, "5.7.30", "x"), "without the demand"),
        (refused(554, "5.0.0", "x"), "The words above say"),
    ] {
        let attempts = [attempt(0, Outcome::Failed(cause))];
        let notice = Notice::of_the_end(&message, &attempts).unwrap();
        let advice = notice.told()[0].advice();
        assert!(advice.contains(expected), "{attempts:?}: {advice}");
    }
    let attempts = [attempt(0, deferred())];
    let notice = Notice::of_the_end(&message, &attempts).unwrap();
    assert!(notice.told()[0].advice().contains("all this time"));
}

/// The three parts of a notification, as somebody else's parser reads them.
pub(super) struct Parts {
    pub(super) human: String,
    pub(super) status: String,
    pub(super) header: String,
}

/// What holds for any notification, and its parts.
#[track_caller]
pub(super) fn read(composed: &Composed, fields_of_header: &[&str]) -> Parts {
    let octets = &composed.octets;
    let shown = String::from_utf8(octets.clone()).unwrap();
    assert_eq!(shown.is_ascii(), !composed.smtputf8, "{shown}");
    assert!(shown.ends_with("\r\n"));
    for line in shown.split_terminator("\r\n") {
        assert!(line.len() <= 998, "{} octets: {line}", line.len());
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
    let message = MessageParser::new().parse(octets).unwrap();
    let fields: Vec<&str> = message.headers_raw().map(|(name, _)| name).collect();
    assert_eq!(fields, fields_of_header, "{shown}");
    let kind = message.content_type().unwrap();
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("multipart", Some("report"))
    );
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let PartType::Multipart(parts) = &message.root_part().body else {
        panic!("{shown}");
    };
    assert_eq!(parts.len(), 3, "{shown}");
    let part = |index: usize| message.part(parts[index]).unwrap();
    let kinds = [0, 1, 2].map(|index| {
        let kind = part(index).content_type().unwrap();
        format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
    });
    let global = [
        "text/plain",
        "message/global-delivery-status",
        "message/global-headers",
    ];
    let plain = [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ];
    assert!(
        kinds[..2] == if composed.smtputf8 { global } else { plain }[..2],
        "{kinds:?}"
    );
    assert!(plain[2] == kinds[2] || global[2] == kinds[2], "{kinds:?}");
    let text = |index: usize| match &part(index).body {
        PartType::Text(text) => text.clone().into_owned(),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => {
            String::from_utf8_lossy(octets).into_owned()
        }
        PartType::Html(_) | PartType::Message(_) | PartType::Multipart(_) => panic!("{shown}"),
    };
    Parts {
        human: text(0),
        status: text(1),
        header: text(2),
    }
}

pub(super) const FIELDS: &[&str] = &[
    "Date",
    "From",
    "To",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
