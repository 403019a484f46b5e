//! Customers are told by mail, through a real Postfix: what they read, once each, whatever is down.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    command::said,
    lab::Lab,
    postfix::{ADDRESS, Postfix},
};

/// A controller that tells customers, with more in its `[notices]`.
fn telling(submit: &str, more: &str) -> Lab {
    let mut lab = Lab::new();
    let up = said(lab.inside("ip").args(["link", "set", "lo", "up"]));
    assert_eq!(up.code, 0, "{up:?}");
    let text = format!(
        "{}\n[notices]\nfrom = \"Example Hosting <abuse@example.net>\"\nreply_to = \"desk@example.net\"\n\
         submit = \"{submit}\"\n{more}\n\n[[contact]]\nprefix = \"192.0.2.0/25\"\nmail = \"four@customer.example\"\n\n\
         [[contact]]\nprefix = \"192.0.2.64/28\"\nmail = \"gone@customer.example\"\n\n\
         [[contact]]\nprefix = \"2001:db8:a::/48\"\nmail = \"Six <six@customer.example>\"\n",
        lab.text()
    );
    fs::write(lab.config(), text).unwrap();
    lab.start();
    lab
}

#[track_caller]
fn flag(lab: &Lab, target: &str, action: &str, more: &[&str]) {
    let arguments = [
        "flag", "add", target, "--reason", "spam run", "--action", action,
    ];
    lab.json(0, &[&arguments, more].concat());
}

/// What `outgate notice ls` says, the oldest first.
fn notices(lab: &Lab) -> Vec<Value> {
    let mut notices = lab.json(0, &["notice", "ls"]).as_array().unwrap().clone();
    notices.reverse();
    notices
}

/// Details of the controller's events of a kind.
fn told(lab: &Lab, kind: &str) -> Vec<Value> {
    let events = lab.json(0, &["events", "--kind", kind, "--limit", "1000"]);
    events.as_array().unwrap().clone()
}

#[track_caller]
fn until_mails(lab: &Lab, postfix: &Postfix, count: usize) -> Vec<String> {
    lab.until("mail arrives", |_| postfix.mailbox().len() >= count);
    let mailbox = postfix.mailbox();
    assert_eq!(mailbox.len(), count, "{mailbox:#?}\n{}", postfix.log());
    mailbox
}

/// The text as it was before it was made fit for lines of mail.
fn readable(mail: &str) -> String {
    let mail = mail.replace("=20\n", " \n").replace("=\n", "");
    mail.replace("=3D", "=")
}

