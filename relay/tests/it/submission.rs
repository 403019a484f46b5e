//! Submission with real clients: who logs in may send, within its limits, and nobody else.

use std::time::Duration;

use crate::dialogue::Dialogue;
use crate::host::wait_until;
use crate::namespace::{CUSTOMER, CUSTOMER6, RELAY, RELAY6};
use crate::road::Place;
use crate::sender::Sender;
use crate::steer::{at, mail};

mod scene;

use scene::{PASSWORD, Scene, USER};

const CONTENT: &[u8] = b"Subject: x\r\n\r\nx\r\n";
const TO: &str = "b@four.example.net";

#[test]
fn swaks_submits_on_both_ports_by_both_families() {
    let scene = Scene::set("swaks", "");
    let cases = [
        (CUSTOMER, at(RELAY, 587), "-tls", "PLAIN", TO),
        (
            CUSTOMER6,
            at(RELAY6, 587),
            "-tls",
            "LOGIN",
            "b@six.example.net",
        ),
        (CUSTOMER6, at(RELAY6, 465), "-tlsc", "PLAIN", TO),
        (
            CUSTOMER,
            at(RELAY, 465),
            "-tlsc",
            "LOGIN",
            "b@six.example.net",
        ),
    ];
    let mut sent = [0, 0];
    for (customer, relay, tls, mechanism, to) in cases {
        let options = [
            "--local-interface",
            customer,
            tls,
            "--auth",
            mechanism,
            "--auth-user",
            USER,
            "--auth-password",
            PASSWORD,
            "--to",
            to,
        ];
        let transcript = scene.road.inside(Place::Customer, || mail(relay, &options));
        transcript.assert_accepted();
        transcript.assert_heard("250 AUTH SCRAM-SHA-256 PLAIN LOGIN");
        transcript.assert_heard("235 2.7.0 ");
        transcript.assert_heard("250 2.0.0 queued as ");
        let six = usize::from(to.contains("six"));
        sent[six] += 1;
        let (sink, leaves_from) = [(&scene.four, RELAY), (&scene.six, RELAY6)][six];
        wait_until("the message", || sink.written() == sent[six]);
        let taken = sink.taken().pop().unwrap();
        assert!(taken.envelope.contains(leaves_from), "{}", taken.envelope);
        assert!(taken.trace().contains(customer), "{}", taken.trace());
        assert!(
            taken.trace().contains(" with ESMTPSA id "),
            "{}",
            taken.trace()
        );
        assert!(taken.content() == CONTENT, "{taken:?}");
    }
    scene.ends();
}

