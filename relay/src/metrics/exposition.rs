//! All counters as Prometheus reads them: the text format, version 0.0.4.
//!
//! A counter is one number without labels, so the format is three lines each and needs no library.

use std::fmt::Write;

use super::scanners::{Scanners, Tally};
use super::{Counter, Metrics};
use crate::egress::Figures;
use crate::spool::{Accepting, Health};

/// What is true now, beside what has been counted.
#[derive(Debug, Clone, Copy)]
pub struct Gauges {
    /// Sessions that are being served.
    pub sessions: usize,
    /// Whether these are so many that sessions are given less.
    pub stressed: bool,
    /// Generation of the snapshot in force; 0 = none yet.
    pub generation: u64,
    /// Whether the resolver validates.
    pub dns_validates: bool,
}

/// The answer to a scrape.
#[must_use]
pub fn text(metrics: &Metrics, gauges: Gauges) -> String {
    let mut text = String::new();
    for &counter in Counter::ALL {
        let value = metrics.value(counter);
        family(&mut text, counter.name(), "counter", counter.help(), value);
    }
    let sessions = u64::try_from(gauges.sessions).unwrap_or(u64::MAX);
    let help = "Sessions that are being served.";
    family(&mut text, "sessions", "gauge", help, sessions);
    let help = "Whether sessions are so many that they are given less time and fewer errors.";
    family(
        &mut text,
        "stressed",
        "gauge",
        help,
        u64::from(gauges.stressed),
    );
    let help = "Generation of the snapshot in force.";
    family(
        &mut text,
        "snapshot_generation",
        "gauge",
        help,
        gauges.generation,
    );
    let help = "Whether the resolver validates, so that DANE is on.";
    let validates = u64::from(gauges.dns_validates);
    family(&mut text, "dns_validates", "gauge", help, validates);
    text
}

/// What is told of the relay's own certificate, by times in seconds since 1970.
#[must_use]
pub fn certificate(ends: u64, failed: u64) -> String {
    let mut text = String::new();
    let help = "When the certificate that is shown to customers ends, in seconds since 1970.";
    family(&mut text, "certificate_expiry_seconds", "gauge", help, ends);
    let help = "When the authority was last asked for a certificate in vain, in seconds since 1970; 0 = it was not, \
                or has given one since.";
    family(
        &mut text,
        "certificate_failed_seconds",
        "gauge",
        help,
        failed,
    );
    text
}

