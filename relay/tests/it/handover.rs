//! Queued mail that goes from one real relay to another.

mod cancel;
mod kills;
mod pair;
mod strangers;

use pair::{Letter, Site, lines, wait_for};

use crate::host::wait_until;
use crate::sink::Sink;

/// A small message, one of which a recipient is done, one that is held, and a large one.
fn letters() -> Vec<Letter> {
    let large = format!("Subject: large\r\n\r\n{}", lines(6_500));
    vec![
        Letter::to(&["a@mx.example"], "Subject: small\r\n\r\nx\r\n"),
        Letter {
            done: vec![1],
            ..Letter::to(
                &["b@mx.example", "c@mx.example", "d@else.example"],
                "Subject: partly\r\n\r\ny\r\n",
            )
        },
        Letter::to(&["e@mx.example"], "Subject: held\r\n\r\nz\r\n"),
        Letter::to(&["f@mx.example"], &large),
    ]
}

#[test]
fn a_stopped_relays_mail_is_anothers_and_nothing_is_changed() {
    for family in ["127.0.0.1", "::1"] {
        let sink = Sink::start();
        let (mut from, mut to) = Site::pair(family, sink.address);
        let ids = from.fill(&letters());
        from.said(false, &ids[2..3]);
        to.said(true, &[]);
        let shown: Vec<String> = ids
            .iter()
            .map(|id| from.runs(&["spool", "show", "-j", id], 0))
            .collect();
        to.start();
        let dry = from.transfer(&["--dry-run"], 0);
        assert!(
            dry.contains("4 messages would be handed over to other")
                && dry.contains("has room for"),
            "{dry}"
        );
        assert_eq!(to.queued(), 0);
        let said: serde_json::Value = serde_json::from_str(&from.transfer(&["-j"], 0)).unwrap();
        assert_eq!(
            (&said["total"], &said["handed_over"]),
            (&4.into(), &4.into()),
            "{said}"
        );
        assert_eq!(from.runs(&["spool", "ls", "-j"], 0), "[]\n");
        // A spool that has seen nothing later keeps the names, too.
        for (id, shown) in ids.iter().zip(&shown) {
            assert_eq!(&to.runs(&["spool", "show", "-j", id], 0), shown);
        }
        assert_eq!(to.runs(&["spool", "verify"], 0), "4 messages are whole\n");
        let held: serde_json::Value =
            serde_json::from_str(&to.runs(&["queue", "ls", "--state", "held", "-j"], 0)).unwrap();
        assert_eq!(
            (held.as_array().unwrap().len(), &held[0]["id"]),
            (1, &ids[2].as_str().into())
        );

        // It is held over a restart, too, and a recipient that is done stays so.
        to.kill();
        to.start();
        to.runs(&["queue", "resume", "--all"], 0);
        wait_for(&mut to, 1, &sink, 4);
        let taken = sink.taken();
        let has = |subject: &str| {
            taken
                .iter()
                .filter(|it| {
                    it.content()
                        .starts_with(format!("Subject: {subject}").as_bytes())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (has("small").len(), has("partly").len(), has("held").len()),
            (1, 2, 0)
        );
        assert_eq!(has("large")[0].content(), letters()[3].content.as_bytes());
        assert!(
            has("partly").iter().all(|it| !it.envelope.contains("<c@")),
            "{:?}",
            has("partly")
        );
        to.runs(&["queue", "release", &ids[2]], 0);
        wait_for(&mut to, 0, &sink, 5);
        // There is nothing left to be done, and saying so changes nothing.
        let again = from.transfer(&[], 0);
        assert!(again.contains("0 of 0 messages"), "{again}");
        to.stop();
        assert!(
            to.home
                .log()
                .contains("counter=\"messages_taken_over_total\" value=0"),
            "since its restart"
        );
    }
}

#[test]
fn a_running_relay_hands_over_what_it_does_not_attempt() {
    let sink = Sink::start();
    let nowhere = crate::host::free_address();
    let (mut from, mut to) = Site::pair("127.0.0.1", sink.address);
    from.route(nowhere);
    from.fill(&letters());
    to.said(true, &[]);
    // The other has later names than those that come: they are given new ones.
    let own = to.fill(&[Letter::to(&["own@mx.example"], "Subject: own\r\n\r\n")]);
    from.start();
    to.start();
    let said = from.transfer(&[], 0);
    assert!(
        said.contains("4 of 4 messages") && said.contains("are other's now"),
        "{said}"
    );
    wait_until("the queue to be empty", || from.queued() == 0);
    // Five domains of four messages, and its own.
    assert_eq!(to.queued(), 6);
    assert!(to.home.log().contains("former="), "{}", to.home.log());
    to.runs(&["queue", "resume", "--all"], 0);
    wait_until("all of them", || sink.written() == 6);
    assert_eq!(own.len(), 1);
    from.stop();
    to.stop();
    assert!(
        from.home
            .log()
            .contains("counter=\"messages_handed_over_total\" value=4"),
        "{}",
        from.home.log()
    );
    assert!(
        to.home
            .log()
            .contains("counter=\"messages_taken_over_total\" value=4"),
        "{}",
        to.home.log()
    );
}

#[test]
fn a_relay_that_stops_hands_over_what_it_has() {
    let sink = Sink::start();
    let (mut from, mut to) = Site::pair("::1", sink.address);
    from.route(crate::host::free_address());
    from.on_drain = true;
    from.fill(&letters());
    to.start();
    from.start();
    from.stop();
    assert_eq!(
        from.runs(&["spool", "ls", "-j"], 0),
        "[]\n",
        "{}",
        from.home.log()
    );
    wait_until("all of them", || sink.written() == 5);
    assert!(
        from.home.log().contains("hand-over has ended"),
        "{}",
        from.home.log()
    );
}

#[test]
fn there_and_back_again_is_another_message_to_a_spool() {
    let sink = Sink::start();
    let (mut from, mut to) = Site::pair("127.0.0.1", sink.address);
    from.said(true, &[]);
    to.said(true, &[]);
    from.fill(&letters());
    for _ in 0..2 {
        to.start();
        from.transfer(&[], 0);
        to.stop();
        from.start();
        to.transfer(&[], 0);
        from.stop();
    }
    // What is on disk of the first life of a message must not end the second one, nor the third.
    from.start();
    wait_until("the queue to be read", || from.queued() == 5);
    from.runs(&["queue", "resume", "--all"], 0);
    wait_until("all of them", || sink.written() == 5);
    from.stop();
}

#[test]
fn a_full_relay_says_so_and_nothing_is_lost() {
    let sink = Sink::start();
    let (mut from, mut to) = Site::pair("127.0.0.1", sink.address);
    to.said(true, &[]);
    to.max_octets = 5 << 20;
    let body = lines(2_000);
    let letter = |number| {
        Letter::to(
            &["a@mx.example"],
            &format!("Subject: {number}\r\n\r\n{body}"),
        )
    };
    let letters: Vec<Letter> = (0..24).map(letter).collect();
    from.fill(&letters);
    to.start();
    let said = from.transfer(&[], 1);
    assert!(
        said.contains("is full: the spool is full") && said.contains("make room there"),
        "{said}"
    );
    let left: serde_json::Value =
        serde_json::from_str(&from.runs(&["spool", "ls", "-j"], 0)).unwrap();
    let left = left.as_array().unwrap().len();
    assert!((1..24).contains(&left), "{left}");
    assert_eq!(to.queued(), 24 - left);
    // What was delivered makes room.
    to.runs(&["queue", "resume", "--all"], 0);
    wait_until("room", || {
        from.output(&["spool", "transfer", "--to", "other"])
            .status
            .success()
    });
    wait_for(&mut to, 0, &sink, 24);
    let taken = sink.taken();
    for letter in &letters {
        let same = taken
            .iter()
            .filter(|it| it.content() == letter.content.as_bytes());
        assert_eq!(same.count(), 1);
    }
}
