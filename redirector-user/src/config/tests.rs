mod api;
mod listings;
mod notices;
mod precheck;
mod store;
mod tunnel;
mod values;
mod webhooks;

use std::path::Path;

use super::*;
use crate::edge::AttachMode;

/// Every key, with values that differ from the defaults.
const WHOLE: &str = r#"
operator = "Example Hosting"
help_url = "https://abuse.example.net/smtp"
socket = "/tmp/o.sock"
state_dir = "/tmp/o"
customer_prefixes = ["192.0.2.0/24", "2001:db8:a::/48"]
log = "debug"
log_format = "json"

[edge]
pin_dir = "/sys/fs/bpf/other"
flows_max = 4096
policies_max = 8192
syn_rate = 5
syn_burst = 6
heartbeat_limit = "90s"
debug_lines = true

[[interface]]
name = "cust0"
role = "customer"
mode = "generic"

[[pool]]
name = "default"
via = "rewrite"
on_failure = "closed"

[[pool.relay]]
name = "relay-1"
address = ["198.51.100.2", "2001:db8:2::2"]
port = 2525
vlan = [100, 200]
weight = 5

[[pool.relay]]
name = "relay-2"
address = ["198.51.100.3"]
port = 25

[[pool]]
name = "second"
on_failure = "open"
third_party = true

[[pool.relay]]
name = "relay-3"
address = ["2001:db8:2::4"]
port = 2525

[health]
interval = "500ms"
timeout = "250ms"
through = "data-path"
probe_sources = ["192.0.2.224/28", "2001:db8:a:ffff::/64"]

[radar]
enabled = true
window = "30s"
sources_max = 2048

[refuse]
text = "no mail from %ip%"
unavailable = "come back later"

[statistics]
keep = "10d"
octets_max = 8388608
floor_syns = 5

[events]
keep = "7d"
max = 5000

[audit]
keep = "90d"

[api]
listen = []
unix_scopes = {}

[guards]
import_percent = 5
import_customers = 50

[store]
backup_every = "12h"
backup_keep = 3

[[protected]]
prefix = "192.0.2.25/32"
why = "our own MX"

[[protected]]
prefix = "2001:db8:a:25::/64"
why = "our own MX"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("o.toml"), text).map_err(|error| error.to_string())
}

/// Replaces a line of [`WHOLE`] and expects the whole message.
#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    assert!(WHOLE.contains(from), "{from}");
    let error = parse(&WHOLE.replacen(from, to, 1)).unwrap_err();
    assert_eq!(error, expected, "{to}");
}

#[test]
fn how_much_a_file_may_change_is_read() {
    let guards = parse(WHOLE).unwrap().guards;
    assert_eq!((guards.share, guards.customers), (0.05, 50));
    let with = |from: &str, to: &str| parse(&WHOLE.replace(from, to));
    let tight = with("import_percent = 5", "import_percent = 0.5").unwrap();
    assert_eq!(tight.guards.share, 0.005);
    for (from, to) in [
        ("import_percent = 5", "import_percent = 0"),
        ("import_percent = 5", "import_percent = 101"),
        ("import_percent = 5", "import_percent = nan"),
        ("import_customers = 50", "import_customers = 0"),
    ] {
        let said = with(from, to).unwrap_err().to_string();
        let key = format!("guards.{}", from.split(' ').next().unwrap());
        assert!(
            said.contains(&key) && said.contains("out of range"),
            "{said}"
        );
    }
}

