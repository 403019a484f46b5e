//! Users of submission: what `outgate user` does is what relays are told, and no password is kept.

use std::{fs, io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::lab::Lab;

#[test]
fn a_user_is_added_changed_disabled_and_removed_and_relays_are_told() {
    let lab = Lab::started();
    let users = |lab: &Lab| lab.poll("").1["submission"]["users"].clone();
    assert_eq!(users(&lab), json!([]));
    let decoy = lab.poll("").1["submission"]["decoy"].clone();
    assert_eq!(decoy.as_str().unwrap().len(), 64);

    let options = [
        "--customer",
        "account 4711",
        "--sender-domain",
        "Example.org",
    ];
    let added = lab.json(
        0,
        &[&["user", "add", "Ann@example.org"][..], &options].concat(),
    );
    let password = added["password"].as_str().unwrap().to_owned();
    assert_eq!(password.len(), 29);
    let (_, snapshot) = lab.poll("");
    assert_eq!(snapshot["generation"], added["generation"]);
    let told = &snapshot["submission"]["users"][0];
    assert_eq!(told["name"], "ann@example.org");
    assert!(
        told["password"]
            .as_str()
            .unwrap()
            .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    );
    assert_eq!(told["scram"]["iterations"], 600_000);
    assert_eq!(told["sender_domains"], json!(["example.org"]));
    assert_eq!(
        (&told["messages_per_hour"], &told["recipients_per_message"]),
        (&json!(100), &json!(100))
    );

    let said = lab.outgate(&["user", "ls"]);
    for word in ["ann@example.org", "account 4711", "active", "example.org"] {
        assert!(said.out.contains(word), "{word}: {said:?}");
    }
    let set = lab.json(
        0,
        &[
            "user",
            "set",
            "ANN@example.org",
            "--messages-per-hour",
            "7",
            "--any-sender",
            "--no-scram",
        ],
    );
    assert!(set["password"].is_null());
    let told_before = told["password"].clone();
    let told = users(&lab)[0].clone();
    assert_eq!(told["messages_per_hour"], 7);
    assert_eq!(told["sender_domains"], json!([]));
    assert_eq!(
        (&told["password"], &told["scram"]),
        (&told_before, &Value::Null)
    );

    let again = lab.json(0, &["user", "set", "ann@example.org", "--new-password"]);
    assert_ne!(again["password"], json!(password));
    assert_ne!(users(&lab)[0]["password"], told_before);
    assert!(!users(&lab)[0]["scram"].is_null());

    let generation = lab.poll("").1["generation"].as_u64().unwrap();
    let disabled = lab.json(
        0,
        &["user", "disable", "ann@example.org", "--reason", "stolen"],
    );
    assert_eq!(disabled["disabled"], true);
    let (status, snapshot) = lab.poll(&format!("have={generation}&wait_s=10"));
    assert_eq!(
        (status, &snapshot["submission"]["users"]),
        (200, &json!([]))
    );
    assert!(lab.outgate(&["user", "ls"]).out.contains("disabled"));
    lab.json(
        0,
        &[
            "user",
            "enable",
            "ann@example.org",
            "--reason",
            "new password",
        ],
    );
    assert_eq!(users(&lab).as_array().unwrap().len(), 1);
    assert_eq!(lab.poll("").1["submission"]["decoy"], decoy);
    lab.json(0, &["user", "rm", "ann@example.org", "--reason", "left"]);
    assert_eq!(users(&lab), json!([]));
    assert_eq!(lab.json(0, &["user", "ls"]), json!([]));
}

#[test]
fn a_password_comes_from_standard_input_and_is_nowhere_afterwards() {
    const PASSWORD: &str = "C4nary horse battery";
    let mut lab = Lab::started();
    let mut outgate = lab.inside(env!("CARGO_BIN_EXE_outgate"));
    let mut process = outgate
        .env("OUTGATE_SOCKET", lab.socket())
        .args([
            "user",
            "add",
            "ann",
            "--password-stdin",
            "--actor",
            "tester",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin
        .write_all(format!("{PASSWORD}\nmore\n").as_bytes())
        .unwrap();
    drop(stdin);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("user ann added") && !said.contains("password:"),
        "{said}"
    );

    // A request that is wrong is not quoted either.
    let bodies = [
        format!("{{\"name\":\"bob\",\"password\":[\"{PASSWORD}\"]}}"),
        format!("{{\"name\":\"bob\",\"password\":\"{PASSWORD}\\n\"}}"),
        format!("{{\"name\":\"ann\",\"password\":\"{PASSWORD}\",\"actor\":\"x\"}}"),
        format!("{{\"name\":\"bob\",\"password\":\"{PASSWORD}\"}}"),
    ];
    for body in bodies {
        let (status, answer) = lab.http("POST /v1/users", &body);
        assert!((400..500).contains(&status), "{status} {answer}");
        assert!(!answer.to_string().contains("C4nary"), "{answer}");
    }
    // It is all there after a crash, too.
    lab.end(rustix::process::Signal::KILL);
    lab.start();
    assert_eq!(lab.json(0, &["user", "ls"])[0]["name"], "ann");
    lab.end(rustix::process::Signal::TERM);
    let mut files = 0;
    for directory in [
        lab.config().parent().unwrap().to_owned(),
        lab.config().with_file_name("state"),
    ] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let octets = fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&octets);
                assert!(!text.contains("C4nary"), "{path:?}");
                files += 1;
            }
        }
    }
    assert!(files >= 3, "the log, the configuration and the store");
}

#[test]
fn what_is_wrong_with_a_user_is_said_with_its_exit_code() {
    let lab = Lab::started();
    lab.json(0, &["user", "add", "ann"]);
    let cases: [(&[&str], i32, &str); 9] = [
        (&["user", "add", "ann"], 3, "there is a user ann already"),
        (
            &["user", "add", "a b"],
            1,
            "a user's name is 1 to 64 letters",
        ),
        (
            &["user", "add", "bob", "--messages-per-hour", "0"],
            1,
            "between 1 and 100000",
        ),
        (
            &["user", "add", "bob", "--sender-domain", "a b"],
            1,
            "as example.org",
        ),
        (
            &["user", "add", "bob", "--password-stdin"],
            1,
            "10 to 256 letters",
        ),
        (&["user", "set", "bob", "--no-scram"], 2, "no user bob"),
        (&["user", "rm", "bob", "--reason", "x"], 2, "no user bob"),
        (&["user", "rm", "ann", "--reason", " "], 3, "needs a reason"),
        (
            &["user", "disable", "ann", "--reason", " "],
            3,
            "needs a reason",
        ),
    ];
    for (arguments, code, words) in cases {
        let said = lab.outgate(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
    }
}
