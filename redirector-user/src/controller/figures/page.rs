//! The page that a scrape is answered: every family of the controller, with what it means.

use redirector_common::abi::ABI_VERSION;

use super::{Around, Sample};
use crate::{
    api::view::{ListState, ListView, ListsView, PoolView, RelayHealth, RelayView, WebhookState},
    controller::Controller,
    metrics::exposition::{Kind, Page},
};

pub(super) fn text(controller: &Controller, sample: Option<&Sample>, around: &Around) -> String {
    let mut page = Page::default();
    build(&mut page, around);
    if let Some(sample) = sample {
        kernel(&mut page, sample);
        relays(&mut page, &sample.pools);
        policy(&mut page, sample);
    }
    work(&mut page, controller);
    webhooks(&mut page, controller);
    notices(&mut page, controller);
    listings(&mut page, &controller.lists());
    page.into_text()
}

fn build(page: &mut Page, around: &Around) {
    let mut build = page.family(
        "build_info",
        Kind::Gauge,
        "Which outgated this is; always 1.",
    );
    let abi = ABI_VERSION.to_string();
    build.sample(
        &[("version", env!("CARGO_PKG_VERSION")), ("abi", &abi)],
        1_u32,
    );
    page.gauge(
        "heartbeat_age_seconds",
        "Since the kernel last heard of the controller.",
        around.heartbeat_age.as_secs_f64(),
    );
    page.counter(
        "events_total",
        "Events in the feed, of relays and of the controller, since the store was made.",
        around.events,
    );
    page.gauge(
        "event_followers",
        "Programs that follow the events over the API.",
        around.followers,
    );
    page.gauge(
        "store_octets",
        "Octets of the store on the disk, with its log.",
        around.store_octets,
    );
    if let Some(away) = around.store_away {
        page.gauge(
            "store_away_seconds",
            "How long PostgreSQL has not answered; 0 while it does.",
            away.as_secs_f64(),
        );
    }
}

fn kernel(page: &mut Page, sample: &Sample) {
    page.gauge(
        "sample_age_seconds",
        "How old the figures of kernel and policy on this page are; more than a moment if the controller was too busy.",
        sample.at.elapsed().as_secs_f64(),
    );
    let help = "Frames and connections by what the kernel program did with them, by interface; those of interfaces \
                that it was taken off have no name. One frame may be counted as several.";
    let mut packets = page.family("packets_total", Kind::Counter, help);
    for (interface, counters) in &sample.counters {
        let interface = interface.as_deref().unwrap_or_default();
        for (verdict, count) in counters {
            packets.sample(&[("interface", interface), ("verdict", verdict)], *count);
        }
    }
    let help = "Whether the kernel program is on the interface; always 1.";
    let mut attached = page.family("interface_attached", Kind::Gauge, help);
    for attachment in &sample.attached {
        let labels = [
            ("interface", attachment.interface.as_str()),
            ("role", &attachment.role),
            ("mode", attachment.mode.name()),
        ];
        attached.sample(&labels, 1_u32);
    }
    let mut entries = page.family("map_entries", Kind::Gauge, "Entries of a kernel map.");
    for fill in &sample.fills {
        entries.sample(&[("map", fill.map)], fill.entries);
    }
    let help = "Entries that a kernel map takes.";
    let mut capacity = page.family("map_capacity_entries", Kind::Gauge, help);
    for fill in &sample.fills {
        capacity.sample(&[("map", fill.map)], fill.capacity);
    }
}

fn relays(page: &mut Page, pools: &[PoolView]) {
    let help = "Relays of the pool that are given new connections.";
    let mut serving = page.family("pool_relays_in_rotation", Kind::Gauge, help);
    for pool in pools {
        let relays = pool.relays.iter().filter(|relay| relay.in_rotation);
        serving.sample(&[("pool", &pool.name)], relays.count());
    }
    let mut each = |name, help, value: fn(&RelayView) -> u64| {
        let mut family = page.family(name, Kind::Gauge, help);
        for pool in pools {
            for relay in &pool.relays {
                let labels = [("pool", pool.name.as_str()), ("relay", &relay.name)];
                family.sample(&labels, value(relay));
            }
        }
    };
    let help = "Whether the relay greets whoever probes it.";
    each("relay_up", help, |it| (it.state == RelayHealth::Up).into());
    let help = "Whether the relay is given new connections.";
    each("relay_in_rotation", help, |it| it.in_rotation.into());
    let help = "Whether a person has taken the relay out of rotation.";
    each("relay_drained", help, |it| it.drained.is_some().into());
    let help = "Connections of the relay at the last sweep of the flow table.";
    each("relay_flows", help, |it| {
        it.flows.try_into().unwrap_or(u64::MAX)
    });
    let help = "State of the policy that the relay has acknowledged.";
    each("relay_acknowledged_generation", help, |it| {
        it.acknowledged.map_or(0, |generation| generation.0)
    });
}

fn policy(page: &mut Page, sample: &Sample) {
    page.gauge(
        "policy_generation",
        "State of the policy; each change makes a new one.",
        sample.generation,
    );
    let help = "Flags that have not ended, by what they ask for.";
    let mut flags = page.family("flags", Kind::Gauge, help);
    for action in ACTIONS {
        let count = sample.flags.get(action).copied().unwrap_or_default();
        flags.sample(&[("action", action)], count);
    }
    page.gauge(
        "flags_pending",
        "Flags that are stored and not yet in force.",
        sample.pending,
    );
    page.gauge(
        "flags_by_rules",
        "Flags that have not ended and that rules have made.",
        sample.automatic,
    );
    page.gauge(
        "rules_frozen",
        "Whether a person has frozen the rules.",
        sample.frozen,
    );
}

