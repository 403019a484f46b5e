//! What a scrape of the running controller is answered, and whether Prometheus, the dashboards and the alerts can do
//! something with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{command::said, lab::Lab};

const ADDRESS: &str = "127.0.0.1:9105";

/// A controller that is scraped on loopback.
fn scraped() -> Lab {
    let mut lab = Lab::new();
    let text = lab.text() + &format!("\n[metrics]\nlisten = \"{ADDRESS}\"\n");
    fs::write(lab.config(), text).unwrap();
    let up = said(lab.inside("ip").args(["link", "set", "lo", "up"]));
    assert_eq!(up.code, 0, "{up:?}");
    lab.start();
    lab
}

fn curl(lab: &Lab, arguments: &[&str]) -> String {
    let said = said(
        lab.inside("curl")
            .args(["--silent", "--show-error"])
            .args(arguments),
    );
    assert_eq!(said.code, 0, "{said:?}\n{}", lab.logged());
    said.out
}

fn page(lab: &Lab) -> String {
    curl(lab, &[&format!("http://{ADDRESS}/metrics")])
}

/// The value of one sample, by its name and labels as they are written.
#[track_caller]
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample));
    let value = line.unwrap_or_else(|| panic!("{sample}\n{page}"));
    value.trim().parse().unwrap()
}

