//! What the controller's probes through the data path say, beside the doctor's own direct ones. Pure.

use super::{
    Finding,
    judge::{fault, good},
};
use crate::{
    api::view::{RelayHealth, RelayView, StatusView},
    config::Through,
};

/// Of every relay that is probed by the way that customers take.
pub(super) fn relays(status: &StatusView) -> impl Iterator<Item = Finding> {
    let relays = status.pools.iter().flat_map(|pool| &pool.relays);
    relays
        .filter(|relay| relay.probed == Through::DATA_PATH)
        .filter_map(relay)
}

fn relay(relay: &RelayView) -> Option<Finding> {
    let about = format!("relay {}", relay.name);
    match (&relay.trouble, relay.state) {
        (None, RelayHealth::Up) => Some(good(&about, "greets through the data path")),
        (None, RelayHealth::Down | RelayHealth::Unknown) => None,
        (Some(trouble), _) => Some(fault(
            &about,
            trouble,
            "if it greets when asked directly, look at what lies between: the program on the relay's interface (role \
             relay), `outgate counters` (reply_without_entry, path_unknown, spoof_blocked), the relay host's route \
             for health.probe_sources, its firewall, its checksum offload behind a veth",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::view::{FlagCounts, PoolView},
        doctor::Level,
    };

    fn examined(probed: &str, trouble: Option<&str>) -> Vec<Finding> {
        let relay = RelayView {
            name: String::from("relay-1"),
            address: Vec::new(),
            port: 25,
            state: RelayHealth::Up,
            in_rotation: true,
            acknowledged: None,
            since: jiff::Timestamp::UNIX_EPOCH,
            weight: std::num::NonZeroU8::MIN,
            flows: 0,
            drained: None,
            probed: probed.to_owned(),
            trouble: trouble.map(str::to_owned),
            tunnel: None,
        };
        let status = StatusView {
            generation: contract::Generation(1),
            interfaces: Vec::new(),
            missing: Vec::new(),
            pools: vec![PoolView {
                name: String::from("default"),
                via: String::from("rewrite"),
                on_failure: String::from("closed"),
                third_party: false,
                relays: vec![relay],
            }],
            flags: FlagCounts {
                active: 0,
                pending: 0,
            },
            flows: 0,
            flows_max: 1024,
            heartbeat_age_s: 0,
            store: None,
        };
        relays(&status).collect()
    }

    #[test]
    fn only_probes_through_the_data_path_are_judged_here() {
        assert_eq!(examined("direct", Some("no SYN-ACK")), []);
        assert_eq!(examined("data-path", None)[0].level, Level::Good);
        let broken = &examined("data-path", Some("no SYN-ACK"))[0];
        assert_eq!(
            (broken.level, broken.found.as_str()),
            (Level::Fault, "no SYN-ACK")
        );
    }
}
