//! The embedded classifier in a relay: who is refused by it, who is not, and models of the operator's own mail.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use relay::classifier::{self, Label, Lesson};
use relay::config::Config;
use relay::metrics::Counter;
use tempfile::TempDir;

use crate::gate::{Gate, Options, config_text};
use crate::sink::Sink;
use crate::swaks;

/// In the style of 2002, when the shipped model's corpus was collected.
const SPAM: &str = "From: \"Financial Freedom\" <offers4u2291@mail.example>\r\nReply-To: remove@other.example\r\nTo: you@mx.example\r\n\
    Subject: FREE MONEY - Lowest Mortgage Rates GUARANTEED!!!\r\nX-Priority: 1\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/html; charset=\"iso-8859-1\"\r\n\r\n\
    <html><body bgcolor=\"#FFFFFF\"><center><font size=\"5\" color=\"#FF0000\"><b>Dear Friend, save THOUSANDS of dollars!!!</b></font><br>\r\n\
    Click <a href=\"http://203.0.113.99/mortgage/index.html\">here</a> for your FREE quote. No obligation, 100% guaranteed. Act now!<br>\r\n\
    To be removed from our mailing list click <a href=\"http://203.0.113.99/remove.html\">here</a>.</center></body></html>\r\n";
const HAM: &str = "From: Ann <ann@customer.example>\r\nTo: Bob <bob@mx.example>\r\nSubject: Re: the patch for the router\r\n\
    Date: Sun, 22 Nov 2026 10:00:00 +0100\r\nMessage-ID: <20261122100000.A77@customer.example>\r\nIn-Reply-To: <x@mx.example>\r\n\
    MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
    Bob wrote:\r\n> does the patch apply to the old kernel?\r\n\r\nYes, I think so. I have run the tests on the machine here and\r\n\
    they pass, but the interface has to be down first.\r\n\r\nAnn\r\n";

fn gate(sink: &Sink, keys: &str, verdict: &str) -> Gate {
    Gate::start(Options {
        scanners: format!("[[scanner]]\nkind = \"classifier\"\n{keys}\n{verdict}"),
        ..Options::to(sink.address)
    })
}

