//! A judged frame as a line, and the sums over all of them. Pure.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    api::view::{FrameView, FramesView},
    cli::tables::local,
    edge::{self, Judgement},
    pcap::read::Frame,
};

/// One frame, as programs read it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Its number in the file, from 1.
    frame: u64,
    /// When it was captured.
    at: Option<Timestamp>,
    /// Where it came from; port 0 where it has none.
    source: Option<SocketAddr>,
    /// Where it went.
    destination: Option<SocketAddr>,
    /// How long it was on the wire.
    octets: usize,
    /// How many of these the capture has not kept.
    missing: usize,
    /// What would become of it.
    #[serde(flatten)]
    judgement: Option<Judgement>,
    /// Why it could not be judged.
    not_judged: Option<String>,
}

/// Sums over a capture.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sums {
    /// Frames.
    pub(super) frames: u64,
    /// By verdict.
    verdicts: BTreeMap<String, u64>,
    /// By counter.
    counters: BTreeMap<String, u64>,
    /// Frames of which an octet would change.
    changed: u64,
    /// Frames that the capture cut short.
    cut: u64,
    /// Frames that could not be judged.
    pub(super) not_judged: u64,
}

impl Row {
    pub(super) fn new(frame: &Frame, judged: FrameView) -> Self {
        let (source, destination) = edge::sockets(&frame.octets).unzip();
        Self {
            frame: frame.number,
            at: frame.at,
            source,
            destination,
            octets: frame.wire_octets,
            missing: frame.wire_octets - frame.octets.len(),
            judgement: judged.judgement,
            not_judged: judged.not_judged,
        }
    }

    /// As people read it.
    pub(super) fn line(&self) -> String {
        let time = self
            .at
            .map(|at| local(at).strftime("%H:%M:%S.%6f").to_string());
        let ends = match (self.source, self.destination) {
            (Some(source), Some(destination)) => {
                format!("{} > {}", end(source), end(destination))
            }
            _ => String::from("no IP"),
        };
        let (verdict, rule, counter, changed) = match &self.judgement {
            Some(judgement) => (
                judgement.verdict.as_str(),
                judgement.rule.map(|rule| rule.to_string()),
                judgement.counter.as_str(),
                if judgement.changed { "yes" } else { "no" },
            ),
            None => ("?", None, "-", "-"),
        };
        let note = match (&self.not_judged, self.missing) {
            (Some(why), _) => format!("  not judged: {why}"),
            (None, 0) => String::new(),
            (None, missing) => format!("  {missing} of {} octets not captured", self.octets),
        };
        let line = columns([
            &self.frame.to_string(),
            time.as_deref().unwrap_or("-"),
            &ends,
            verdict,
            rule.as_deref().unwrap_or("-"),
            counter,
            changed,
        ]);
        format!("{line}{note}").trim_end().to_owned()
    }
}

impl Sums {
    pub(super) fn add(&mut self, row: &Row) {
        self.frames += 1;
        self.cut += u64::from(row.missing > 0);
        match &row.judgement {
            Some(judgement) => {
                *self.verdicts.entry(judgement.verdict.clone()).or_default() += 1;
                *self.counters.entry(judgement.counter.clone()).or_default() += 1;
                self.changed += u64::from(judgement.changed);
            }
            None => self.not_judged += 1,
        }
    }

    pub(super) fn line(&self) -> String {
        let verdicts = self.verdicts.iter();
        let verdicts: Vec<String> = verdicts
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        let frames = match self.frames {
            1 => String::from("1 frame"),
            frames => format!("{frames} frames"),
        };
        let mut line = frames;
        if !verdicts.is_empty() {
            line.push_str(": ");
            line.push_str(&verdicts.join(", "));
        }
        line.push_str(&format!("; {} would change", self.changed));
        if self.cut > 0 {
            line.push_str(&format!("; {} cut short by the capture", self.cut));
        }
        if self.not_judged > 0 {
            line.push_str(&format!("; {} not judged", self.not_judged));
        }
        line
    }
}