/// What is told of the pools that legs leave by. The one label is a name of the configuration, which bounds it.
#[must_use]
pub fn egress(figures: &[Figures<'_>]) -> String {
    let mut text = String::new();
    let mut labelled = |name: &str, kind: &str, help: &str, value: fn(&Figures<'_>) -> u64| {
        if figures.is_empty() {
            return;
        }
        text +=
            &format!("# HELP outgate_relay_{name} {help}\n# TYPE outgate_relay_{name} {kind}\n");
        for of_one in figures {
            let value = value(of_one);
            text += &format!(
                "outgate_relay_{name}{{egress=\"{}\"}} {value}\n",
                of_one.pool
            );
        }
    };
    let help = "Messages that left by an address or proxy of this egress.";
    labelled("egress_messages_total", "counter", help, |it| it.messages);
    let help = "Addresses or proxies of this egress that are left out because they failed.";
    labelled("egress_down", "gauge", help, |it| it.down as u64);
    text
}

/// What scanners said, and how long that took them.
#[must_use]
pub fn scanners(scanners: &Scanners) -> String {
    let figures = scanners.figures();
    let mut text = String::new();
    let mut labelled = |name: &str, help: &str, value: fn(&Tally) -> String| {
        if figures.is_empty() {
            return;
        }
        text +=
            &format!("# HELP outgate_relay_{name} {help}\n# TYPE outgate_relay_{name} counter\n");
        for ((scanner, finding), tally) in &figures {
            let value = value(tally);
            text += &format!(
                "outgate_relay_{name}{{scanner=\"{scanner}\",finding=\"{finding}\"}} {value}\n"
            );
        }
    };
    let help = "Messages by what the scanner said about them.";
    labelled("scanner_reports_total", help, |it| it.reports.to_string());
    let help = "Time that the scanner took for them, in seconds.";
    labelled("scanner_seconds_total", help, |it| {
        format!("{:.6}", it.elapsed.as_secs_f64())
    });
    text
}

/// The same of a spool.
#[must_use]
pub fn spool(health: &Health) -> String {
    let mut text = String::new();
    for (name, help, value) in [
        (
            "stored_total",
            "Messages that the spool has taken.",
            health.stored,
        ),
        (
            "refused_total",
            "Messages that the spool could not take.",
            health.refused,
        ),
        (
            "groups_total",
            "Groups that were committed, each with one sync.",
            health.groups,
        ),
        (
            "write_errors_total",
            "Writes and syncs of the spool that failed.",
            health.write_errors,
        ),
        (
            "damaged_total",
            "Damaged parts of the spool that were put aside.",
            health.damaged,
        ),
    ] {
        family(&mut text, &format!("spool_{name}"), "counter", help, value);
    }
    for (name, help, value) in [
        (
            "messages",
            "Messages that are to be delivered.",
            health.messages,
        ),
        (
            "octets",
            "Octets that the spool has on the disk.",
            health.octets,
        ),
        (
            "max_octets",
            "Octets that the spool may have.",
            health.max_octets,
        ),
        (
            "full",
            "Whether the spool has no room.",
            u64::from(health.accepting == Accepting::Full),
        ),
        (
            "broken",
            "Whether the spool's disk has failed.",
            u64::from(health.accepting == Accepting::Broken),
        ),
    ] {
        family(&mut text, &format!("spool_{name}"), "gauge", help, value);
    }
    text
}

/// One number, with what it means.
pub(crate) fn family(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    let name = format!("outgate_relay_{name}");
    let help = help.trim().replace('\\', "\\\\").replace('\n', " ");
    let written = write!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
    );
    debug_assert!(written.is_ok(), "a String takes everything");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_egress_stands_there_by_its_name() {
        assert_eq!(egress(&[]), "");
        let figures = |pool, messages, down| Figures {
            pool,
            messages,
            down,
        };
        let text = egress(&[figures("main", 7, 0), figures("proxies", 0, 2)]);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "outgate_relay_egress_messages_total{egress=\"main\"} 7",
            "outgate_relay_egress_messages_total{egress=\"proxies\"} 0",
            "outgate_relay_egress_down{egress=\"main\"} 0",
            "outgate_relay_egress_down{egress=\"proxies\"} 2",
        ];
        assert_eq!(samples, expected);
        assert_eq!(text.matches("# TYPE ").count(), 2);
    }

    #[test]
    fn a_certificate_shows_when_it_ends() {
        let text = certificate(1_790_000_000, 0);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "outgate_relay_certificate_expiry_seconds 1790000000",
            "outgate_relay_certificate_failed_seconds 0",
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn a_spool_shows_its_state_and_its_counts() {
        let text = spool(&Health {
            accepting: Accepting::Full,
            messages: 1,
            octets: 2,
            max_octets: 3,
            stored: 4,
            refused: 5,
            groups: 6,
            write_errors: 7,
            damaged: 8,
        });
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "stored_total 4",
            "refused_total 5",
            "groups_total 6",
            "write_errors_total 7",
            "damaged_total 8",
            "messages 1",
            "octets 2",
            "max_octets 3",
            "full 1",
            "broken 0",
        ];
        let expected = expected.map(|sample| format!("outgate_relay_spool_{sample}"));
        assert_eq!(samples, expected);
    }

    #[test]
    fn every_counter_stands_there_once_with_its_value() {
        let metrics = Metrics::new();
        metrics.count(Counter::Walled);
        metrics.count(Counter::Walled);
        let gauges = Gauges {
            sessions: 3,
            stressed: true,
            generation: 7,
            dns_validates: true,
        };
        let text = text(&metrics, gauges);
        assert!(text.starts_with(
            "# HELP outgate_relay_sessions_served_total Connections of diverted customers that were served.\n\
             # TYPE outgate_relay_sessions_served_total counter\n\
             outgate_relay_sessions_served_total 0\n"
        ));
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), Counter::ALL.len() + 4);
        for sample in [
            "outgate_relay_recipients_walled_total 2",
            "outgate_relay_sessions 3",
            "outgate_relay_stressed 1",
            "outgate_relay_snapshot_generation 7",
            "outgate_relay_dns_validates 1",
        ] {
            assert!(samples.contains(&sample), "{sample}\n{text}");
        }
        let names: HashSet<&str> = samples
            .iter()
            .map(|sample| sample.split(' ').next().unwrap())
            .collect();
        assert_eq!(names.len(), samples.len());
        assert!(text.ends_with('\n'));
    }
}