fn work(page: &mut Page, controller: &Controller) {
    let metrics = controller.metrics();
    let help = "Times that a rule wanted something, by what came of it, since the start.";
    let mut firings = page.family("rule_firings_total", Kind::Counter, help);
    for ((rule, outcome), count) in metrics.firings() {
        firings.sample(&[("rule", &rule), ("outcome", outcome)], count);
    }
    let help = "From a change being stored to its being in force in the kernel.";
    let mut propagation = page.family("propagation_seconds", Kind::Histogram, help);
    for (change, histogram) in metrics.propagation() {
        propagation.histogram(&[("change", change.name())], &histogram);
    }
    if let Some(last) = controller.backups.last() {
        let age = super::super::since(last, super::super::clock());
        let help = "How old the newest backup of the store is that outgated knows of.";
        page.gauge("store_backup_age_seconds", help, age.as_secs_f64());
    }
    let help = "Backups of the store that failed, since the start.";
    page.counter(
        "store_backup_failures_total",
        help,
        controller.backups.failed(),
    );
    let help =
        "Time that a change had the one connection that writes to the store, until it was durable.";
    page.family("store_change_seconds", Kind::Histogram, help)
        .histogram(&[], &controller.store.changes_took());
    let help = "Time until a request over the API was answered; snapshots of relays wait for news.";
    let mut requests = page.family("api_request_seconds", Kind::Histogram, help);
    for (request, histogram) in metrics.requests() {
        let labels = [
            ("method", request.method),
            ("route", request.route.as_str()),
            ("status", request.status),
        ];
        requests.histogram(&labels, &histogram);
    }
}

fn notices(page: &mut Page, controller: &Controller) {
    let help = "Attempts to tell customers by mail, since the start: sent, failed, or failed for the last time (lost).";
    let mut notices = page.family("notices_total", Kind::Counter, help);
    for outcome in ["sent", "failed", "lost"] {
        let count = controller.metrics().notices(outcome);
        notices.sample(&[("outcome", outcome)], count);
    }
}

fn listings(page: &mut Page, lists: &ListsView) {
    let mut each = |name, kind, help, value: fn(&ListView) -> u64| {
        let mut family = page.family(name, kind, help);
        for list in &lists.lists {
            let labels = [("zone", list.zone.as_str()), ("family", list.family.name())];
            family.sample(&labels, value(list));
        }
    };
    let help = "Addresses of customers that the list names.";
    each("listings_open", Kind::Gauge, help, |it| it.open as u64);
    let help = "Whether the list is to be believed (RFC 5782 section 5); what is not is set aside.";
    let believed = |it: &ListView| (it.state == ListState::Believed).into();
    each("listings_believed", Kind::Gauge, help, believed);
    let help = "Addresses that the list is asked about besides the round over all.";
    each("listings_watched", Kind::Gauge, help, |it| {
        it.watched as u64
    });
    let help = "For how long the most overdue look has been due.";
    each("listings_behind_seconds", Kind::Gauge, help, |it| {
        it.behind_s
    });
    let help = "Questions to the list about addresses, since the start.";
    each("listings_queries_total", Kind::Counter, help, |it| {
        it.queries
    });
    let help = "Questions to the list about addresses that nobody could answer, since the start.";
    each("listings_failures_total", Kind::Counter, help, |it| {
        it.silent
    });
    let rounds = || lists.lists.iter().filter(|list| list.addresses > 0);
    let help =
        "Since the last round over all IPv4 addresses ended; in the first one, since it began.";
    let mut age = page.family("listings_sweep_age_seconds", Kind::Gauge, help);
    for list in rounds() {
        let since = list.round_age_s.unwrap_or_default();
        age.sample(&[("zone", list.zone.as_str())], since);
    }
    let help = "The share of all IPv4 addresses that this round has asked about.";
    let mut share = page.family("listings_sweep_ratio", Kind::Gauge, help);
    for list in rounds() {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share, of which people read two digits"
        )]
        let asked = list.asked as f64 / list.addresses as f64;
        share.sample(&[("zone", list.zone.as_str())], asked);
    }
}

fn webhooks(page: &mut Page, controller: &Controller) {
    let webhooks = controller.list_webhooks();
    let counted = [
        (
            "webhook_delivered_total",
            "delivered",
            "Events that a webhook has taken, since the start.",
        ),
        (
            "webhook_failed_total",
            "failed",
            "Attempts at which a webhook did not take an event, since the start.",
        ),
        (
            "webhook_lost_total",
            "lost",
            "Events that a webhook was not told, since the start.",
        ),
    ];
    for (name, outcome, help) in counted {
        let mut family = page.family(name, Kind::Counter, help);
        for webhook in &webhooks {
            let count = controller.metrics().webhook_events(&webhook.name, outcome);
            family.sample(&[("webhook", &webhook.name)], count);
        }
    }
    let help = "Events, wanted or not, since the last that a webhook is done with.";
    let mut lag = page.family("webhook_lag_events", Kind::Gauge, help);
    for webhook in &webhooks {
        lag.sample(&[("webhook", &webhook.name)], webhook.lag);
    }
    let help = "Whether a webhook has said that it is gone, and is told nothing.";
    let mut stopped = page.family("webhook_stopped", Kind::Gauge, help);
    for webhook in &webhooks {
        let is_stopped = webhook.state == WebhookState::Stopped;
        stopped.sample(&[("webhook", &webhook.name)], is_stopped);
    }
}

/// The dial, from free to cut off.
const ACTIONS: [&str; 7] = [
    "pass", "observe", "limit", "redirect", "refuse", "reset", "drop",
];
