//! Lists in the DNS about customers' addresses: a real list, a real resolver, IPv4 and IPv6.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{command::said, lab::Lab, precheck::names::Names};

/// A controller that asks a list, by a resolver on the edge's own loopback.
struct Watched {
    lab: Lab,
    names: Names,
}

impl Watched {
    /// What each list has at the beginning, and which of them are asked.
    fn new(four: &str, six: &str, zones: &str) -> Self {
        let mut lab = Lab::new();
        configure(&lab, zones);
        let names = Names::start(&lab, &[], &[]);
        names.list("four", four);
        names.list("six", six);
        lab.start();
        Self { lab, names }
    }

    /// Events of a kind, oldest first.
    fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.lab.json(0, &["events", "--kind", kind]);
        events.as_array().unwrap().clone()
    }

    /// Addresses of open listings, sorted.
    fn open(&self) -> Vec<String> {
        let found = self.lab.json(0, &["listing", "ls"]);
        let found = found.as_array().unwrap().iter();
        let mut open: Vec<_> = found
            .map(|it| it["address"].as_str().unwrap().to_owned())
            .collect();
        open.sort();
        open
    }

    #[track_caller]
    fn until_open(&self, addresses: &[&str]) {
        let what = format!("open are {addresses:?}");
        self.lab.until(&what, |_| self.open() == addresses);
    }

    /// One family of one list.
    #[track_caller]
    fn list(&self, zone: &str, family: &str) -> Value {
        let lists = self.lab.json(0, &["listing", "zones"]);
        let mut lists = lists["lists"].as_array().unwrap().iter();
        let found = lists.find(|it| it["zone"] == zone && it["family"] == family);
        found.unwrap_or_else(|| panic!("{zone} {family}")).clone()
    }

    /// Waits until a list was asked so often again, with an answer.
    #[track_caller]
    fn until_asked_again(&self, zone: &str, family: &str, times: u64) {
        let answered = || {
            let list = self.list(zone, family);
            list["queries"].as_u64().unwrap() - list["silent"].as_u64().unwrap()
        };
        let before = answered();
        self.lab
            .until("it was asked again", |_| answered() >= before + times);
    }
}

fn configure(lab: &Lab, zones: &str) {
    let text = lab.text();
    let pace =
        "rate = 200\nsweep = \"3s\"\nwatch = \"1s\"\nconfirm = \"2s\"\nresolvers = [\"127.0.0.1\"]";
    fs::write(
        lab.config(),
        format!("{text}\n[listings]\n{pace}\n{zones}\n"),
    )
    .unwrap();
}

/// The number of a sample of the controller's own page.
fn metric(lab: &Lab, sample: &str) -> String {
    let socket = lab.socket();
    let mut curl = lab.inside("curl");
    curl.args(["--silent", "--show-error", "--unix-socket"])
        .arg(socket);
    let page = said(curl.arg("http://outgated/metrics")).out;
    let line = page.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap_or_else(|| panic!("{sample}: {page}"))
        .trim()
        .to_owned()
}