/// Of Prometheus' own tools; `cargo xtask setup` unpacks them.
fn promtool(arguments: &[&str], directory: &Path, input: Option<&str>) {
    let this = std::env::current_exe().unwrap();
    // Tests run in target/PROFILE/deps.
    let target = this.ancestors().nth(3).expect("a directory of cargo's");
    let program = target.join("peers/prometheus/usr/bin/promtool");
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(directory);
    let file = input.map(|text| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    });
    let stdin = match &file {
        Some(file) => Stdio::from(fs::File::open(file.path()).unwrap()),
        None => Stdio::null(),
    };
    let output = command.stdin(stdin).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo xtask setup` unpacks it",
            program.display()
        )
    });
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complained.trim().is_empty(),
        "{arguments:?}: {said}{complained}"
    );
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

#[test]
fn a_scrape_says_what_is_true_and_prometheus_reads_it() {
    let lab = scraped();
    lab.until_relay_is("up");
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.20",
            "--reason",
            "r",
            "--action",
            "drop",
        ],
    );
    lab.json(4, &["flag", "add", "192.0.2.10", "--reason", "r"]);
    lab.json(0, &["flag", "rm", "192.0.2.20", "--reason", "cleaned up"]);
    let first = page(&lab);
    for (sample, expected) in [
        ("outgated_flags{action=\"redirect\"}", 1.0),
        ("outgated_flags{action=\"drop\"}", 0.0),
        ("outgated_flags_pending", 1.0),
        ("outgated_flags_by_rules", 0.0),
        ("outgated_rules_frozen", 0.0),
        ("outgated_relay_up{pool=\"default\",relay=\"relay-1\"}", 1.0),
        (
            "outgated_relay_drained{pool=\"default\",relay=\"relay-1\"}",
            0.0,
        ),
        ("outgated_pool_relays_in_rotation{pool=\"default\"}", 1.0),
        ("outgated_map_capacity_entries{map=\"flows\"}", 4096.0),
        ("outgated_map_capacity_entries{map=\"radar\"}", 1024.0),
        ("outgated_map_entries{map=\"policies\"}", 0.0),
        ("outgated_map_entries{map=\"customers6\"}", 1.0),
        ("outgated_propagation_seconds_count{change=\"flag\"}", 1.0),
        ("outgated_propagation_seconds_count{change=\"lift\"}", 1.0),
        (
            "outgated_interface_attached{interface=\"cust0\",role=\"customer\",mode=\"native\"}",
            1.0,
        ),
        (
            "outgated_packets_total{interface=\"cust0\",verdict=\"dropped\"}",
            0.0,
        ),
        (
            "outgated_api_request_seconds_count{method=\"DELETE\",route=\"/v1/flags/{id}\",status=\"2xx\"}",
            1.0,
        ),
    ] {
        assert_eq!(value(&first, sample), expected, "{sample}\n{first}");
    }
    for (sample, least) in [
        ("outgated_store_change_seconds_count", 3.0),
        ("outgated_events_total", 3.0),
        ("outgated_store_octets", 1000.0),
        ("outgated_policy_generation", 3.0),
    ] {
        assert!(value(&first, sample) >= least, "{sample}\n{first}");
    }
    assert!(value(&first, "outgated_sample_age_seconds") < 60.0);
    promtool(&["check", "metrics"], Path::new("/"), Some(&first));

    // The same at the API's socket, where every path that is none is one route.
    let socket = lab.socket();
    let socket = socket.to_str().unwrap();
    let at_socket = |path: &str| {
        let url = format!("http://outgated{path}");
        curl(&lab, &["--unix-socket", socket, &url])
    };
    at_socket("/v1/somewhere");
    at_socket("/v1/else");
    let second = at_socket("/metrics");
    let other = "outgated_api_request_seconds_count{method=\"GET\",route=\"other\",status=\"4xx\"}";
    assert_eq!(value(&second, other), 2.0);

    let code = |arguments: &[&str]| {
        let quiet = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        curl(&lab, &[&quiet, arguments].concat())
    };
    assert_eq!(
        code(&["--request", "POST", &format!("http://{ADDRESS}/metrics")]),
        "405"
    );
    assert_eq!(code(&[&format!("http://{ADDRESS}/v1/status")]), "404");
}

#[test]
fn counts_of_an_interface_outlive_it_and_the_controller() {
    let mut lab = scraped();
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "r",
            "--action",
            "drop",
        ],
    );
    let dropped = |lab: &Lab, interface: &str| {
        let sample =
            format!("outgated_packets_total{{interface=\"{interface}\",verdict=\"dropped\"}}");
        value(&page(lab), &sample)
    };
    let sender = crate::top::Sender::start(&lab);
    lab.until("SYNs are dropped", |lab| dropped(lab, "cust0") > 2.0);
    drop(sender);
    let total = |lab: &Lab| lab.json(0, &["counters"])["dropped"].as_f64().unwrap();
    let before = total(&lab);
    assert_eq!(dropped(&lab, "relay0"), 0.0);
    lab.end(rustix::process::Signal::KILL);
    lab.start();
    assert!(
        dropped(&lab, "cust0") >= before,
        "a restart has forgotten them"
    );
    let before = total(&lab);
    lab.json(0, &["detach", "cust0"]);
    assert!(dropped(&lab, "") >= before, "{}", page(&lab));
    assert_eq!(total(&lab), dropped(&lab, ""));
    assert!(!page(&lab).contains("interface=\"cust0\""));
    assert!(!fs::exists(lab.pinned().join("counters/cust0")).unwrap());
}

/// Names with our prefixes in what is deployed, each with where it stands.
fn names_in_deploy() -> BTreeMap<String, PathBuf> {
    let mut files = vec![deploy().join("prometheus/outgate.rules.yml")];
    for entry in fs::read_dir(deploy().join("grafana")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let mut names = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("outgate")) {
            if word.starts_with("outgated_") || word.starts_with("outgate_relay_") {
                names.insert(word.to_owned(), file.clone());
            }
        }
    }
    names
}

#[test]
fn every_name_of_the_controller_in_dashboards_and_alerts_is_served() {
    let lab = scraped();
    let page = page(&lab);
    let mut served = BTreeSet::new();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = rest.split_once(' ').unwrap();
        served.insert(name.to_owned());
        if kind == "histogram" {
            served.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    let names = names_in_deploy();
    let own: Vec<_> = names
        .iter()
        .filter(|(name, _)| name.starts_with("outgated_"))
        .collect();
    assert!(own.len() > 15, "the files are there: {own:?}");
    for (name, file) in own {
        assert!(
            served.contains(name),
            "{}: {name} is not served",
            file.display()
        );
    }
}

#[test]
fn dashboards_are_sound_and_alerts_do_what_they_say() {
    for entry in fs::read_dir(deploy().join("grafana")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        let panels = board["panels"].as_array().unwrap();
        assert!(!panels.is_empty(), "{}", path.display());
        let mut ids = BTreeSet::new();
        for panel in panels {
            let title = panel["title"].as_str().unwrap();
            assert!(
                ids.insert(panel["id"].as_u64()),
                "{title}: its number is another's"
            );
            assert!(panel["description"].is_string(), "{title}: no description");
            for target in panel["targets"].as_array().unwrap() {
                assert!(
                    target["expr"].as_str().is_some_and(|it| !it.is_empty()),
                    "{title}"
                );
            }
        }
    }
    let rules = deploy().join("prometheus");
    promtool(
        &["check", "rules", "--lint-fatal", "outgate.rules.yml"],
        &rules,
        None,
    );
    promtool(&["test", "rules", "outgate.rules.test.yml"], &rules, None);
}
