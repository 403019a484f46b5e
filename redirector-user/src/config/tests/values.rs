//! Each key with a wrong value, and the whole message.

use super::{WHOLE, parse, refused};

#[test]
fn every_wrong_value_is_named_with_what_is_allowed() {
    let cases = [
        (
            "operator = \"Example Hosting\"",
            "operator = \" \"",
            "operator: \" \": not a name that fits a mail notice; allowed are 1 to 100 octets without control characters",
        ),
        (
            "operator = \"Example Hosting\"",
            "operator = \"a\\nb\"",
            "operator: \"a\\nb\": not a name that fits a mail notice; allowed are 1 to 100 octets without control characters",
        ),
        (
            "https://abuse.example.net/smtp",
            "abuse.example.net",
            "help_url: \"abuse.example.net\": not an address that a refused customer can open; allowed is http:// or https:// and a host, at most 200 printable ASCII characters",
        ),
        (
            "https://abuse.example.net/smtp",
            "https://",
            "help_url: \"https://\": not an address that a refused customer can open; allowed is http:// or https:// and a host, at most 200 printable ASCII characters",
        ),
        (
            "/tmp/o.sock",
            "o.sock",
            "socket: o.sock: a relative path depends on where outgated starts; give an absolute one",
        ),
        (
            "\"/tmp/o\"",
            "\"o\"",
            "state_dir: o: a relative path depends on where outgated starts; give an absolute one",
        ),
        (
            "[\"192.0.2.0/24\", \"2001:db8:a::/48\"]",
            "[]",
            "customer_prefixes: []: no customer, so nobody could ever be flagged; give at least one prefix",
        ),
        (
            "192.0.2.0/24",
            "192.0.2.7/24",
            "customer_prefixes[0]: 192.0.2.7/24: host bits are set; the prefix is 192.0.2.0/24",
        ),
        (
            "2001:db8:a::/48",
            "2001:db8:a:a::1/48",
            "customer_prefixes[1]: 2001:db8:a:a::1/48: host bits are set; the prefix is 2001:db8:a::/48",
        ),
        (
            "192.0.2.0/24",
            "192.0.2.0/33",
            "customer_prefixes[0]: 192.0.2.0/33: not a prefix; allowed is ADDRESS/LENGTH, as 192.0.2.0/24",
        ),
        (
            "2001:db8:a::/48",
            "192.0.2.0/25",
            "customer_prefixes[1]: 192.0.2.0/25: overlaps 192.0.2.0/24; keep the wider of the two",
        ),
        (
            "2001:db8:a::/48",
            "192.0.2.0/24",
            "customer_prefixes[1]: 192.0.2.0/24: overlaps 192.0.2.0/24; keep the wider of the two",
        ),
        (
            "window = \"30s\"",
            "window = \"1h\"",
            "radar.window: 1h: out of range; allowed are 1s to 10m, as \"90s\" or \"5m\"",
        ),
        (
            "keep = \"7d\"",
            "keep = \"1h\"",
            "events.keep: 1h: not a time to keep events for; allowed are 24h to 400d, as \"48h\" or \"30d\"",
        ),
        (
            "keep = \"7d\"",
            "keep = \"for ever\"",
            "events.keep: for ever: not a time to keep events for; allowed are 24h to 400d, as \"48h\" or \"30d\"",
        ),
        (
            "keep = \"90d\"",
            "keep = \"7d\" # audit",
            "audit.keep: 7d: not a time to keep the audit trail for; allowed are 30d to 3660d, as \"400d\", and \"ever\"",
        ),
        (
            "max = 5000",
            "max = 10",
            "events.max: 10: out of range; allowed are 1000 to 50000000",
        ),
        (
            "[events]",
            "[metrics]\nlisten = \"localhost\"\n[events]",
            "metrics.listen: localhost: not an address with a port; allowed is loopback, as \"127.0.0.1:9105\" or \"[::1]:9105\"",
        ),
        (
            "[events]",
            "[metrics]\nlisten = \"0.0.0.0:9105\"\n[events]",
            "metrics.listen: 0.0.0.0:9105: whoever asks is answered, so it must be a loopback address with a port, as \"127.0.0.1:9105\"; put a proxy that authenticates in front of it to scrape from elsewhere",
        ),
        (
            "sources_max = 2048",
            "sources_max = 10",
            "radar.sources_max: 10: out of range; allowed are 1024 to 1048576",
        ),
        (
            "log = \"debug\"",
            "log = \"a=b=c\"",
            "log: a=b=c: not a filter; allowed are error, warn, info, debug, trace and directives as crate=level",
        ),
        (
            "\"json\"",
            "\"xml\"",
            "log_format: xml: unknown; allowed are text and json",
        ),
        (
            "/sys/fs/bpf/other",
            "bpf",
            "edge.pin_dir: bpf: a relative path depends on where outgated starts; give an absolute one",
        ),
        (
            "policies_max = 8192",
            "policies_max = 5000000",
            "edge.policies_max: 5000000: out of range; allowed are 1024 to 4194304",
        ),
        (
            "flows_max = 4096",
            "flows_max = 0",
            "edge.flows_max: 0: out of range; allowed are 1024 to 16777216",
        ),
        (
            "syn_rate = 5",
            "syn_rate = -1",
            "edge.syn_rate: -1: out of range; allowed are 1 to 1000000",
        ),
        (
            "syn_burst = 6",
            "syn_burst = 1000001",
            "edge.syn_burst: 1000001: out of range; allowed are 1 to 1000000",
        ),
        (
            "\"90s\"",
            "\"soon\"",
            "edge.heartbeat_limit: soon: not a duration; allowed are 10s to 24h, as \"90s\" or \"5m\"",
        ),
        (
            "\"90s\"",
            "\"1s\"",
            "edge.heartbeat_limit: 1s: out of range; allowed are 10s to 24h, as \"90s\" or \"5m\"",
        ),
        (
            "name = \"cust0\"",
            "name = \"a/b\"",
            "interface[0].name: \"a/b\": not an interface name; allowed are 1 to 15 octets without '/' and white space",
        ),
        (
            "name = \"cust0\"",
            "name = \"sixteen-octets-x\"",
            "interface[0].name: \"sixteen-octets-x\": not an interface name; allowed are 1 to 15 octets without '/' and white space",
        ),
        (
            "[[pool]]\nname = \"default\"",
            "[[interface]]\nname = \"cust0\"\nrole = \"uplink\"\n[[pool]]\nname = \"default\"",
            "interface[1].name: cust0: named twice; one entry per interface",
        ),
        (
            "role = \"customer\"",
            "role = \"lan\"",
            "interface[0].role: lan: unknown; allowed are customer, uplink and relay",
        ),
        (
            "\"generic\"",
            "\"offload\"",
            "interface[0].mode: offload: unknown; allowed are native, generic, tcx and clsact",
        ),
        (
            "\"generic\"",
            "[\"native\", \"offload\"]",
            "interface[0].mode: offload: unknown; allowed are native, generic, tcx and clsact",
        ),
        (
            "\"generic\"",
            "[\"tcx\", \"native\", \"tcx\"]",
            "interface[0].mode: [\"tcx\", \"native\", \"tcx\"]: tcx is named twice",
        ),
        (
            "\"generic\"",
            "[]",
            "interface[0].mode: []: no mode; name at least one of native, generic, tcx and clsact",
        ),
        (
            "name = \"default\"",
            "name = \"\"",
            "pool[0].name: \"\": not a name; allowed are 1 to 63 of letters, digits, '-', '_' and '.'",
        ),
        (
            "name = \"second\"",
            "name = \"default\"",
            "pool[1].name: default: named twice; names are unique",
        ),
        (
            "\"rewrite\"",
            "\"tunnel\"",
            "pool[0].via: tunnel: unknown; allowed are rewrite and steer",
        ),
        (
            "\"rewrite\"",
            "\"steer\"",
            "pool[0].relay[0].port: 2525: a pool that is via = \"steer\" has relays that listen on port 25; allowed is 25",
        ),
        (
            "no mail from %ip%",
            "%ip% and %ip%",
            "refuse.text: \"%ip% and %ip%\": not a line of a reply; allowed are 1 to 200 printable ASCII characters, \
             with %ip% at most once, which counts as 40",
        ),
        (
            "weight = 5",
            "weight = 0",
            "pool[0].relay[0].weight: 0: out of range; allowed are 1 to 100",
        ),
        (
            "weight = 5",
            "weight = 101",
            "pool[0].relay[0].weight: 101: out of range; allowed are 1 to 100",
        ),
        (
            "\"closed\"",
            "\"bounce\"",
            "pool[0].on_failure: bounce: unknown; allowed are open, closed and refuse",
        ),
        (
            "name = \"relay-2\"",
            "name = \"relay 2\"",
            "pool[0].relay[1].name: \"relay 2\": not a name; allowed are 1 to 63 of letters, digits, '-', '_' and '.'",
        ),
        (
            "name = \"relay-3\"",
            "name = \"relay-1\"",
            "pool[1].relay[0].name: relay-1: named twice; names are unique",
        ),
        (
            "[\"198.51.100.3\"]",
            "[]",
            "pool[0].relay[1].address: []: no address; give one IPv4 address, one IPv6 address, or both",
        ),
        (
            "[\"198.51.100.3\"]",
            "[\"198.51.100.2\"]",
            "pool[0].relay[1].address[0]: 198.51.100.2: a relay has this address already; one relay per address",
        ),
        (
            "[\"198.51.100.3\"]",
            "[\"198.51.100.3\", \"198.51.100.4\"]",
            "pool[0].relay[1].address[1]: 198.51.100.4: second address of this family; one per family",
        ),
        (
            "[\"198.51.100.3\"]",
            "[\"127.0.0.1\"]",
            "pool[0].relay[1].address[0]: 127.0.0.1: no frame can be sent there; give the address of the relay's listener",
        ),
        (
            "port = 25\n",
            "port = 0\n",
            "pool[0].relay[1].port: 0: out of range; allowed are 1 to 65535",
        ),
        (
            "port = 25\n",
            "port = 65536\n",
            "pool[0].relay[1].port: 65536: out of range; allowed are 1 to 65535",
        ),
        (
            "vlan = [100, 200]",
            "vlan = [100, 4095]",
            "pool[0].relay[0].vlan[1]: 4095: out of range; allowed are 1 to 4094",
        ),
        (
            "vlan = [100, 200]",
            "vlan = [1, 2, 3]",
            "pool[0].relay[0].vlan: [1, 2, 3]: too many tags; at most two, outer first",
        ),
        (
            "interval = \"500ms\"",
            "interval = \"10m\"",
            "health.interval: 10m: out of range; allowed are 100ms to 5m, as \"90s\" or \"5m\"",
        ),
        (
            "timeout = \"250ms\"",
            "timeout = \"501ms\"",
            "health.timeout: 501ms: longer than health.interval (500ms); probes of one relay must not overlap",
        ),
        (
            "through = \"data-path\"",
            "through = \"magic\"",
            "health.through: magic: unknown; allowed are data-path and direct",
        ),
        (
            "[\"192.0.2.224/28\", \"2001:db8:a:ffff::/64\"]",
            "[]",
            "health.through: data-path: needs addresses to probe from; reserve some in health.probe_sources, or say \"direct\"",
        ),
        (
            "192.0.2.224/28",
            "192.0.2.225/28",
            "health.probe_sources[0]: 192.0.2.225/28: host bits are set; the prefix is 192.0.2.224/28",
        ),
        (
            "192.0.2.224/28",
            "203.0.113.224/28",
            "health.probe_sources[0]: 203.0.113.224/28: outside customer_prefixes; reserve addresses inside them that no host has",
        ),
        (
            "2001:db8:a:ffff::/64",
            "2001:db8:a:ffff::/80",
            "health.probe_sources[1]: 2001:db8:a:ffff::/80: longer than /64, which counts as one customer; reserve a /64 that no host is in",
        ),
        (
            "2001:db8:a:ffff::/64",
            "192.0.2.224/29",
            "health.probe_sources[1]: 192.0.2.224/29: overlaps 192.0.2.224/28; keep the wider of the two",
        ),
        (
            "[\"198.51.100.3\"]",
            "[\"192.0.2.230\"]",
            "health.probe_sources[0]: 192.0.2.224/28: a relay listens on 192.0.2.230 in it; reserve addresses that no host has",
        ),
        (
            "192.0.2.224/28",
            "192.0.2.224/32",
            "health.probe_sources: 192.0.2.224/32, 2001:db8:a:ffff::/64: too few IPv4 addresses: none is left for the relay that listens on 198.51.100.3; each address of a relay is probed from one of its own, reserve a /28 more",
        ),
        (
            ", \"2001:db8:a:ffff::/64\"]",
            "]",
            "health.probe_sources: 192.0.2.224/28: too few IPv6 addresses: none is left for the relay that listens on 2001:db8:2::2; each address of a relay is probed from one of its own, reserve a /64 more",
        ),
        (
            "name = \"cust0\"",
            "name = \"outgate-probe\"",
            "interface[0].name: outgate-probe: the controller's own, for probes through the data path; health.through has it made",
        ),
    ];
    for (from, to, expected) in cases {
        refused(from, to, &format!("o.toml: {expected}"));
    }
}

#[test]
fn what_is_protected_is_a_prefix_with_a_reason_and_named_once() {
    let config = parse(WHOLE).unwrap();
    let protected = |prefix: &str| config.protected.on(prefix.parse().unwrap());
    for prefix in ["192.0.2.25/32", "2001:db8:a:25::/64"] {
        assert_eq!(protected(prefix).map(String::as_str), Some("our own MX"));
    }
    refused(
        "prefix = \"192.0.2.25/32\"",
        "prefix = \"192.0.2.25/24\"",
        "o.toml: protected[0].prefix: 192.0.2.25/24: host bits are set; the prefix is 192.0.2.0/24",
    );
    refused(
        "prefix = \"192.0.2.25/32\"",
        "prefix = \"2001:db8:a:25::/64\"",
        "o.toml: protected[1].prefix: 2001:db8:a:25::/64: named twice; one entry per prefix",
    );
    refused(
        "why = \"our own MX\"",
        "why = \" \"",
        "o.toml: protected[0].why: \" \": not a reason that stands in answers; allowed are 1 to 100 octets without \
         control characters",
    );
}
