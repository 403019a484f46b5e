//! What was found of the relay, and what was to be reached.

use comfy_table::Table;
use serde::Serialize;

use super::{
    MILLION, SESSIONS,
    durable::{Case, Contender, recovery::Recovery, syncs::Worth},
};
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
    /// What is kept on disk and sent on, beside mail servers.
    pub(super) kept: Vec<Case>,
    /// What an acknowledgement of each is worth.
    pub(super) worth: Vec<Worth>,
    /// Messages a second to nineteen destinations beside a dead one; the rival is beside a living one.
    pub(super) of_twenty: Compared,
    pub(super) recovery: Recovery,
    /// A relay that has just started, with its own code.
    pub(super) idle_relay_octets: f64,
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
    targets.extend(kept_targets(report));
    targets.extend(queue_targets(report));
    targets.extend(report.idle.iter().map(idle_target));
    if !report.quick {
        return targets;
    }
    let judged = targets.into_iter();
    judged
        .map(|target| target.but(Some("too short".to_owned())))
        .collect()
}

/// Of keeping mail, which only somebody has done whose acknowledgement is worth it.
fn kept_targets(report: &Report) -> Vec<Target> {
    let mut targets = Vec::new();
    for case in &report.kept {
        let (Some(relay), Some(postfix), Some(direct)) = (
            case.of(Contender::Relay),
            case.of(Contender::Postfix),
            case.of(Contender::Direct),
        ) else {
            continue;
        };
        let rates = &relay.delivered_per_s;
        let is_small = case.octets == SMALL_OCTETS;
        let times = if is_small { 4.0 } else { 1.7 };
        let name = format!("kept and sent on, of Postfix: {}", case.name());
        let of_postfix = ratios(rates, &postfix.delivered_per_s);
        let target = Target::by_rounds(&name, "times", Wanted::AtLeast, times, &of_postfix);
        let lost = [relay, postfix].map(|figures| figures.missing);
        let missing = (lost != [0, 0]).then(|| format!("not arrived: {lost:?}"));
        targets.push(target.but(missing));
        if !is_small {
            continue;
        }
        let name = format!("the same, of going direct: {}", case.name());
        let of_direct = ratios(rates, &direct.delivered_per_s);
        targets.push(Target::by_rounds(
            &name,
            "times",
            Wanted::AtLeast,
            0.25,
            &of_direct,
        ));
        let name = format!(
            "from the dot to the answer, 99th percentile: {}",
            case.name()
        );
        let answers = &relay.answer_p99_ms;
        targets.push(Target::by_rounds(
            &name,
            "ms",
            Wanted::AtMost,
            25.0,
            answers,
        ));
    }
    let of = |contender| {
        report
            .worth
            .iter()
            .find(move |worth| worth.contender == contender)
    };
    // Who compares with a server that keeps nothing compares with nothing.
    let why_not = [Contender::Relay, Contender::Postfix]
        .into_iter()
        .find(|contender| !of(*contender).is_some_and(Worth::is_durable))
        .map(|contender| format!("a 250 of {} is not on disk", contender.name()));
    let judged = targets.into_iter();
    judged
        .map(|target| match &why_not {
            Some(why) => target.but(Some(why.clone())),
            None => target,
        })
        .collect()
}

/// Of the queue itself.
fn queue_targets(report: &Report) -> [Target; 4] {
    let beside_dead = ratios(&report.of_twenty.relay, &report.of_twenty.rival);
    let name = "kept and sent on to nineteen destinations, a twentieth dead";
    let Recovery {
        messages,
        warm_s,
        resident_octets,
        ..
    } = report.recovery;
    let few = (messages < MILLION).then(|| format!("only {messages}"));
    let most =
        |name, unit, target, measured| Target::by_one(name, unit, Wanted::AtMost, target, measured);
    let weight = resident_octets / MIB;
    let idle = report.idle_relay_octets / MIB;
    [
        Target::by_rounds(name, "times", Wanted::AtLeast, 0.9, &beside_dead),
        most("starting with a million messages, warm", "s", 10.0, warm_s).but(few.clone()),
        most("memory with a million messages", "MiB", 500.0, weight).but(few),
        most("memory of an idle relay", "MiB", 40.0, idle),
    ]
}

fn kept_table(cases: &[Case]) -> Table {
    let mut table = report::table(&[
        "",
        "delivered/s",
        "accepted/s",
        "dot to 250, p99 ms",
        "not arrived",
    ]);
    for case in cases {
        for figures in &case.figures {
            table.add_row([
                format!("{}: {}", case.name(), figures.contender.name()),
                format!("{:.0}", median(&figures.delivered_per_s)),
                format!("{:.0}", median(&figures.accepted_per_s)),
                format!("{:.1}", median(&figures.answer_p99_ms)),
                figures.missing.to_string(),
            ]);
        }
    }
    table
}

fn worth_table(worths: &[Worth]) -> Table {
    let mut table = report::table(&[
        "",
        "synced before 250",
        "syncs a message, alone",
        "on 50 sessions",
        "files O_SYNC",
        "",
    ]);
    for worth in worths {
        table.add_row([
            worth.contender.name().to_owned(),
            format!("{} of {}", worth.synced, worth.alone),
            format!("{:.1}", worth.syncs_alone),
            format!("{:.2}", worth.syncs_in_company),
            worth.synchronous_files.to_string(),
            if worth.is_durable() {
                "durable"
            } else {
                "NOT DURABLE"
            }
            .to_owned(),
        ]);
    }
    table
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
    for (what, compared, unit, rival) in [
        ("messages/s", &report.messages_per_s, 1.0, "direct"),
        (
            "median latency at a tenth of that, ms",
            &report.latency_ms,
            1.0,
            "direct",
        ),
        (
            "kept and sent on to nineteen of twenty destinations, one dead, messages/s",
            &report.of_twenty,
            1.0,
            "all alive",
        ),
        (
            "joined, MiB/s",
            &report.joined_octets_per_s,
            MIB,
            "plain splice",
        ),
    ] {
        let [relay, other] = [&compared.relay, &compared.rival].map(|rounds| median(rounds) / unit);
        text += &format!("{what}: relay {relay:.2}, {rival} {other:.2}\n");
    }
    text += &format!(
        "\nKept on disk and sent on, {SESSIONS} sessions, counted at the sink\n\n{}\n\n\
         What a 250 is worth, by the syncs of who says it (under strace, 4 KiB, plain)\n\n{}\n",
        kept_table(&report.kept),
        worth_table(&report.worth)
    );
    let Recovery {
        messages,
        spool_octets,
        warm_s,
        cold_s,
        resident_octets,
    } = report.recovery;
    text += &format!(
        "\nA queue of {messages} messages, {} MiB: started in {warm_s:.1} s, from the disk in {cold_s:.1} s, \
         {:.0} MiB of memory; an idle relay {:.0} MiB\n",
        spool_octets >> 20,
        resident_octets / MIB,
        report.idle_relay_octets / MIB,
    );
    text += &format!(
        "\nTargets, each judged by its bound\n\n{}\n",
        report::targets(&report.targets)
    );
    if report.quick {
        text += "\nThis was --quick: too short to be the check.\n";
    }
    text
}

const MIB: f64 = 1_048_576.0;
const SMALL_OCTETS: usize = 4096;
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