#[test]
fn a_listing_opens_with_what_was_sent_from_there_and_a_delisting_closes_it() {
    let watched = Watched::new(FOUR, SIX, BOTH);
    let lab = &watched.lab;
    lab.json(0, &["customer", "add", "C-1042", "--name", "Example Ltd"]);
    lab.json(0, &["assign", "192.0.2.0/28", "C-1042"]);
    for (seq, customer) in [(1, "192.0.2.10"), (2, "2001:db8:a:a::10")] {
        let flag = [
            "flag",
            "add",
            customer,
            "--reason",
            "many complaints",
            "--action",
            "observe",
        ];
        lab.json(0, &flag);
        tell(lab, seq, customer);
    }
    // Nobody names them yet, and each list was asked.
    for family in ["ipv4", "ipv6"] {
        watched.until_asked_again(LIST, family, 4);
    }
    assert_eq!(watched.open(), Vec::<String>::new());

    watched
        .names
        .list("four", &format!("{FOUR}192.0.2.10\n192.0.2.200\n"));
    watched
        .names
        .list("six", &format!("{SIX}2001:db8:a:a::10/128\n"));
    watched.until_open(&["192.0.2.10", "192.0.2.200", "2001:db8:a:a::10"]);
    let listed = watched.events("listed");
    assert_eq!(listed.len(), 3, "{listed:#?}");
    for (customer, flag, key) in [
        ("192.0.2.10/32", 1, json!("C-1042")),
        ("2001:db8:a:a::10/128", 2, Value::Null),
    ] {
        let event = listed.iter().find(|it| it["customer"] == customer).unwrap();
        let detail = &event["detail"];
        assert_eq!(event["flag"], flag, "{event:#}");
        assert_eq!(
            (&detail["zone"], &detail["codes"]),
            (&json!(LIST), &json!(["127.0.0.2"]))
        );
        assert_eq!(detail["text"], "listed, see https://list.example/why");
        let sent = &detail["sent"];
        assert_eq!(
            sent["day"],
            json!({ "messages": 20, "refused": 7, "spam": 5 }),
            "{event:#}"
        );
        assert_eq!(
            sent["week"],
            json!({ "messages": 120, "refused": 17, "spam": 15 })
        );
        assert_eq!(
            (
                &sent["flags"][0]["id"],
                &sent["flags"][0]["action"],
                &sent["flags"][0]["reason"]
            ),
            (&json!(flag), &json!("observe"), &json!("many complaints"))
        );
        assert_eq!(sent["customer"], key);
    }
    // Whom nobody has seen sending: the round has met it.
    let silent = listed
        .iter()
        .find(|it| it["customer"] == "192.0.2.200/32")
        .unwrap();
    assert_eq!(
        (&silent["flag"], &silent["detail"]["sent"]["flags"]),
        (&Value::Null, &json!([]))
    );

    let why = lab.json(0, &["why", "192.0.2.10"]);
    assert_eq!(why["listings"][0]["zone"], LIST, "{why:#}");
    let said = lab.outgate(&["why", "2001:db8:a:a::77"]).out;
    assert!(
        said.contains("ip.list.example has named 2001:db8:a:a::10 since "),
        "{said}"
    );
    let id = why["listings"][0]["id"].to_string();
    let shown = lab.outgate(&["listing", "show", &id]).out;
    for words in [
        "C-1042",
        "last 7 d: 120 messages through relays, 17 refused, 15 spam",
        "flag 1 on 192.0.2.10/32: observe, because of \"many complaints\"",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let table = lab.outgate(&["listing", "ls", "192.0.2.0/25"]).out;
    assert!(
        table.contains("192.0.2.10") && !table.contains("192.0.2.200"),
        "{table}"
    );
    assert!(
        table.contains("ip.list.example IPv4: 2 open, 0 unconfirmed"),
        "{table}"
    );
    for (family, open) in [("ipv4", "2"), ("ipv6", "1")] {
        let labels = format!("{{zone=\"{LIST}\",family=\"{family}\"}}");
        assert_eq!(
            metric(lab, &format!("outgated_listings_open{labels}")),
            open
        );
        assert_eq!(
            metric(lab, &format!("outgated_listings_believed{labels}")),
            "1"
        );
        let queries: f64 = metric(lab, &format!("outgated_listings_queries_total{labels}"))
            .parse()
            .unwrap();
        assert!(queries >= 4.0);
    }
    assert_eq!(lab.outgate(&["listing", "show", "4711"]).code, 2);

    watched.names.list("four", &format!("{FOUR}192.0.2.200\n"));
    watched.names.list("six", SIX);
    watched.until_open(&["192.0.2.200"]);
    let delisted = watched.events("delisted");
    let mut gone: Vec<_> = delisted
        .iter()
        .map(|it| it["customer"].as_str().unwrap())
        .collect();
    gone.sort_unstable();
    assert_eq!(gone, ["192.0.2.10/32", "2001:db8:a:a::10/128"]);
    assert_eq!(watched.events("listed").len(), 3, "each was told once");
    let all = lab.json(0, &["listing", "ls", "192.0.2.10", "--all"]);
    assert_eq!(
        (&all[0]["closed_by"], &all[0]["sent"]["week"]["spam"]),
        (&json!("delisted"), &json!(15)),
        "{all:#}"
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["listings"], json!([]));
}

#[test]
fn who_does_not_answer_or_refuses_changes_nothing_and_a_restart_neither() {
    let four = format!("{FOUR}192.0.2.20\n");
    let six = format!("{SIX}2001:db8:a:b::20/128\n");
    let mut watched = Watched::new(&four, &six, BOTH);
    // Of IPv6 those are asked about that are known.
    let flag = [
        "flag",
        "add",
        "2001:db8:a:b::20",
        "--exact",
        "--reason",
        "r",
        "--action",
        "drop",
    ];
    watched.lab.json(0, &flag);
    let both = ["192.0.2.20", "2001:db8:a:b::20"];
    watched.until_open(&both);

    watched.names.silence();
    watched.lab.until("the list is set aside", |_| {
        watched.list(LIST, "ipv4")["state"] == "aside"
    });
    let list = watched.list(LIST, "ipv4");
    assert!(
        list["why"].as_str().unwrap().contains("no answer"),
        "{list}"
    );
    let checked = watched.lab.json(4, &["listing", "check", "192.0.2.20"]);
    assert_eq!(
        (&checked[0]["listed"], &checked[0]["zone"]),
        (&Value::Null, &json!(LIST))
    );
    assert_eq!(watched.open(), both);
    // So it is found by the next controller, with a resolver that is down.
    watched.lab.end(rustix::process::Signal::KILL);
    watched.lab.start();
    assert_eq!(watched.open(), both);

    // It answers again, and refuses the question about the one; the other is as before.
    watched.names.list(
        "four",
        &format!("{FOUR}192.0.2.20 :127.255.255.254:too many\n"),
    );
    let Watched { lab, names } = &mut watched;
    names.speak(lab);
    let lab = &watched.lab;
    lab.until("the list is believed", |_| {
        ["ipv4", "ipv6"]
            .iter()
            .all(|family| watched.list(LIST, family)["state"] == "believed")
    });
    // All are asked about again, the one that refuses and the one that does not, more than twice.
    watched.until_asked_again(LIST, "ipv4", 600);
    watched.until_asked_again(LIST, "ipv6", 4);
    assert_eq!(watched.open(), both);
    let checked = lab.json(4, &["listing", "check", "192.0.2.20"]);
    let text = checked[0]["text"].as_str().unwrap();
    assert!(
        text.contains("127.255.255.254: it refuses the question"),
        "{checked}"
    );
    let checked = lab.json(0, &["listing", "check", "2001:db8:a:b::20"]);
    assert_eq!(checked[0]["listed"], true, "{checked}");
    let checked = lab.json(0, &["listing", "check", "192.0.2.21"]);
    assert_eq!(checked[0]["listed"], false, "{checked}");
    for (arguments, code, words) in [
        (&["203.0.113.10"][..], 3, "is not a customer"),
        (&["192.0.2.0/99"], 1, "neither an address nor a prefix"),
        (&["2001:db8:a::/48"], 1, "ask about a smaller prefix"),
    ] {
        let said = lab.outgate(&[&["listing", "check"], arguments].concat());
        assert!(said.code == code && said.err.contains(words), "{said:?}");
    }
    assert_eq!(
        (
            watched.events("listed").len(),
            watched.events("delisted").len()
        ),
        (2, 0)
    );

    // Nobody asks that list any more.
    watched.lab.end(rustix::process::Signal::TERM);
    configure(
        &watched.lab,
        "[[listings.zone]]\nname = \"wild.list.example\"",
    );
    watched.lab.start();
    assert_eq!(watched.open(), Vec::<String>::new());
    assert_eq!(watched.events("listing_unwatched").len(), 2);
    let all = watched.lab.json(0, &["listing", "ls", "--all"]);
    assert_eq!(all[0]["closed_by"], "unwatched", "{all:#}");
}

#[test]
fn a_list_that_names_everybody_or_nobody_is_set_aside_and_tells_so() {
    let zones = format!(
        "{BOTH}\n[[listings.zone]]\nname = \"wild.list.example\"\n[[listings.zone]]\nname = \"dead.list.example\""
    );
    let watched = Watched::new(&format!("{PLAIN}192.0.2.20\n"), SIX, &zones);
    watched.until_open(&["192.0.2.20"]);
    for (zone, words) in [
        (
            "wild.list.example",
            "it names 127.0.0.1 (127.0.0.2), so it names everybody",
        ),
        (
            "dead.list.example",
            "it does not name 127.0.0.2, which every list does",
        ),
    ] {
        watched
            .lab
            .until(zone, |_| watched.list(zone, "ipv4")["state"] == "aside");
        let list = watched.list(zone, "ipv4");
        assert!(list["why"].as_str().unwrap().contains(words), "{list}");
        assert_eq!(list["queries"], 0, "nobody is asked about: {list}");
    }
    assert!(
        watched
            .lab
            .logged()
            .contains("a list is not to be believed, and is set aside")
    );
    let told = |kind: &str| -> Vec<String> {
        let events = watched.events(kind);
        let mut zones: Vec<_> = events
            .iter()
            .map(|it| it["detail"]["zone"].as_str().unwrap().to_owned())
            .collect();
        zones.sort();
        zones
    };
    assert_eq!(
        told("list_set_aside"),
        ["dead.list.example", "wild.list.example"]
    );

    // The good one is bought by somebody while it is asked.
    watched.names.list(
        "four",
        ":127.0.0.2:buy this domain\n127.0.0.0/8\n192.0.0.0/8\n",
    );
    watched.lab.until("it is set aside", |_| {
        watched.list(LIST, "ipv4")["state"] == "aside"
    });
    assert_eq!(watched.open(), ["192.0.2.20"]);
    // It comes back, and says that it never meant anybody but one.
    watched.names.list("four", &format!("{PLAIN}192.0.2.20\n"));
    // It is looked at after ten seconds, and again after twenty more if it did not answer just then, as while it reads its file.
    watched
        .lab
        .until_within(Duration::from_secs(45), "it is back", |_| {
            watched.list(LIST, "ipv4")["state"] == "believed"
        });
    watched.until_asked_again(LIST, "ipv4", 600);
    watched.lab.until("nobody waits for a second look", |_| {
        watched.list(LIST, "ipv4")["unconfirmed"] == 0
    });
    assert_eq!(watched.open(), ["192.0.2.20"]);
    assert_eq!(
        (
            watched.events("listed").len(),
            watched.events("delisted").len()
        ),
        (1, 0)
    );
    assert_eq!(told("list_back"), [LIST]);
}

/// What a relay saw of a customer: an hour ago, and three days ago.
fn tell(lab: &Lab, epoch: u32, customer: &str) {
    let rates = |seq: u64, ago_h: i64, messages: u64, bad: u64| {
        json!({
            "seq": seq,
            "at": jiff::Timestamp::now() - jiff::SignedDuration::from_hours(ago_h),
            "customer": customer,
            "flag_id": epoch,
            "happening": {
                "kind": "rates", "window_s": 60, "messages": messages, "refused": bad + 2, "spam": bad,
            },
        })
    };
    let kept = json!({
        "seq": 3, "at": jiff::Timestamp::now(), "customer": customer, "flag_id": epoch,
        "happening": { "kind": "kept", "record": "r" },
    });
    let events = [rates(1, 72, 100, 8), rates(2, 1, 20, 5), kept];
    let mut batch = json!({ "epoch": format!("e{epoch}"), "events": events });
    batch["events"][0]["happening"]["spam"] = json!(10);
    let (status, said) = lab.http("POST /v1/relays/relay-1/events", &batch.to_string());
    assert_eq!(status, 200, "{said}");
}

const LIST: &str = "ip.list.example";
const BOTH: &str = "[[listings.zone]]\nname = \"ip.list.example\"\nfamilies = [\"ipv4\", \"ipv6\"]";
const FOUR: &str = ":127.0.0.2:listed, see https://list.example/why\n127.0.0.2\n192.0.2.30 :127.255.255.254:refused\n";
/// The same, and it refuses nothing.
const PLAIN: &str = ":127.0.0.2:listed, see https://list.example/why\n127.0.0.2\n";
const SIX: &str = ":127.0.0.2:listed, see https://list.example/why\n::ffff:7f00:2/128\n";
