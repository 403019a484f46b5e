//! Whole notifications.

use super::*;
use crate::envelope::Ret;

#[test]
fn several_recipients_stand_in_one_notification() {
    let mut message = queued(
        "<alice@customer.example>",
        &[
            "<bob@example.org> ORCPT=rfc822;robert+2Bx@example.com",
            "<carol@example.org>",
            "<dave@example.org> NOTIFY=SUCCESS",
            "<erin@example.org> NOTIFY=NEVER",
        ],
    );
    message.mail.envelope_id = Some("QQ+20314159".parse().unwrap());
    message.mail.ret = Some(Ret::Full);
    let unreachable = Cause::Local {
        status: "4.4.1",
        text: "connect to mx.example.org: Connection timed out".into(),
    };
    let attempts = [
        attempt(
            0,
            Outcome::Failed(refused(550, "5.1.1", "no such user here\nask postmaster")),
        ),
        Attempt {
            recipient: 1,
            outcome: Outcome::Deferred(unreachable),
            remote: None,
        },
        attempt(2, taken(false)),
        attempt(
            3,
            Outcome::Failed(refused(550, "5.1.1", "no such user here")),
        ),
    ];
    let notice = Notice::of_the_end(&message, &attempts).unwrap();
    let composed = notice.compose(ID, &reporter(), &head(), NOW, date);
    let shown = String::from_utf8(composed.octets.clone()).unwrap();
    assert_eq!(shown.replace("\r\n", "\n"), include_str!("several.eml"));
    let parts = read(&composed, FIELDS);
    assert!(
        parts
            .header
            .ends_with("Message-ID: <1@customer.example>\r\n"),
        "{}",
        parts.header
    );
    assert!(!shown.contains("The text."));
}

#[test]
fn a_delay_says_until_when_and_that_nothing_is_to_be_done() {
    let message = queued("<alice@customer.example>", &["<bob@example.org>"]);
    let attempts = [attempt(
        0,
        Outcome::Deferred(refused(451, "4.7.1", "greylisted")),
    )];
    let until = UnixMillis(ARRIVED.0 + 5 * 24 * 3_600_000);
    let notice = Notice::of_delay(&message, &attempts, until).unwrap();
    let composed = notice.compose(ID, &reporter(), &Head::new(), NOW, date);
    let without_id: Vec<&str> = FIELDS
        .iter()
        .copied()
        .filter(|name| !["In-Reply-To", "References"].contains(name))
        .collect();
    let parts = read(&composed, &without_id);
    assert!(
        parts.human.contains("nothing that you need to do"),
        "{}",
        parts.human
    );
    assert!(
        parts.status.ends_with(
            "Action: delayed\r\nStatus: 4.7.1\r\nRemote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: smtp; 451 4.7.1 greylisted\r\n\
         Last-Attempt-Date: Sat, 21 Nov 2026 21:03:00 +0000\r\n\
         Will-Retry-Until: Thu, 26 Nov 2026 20:03:00 +0000\r\n"
        ),
        "{}",
        parts.status
    );
}

