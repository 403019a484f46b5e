//! What was found of the relay, and what was to be reached.

use serde::Serialize;

use crate::{
    machine::Machine,
    report,
    stats::median,
    targets::{Target, Wanted, differences, ratios},
};

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) load_before: String,
    pub(super) load_after: String,
    pub(super) rounds: u32,
    /// Of every bound, one-sided.
    pub(super) confidence: f64,
    pub(super) quick: bool,
    pub(super) took_s: f64,
    /// Messages of 4 KiB on fifty kept sessions, counted at the sink; the rival is going there directly.
    pub(super) messages_per_s: Compared,
    /// Median time of a message at a tenth of that load; likewise.
    pub(super) latency_ms: Compared,
    /// What is moved without a look; the rival is a plain TCP splice.
    pub(super) joined_octets_per_s: Compared,
    pub(super) idle: Vec<Idle>,
    pub(super) targets: Vec<Target>,
}

/// Rounds of the relay and of what it is held against, one after the other.
#[derive(Debug, Default, Serialize)]
pub(super) struct Compared {
    pub(super) relay: Vec<f64>,
    pub(super) rival: Vec<f64>,
}

/// Memory of one kind of idle session.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    pub(super) kind: &'static str,
    pub(super) sessions: usize,
    pub(super) kib_each: f64,
    pub(super) target_kib: f64,
}

/// What was to be reached.
pub(super) fn targets(report: &Report) -> Vec<Target> {
    let messages = &report.messages_per_s.relay;
    let at_least =
        |name, target| Target::by_rounds(name, "messages/s", Wanted::AtLeast, target, messages);
    let (latency, joined) = (&report.latency_ms, &report.joined_octets_per_s);
    let added = differences(&latency.relay, &latency.rival);
    let name = "added latency at a tenth of it, median";
    let added = Target::by_rounds(name, "ms", Wanted::AtMost, 1.0, &added);
    let shares = ratios(&joined.relay, &joined.rival);
    let name = "opaque, of a plain TCP splice's throughput";
    let shares = Target::by_rounds(name, "times", Wanted::AtLeast, 0.8, &shares);
    let mut targets = vec![
        // No configuration is without a scanner, so both are with patterns.
        at_least("cut-through, 4 KiB, 50 kept sessions", 5000.0),
        at_least("the same, with the embedded scanner", 2500.0),
        added,
        shares,
    ];
    targets.extend(report.idle.iter().map(idle_target));
    if !report.quick {
        return targets;
    }
    let judged = targets.into_iter();
    judged
        .map(|target| target.but(Some("too short".to_owned())))
        .collect()
}

fn idle_target(idle: &Idle) -> Target {
    let name = format!(
        "memory of each of {} idle sessions, {}",
        idle.sessions, idle.kind
    );
    let few = idle.sessions < ENOUGH_SESSIONS;
    let few = few.then(|| "too few sessions, see ulimit -Hn".to_owned());
    Target::by_one(&name, "KiB", Wanted::AtMost, idle.target_kib, idle.kib_each).but(few)
}

/// The report for people.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!(
        "{}\nload {} before, {} after; {} rounds, {:.0} s\n\n",
        report.machine.line(),
        report.load_before,
        report.load_after,
        report.rounds,
        report.took_s
    );
    let mib = f64::from(1 << 20);
    for (what, compared, unit, rival) in [
        ("messages/s", &report.messages_per_s, 1.0, "direct"),
        (
            "median latency at a tenth of that, ms",
            &report.latency_ms,
            1.0,
            "direct",
        ),
        (
            "joined, MiB/s",
            &report.joined_octets_per_s,
            mib,
            "plain splice",
        ),
    ] {
        let [relay, other] = [&compared.relay, &compared.rival].map(|rounds| median(rounds) / unit);
        text += &format!("{what}: relay {relay:.2}, {rival} {other:.2}\n");
    }
    text += &format!(
        "\nTargets, each judged by its bound\n\n{}\n",
        report::targets(&report.targets)
    );
    if report.quick {
        text += "\nThis was --quick: too short to be the check.\n";
    }
    text
}

/// So many that what the relay needs once is nothing to each of them.
const ENOUGH_SESSIONS: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sessions_reach_no_target() {
        let idle = |sessions, kib_each| Idle {
            kind: "plain",
            sessions,
            kib_each,
            target_kib: 20.0,
        };
        assert!(idle_target(&idle(ENOUGH_SESSIONS, 19.0)).met);
        assert!(!idle_target(&idle(ENOUGH_SESSIONS, 21.0)).met);
        assert!(!idle_target(&idle(ENOUGH_SESSIONS - 1, 19.0)).met);
    }
}