/// What must be known before the rows are believed.
pub(super) fn caveats(view: &FramesView) -> Vec<String> {
    let mut caveats = Vec::new();
    if view.interfaces.is_empty() {
        caveats.push(format!(
            "the program is on no interface with role {}, so nothing of this happens yet (`outgate attach`)",
            view.role
        ));
    }
    if !view.other_build.is_empty() {
        caveats.push(format!(
            "the attached program is of another build on {}, which may see frames otherwise (a restart of outgated \
             replaces it)",
            view.other_build.join(", ")
        ));
    }
    caveats
}

pub(super) fn header() -> String {
    columns([
        "FRAME",
        "TIME",
        "SOURCE > DESTINATION",
        "VERDICT",
        "RULE",
        "COUNTER",
        "CHANGED",
    ])
    .trim_end()
    .to_owned()
}

/// Of fixed width: rows are told before the widest one is known.
fn columns([frame, time, ends, verdict, rule, counter, changed]: [&str; 7]) -> String {
    format!(
        "{frame:>7}  {time:<15}  {ends:<40}  {verdict:<8}  {rule:<20}  {counter:<16}  {changed:<7}"
    )
}

fn end(socket: SocketAddr) -> String {
    match socket.port() {
        0 => socket.ip().to_string(),
        _ => socket.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: &str, counter: &str, changed: bool) -> FrameView {
        FrameView {
            judgement: Some(Judgement {
                verdict: verdict.to_owned(),
                counter: counter.to_owned(),
                rule: Some("192.0.2.10/32".parse().unwrap()),
                flag_id: Some(7),
                action: Some(String::from("redirect")),
                relay: None,
                counters: vec![counter.to_owned()],
                leaves_by: None,
                changed,
            }),
            not_judged: None,
        }
    }

    fn frame(number: u64, octets: usize, wire_octets: usize) -> Frame {
        Frame {
            number,
            at: None,
            octets: vec![0; octets],
            wire_octets,
        }
    }

    #[test]
    fn a_line_says_what_was_judged_and_what_was_missing() {
        let row = Row::new(&frame(3, 60, 1514), judged("redirect", "to_relay", true));
        let line = row.line();
        for expected in [
            "3",
            "no IP",
            "redirect",
            "192.0.2.10/32",
            "to_relay",
            "yes",
            "1454 of 1514 octets",
        ] {
            assert!(line.contains(expected), "{line}");
        }
        let refused = FrameView {
            judgement: None,
            not_judged: Some(String::from("longer than it may be")),
        };
        let line = Row::new(&frame(4, 9000, 9000), refused).line();
        assert!(line.contains("not judged: longer than it may be"), "{line}");
    }

    #[test]
    fn sums_add_up() {
        let mut sums = Sums::default();
        sums.add(&Row::new(
            &frame(1, 60, 60),
            judged("redirect", "to_relay", true),
        ));
        sums.add(&Row::new(
            &frame(2, 60, 90),
            judged("pass", "passed", false),
        ));
        let refused = FrameView {
            judgement: None,
            not_judged: Some(String::from("too long")),
        };
        sums.add(&Row::new(&frame(3, 9000, 9000), refused));
        let expected = "3 frames: 1 pass, 1 redirect; 1 would change; 1 cut short by the capture; 1 not judged";
        assert_eq!(sums.line(), expected);
    }

    #[test]
    fn programs_read_one_flat_object() {
        let row = Row::new(&frame(1, 60, 60), judged("drop", "dropped", false));
        let value = serde_json::to_value(&row).unwrap();
        assert_eq!(
            (&value["frame"], &value["verdict"]),
            (&1.into(), &"drop".into())
        );
        assert_eq!(value["not_judged"], serde_json::Value::Null);
    }
}