#[test]
fn customers_read_what_their_mail_servers_are_told() {
    let mut postfix = Postfix::new();
    let ca_file = format!(
        "ca_file = {:?}\nat_most_every = \"1s\"",
        postfix.authority()
    );
    let lab = telling(&format!("smtp://{ADDRESS}:25"), &ca_file);
    postfix.start(&lab);
    // Nothing of these: they change nothing, are quiet, or nobody is known.
    flag(&lab, "192.0.2.20", "observe", &[]);
    flag(&lab, "192.0.2.21", "drop", &["--quiet"]);
    lab.json(0, &["flag", "rm", "192.0.2.21", "--reason", "over"]);
    flag(&lab, "192.0.2.200", "drop", &[]);
    lab.until("nobody is told", |lab| {
        told(lab, "notice_nobody").len() == 1
    });
    assert_eq!(told(&lab, "notice_nobody")[0]["customer"], "192.0.2.200/32");

    flag(&lab, "192.0.2.10", "refuse", &["--for", "24h"]);
    let preview = lab.json(0, &["notice", "preview", "192.0.2.10"]);
    let mail = until_mails(&lab, &postfix, 1).remove(0);
    for line in [
        "From: \"Example Hosting\" <abuse@example.net>",
        "To: four@customer.example",
        "Reply-To: desk@example.net",
        "Subject: Outgoing mail from 192.0.2.10 is restricted",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(mail.lines().any(|found| found == line), "{line}\n{mail}");
    }
    assert!(mail.contains("using TLSv1.3"), "{mail}");
    assert!(
        mail.lines()
            .any(|line| line.starts_with("Message-ID: <notice-1.outgated-")),
        "{mail}"
    );
    let text = readable(&mail);
    let smtp = "554 5.7.1 Example Hosting: mail from 192.0.2.10 is refused, see https://abuse.example.net/smtp";
    for part in [
        smtp,
        "spam run",
        "by a person",
        "https://abuse.example.net/smtp",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let previewed = preview["text"].as_str().unwrap();
    assert!(text.contains(previewed.trim_end()), "{previewed}\n{text}");
    assert_eq!(preview["mail"], "four@customer.example");
    let made = told(&lab, "notice_made");
    assert_eq!(
        made[0]["detail"]["text"].as_str(),
        Some(previewed),
        "webhooks are told the same"
    );

    // A redirect that waits for its relay is told, too; then up, down and away.
    lab.json(
        4,
        &[
            "flag",
            "add",
            "2001:db8:a:a::10",
            "--reason",
            "spam run",
            "--treatment",
            "walled",
        ],
    );
    let mail = readable(&until_mails(&lab, &postfix, 2)[1]);
    assert!(
        mail.contains("To: \"Six\" <six@customer.example>")
            || mail.contains("To: Six <six@customer.example>"),
        "{mail}"
    );
    assert!(
        mail.contains(
            "550 5.7.1 mail from 2001:db8:a:a::/64 is blocked by Example Hosting: spam run"
        ),
        "{mail}"
    );
    for (count, action, subject) in [
        (3, "drop", "is restricted further"),
        (4, "limit", "is restricted less"),
    ] {
        let rate: &[&str] = if action == "limit" {
            &["--rate", "30/min"]
        } else {
            &[]
        };
        flag(&lab, "2001:db8:a:a::10", action, rate);
        let mail = until_mails(&lab, &postfix, count).remove(count - 1);
        assert!(
            mail.contains(&format!(
                "Subject: Outgoing mail from 2001:db8:a:a::/64 {subject}"
            )),
            "{mail}"
        );
    }
    lab.json(
        0,
        &["flag", "rm", "2001:db8:a:a::10", "--reason", "cleaned up"],
    );
    let mail = until_mails(&lab, &postfix, 5).remove(4);
    assert!(mail.contains("is free again"), "{mail}");
    assert!(
        !mail.contains("cleaned up"),
        "that is the desk's affair: {mail}"
    );
    lab.until("all are known to be sent", |lab| {
        told(lab, "notice_sent").len() == 5
    });
    let shown = lab.json(0, &["flag", "show", "192.0.2.10"]);
    let history = shown["history"].as_array().unwrap();
    assert!(
        history.iter().any(|row| row["event"] == "notice sent"),
        "{shown}"
    );

    // A mailbox that there is not is given up at once.
    flag(&lab, "192.0.2.65", "drop", &[]);
    lab.until("it is given up", |lab| told(lab, "notice_lost").len() == 1);
    let lost = notices(&lab).pop().unwrap();
    assert_eq!(
        (&lost["state"], &lost["attempts"]),
        (&"lost".into(), &1.into())
    );
    assert!(
        lost["error"].as_str().unwrap().contains("no such customer"),
        "{lost}"
    );
    assert_eq!(notices(&lab).len(), 6);
}

#[test]
fn what_a_mail_server_misses_arrives_once_when_it_is_back() {
    let mut postfix = Postfix::new();
    let mut lab = telling("smtp://[::1]:25", "");
    flag(&lab, "192.0.2.10", "refuse", &[]);
    flag(&lab, "2001:db8:a:a::10", "drop", &[]);
    lab.until("it is tried in vain", |lab| {
        notices(lab)
            .iter()
            .any(|notice| notice["error"].is_string())
    });
    lab.end(Signal::KILL);
    lab.start();
    assert_eq!(notices(&lab).len(), 2);
    postfix.start(&lab);
    let mailbox = until_mails(&lab, &postfix, 2);
    for subject in [
        "from 192.0.2.10 is restricted",
        "from 2001:db8:a:a::/64 is restricted",
    ] {
        let found = mailbox.iter().filter(|mail| mail.contains(subject));
        assert_eq!(found.count(), 1, "{subject}: {mailbox:#?}");
    }
    lab.until("both are known to be sent", |lab| {
        notices(lab).iter().all(|notice| notice["state"] == "sent")
    });

    // Not before an hour is over is a customer told more, and then all of it together.
    lab.json(0, &["flag", "rm", "192.0.2.10", "--reason", "cleaned up"]);
    flag(&lab, "192.0.2.10", "drop", &[]);
    lab.until("it waits", |lab| {
        notices(lab)
            .iter()
            .any(|notice| notice["flags"] == serde_json::json!([1, 3]))
    });
    lab.until("it is put off", |lab| {
        let waiting = notices(lab).pop().unwrap();
        let next: Option<jiff::Timestamp> =
            waiting["next_at"].as_str().map(|at| at.parse().unwrap());
        let wait = next.map(|next| next.duration_since(jiff::Timestamp::now()));
        waiting["kind"] == "raise" && wait.is_some_and(|wait| wait.as_mins() >= 55)
    });
    lab.end(Signal::TERM);
    lab.start();
    let waiting = notices(&lab).pop().unwrap();
    assert_eq!(
        (&waiting["state"], &waiting["attempts"]),
        (&"waiting".into(), &0.into())
    );

    // What is quiet of a file is not told; the rest is, after everything from before the restart.
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    fs::write(
        path,
        "prefix,reason,action,notify\n192.0.2.30,r,drop,no\n192.0.2.31,r,drop,\n",
    )
    .unwrap();
    lab.json(0, &["flag", "import", path]);
    fs::write(path, "prefix,reason,action\n192.0.2.32,r,drop\n").unwrap();
    lab.json(0, &["flag", "import", path, "--quiet"]);
    let many = (0..1001).map(|host| format!("2001:db8:a:{host:x}::/64,r,drop\n"));
    let many = format!("prefix,reason,action\n{}", many.collect::<String>());
    fs::write(path, many).unwrap();
    let refused = lab.outgate(&["flag", "import", path]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("1001 customers would be written to"),
        "{refused:?}"
    );
    // How many customers a file may change is another question.
    let meant = ["--override-guard", "a test"];
    lab.json(
        0,
        &[
            &["flag", "import", path, "--quiet", "--dry-run"],
            &meant[..],
        ]
        .concat(),
    );
    flag(&lab, "192.0.2.33", "drop", &[]);
    let mailbox = until_mails(&lab, &postfix, 4);
    for subject in [
        "from 192.0.2.31 is restricted",
        "from 192.0.2.33 is restricted",
    ] {
        assert!(
            mailbox.iter().any(|mail| mail.contains(subject)),
            "{mailbox:#?}"
        );
    }
    let ids = |mail: &String| {
        let line = mail.lines().find(|line| line.starts_with("Message-ID: "));
        line.unwrap().to_owned()
    };
    let ids: std::collections::BTreeSet<String> = mailbox.iter().map(ids).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

/// With STARTTLS over IPv4 and TLS from the first octet over IPv6: the password goes over neither way in the clear.
#[test]
fn a_wrong_password_is_said_and_loses_nothing_and_the_right_one_is_in_use_at_once() {
    for submit in [format!("smtp://{ADDRESS}:25"), "smtps://[::1]:465".into()] {
        let mut postfix = Postfix::new();
        postfix.demand_login("outgate", RIGHT);
        let secrets = tempfile::tempdir().unwrap();
        let file = secrets.path().join("notices.password");
        let say = |password: &str| {
            fs::write(&file, format!("{password}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        };
        say("not it");
        let texts = tempfile::tempdir().unwrap();
        let text = "Subject: {prefix} ({class})\n\n{reason}, of the kind: {class}\n";
        fs::write(texts.path().join("flag.en.txt"), text).unwrap();
        let more = format!(
            "user = \"outgate\"\npassword_file = {file:?}\nca_file = {:?}\ntemplates = {:?}\n",
            postfix.authority(),
            texts.path()
        );
        let mut lab = telling(&submit, &more);
        postfix.start(&lab);
        flag(&lab, "192.0.2.10", "refuse", &[]);
        flag(
            &lab,
            "2001:db8:a:a::10",
            "drop",
            &["--for", "ever", "--review", "90d"],
        );
        let refused = |notice: &Value| {
            let error = notice["error"].as_str().unwrap_or_default();
            notice["state"] == "waiting" && error.contains("(535)") && !error.contains("not it")
        };
        lab.until("the password is refused", |lab| {
            notices(lab).iter().any(refused)
        });
        let listed = lab.outgate(&["notice", "ls"]);
        assert!(listed.out.contains("535"), "{listed:?}");
        assert!(postfix.log().contains("authentication failed"));
        // Neither a restart nor more attempts lose one, or send one.
        lab.end(Signal::KILL);
        lab.start();
        lab.until("it is tried again", |lab| {
            let attempts = |notice: &Value| notice["attempts"].as_u64().unwrap();
            notices(lab).iter().map(attempts).max() >= Some(2)
        });
        assert_eq!(postfix.mailbox(), Vec::<String>::new());
        assert!(
            notices(&lab)
                .iter()
                .all(|notice| notice["state"] == "waiting")
        );

        say(RIGHT);
        let mailbox = until_mails(&lab, &postfix, 2);
        for (subject, kind) in [
            ("Subject: 192.0.2.10 (see the reason)", "see the reason"),
            (
                "Subject: 2001:db8:a:a::/64 (a standing rule)",
                "a standing rule",
            ),
        ] {
            let mail = mailbox.iter().find(|mail| mail.contains(subject));
            let mail = mail.unwrap_or_else(|| panic!("{subject}: {mailbox:#?}"));
            assert!(
                mail.contains(&format!("spam run, of the kind: {kind}\n")),
                "{mail}"
            );
            assert!(
                mail.contains("(Authenticated sender: outgate@mail.example.net)"),
                "{mail}"
            );
            assert!(mail.contains("using TLSv1.3"), "{mail}");
        }
        lab.until("both are known to be sent", |lab| {
            notices(lab).iter().all(|notice| notice["state"] == "sent")
        });
        assert!(!lab.logged().contains(RIGHT), "a password is in the log");
    }
}

#[test]
fn what_could_not_be_told_is_a_mistake_in_the_configuration() {
    let lab = telling("smtp://127.0.0.1:25", "");
    let texts = tempfile::tempdir().unwrap();
    fs::write(
        texts.path().join("lift.en.txt"),
        "Subject: x\n\nyou are {free}\n",
    )
    .unwrap();
    let own = format!(
        "language = \"en\"\ntemplates = {:?}\n\n[[contact]]",
        texts.path()
    );
    let text = fs::read_to_string(lab.config())
        .unwrap()
        .replacen("[[contact]]", &own, 1);
    let config = texts.path().join("outgated.toml");
    fs::write(&config, text).unwrap();
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_outgated"));
        said(command.arg("--config").arg(&config).arg("--check"))
    };
    let refused = check();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(
        refused
            .err
            .contains("lift.en.txt, line 3: {free} is no placeholder"),
        "{refused:?}"
    );
    fs::write(
        texts.path().join("lift.en.txt"),
        "Subject: x\n\nyou are free, {prefix}\n",
    )
    .unwrap();
    assert_eq!(check().code, 0);

    let said = lab.outgate(&["notice", "preview", "192.0.2.10", "--kind", "over"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("allowed are flag, raise, ease, lift"),
        "{said:?}"
    );
    let said = lab.outgate(&["notice", "preview", "192.0.2.200", "--kind", "lift"]);
    assert!(said.out.starts_with("To: nobody; [[contact]]"), "{said:?}");
    assert!(
        said.out
            .contains("Subject: Outgoing mail from 192.0.2.200 is free again"),
        "{said:?}"
    );
    let without = Lab::started();
    let said = without.outgate(&["notice", "preview", "192.0.2.10"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("[notices] in outgated.toml"), "{said:?}");
}

const RIGHT: &str = "correct horse, battery";