#[test]
fn an_ascii_sender_reads_of_other_addresses_in_ascii() {
    let mut message = queued(
        "<alice@customer.example>",
        &[
            "<grün@müller.example> ORCPT=utf-8;gr\\x{FC}n@m\\x{FC}ller.example",
            "<用户@例え.テスト> ORCPT=utf-8;用户@例え.テスト",
        ],
    );
    message.mail.smtputf8 = true;
    let refusal = || Outcome::Failed(refused(550, "5.1.1", "grün ist unbekannt"));
    let attempts = [attempt(0, refusal()), attempt(1, refusal())];
    let mut head = Head::new();
    head.push("Subject: grün\r\n\r\n".as_bytes());
    let notice = Notice::of_the_end(&message, &attempts).unwrap();
    let composed = notice.compose(ID, &reporter(), &head, NOW, date);
    assert!(!composed.smtputf8);
    let fields: Vec<&str> = FIELDS
        .iter()
        .copied()
        .filter(|name| !["In-Reply-To", "References"].contains(name))
        .collect();
    let parts = read(&composed, &fields);
    assert!(
        parts.human.contains("  grün@müller.example\r\n"),
        "{}",
        parts.human
    );
    assert!(
        parts.human.contains("550 5.1.1 grün ist unbekannt"),
        "{}",
        parts.human
    );
    for field in [
        "Original-Recipient: utf-8; gr\\x{FC}n@m\\x{FC}ller.example\r\n",
        "Final-Recipient: utf-8; gr\\x{FC}n@m\\x{FC}ller.example\r\n",
        "Original-Recipient: utf-8; \\x{7528}\\x{6237}@\\x{4F8B}\\x{3048}.\\x{30C6}\\x{30B9}\\x{30C8}\r\n",
        "Final-Recipient: utf-8; \\x{7528}\\x{6237}@\\x{4F8B}\\x{3048}.\\x{30C6}\\x{30B9}\\x{30C8}\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 gr?n ist unbekannt\r\n",
    ] {
        assert!(parts.status.contains(field), "{field} {}", parts.status);
    }
    assert!(
        parts.header.ends_with("Subject: grün\r\n"),
        "{}",
        parts.header
    );
}

#[test]
fn another_sender_reads_it_all_in_utf8() {
    let message = queued("<grün@müller.example>", &["<用户@例え.テスト>"]);
    let attempts = [attempt(
        0,
        Outcome::Failed(refused(550, "5.1.1", "用户 unknown")),
    )];
    let mut head = Head::new();
    head.push("Subject: 例え\r\nMessage-ID: <1@customer.example>\r\n\r\n".as_bytes());
    let notice = Notice::of_the_end(&message, &attempts).unwrap();
    let composed = notice.compose(ID, &reporter(), &head, NOW, date);
    assert!(composed.smtputf8);
    let parts = read(&composed, FIELDS);
    assert!(
        parts
            .status
            .contains("Final-Recipient: utf-8; 用户@例え.テスト\r\n"),
        "{}",
        parts.status
    );
    assert!(
        parts.status.contains("550 5.1.1 用户 unknown\r\n"),
        "{}",
        parts.status
    );
    assert!(parts.header.contains("Subject: 例え\r\n"));
    assert!(
        String::from_utf8_lossy(&composed.octets).contains("\r\nTo: <grün@müller.example>\r\n")
    );
    // Latin-1, which no field may hold: every octet is kept in an encoding.
    let mut head = Head::new();
    head.push(b"Subject: gr\xfcn\r\nMessage-ID: <1@customer.example>\r\n\r\n");
    let composed = notice.compose(ID, &reporter(), &head, NOW, date);
    let shown = String::from_utf8(composed.octets.clone()).unwrap();
    assert!(shown.contains("\r\nSubject: gr=FCn\r\n"), "{shown}");
    read(&composed, FIELDS);
}

#[test]
fn every_action_has_its_word() {
    let message = queued("<alice@customer.example>", &["<bob@example.org>"]);
    let reply = Reply::new(250, "2.1.5", "ok");
    for (action, word, subject) in [
        (Action::Delivered, "delivered", "Your message was handed on"),
        (Action::Relayed, "relayed", "Your message was handed on"),
        (Action::Expanded, "expanded", "Your message was handed on"),
    ] {
        let told = Told {
            recipient: &message.recipients[0],
            action,
            words: Words::Taken(&reply),
            remote: None,
        };
        let sender = message.mail.reverse_path.mailbox().unwrap();
        let notice = Notice {
            queued: &message,
            sender,
            told: vec![told],
        };
        let parts = read(&notice.compose(ID, &reporter(), &head(), NOW, date), FIELDS);
        assert!(
            parts
                .status
                .contains(&format!("Action: {word}\r\nStatus: 2.1.5\r\n"))
        );
        assert_eq!(notice.subject(), subject);
    }
}
