use std::sync::Arc;

use relay_proto::address::ReversePath;
use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::milter::{Change, frame_octets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

/// Does as `answer` says with what it is shown, and returns that.
async fn filter(mut stream: DuplexStream, answer: impl Fn(&Command) -> Vec<Reply>) -> Vec<Command> {
    let mut shown = Vec::new();
    let mut length = [0; 4];
    while stream.read_exact(&mut length).await.is_ok() {
        let mut frame = vec![0; frame_octets(length).unwrap()];
        stream.read_exact(&mut frame).await.unwrap();
        let command = Command::decode(&frame.into()).unwrap();
        for reply in answer(&command) {
            // Whoever has heard enough does not listen.
            drop(stream.write_all(&reply.encode()).await);
        }
        shown.push(command);
    }
    shown
}

fn terms(version: u32, steps: Steps) -> Terms {
    Terms {
        version,
        actions: 0,
        steps,
        macros: Vec::new(),
    }
}

fn submission(content: &str) -> Submission {
    Submission {
        id: "7".into(),
        client: "192.0.2.10".parse().unwrap(),
        user: None,
        ehlo: EhloName::new("client.example"),
        mail: Mail::new(ReversePath::Null),
        recipients: vec![Recipient::new("<b@mx.example>".parse().unwrap())],
        content: Message::from(Bytes::from(content.to_owned())),
    }
}

/// Shows a message to a filter that says `answer`, after the terms.
async fn show(
    content: &str,
    terms: Terms,
    answer: impl Fn(&Command) -> Vec<Reply> + Send + Sync + 'static,
) -> (Result<Outcome, ScanError>, Vec<Command>) {
    let (ours, theirs) = duplex(1000);
    let answer = Arc::new(answer);
    let filter = tokio::spawn(filter(theirs, move |command| match command {
        Command::Negotiate(_) => vec![Reply::Negotiate(terms.clone())],
        Command::Macros { .. } | Command::Quit => vec![],
        command => answer(command),
    }));
    let submission = submission(content);
    let outcome = match Dialogue::begin(Connection::new(ours), Concern::Spam).await {
        Ok(dialogue) => dialogue.show(&submission, "relay.example").await,
        Err(error) => Err(error),
    };
    (outcome, filter.await.unwrap())
}

fn letters(shown: &[Command]) -> String {
    let letters = shown.iter().map(|command| char::from(command.letter()));
    letters.filter(|letter| *letter != 'D').collect()
}

fn goes_on(_: &Command) -> Vec<Reply> {
    vec![Reply::Continue]
}

#[tokio::test]
async fn each_version_is_shown_what_it_knows() {
    let content = "A: b\r\nC: d\r\n\r\nbody\r\n";
    for (version, steps, expected) in [
        (6, Steps::NONE, "OCHMRTLLNBEQ"),
        (4, Steps::NONE, "OCHMRTLLNBEQ"),
        (3, Steps::NONE, "OCHMRLLNBEQ"),
        (2, Steps::NO_HEADER | Steps::NO_CONNECT, "OHMRNBEQ"),
        (6, Steps::NO_BODY | Steps::NO_DATA, "OCHMRLLNEQ"),
    ] {
        let (outcome, shown) = show(content, terms(version, steps), goes_on).await;
        assert_eq!(outcome.unwrap().finding, Finding::Clean);
        assert_eq!(letters(&shown), expected, "{version} {steps:?}");
        let value = |command: &Command| match command {
            Command::Header { value, .. } => Some(value.to_str().unwrap().to_owned()),
            _ => None,
        };
        let values: Vec<_> = shown.iter().filter_map(value).collect();
        assert!(values.is_empty() || values == ["b", "d"], "{values:?}");
    }
}

#[tokio::test]
async fn what_is_not_answered_is_not_waited_for() {
    // All but the end of the content.
    let silent = Steps::from_bits(0xF_F080) | Steps::LEADING_SPACE;
    let content = "A:  b\r\n\r\nbody\r\n";
    let (outcome, shown) = show(content, terms(6, silent), |command| match command {
        Command::EndOfBody => vec![
            Reply::Progress,
            Reply::Change {
                kind: Change::AddHeader,
                octets: Bytes::from_static(b"X\0y\0"),
            },
            Reply::Quarantine(c"odd".into()),
            Reply::Accept,
        ],
        Command::Header { value, .. } => {
            assert_eq!(value.as_c_str(), c"  b");
            vec![]
        }
        _ => vec![],
    })
    .await;
    let outcome = outcome.unwrap();
    assert!(matches!(outcome.finding, Finding::Found { .. }));
    assert_eq!(
        (outcome.changes, &outcome.reasons[..]),
        (1, &["quarantine: odd".to_owned()][..])
    );
    assert_eq!(letters(&shown), "OCHMRTLNBEQ");
}

#[tokio::test]
async fn a_body_fills_its_frames_and_ends_when_the_filter_has_seen_enough() {
    let body = "x".repeat(200_000);
    let content = format!("A: b\r\n\r\n{body}");
    let lengths = |shown: &[Command]| -> Vec<usize> {
        let length = |command: &Command| match command {
            Command::Body(octets) => Some(octets.len()),
            _ => None,
        };
        shown.iter().filter_map(length).collect()
    };
    let (outcome, shown) = show(&content, terms(6, Steps::NONE), goes_on).await;
    assert_eq!(outcome.unwrap().finding, Finding::Clean);
    assert_eq!(lengths(&shown), [65_535, 65_535, 65_535, 3395]);
    let enough = |command: &Command| match command {
        Command::Body(_) => vec![Reply::Progress, Reply::Skip],
        _ => vec![Reply::Continue],
    };
    let (outcome, shown) = show(&content, terms(6, Steps::SKIP), enough).await;
    assert_eq!(outcome.unwrap().finding, Finding::Clean);
    assert_eq!(lengths(&shown), [65_535]);
    let (outcome, _) = show(&content, terms(6, Steps::NONE), enough).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("skips out of turn"), "{error}");
}

