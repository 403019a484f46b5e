//! What is refused is kept, and what people do with it through `outgate-relay quarantine`.

mod audit;
mod held;
mod scene;

use std::fs;
use std::path::Path;
use std::process::Command;

use relay::metrics::Counter;

use crate::host::wait_until;
use crate::signing;
use crate::sink::Sink;
use crate::spam::GTUBE;
use scene::Scene;

fn spam(number: u32) -> String {
    format!(
        "From: Ann <ann.author@customer.example>\r\nTo: bob.reader@mx.example\r\nSubject: offer {number}\r\n\r\n\
         a body with enough letters to be told from others\r\n.dots\r\n{GTUBE}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn spam_is_refused_kept_shown_and_released_as_its_customer_wrote_it() {
    let (sink, keys) = (Sink::start(), signing::Keys::make());
    let scene = Scene::with(sink.address, &keys.tables());
    let content = keys.signed_by_customer(&spam(1));
    let id = scene.refused(&content).await;
    scene.gate.assert_counted(Counter::Kept, 1);
    assert_eq!(sink.taken().len(), 0);

    let listed = scene.json(&["ls", "--verdict", "spam"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["id"], *id);
    assert_eq!(listed[0]["customer"], "127.0.0.1");
    assert_eq!(listed[0]["flag_id"], 1);
    assert_eq!(listed[0]["kept"], "body");
    let table = scene.hear(&["ls", "--since", "1h", "--customer", "127.0.0.0/8"]);
    assert!(table.starts_with("ID  ") && table.contains(&id), "{table}");
    assert_eq!(
        scene.json(&["ls", "--verdict", "malware"]),
        serde_json::json!([])
    );

    let shown = scene.hear(&["show", &id, "--headers", "--reason", "ticket 4711"]);
    for part in [
        "builtin=spam/",
        "@mx.example",
        "Subject: offer 1",
        "FLAG       1",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    // Nobody is named on this host: not where it is shown, and not where it is kept.
    for name in ["ann.author", "bob.reader", "sender@"] {
        assert!(!shown.contains(name), "{shown}");
        scene.assert_nowhere(name);
    }
    let body = scene.run(&[
        "show",
        &id,
        "--body",
        "--identity-file",
        &scene.key,
        "--reason",
        "ticket 4711",
    ]);
    assert!(body.stdout == content, "not what was sent");
    // What Debian's program opens is the same, with its envelope above.
    let sealed = scene.only_file("bodies");
    let opened = Command::new("age")
        .args(["-d", "-i", &scene.key])
        .arg(&sealed)
        .output()
        .unwrap();
    assert!(opened.stdout.ends_with(&content) && opened.stdout.starts_with(b"X-Outgate-Envelope:"));

    let words = [
        "release",
        &id,
        "--identity-file",
        &scene.key,
        "--reason",
        "asked for",
    ];
    assert!(
        scene
            .hear(&words)
            .starts_with(&format!("{id}: released, queued as "))
    );
    wait_until("the message to arrive", || sink.written() == 1);
    let taken = sink.only();
    assert!(taken.content() == content, "{taken:?}");
    assert!(
        taken.envelope.contains("sender@customer.example"),
        "{}",
        taken.envelope
    );
    assert!(taken.trace().contains(&id), "{}", taken.trace());
    let verified = keys.verify(&taken.message);
    assert!(verified.contains("theirs rsa-sha256 True"), "{verified}");
    assert!(verified.contains("relay rsa-sha256 True"), "{verified}");

    let again = scene.run(&words);
    assert_eq!(again.status.code(), Some(3));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("it is released already"), "{said}");
    scene.gate.assert_counted(Counter::Released, 1);
    let audit = fs::read_to_string(scene.state.path().join("quarantine.audit")).unwrap();
    let acts: Vec<&str> = audit
        .lines()
        .map(|line| scene::field(line, "act"))
        .collect();
    assert_eq!(
        acts,
        ["view", "view", "view", "releasing", "released", "view"],
        "{audit}"
    );
    assert!(
        audit
            .lines()
            .all(|line| line.contains("\"actor\":\"uid 0\"")),
        "{audit}"
    );
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classifier_learns_from_what_is_released_and_what_is_confirmed() {
    let sink = Sink::start();
    let tables = "[[scanner]]\nkind = \"classifier\"\n\
                  [[identity]]\nby = \"header\"\nheader = \"X-PHP-Originating-Script\"\n";
    let scene = Scene::with(sink.address, tables);
    let from = |site: &str, number| format!("X-PHP-Originating-Script: {site}\r\n{}", spam(number));
    let shop = scene.refused(from("1001:shop.php", 1).as_bytes()).await;
    let mail = scene.refused(from("1002:mail.php", 2).as_bytes()).await;
    let unread = scene.refused(from("1002:mail.php", 3).as_bytes()).await;
    let of_site = scene.json(&["ls", "--identity", "1001:shop.php"]);
    assert_eq!(of_site.as_array().unwrap().len(), 1, "{of_site}");
    assert_eq!(of_site[0]["id"], *shop);
    let alike = scene.json(&["ls", "--alike", &mail]);
    assert_eq!(alike.as_array().unwrap().len(), 3, "{alike}");

    let classifier = scene.gate.relay.classifier().unwrap();
    assert_eq!(classifier.learnt(), (0, 0));
    let key = ["--identity-file", &scene.key, "--reason", "looked at"];
    let words = |verb, id| [&[verb, id][..], &key].concat();
    scene.hear(&words("release", &shop));
    wait_until("the released one to be learnt", || {
        classifier.learnt() == (1, 0)
    });
    assert_eq!(
        scene.hear(&words("confirm", &mail)),
        format!("{mail}: confirmed\n")
    );
    assert_eq!(classifier.learnt(), (1, 1));
    // Nothing is learnt from what nobody has opened.
    scene.hear(&["confirm", &unread, "--reason", "as the one before"]);
    assert_eq!(classifier.learnt(), (1, 1));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_could_open_is_not_kept() {
    let sink = Sink::start();
    let scene = Scene::without_recipients(sink.address);
    let id = scene.refused(spam(1).as_bytes()).await;
    assert_eq!(scene.folders(), ["headers", "records"]);
    let words = [
        "show",
        &id,
        "--body",
        "--identity-file",
        &scene.key,
        "--reason",
        "x",
    ];
    assert_eq!(scene.run(&words).status.code(), Some(2));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_kept_changes_nothing_for_the_sender() {
    let sink = Sink::start();
    let scene = Scene::with(sink.address, "");
    scene.refused(spam(1).as_bytes()).await;
    // A file where a folder should be.
    for folder in ["bodies", "headers", "records"] {
        fs::remove_dir_all(scene.store().join(folder)).unwrap();
        fs::write(scene.store().join(folder), "").unwrap();
    }
    scene.refused(spam(2).as_bytes()).await;
    scene.gate.wait_for_count(Counter::NotKept, 1).await;
    scene.stop().await;

    let scene = Scene::limited(sink.address, "max_records = 2\n");
    for number in 1..=3 {
        scene.refused(spam(number).as_bytes()).await;
    }
    scene.gate.wait_for_count(Counter::NotKept, 1).await;
    scene.gate.assert_counted(Counter::Kept, 2);
    scene.stop().await;

    let scene = Scene::limited(sink.address, "per_customer_per_hour = 1\n");
    for number in 1..=3 {
        scene.refused(spam(number).as_bytes()).await;
    }
    scene.gate.wait_for_count(Counter::NotKept, 2).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_alike_are_released_at_once_and_what_cannot_be_is_named() {
    let sink = Sink::start();
    let scene = Scene::with(sink.address, "");
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(scene.refused(spam(number).as_bytes()).await);
    }
    let other =
        format!("Subject: x\r\n\r\nan altogether different text, long enough\r\n{GTUBE}\r\n");
    let other = scene.refused(other.as_bytes()).await;
    assert_eq!(
        scene
            .json(&["ls", "--alike", &ids[1]])
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(scene.json(&["sample", "2"]).as_array().unwrap().len(), 2);

    scene.hear(&["drop", &ids[0], "--reason", "erasure"]);
    scene.gate.assert_counted(Counter::Dropped, 1);
    assert_eq!(
        scene.hear(&["confirm", &ids[1], "--reason", "spam indeed"]),
        format!("{}: confirmed\n", ids[1])
    );
    let words = [
        "release",
        &ids[0],
        &ids[2],
        "--identity-file",
        &scene.key,
        "--reason",
        "asked for",
    ];
    let partly = scene.run(&words);
    assert_eq!(partly.status.code(), Some(4));
    let said = String::from_utf8(partly.stdout).unwrap();
    assert!(said.contains(&format!("{}: released", ids[2])), "{said}");
    let why = format!("{}: its content is not there", ids[0]);
    assert!(said.contains(&why), "{said}");
    wait_until("the first to arrive", || sink.written() == 1);

    let words = [
        "release",
        "--alike",
        &ids[0],
        "--identity-file",
        &scene.key,
        "--reason",
        "asked for",
    ];
    let said = scene.hear(&words);
    assert_eq!(
        said.lines().count(),
        1,
        "the one that was not released yet: {said}"
    );
    wait_until("the second to arrive", || sink.written() == 2);
    let states = scene.json(&["ls"]);
    let state = |id: &str| {
        let mut all = states.as_array().unwrap().iter();
        all.find(|one| one["id"] == *id).unwrap()["state"].clone()
    };
    assert_eq!(state(&ids[0]), "dropped");
    assert_eq!(state(&ids[1]), "released");
    assert_eq!(state(&other), "kept");
    let unknown = scene.run(&["drop", "0000000000000", "--reason", "x"]);
    assert_eq!(unknown.status.code(), Some(2));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_what_was_sealed_can_be_released() {
    let sink = Sink::start();
    let scene = Scene::with(sink.address, "");
    let id = scene.refused(spam(1).as_bytes()).await;
    let opened = |sealed: &Path| {
        let opened = Command::new("age")
            .args(["-d", "-i", &scene.key])
            .arg(sealed)
            .output();
        opened.unwrap().stdout
    };
    let text = opened(&scene.only_file("bodies"));
    let mut changed = text.clone();
    *changed.last_mut().unwrap() ^= 1;
    let question = format!("{{\"id\":\"{id}\",\"reason\":\"x\"}}\n");
    for wrong in [
        &changed[..],
        &text[..text.len() - 1],
        &[&text[..], b"x"].concat(),
        b"",
        b"Subject: x\r\n",
    ] {
        let answer = scene.post("release", &[question.as_bytes(), wrong].concat());
        assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    }
    let nonsense = scene.post("release", b"{}\n");
    assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
    let unreasonable = format!("{{\"id\":\"{id}\",\"reason\":\" \"}}");
    assert!(
        scene
            .post("body", unreasonable.as_bytes())
            .contains("--reason")
    );
    assert_eq!(sink.taken().len(), 0);
    // Not even that has taken the right away.
    let answer = scene.post("release", &[question.as_bytes(), &text].concat());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    wait_until("the message to arrive", || sink.written() == 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_is_whole_and_sets_aside_what_is_not() {
    let sink = Sink::start();
    let scene = Scene::with(sink.address, "");
    let first = scene.refused(spam(1).as_bytes()).await;
    let second = scene.refused(spam(2).as_bytes()).await;
    let key = scene.key.clone();
    let words = [
        "release",
        &first,
        "--identity-file",
        &key,
        "--reason",
        "asked for",
    ];
    scene.hear(&words);
    wait_until("the message to arrive", || sink.written() == 1);
    // What a crash leaves: parts without metadata, metadata that is not whole.
    let day = scene.only_file("bodies");
    let day = day.parent().unwrap();
    fs::write(day.join("0QZ8K3V5M00AB12.7.age"), "half").unwrap();
    fs::write(day.join("0QZ8K3V5M00AB12.9.age#1"), "ha").unwrap();
    let records = scene
        .store()
        .join("records")
        .join(day.strip_prefix(scene.store().join("bodies")).unwrap());
    fs::write(
        records.join("0QZ8K3V5M00AB12.8.json"),
        "{\"version\": 1, \"id",
    )
    .unwrap();
    let scene = scene.restart().await;
    let listed = scene.json(&["ls"]);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let aside = scene.store().join("aside");
    wait_until("half a record to be set aside", || {
        scene::files(&aside).len() == 3
    });
    // It is still known what was released, and what was not still can be.
    assert_eq!(scene.run(&words).status.code(), Some(3));
    scene.hear(&[
        "release",
        &second,
        "--identity-file",
        &scene.key,
        "--reason",
        "asked for",
    ]);
    wait_until("the second to arrive", || sink.written() == 2);
    scene.stop().await;
}
