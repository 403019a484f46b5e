//! Who may ask what, and who it was.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::remote::Remote;

const DROP: [&str; 7] = [
    "flag",
    "add",
    "192.0.2.10",
    "--reason",
    "spam run",
    "--action",
    "drop",
];

#[test]
fn a_token_lets_in_by_its_scope_and_is_the_actor_itself() {
    let mut remote = Remote::started("");
    let [reader, desk] =
        [("reader", "read"), ("desk", "flag")].map(|(name, scope)| remote.token(name, scope));
    let refused = remote.outgate(&reader, &DROP);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused
            .err
            .contains("token reader has scope read, and this needs flag"),
        "{refused:?}"
    );
    let added = remote.outgate(&desk, &[&DROP[..], &["--actor", "somebody else"]].concat());
    assert_eq!(added.code, 0, "{added:?}");
    let shown = remote.lab.json(0, &["flag", "show", "192.0.2.10"]);
    assert_eq!(shown["actor"], "desk");
    assert_eq!(shown["history"][0]["detail"]["caller"], "token desk");
    let lifted = remote.outgate(&desk, &["flag", "rm", "192.0.2.10", "--reason", "clean"]);
    assert_eq!(lifted.code, 0, "{lifted:?}");
    let shown = remote.lab.json(0, &["flag", "show", "1"]);
    assert_eq!(shown["ended_by"], "desk");

    for scope in ["read", "flag", "relay", "write"] {
        let made = remote.outgate(&desk, &["token", "add", "more", "--scope", scope]);
        assert_eq!(made.code, 3, "{scope}: {made:?}");
    }
    let tokens = remote.lab.json(0, &["token", "ls"]);
    let today = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT00:00:00Z")
        .to_string();
    assert_eq!(tokens[0]["name"], "desk");
    assert_eq!(tokens[0]["used_on"], json!(today));
    let secret = fs::read_to_string(&desk).unwrap();
    assert!(!tokens.to_string().contains(&secret));
    // Over a restart it is the same, and nothing that is kept could let anybody in.
    remote.lab.end(Signal::KILL);
    remote.lab.start();
    assert_eq!(remote.outgate(&desk, &["status"]).code, 0);
    let stored = fs::read(remote.lab.database()).unwrap();
    assert!(
        !stored
            .windows(secret.len())
            .any(|octets| octets == secret.as_bytes())
    );

    remote
        .lab
        .json(0, &["token", "rm", "desk", "--reason", "lost"]);
    let gone = remote.outgate(&desk, &["status"]);
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(
        gone.err.contains("no such token, or it has expired"),
        "{gone:?}"
    );
    let again = remote
        .lab
        .outgate(&["token", "rm", "desk", "--reason", "lost"]);
    assert_eq!(again.code, 2, "{again:?}");
    let events = remote.lab.json(0, &["events", "--kind", "token_removed"]);
    assert_eq!(events[0]["detail"]["token"], "desk");
}

#[test]
fn over_tcp_nobody_is_let_in_unknown() {
    let remote = Remote::started("");
    for more in [
        &[][..],
        &["--header", "Authorization: Bearer outgate_aaaa"],
        &["--header", "Authorization: Basic b3V0Z2F0ZQ=="],
        &["--header", "Authorization: Bearer"],
    ] {
        let answer = remote.curl("/v1/status", more);
        assert_eq!(answer.status, 401, "{more:?}: {answer:?}");
        assert_eq!(answer.body["error"]["kind"], "unidentified");
        assert!(
            answer.head.contains("www-authenticate: bearer"),
            "{answer:?}"
        );
    }
    // Whether there is such a path is nobody's business either.
    assert_eq!(remote.curl("/v1/nothing", &[]).status, 401);
    let plain = remote
        .lab
        .inside("curl")
        .args(["-sS", "--max-time", "20", "http://[::1]:8443/"])
        .output()
        .unwrap();
    assert!(!plain.status.success(), "{plain:?}");
}