async fn send(gate: &Gate, content: &str) -> swaks::Transcript {
    swaks::send(gate.address, content.as_bytes(), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spam_is_refused_in_session_with_what_was_seen_and_ham_passes() {
    let sink = Sink::start();
    let gate = gate(&sink, "reject_at = 0.9", "");
    let transcript = send(&gate, SPAM).await;
    for part in [
        "550 5.7.1 ",
        "the content resembles spam: ",
        " id=",
        "see https://abuse.example.net/smtp",
    ] {
        transcript.assert_heard(part);
    }
    assert_eq!(sink.taken().len(), 0);
    send(&gate, HAM).await.assert_accepted();
    assert_eq!(sink.taken().len(), 1);
    gate.wait_for_count(Counter::Rejected, 1).await;
    gate.wait_for_count(Counter::Delivered, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_model_alone_refuses_nobody_and_counts_in_the_sum() {
    let sink = Sink::start();
    let alone = gate(&sink, "", "");
    send(&alone, SPAM).await.assert_accepted();
    // As if others had brought the rest of the evidence.
    let summed = gate(&sink, "", "[verdict]\nspam_log_odds = 2.0\n");
    send(&summed, SPAM)
        .await
        .assert_heard("550 5.7.1 the content is classified as spam");
    send(&summed, HAM).await.assert_accepted();
    assert_eq!(sink.taken().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_judge_is_unscannable_and_the_policy_decides() {
    let nested = "Subject: x\r\nContent-Type: message/rfc822\r\n\r\n".repeat(5000)
        + "Subject: y\r\n\r\nx\r\n";
    let sink = Sink::start();
    for (unscannable, expected) in [("accept", "250 2.0.0 Ok"), ("reject", "550 5.7.1")] {
        let gate = gate(
            &sink,
            "",
            &format!("[verdict]\nunscannable = \"{unscannable}\"\n"),
        );
        send(&gate, &nested).await.assert_heard(expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_release_is_learnt_and_outlives_the_relay() {
    let sink = Sink::start();
    let state = tempfile::tempdir().unwrap();
    let options = || Options {
        scanners: "[[scanner]]\nkind = \"classifier\"\nreject_at = 0.9\n".into(),
        state_dir: Some(state.path().to_owned()),
        ..Options::to(sink.address)
    };
    let gate = Gate::start(options());
    let live = gate.relay.classifier().unwrap();
    let Lesson::Learnt { before, after } = live.learn(SPAM.as_bytes(), Label::Ham).unwrap() else {
        panic!("nothing was learnt");
    };
    assert!(
        after < before && after >= before - 1.001,
        "{before} {after}"
    );
    drop(live);
    gate.stop().await;
    let gate = Gate::start(options());
    let live = gate.relay.classifier().unwrap();
    assert_eq!(live.learnt(), (1, 0));
    assert_eq!(
        live.learn(SPAM.as_bytes(), Label::Ham).unwrap(),
        Lesson::Known
    );
    // A reload of the same model loses nothing.
    gate.reload().unwrap();
    assert_eq!(live.learnt(), (1, 0));
}

fn program(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate-relay"));
    command.arg("classifier").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Mail of a house where the shipped model would be wrong: wanted mail is about casinos, and unwanted mail about kernels.
fn sorted_mail(directory: &Path) {
    for (kind, words) in [
        ("ham", "casino winner jackpot of the night"),
        ("spam", "kernel module for the network"),
    ] {
        fs::create_dir_all(directory.join(kind)).unwrap();
        for number in 0..120 {
            let other: String = (0..6)
                .map(|word| {
                    format!(
                        "{} ",
                        ["blue", "green", "fast", "slow", "old", "new", "tall"]
                            [(number * 5 + word * word * 3) % 7]
                    )
                })
                .collect();
            let name = ["ann", "bob", "eve", "joe", "kim"][number % 5];
            let content = format!(
                "From: {name} <{name}@a.example>\nSubject: {other}\n\n{other}{words} {name} {}\n",
                other.repeat(number % 4)
            );
            fs::write(directory.join(kind).join(format!("{number}.eml")), content).unwrap();
        }
    }
}

struct House(TempDir);

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        sorted_mail(directory.path());
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn train(&self, more: &[&str]) -> Output {
        let (ham, spam, model) = (self.path("ham"), self.path("spam"), self.path("our.ogcm"));
        let arguments = ["train", "--ham", &ham, "--spam", &spam, "--model", &model];
        program(&[&arguments, more].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_the_operators_own_mail_refuses_by_itself() {
    let house = House::new();
    fs::write(house.path("spam/not-mail"), "").unwrap();
    let trained = tokio::task::spawn_blocking({
        let trained = house.train(&["--corpus", "this house's mail of 2026"]);
        move || trained
    });
    let trained = trained.await.unwrap();
    let text = said(&trained);
    // One file is none, which is said and fatal to nothing.
    assert_eq!(trained.status.code(), Some(2), "{text}");
    for part in [
        "not-mail: left out: it has no header",
        "1 files were left out",
        "AUC 1.0000",
        "reject_at = ",
        "our.ogcm: written",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let model = house.path("our.ogcm");
    let shown = said(&program(&["show", "--model", &model, "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["corpus"], &shown["ham"], &shown["advisory"]),
        (
            &"this house's mail of 2026".into(),
            &120.into(),
            &false.into()
        )
    );

    let sink = Sink::start();
    let gate = gate(&sink, &format!("model = \"{model}\""), "");
    let message = |words: &str| {
        format!("From: ann <ann@a.example>\r\nSubject: old blue\r\n\r\nold blue {words} ann\r\n")
    };
    send(&gate, &message("kernel module for the network"))
        .await
        .assert_heard("550 5.7.1 the content resembles spam");
    send(&gate, &message("casino winner jackpot of the night"))
        .await
        .assert_accepted();

    let file = house.path("kernel.eml");
    fs::write(&file, message("kernel module for the network")).unwrap();
    let explained = said(&program(&["explain", &file, "--model", &model]));
    assert!(
        explained.contains("spam with a probability of 0.9") && explained.contains("kernel"),
        "{explained}"
    );
}

#[test]
fn a_model_is_added_to_and_never_written_over_unasked() {
    let house = House::new();
    assert!(house.train(&[]).status.success());
    let again = house.train(&[]);
    assert!(
        !again.status.success() && said(&again).contains("is there already; add to it with --add"),
        "{}",
        said(&again)
    );
    let added = house.train(&["--add"]);
    assert!(added.status.success(), "{}", said(&added));
    let shown = said(&program(&["show", "--model", &house.path("our.ogcm")]));
    assert!(shown.contains("HAM, SPAM    240, 240"), "{shown}");
}

#[test]
fn a_model_that_cannot_be_used_is_named_with_key_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("our.ogcm");
    fs::write(&model, "From: a@b.example\n").unwrap();
    let options = Options {
        scanners: format!(
            "[[scanner]]\nkind = \"classifier\"\nmodel = \"{}\"\n",
            model.display()
        ),
        ..Options::to("127.0.0.1:25".parse().unwrap())
    };
    let config = Config::parse(&config_text(directory.path(), &options)).unwrap();
    let wrong = classifier::check(&config).unwrap_err().to_string();
    let expected = format!(
        "scanner.model: {}: is not a model of the classifier; make one with",
        model.display()
    );
    assert!(wrong.starts_with(&expected), "{wrong}");
    for (keys, expected) in [
        (
            "reject_at = 1.5",
            "scanner.reject_at: 1.5: must be a probability",
        ),
        (
            "model = \"our.ogcm\"",
            "scanner.model: our.ogcm: must be an absolute path",
        ),
        (
            "learn = true\n[[scanner]]\nkind = \"classifier\"",
            "scanner.kind: classifier: may stand there once",
        ),
    ] {
        let options = Options {
            scanners: format!("[[scanner]]\nkind = \"classifier\"\n{keys}\n"),
            ..Options::to("127.0.0.1:25".parse().unwrap())
        };
        let wrong = Config::parse(&config_text(directory.path(), &options))
            .unwrap_err()
            .to_string();
        assert!(wrong.contains(expected), "{wrong}");
    }
}