#[test]
fn every_key_is_read() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.operator, "Example Hosting");
    assert_eq!(config.help_url, "https://abuse.example.net/smtp");
    assert_eq!(config.socket, Path::new("/tmp/o.sock"));
    assert_eq!(config.database(), Path::new("/tmp/o/outgate.db"));
    assert_eq!(config.customer_prefixes.len(), 2);
    assert_eq!(
        (config.log.as_str(), config.log_format),
        ("debug", LogFormat::Json)
    );
    assert_eq!(config.edge.pin_dir, Path::new("/sys/fs/bpf/other"));
    assert_eq!(
        (
            config.edge.flows_max,
            config.edge.syn_rate,
            config.edge.syn_burst
        ),
        (4096, 5, 6)
    );
    assert_eq!(
        (config.edge.heartbeat_limit_s, config.edge.debug_lines),
        (90, true)
    );
    assert_eq!(config.radar_window, Some(Duration::from_secs(30)));
    assert_eq!(config.edge.radar_sources_max, 2048);
    let cust0 = Interface {
        name: String::from("cust0"),
        role: Role::Customer,
        modes: AttachMode::Generic.into(),
    };
    assert_eq!(config.interfaces, [cust0]);
    let pools: Vec<_> = config
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.on_failure, pool.third_party))
        .collect();
    assert_eq!(
        pools,
        [
            ("default", OnFailure::Closed, false),
            ("second", OnFailure::Open, true)
        ]
    );
    let relay = &config.pools[0].relays[0];
    assert_eq!(
        (relay.port.get(), relay.vlan.as_slice(), relay.weight.get()),
        (2525, [100, 200].as_slice(), 5)
    );
    let addresses: Vec<IpAddr> = relay.addresses().collect();
    assert_eq!(
        addresses,
        [
            "198.51.100.2".parse::<IpAddr>().unwrap(),
            "2001:db8:2::2".parse().unwrap()
        ]
    );
    let names: Vec<_> = config
        .relays()
        .map(|(pool, relay)| (pool.name.as_str(), relay.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("default", "relay-1"),
            ("default", "relay-2"),
            ("second", "relay-3")
        ]
    );
    let health = Health {
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(250),
        through: Through::DataPath(
            [
                ("198.51.100.2", "192.0.2.225"),
                ("198.51.100.3", "192.0.2.226"),
                ("2001:db8:2::2", "2001:db8:a:ffff::1"),
                ("2001:db8:2::4", "2001:db8:a:ffff::2"),
            ]
            .map(|(listener, source)| (listener.parse().unwrap(), source.parse().unwrap()))
            .into(),
        ),
        reserved: ["192.0.2.224/28", "2001:db8:a:ffff::/64"]
            .map(|prefix| prefix.parse().unwrap())
            .into(),
    };
    assert_eq!(config.health, health);
    let Refuse { text, unavailable } = config.refuse;
    assert_eq!(
        (text.to_string().as_str(), unavailable.to_string().as_str()),
        ("no mail from %ip%", "come back later")
    );
    let events = Events {
        keep: Duration::from_secs(7 * 24 * 3600),
        max: 5000,
    };
    assert_eq!(config.events, events);
    assert_eq!(config.audit.keep, Some(90 * DAY));
    let ever = parse(&WHOLE.replace("keep = \"90d\"", "keep = \"ever\"")).unwrap();
    assert_eq!(ever.audit.keep, None);
    assert_eq!(config.metrics, None);
    let scraped = parse(&format!("{WHOLE}\n[metrics]\nlisten = \"[::1]:9105\"\n")).unwrap();
    assert_eq!(scraped.metrics, Some("[::1]:9105".parse().unwrap()));
}

#[test]
fn reserved_addresses_are_probed_from_unless_it_is_said_otherwise() {
    let word = "through = \"data-path\"\n";
    let unsaid = parse(&WHOLE.replace(word, "")).unwrap();
    assert_eq!(unsaid.health, parse(WHOLE).unwrap().health);
    let direct = parse(&WHOLE.replace(word, "through = \"direct\"\n")).unwrap();
    assert_eq!(direct.health.through, Through::Direct);
    assert_eq!(direct.health.reserved.len(), 2, "kept for later");
}

#[test]
fn the_example_is_what_it_says() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/outgated.toml");
    let config = Config::load(&example).unwrap();
    assert_eq!(config.socket, Path::new(crate::DEFAULT_SOCKET));
    // Its values are the defaults, so what it says of them is true.
    let least = parse(
        "operator = \"Example Hosting\"\nhelp_url = \"https://abuse.example.net/smtp\"\ncustomer_prefixes = \
         [\"192.0.2.0/24\"]\n",
    )
    .unwrap();
    assert_eq!(
        (least.socket, least.state_dir),
        (config.socket, config.state_dir)
    );
    assert_eq!(
        (least.log, least.log_format, least.health, least.refuse),
        (config.log, config.log_format, config.health, config.refuse)
    );
    assert_eq!(format!("{:?}", least.edge), format!("{:?}", config.edge));
    assert_eq!(least.radar_window, config.radar_window);
    assert_eq!(least.events, config.events);
    assert_eq!(least.audit.keep, Some(400 * DAY));
    assert_eq!(least.api, config.api);
    assert_eq!(least.guards, config.guards);
}

#[test]
fn every_key_of_the_mirror_is_in_the_example() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/outgated.toml");
    let example = std::fs::read_to_string(example).unwrap();
    let keys = |text: &str| -> BTreeSet<String> {
        let assignments = text.lines().filter_map(|line| line.split_once(" = "));
        assignments
            .map(|(key, _)| key.to_owned())
            .filter(|key| !key.starts_with('#'))
            .collect()
    };
    assert_eq!(keys(&example), keys(WHOLE));
}

#[test]
fn a_missing_file_says_so() {
    let error = Config::load(Path::new("/nonexistent/o.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nonexistent/o.toml: No such file"),
        "{error}"
    );
}

#[test]
fn what_is_not_toml_names_the_line() {
    let error = parse("operator = \"x\"\nhelp_url == 3\n").unwrap_err();
    assert!(error.starts_with("o.toml: line 2: "), "{error}");
}

