//! Everything at a glance: interfaces, pools and their relays.

use comfy_table::{Cell, Color};

use super::Style;
use crate::{
    api::view::{MissingInterface, PoolView, RelayHealth, RelayView, SharedStoreView, StatusView},
    edge::Attachment,
};

pub(in crate::cli) fn status(status: &StatusView, style: Style) -> String {
    let mut parts = Vec::new();
    let mut interfaces = style.table(&["INTERFACE", "ROLE", "MODE", "PROGRAM"]);
    for attachment in &status.interfaces {
        let program = attachment.program_id.to_string();
        interfaces.add_row([
            &attachment.interface,
            &attachment.role,
            &mode(attachment),
            &program,
        ]);
    }
    parts.push(match status.interfaces.is_empty() {
        true => String::from(
            "no interface is attached: `outgate attach IFACE --role customer|uplink|relay`",
        ),
        false => interfaces.to_string(),
    });
    for missing in &status.missing {
        let MissingInterface {
            interface,
            role,
            reason,
        } = missing;
        parts.push(format!(
            "{interface} ({role}) has NO program, its traffic is not looked at: {reason}"
        ));
    }
    let mut relays = style.table(&[
        "POOL",
        "VIA",
        "ON FAILURE",
        "RELAY",
        "ADDRESS",
        "STATE",
        "PROBED",
        "ACKNOWLEDGED",
        "SINCE",
    ]);
    for pool in &status.pools {
        for relay in &pool.relays {
            relays.add_row([
                Cell::new(&pool.name),
                Cell::new(&pool.via),
                Cell::new(&pool.on_failure),
                Cell::new(&relay.name),
                Cell::new(listeners(relay)),
                relay_state(relay),
                Cell::new(&relay.probed),
                Cell::new(acknowledged(pool, relay)),
                Cell::new(style.time(relay.since)),
            ]);
        }
    }
    parts.push(match status.pools.is_empty() {
        true => String::from("no pool is configured, so nothing can be redirected"),
        false => relays.to_string(),
    });
    let relays = status.pools.iter().flat_map(|pool| &pool.relays);
    let troubles = relays.filter_map(|relay| {
        let trouble = relay.trouble.as_ref()?;
        Some(format!("{}: {trouble}", relay.name))
    });
    let troubles: Vec<String> = troubles.collect();
    if !troubles.is_empty() {
        parts.push(troubles.join("\n"));
    }
    let StatusView {
        generation,
        flags,
        flows,
        flows_max,
        heartbeat_age_s,
        ..
    } = status;
    parts.push(format!(
        "generation {}; flags {} active, {} pending; flows {flows} of {flows_max}; heartbeat {heartbeat_age_s} s ago",
        generation.0, flags.active, flags.pending
    ));
    if let Some(store) = &status.store {
        parts.push(shared_store(store, style));
    }
    parts.join("\n\n")
}

fn shared_store(store: &SharedStoreView, style: Style) -> String {
    let SharedStoreView { place, edge, .. } = store;
    match store.away_since {
        None => format!("store {place}, as edge {edge}"),
        Some(since) => {
            let since = style.time(since);
            format!(
                "store {place}, as edge {edge}: AWAY since {since}; what is in the kernel stays in force, and nothing can be \
                 changed until it answers again"
            )
        }
    }
}

/// How it is attached, and what could not be had instead.
pub(in crate::cli) fn mode(attachment: &Attachment) -> String {
    let mode = attachment.mode.name();
    if attachment.refused.is_empty() {
        return mode.to_owned();
    }
    let refused = attachment.refused.iter().map(|refused| refused.mode.name());
    let refused: Vec<&str> = refused.collect();
    format!("{mode} (refused: {})", refused.join(", "))
}

/// The newest generation that a relay has, if it is told of any.
pub(in crate::cli) fn acknowledged(pool: &PoolView, relay: &RelayView) -> String {
    match relay.acknowledged {
        Some(generation) => generation.0.to_string(),
        None if pool.third_party => String::from("-"),
        None => String::from("nothing"),
    }
}

pub(in crate::cli) fn listeners(relay: &RelayView) -> String {
    let listener =
        |address: &std::net::IpAddr| std::net::SocketAddr::new(*address, relay.port).to_string();
    let mut words: Vec<String> = relay.address.iter().map(listener).collect();
    words.extend(
        relay
            .tunnel
            .map(|tunnel| format!("by tunnel to {}", tunnel.remote)),
    );
    words.join(" ")
}

pub(in crate::cli) fn relay_state(relay: &RelayView) -> Cell {
    match (relay.state, relay.in_rotation) {
        (RelayHealth::Up, false) if relay.drained.is_some() => {
            Cell::new("up, drained").fg(Color::Yellow)
        }
        (RelayHealth::Up, true) => Cell::new("up").fg(Color::Green),
        (RelayHealth::Up, false) => Cell::new("up, behind").fg(Color::Yellow),
        (RelayHealth::Unknown, _) => Cell::new("unknown").fg(Color::Yellow),
        (RelayHealth::Down, _) => Cell::new("down").fg(Color::Red),
    }
}