#[test]
fn a_relays_token_is_for_that_relay_alone() {
    let remote = Remote::started("");
    let relay = remote.token("relay-1", "relay");
    let snapshot = remote.curl_as(&relay, "/v1/relays/relay-1/snapshot", &[]);
    assert_eq!(snapshot.status, 200, "{snapshot:?}");
    assert_eq!(snapshot.body["customer_prefixes"][0], "192.0.2.0/24");
    let batch = r#"{"epoch": "a", "events": []}"#;
    let json = "Content-Type: application/json";
    let told = remote.curl_as(
        &relay,
        "/v1/relays/relay-1/events",
        &["--header", json, "--data", batch],
    );
    assert_eq!((told.status, &told.body["through"]), (200, &json!(0)));
    for path in [
        "/v1/relays/relay-2/snapshot",
        "/v1/status",
        "/v1/users",
        "/v1/flags",
    ] {
        let answer = remote.curl_as(&relay, path, &[]);
        assert_eq!(
            (answer.status, &answer.body["error"]["kind"]),
            (403, &json!("forbidden")),
            "{path}"
        );
    }
    let desk = remote.token("desk", "flag");
    assert_eq!(
        remote
            .curl_as(&desk, "/v1/relays/relay-1/snapshot", &[])
            .status,
        403
    );
    let stranger = remote
        .lab
        .outgate(&["token", "add", "relay-9", "--scope", "relay"]);
    assert_eq!(stranger.code, 1, "{stranger:?}");
    assert!(
        stranger.err.contains("no relay is called that"),
        "{stranger:?}"
    );
}

#[test]
fn a_certificate_stands_for_the_client_that_the_configuration_names() {
    let clients = "[[api.client]]\nname = \"billing.example.net\"\nscope = \"flag\"";
    let remote = Remote::started(clients);
    remote.certify("billing", &["billing.example.net"]);
    remote.certify("other", &["other.example.net"]);
    let with = |name: &str, path: &str, more: &[&str]| {
        let files =
            ["pem", "key"].map(|kind| remote.file(&format!("{name}.{kind}")).display().to_string());
        remote.curl(
            path,
            &[&["--cert", &files[0], "--key", &files[1]], more].concat(),
        )
    };
    assert_eq!(with("billing", "/v1/status", &[]).status, 200);
    let flag =
        r#"{"target": "2001:db8:a:a::10", "reason": "unpaid", "action": "drop", "actor": "me"}"#;
    let json = ["--header", "Content-Type: application/json", "--data", flag];
    let added = with("billing", "/v1/flags", &json);
    assert_eq!(
        (added.status, &added.body["actor"]),
        (201, &json!("billing.example.net")),
        "{added:?}"
    );
    assert_eq!(with("billing", "/v1/tokens", &[]).status, 403);
    let other = with("other", "/v1/status", &[]);
    assert_eq!(other.status, 401);
    let message = other.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("nobody is called other.example.net here"),
        "{message}"
    );
}

#[test]
fn over_the_socket_the_trail_names_the_user_beside_the_claimed_actor() {
    let remote = Remote::started("");
    remote.lab.json(0, &DROP);
    let shown = remote.lab.json(0, &["flag", "show", "192.0.2.10"]);
    assert_eq!(shown["actor"], "tester");
    assert_eq!(shown["history"][0]["actor"], "tester");
    assert_eq!(shown["history"][0]["detail"]["caller"], "user root");
    drop(remote);
    let narrow = Remote::started("unix_scopes = { root = \"read\" }");
    assert_eq!(narrow.lab.outgate(&["status"]).code, 0);
    let refused = narrow.lab.outgate(&DROP);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("user root has scope read"),
        "{refused:?}"
    );
}

#[test]
fn a_new_certificate_is_shown_after_sighup_and_a_bad_one_is_not() {
    let remote = Remote::started("");
    let reader = remote.token("reader", "read");
    let hang_up = || kill_process(Pid::from_raw(remote.lab.pid()).unwrap(), Signal::HUP).unwrap();
    fs::write(remote.file("server.key"), "no key").unwrap();
    hang_up();
    remote.lab.until("the bad key is refused", |lab| {
        lab.logged()
            .contains("the API's certificate was not read again")
    });
    assert_eq!(remote.outgate(&reader, &["status"]).code, 0);
    remote.certify("server", &["edge1.example.net"]);
    hang_up();
    remote.lab.until("the new one is read", |lab| {
        lab.logged()
            .contains("the API's certificate was read again")
    });
    let refused = remote.outgate(&reader, &["status"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("localhost:8443") && refused.err.contains("--ca"),
        "{refused:?}"
    );
}