#[test]
fn smtplib_verifies_our_certificate_and_hears_its_limits() {
    let scene = Scene::set("smtplib", "");
    let said = scene.python(
        "s = smtplib.SMTP(RELAY, 587)
say('clear', s.login, USER, PASSWORD)
say('mail in clear', s.sendmail, 'a@x.example', ['b@four.example.net'], TEXT)
s.starttls(context=TLS)
say('before', s.sendmail, 'a@x.example', ['b@four.example.net'], TEXT)
say('wrong', s.login, USER, 'wrong horse')
say('unknown', lambda: connected().login('nobody', PASSWORD))
s = smtplib.SMTP_SSL(RELAY, 465, context=TLS)
say('right', s.login, USER.upper(), PASSWORD)
say('sends', s.sendmail, 'a@x.example', ['b@four.example.net'], TEXT)
say('too many', s.sendmail, 'a@x.example', ['%d@four.example.net' % n for n in range(4)], TEXT)
say('forbidden', lambda: login('bound').sendmail('a@x.example', ['b@four.example.net'], TEXT))
say('permitted', lambda: login('bound').sendmail('a@Bound.example', ['b@four.example.net'], TEXT))
say('null', lambda: login('bound').sendmail('', ['b@four.example.net'], TEXT))
say('last', lambda: login('bound').sendmail('a@bound.example', ['b@four.example.net'], TEXT))
say('beyond', lambda: login('bound').sendmail('a@bound.example', ['b@four.example.net'], TEXT))
",
    );
    for expected in [
        // Nobody says a password where AUTH is not offered.
        "clear: SMTPNotSupportedError ",
        "mail in clear: 530 5.7.0 say STARTTLS",
        "before: 530 5.7.0 log in first",
        "wrong: 535 5.7.8 user name or password is wrong",
        "unknown: 535 5.7.8 user name or password is wrong",
        "right: 235 2.7.0 welcome",
        "sends: {}",
        "too many: {'3@four.example.net': (452, b'4.5.3 your limit is 3 recipients a message, ",
        "forbidden: 550 5.7.1 you may not send as this address, but as one of bound.example",
        "permitted: {}",
        "null: {}",
        "last: {}",
        "beyond: 450 4.7.1 your limit is 3 messages an hour, try again later",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    wait_until("five messages", || scene.four.written() == 5);
    scene.ends();
}

#[test]
fn msmtp_submits_by_every_mechanism() {
    let scene = Scene::set("msmtp", "");
    for (number, mechanism) in ["scram-sha-256", "plain", "login"].into_iter().enumerate() {
        scene
            .msmtp(mechanism, PASSWORD, "a@x.example", TO)
            .expect(mechanism);
        wait_until("the message", || scene.four.written() == number + 1);
        let refused = scene
            .msmtp(mechanism, "wrong horse", "a@x.example", TO)
            .unwrap_err();
        assert!(refused.contains("authentication failed"), "{refused}");
    }
    let log = scene.home.log();
    assert!(log.contains("by=\"proof\""), "{log}");
    scene.ends();
}

#[test]
fn a_postfix_relays_through_it_by_plain() {
    let scene = Scene::set("postfix", "");
    for (customer, relay) in [(CUSTOMER, RELAY), (CUSTOMER6, RELAY6)] {
        let before = scene.four.written();
        let from = customer.parse().unwrap();
        let (sender, sent) = scene.road.inside(Place::Customer, || {
            let sender = Sender::that_logs_in(
                at(relay, 587),
                from,
                (USER, PASSWORD),
                &scene.home.path("certificate.pem"),
            );
            let sent = mail(sender.address, &["--to", TO]);
            (sender, sent)
        });
        sent.assert_accepted();
        wait_until("the message", || scene.four.written() == before + 1);
        let taken = scene.four.taken().pop().unwrap();
        assert!(
            taken.trace().contains(" with ESMTPSA id "),
            "{}",
            taken.trace()
        );
        wait_until("its word on it", || sender.log().contains("status=sent"));
        let log = sender.log();
        assert!(log.contains("Verified TLS connection established"), "{log}");
        scene.road.inside(Place::Customer, || drop(sender));
    }
    scene.ends();
}

#[test]
fn nobody_is_served_without_a_password() {
    let scene = Scene::set("strangers", "");
    scene.road.inside(Place::Mx, || {
        in_a_runtime(async {
            for relay in [at(RELAY, 587), at(RELAY6, 587)] {
                let mut stranger = Dialogue::connect(relay).await;
                stranger.expect_reply("220 ").await;
                let offer = stranger.expect("EHLO stranger.example\r\n", "250").await;
                assert!(
                    offer.contains("STARTTLS") && !offer.contains("AUTH"),
                    "{offer}"
                );
                for (line, reply) in [
                    (
                        "MAIL FROM:<a@x.example>",
                        "530 5.7.0 say STARTTLS and log in first",
                    ),
                    ("MAIL FROM:<a@x.example> AUTH=<>", "530 5.7.0 "),
                    ("RCPT TO:<b@four.example.net>", "503 5.5.1 say MAIL first"),
                    ("DATA", "503 5.5.1 "),
                    (
                        "AUTH PLAIN AGFubgBzZXNhbWU=",
                        "538 5.7.11 say STARTTLS first",
                    ),
                    ("AUTH LOGIN", "538 5.7.11 "),
                    ("VRFY ann", "252 2.0.0 "),
                ] {
                    stranger.expect(&format!("{line}\r\n"), reply).await;
                }
            }
        });
    });
    // Not even the controller's own health checks and flags matter here.
    assert_eq!(scene.four.written() + scene.six.written(), 0);
    scene.ends();
}

#[test]
fn guesses_are_limited_by_address_and_by_user() {
    let scene = Scene::set(
        "guesses",
        "failures_per_address_per_hour = 4\nfailures_per_user_per_hour = 5\n",
    );
    let said = scene.python(
        "s = connected()
say('first', s.login, USER, 'wrong horse')
say('second', s.login, USER, 'wrong horse')
say('third', lambda: connected().login('nobody', 'wrong horse'))
say('fourth', smtplib.SMTP, RELAY, 587)
",
    );
    for expected in [
        // smtplib tries PLAIN and LOGIN, and the third wrong password ends the session.
        "first: 535 5.7.8 user name or password is wrong",
        "second: SMTPServerDisconnected",
        "third: 421 4.7.0 too many wrong passwords from your address",
        "fourth: 421 4.7.0 relay-1.example.net has heard too many wrong passwords from your address",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    // Others are heard, until there are too many of them for one user.
    let elsewhere = |place, script: &str| scene.python_at(place, script);
    let said = elsewhere(
        Place::Mx,
        "s = connected()
say('first', s.login, USER, 'wrong horse')
s = connected()
say('second', s.login, USER, PASSWORD)
say('other', lambda: connected().login('bound', PASSWORD))
",
    );
    assert!(
        said.contains("second: 454 4.7.0 too many wrong passwords for this user"),
        "{said}"
    );
    assert!(said.contains("other: 235 "), "{said}");
    scene.ends();
}

#[test]
fn who_is_disabled_sends_nothing_more() {
    let scene = Scene::set("disabled", "");
    let mut client = scene.client(
        "s = login(USER)
say('first', s.sendmail, 'a@x.example', ['b@four.example.net'], TEXT)
wait()
say('second', s.sendmail, 'a@x.example', ['b@four.example.net'], TEXT)
say('again', login, USER)
say('other', login, 'bound')
",
    );
    assert_eq!(client.line(), "first: {}");
    let mut fewer = scene.snapshot.clone();
    fewer.generation.0 += 1;
    fewer.submission.users.retain(|user| user.name != USER);
    let generation = fewer.generation.0;
    scene.controller.set(fewer);
    wait_until("the relay's word", || {
        scene.controller.acknowledged(generation)
    });
    client.go_on();
    let second = client.line();
    assert!(
        second.contains("421") && second.contains("does not know you any more"),
        "{second}"
    );
    assert!(client.line().starts_with("again: 535 5.7.8 "));
    assert!(client.line().starts_with("other: 235"));
    wait_until("the first message", || scene.four.written() == 1);
    scene.ends();
}

fn in_a_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await })
        .unwrap();
}