#[tokio::test]
async fn what_a_filter_could_not_be_shown_is_told() {
    let long = format!("A: {}\r\n\r\nbody", "x".repeat(70_000));
    let many = "A: b\r\n".repeat(FIELDS_MAX + 1) + "\r\nbody";
    let large = "A: b\r\n".repeat(HEADER_OCTETS_MAX / 6 + 1);
    for (content, what) in [
        (long, "a field of more than 65535 octets"),
        (many, "more than 2000 fields"),
        (large, "a header of more than 1048576 octets"),
    ] {
        let (outcome, shown) = show(&content, terms(6, Steps::NONE), goes_on).await;
        let outcome = outcome.unwrap();
        assert_eq!(outcome.not_shown.as_deref(), Some(what));
        assert!(letters(&shown).ends_with("EQ"), "{what}");
    }
}

#[tokio::test]
async fn each_step_may_settle_the_matter() {
    for letter in "CHMRTLNBE".bytes() {
        let (outcome, shown) = show("A: b\r\n\r\nbody", terms(6, Steps::NONE), move |command| {
            let settles = command.letter() == letter;
            vec![if settles {
                Reply::Discard
            } else {
                Reply::Continue
            }]
        })
        .await;
        assert!(matches!(outcome.unwrap().finding, Finding::Found { .. }));
        let last = [char::from(letter), 'Q'].iter().collect::<String>();
        assert!(letters(&shown).ends_with(&last), "{last}");
    }
}

#[tokio::test]
async fn nonsense_is_no_verdict() {
    let cases: [(Terms, Vec<Reply>, &str); 5] = [
        (terms(7, Steps::NONE), vec![], "the filter wants version 7"),
        (
            terms(6, Steps::from_bits(0x2000_0000)),
            vec![],
            "were not offered (0x20000000)",
        ),
        (
            terms(6, Steps::NONE),
            vec![Reply::Negotiate(Terms::offer())],
            "negotiates out of turn",
        ),
        (
            terms(6, Steps::NONE),
            vec![Reply::Skip],
            "skips out of turn",
        ),
        (
            terms(6, Steps::NONE),
            vec![Reply::Code(c"250 ok".into())],
            "neither a 4xx nor a 5xx",
        ),
    ];
    for (terms, replies, expected) in cases {
        let (outcome, _) = show("A: b\r\n\r\n", terms, move |_| replies.clone()).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (said, expected) in [
        (&b""[..], "closed the connection without a verdict"),
        (b"\0\0\0\x0dO\0", "closed the connection without a verdict"),
        (b"\0\0\0\0", "a frame of no octets"),
        (b"\0\x20\0\0", "which is too long"),
        (b"\0\0\0\x01z", "an unknown frame ('z')"),
        (b"\0\0\0\x01c", "goes on out of turn"),
        (b"220 mx.example ESMTP\r\n", "which is too long"),
    ] {
        let (ours, mut theirs) = duplex(1000);
        theirs.write_all(said).await.unwrap();
        theirs.shutdown().await.unwrap();
        let begun = Dialogue::begin(Connection::new(ours), Concern::Spam).await;
        let error = begun.err().unwrap().to_string();
        assert!(error.contains(expected), "{said:?}: {error}");
    }
}
