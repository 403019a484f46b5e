//! Whatever peers choose to say, a notification keeps its shape.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn text(pieces: &'static [&'static str], max: usize) -> impl Strategy<Value = String> {
    vec(select(pieces), 0..max).prop_map(|pieces| pieces.concat())
}

const SAID: &[&str] = &[
    "5.1.1 ",
    "user",
    " ",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "ü",
    "例",
    "--outgate-06FA0000X0000",
    "--outgate-06FA0000X0000--",
    "\r\n\r\n",
    "X-Evil: 1",
    "Action: delivered",
    ".",
    "\r\n.\r\n",
    "Bcc: x@y",
    "=3D",
    "averylongwordthatnobodywouldfoldoranythinglikethat",
];
const LOCAL: &[&str] = &[
    "a",
    "+",
    "=",
    "\\",
    "{",
    "ü",
    "例",
    "\u{2028}",
    "\u{1f600}",
    "/",
    "%",
];
const HEADER: &[&str] = &[
    "Subject: x",
    "X",
    ":",
    " ",
    "\r\n",
    "\r\n\r\n",
    "\t",
    "\u{fc}",
    "--outgate-06FA0000X0000",
    "Message-ID: <a@b>",
    "\r\n ",
    "text",
    "\0",
    "\u{2028}",
    "averylongwordthatnobodywouldfoldoranythinglikethat",
];

proptest! {
    #[test]
    fn nobody_ends_a_line_a_field_or_a_part(
        said in text(SAID, 60),
        local in text(LOCAL, 20),
        header in text(HEADER, 60),
        octets in vec(any::<u8>(), 0..40),
        original in text(LOCAL, 200),
        name in text(SAID, 10),
        utf8_sender in any::<bool>(),
        is_local in any::<bool>(),
    ) {
        let sender = if utf8_sender { "<grün@müller.example>" } else { "<alice@customer.example>" };
        let mut message = queued(sender, &["<bob@example.org>", "<carol@example.org>"]);
        if let Ok(path) = format!("<{local}@exämple.org>").parse() {
            message.recipients[0].forward_path = path;
        }
        message.recipients[0].original = format!("utf-8;{original}").parse().ok();
        let cause = if is_local {
            Cause::Local { status: "5.4.4", text: said }
        } else {
            refused(550, "5.1.1", &said)
        };
        let remote = Some(Remote { name: Some(name), address: "[2001:db8::1]:25".parse().unwrap() });
        let attempts = [
            Attempt { recipient: 0, outcome: Outcome::Failed(cause.clone()), remote },
            attempt(1, Outcome::Deferred(cause)),
        ];
        let mut head = Head::new();
        let mut content = header.into_bytes();
        content.extend_from_slice(&octets);
        head.push(&content);
        let notice = Notice::of_the_end(&message, &attempts).unwrap();
        let composed = notice.compose(ID, &reporter(), &head, NOW, date);
        let fields: Vec<&str> = FIELDS
            .iter()
            .copied()
            .filter(|name| head.message_id().is_some() || !["In-Reply-To", "References"].contains(name))
            .collect();
        let parts = read(&composed, &fields);
        // Two recipients, each with its own fields and no more.
        let groups: Vec<&str> = parts.status.split("\r\n\r\n").collect();
        assert_eq!(groups.len(), 3, "{}", parts.status);
        for group in &groups[1..] {
            let names: Vec<&str> = group
                .split("\r\n")
                .filter(|line| !line.is_empty() && !line.starts_with(' '))
                .map(|line| line.split_once(':').unwrap().0)
                .filter(|&name| name != "Original-Recipient")
                .collect();
            let expected = ["Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date"];
            assert_eq!(names, expected, "{group}");
        }
        assert_eq!(parts.status.matches("\r\nAction: failed\r\n").count(), 2);
        assert!(parts.human.trim_end().ends_with(&format!("Reference: {}", message.id)));
    }
}