#[test]
fn unknown_and_missing_keys_are_named() {
    refused(
        "operator =",
        "operater =",
        "o.toml: operater: operater: unknown field `operater`, expected one of `operator`, `help_url`, `socket`, `state_dir`, `customer_prefixes`, `log`, `log_format`, `edge`, `interface`, `pool`, `health`, `radar`, `refuse`, `rules`, `statistics`, `events`, `audit`, `metrics`, `api`, `store`, `guards`, `protected`, `webhook`, `notices`, `contact`, `precheck`, `listings`",
    );
    refused(
        "syn_rate =",
        "syn_rat =",
        "o.toml: edge.syn_rat: syn_rat: unknown field `syn_rat`, expected one of `pin_dir`, `flows_max`, `policies_max`, `syn_rate`, `syn_burst`, `heartbeat_limit`, `debug_lines`",
    );
    refused(
        "port = 25\n",
        "prt = 25\n",
        "o.toml: pool[0].relay[1].prt: prt: unknown field `prt`, expected one of `name`, `address`, `port`, `vlan`, `weight`, `tunnel`",
    );
    refused(
        "operator = \"Example Hosting\"\n",
        "",
        "o.toml: operator: missing: this key is required",
    );
    refused(
        "role = \"customer\"\n",
        "",
        "o.toml: interface[0].role: missing: this key is required",
    );
    refused(
        "port = 25\n",
        "",
        "o.toml: pool[0].relay[1].port: missing: this key is required",
    );
    refused(
        "on_failure = \"open\"\n",
        "",
        "o.toml: pool[1].on_failure: missing: this key is required",
    );
}

#[test]
fn wrong_types_are_named() {
    refused(
        "port = 25\n",
        "port = \"smtp\"\n",
        "o.toml: pool[0].relay[1].port: \"smtp\": invalid type: string \"smtp\", expected i64",
    );
    refused(
        "debug_lines = true",
        "debug_lines = 1",
        "o.toml: edge.debug_lines: 1: invalid type: integer `1`, expected a boolean",
    );
    refused(
        "[\"198.51.100.3\"]",
        "[\"relay.example.net\"]",
        "o.toml: pool[0].relay[1].address[0]: \"relay.example.net\": invalid IP address syntax",
    );
}

#[test]
fn a_third_partys_relay_is_not_steered_to() {
    refused(
        "third_party = true",
        "third_party = true\nvia = \"steer\"",
        "o.toml: pool[1].third_party: true: a pool that is via = \"steer\" has relays of our own; a third party's are reached via = \"rewrite\"",
    );
}

#[test]
fn a_pool_without_a_relay_is_refused() {
    let error = parse(&format!(
        "{WHOLE}\n[[pool]]\nname = \"third\"\non_failure = \"open\"\n"
    ))
    .unwrap_err();
    assert!(
        error.starts_with("o.toml: pool[2].relay: []: a pool without a relay"),
        "{error}"
    );
}

#[test]
fn more_than_the_maps_can_hold_is_refused() {
    let pool = |number: usize, relays: usize| {
        let relays = (0..relays).map(|relay| {
            let host = number * 100 + relay;
            let address = format!("198.18.{}.{}", host / 250, host % 250 + 1);
            format!("[[pool.relay]]\nname = \"r{host}\"\naddress = [\"{address}\"]\nport = 25\n")
        });
        format!(
            "[[pool]]\nname = \"p{number}\"\non_failure = \"open\"\n{}",
            relays.collect::<String>()
        )
    };
    let head = WHOLE.split("[[pool]]").next().unwrap();
    let with = |pools: Vec<String>| parse(&format!("{head}{}", pools.concat()));
    with((0..16).map(|number| pool(number, 1)).collect()).unwrap();
    let error = with((0..17).map(|number| pool(number, 1)).collect()).unwrap_err();
    assert_eq!(error, "o.toml: pool: 17 pools: too many; at most 16");
    with(vec![pool(0, 100), pool(1, 100), pool(2, 56)]).unwrap();
    let error = with(vec![pool(0, 100), pool(1, 100), pool(2, 57)]).unwrap_err();
    assert_eq!(
        error,
        "o.toml: pool.relay: 257 relays: too many; at most 256 over all pools"
    );
}

#[test]
fn the_radar_is_on_unless_it_is_switched_off() {
    let plain = WHOLE.split("[radar]").next().unwrap();
    let config = parse(plain).unwrap();
    assert_eq!(config.radar_window, Some(Duration::from_secs(60)));
    assert_eq!(config.edge.radar_sources_max, 65_536);
    let off = parse(&WHOLE.replace("enabled = true", "enabled = false")).unwrap();
    assert_eq!(off.radar_window, None);
}

const DAY: Duration = Duration::from_secs(24 * 3600);
