//! What an acknowledgement is worth: whether a message was on the disk before its `250`, by the system calls of the
//! server that gave it.
//!
//! A run of its own, under strace, which slows everybody down and so measures no speed. First messages one by one: a
//! sync that begins after a message's dot was sent and ends before the answer was there can be no other message's.
//! Then as many sessions as ever: how many syncs a message costs when there is company.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Contender, settled};
use crate::relay::{
    SESSIONS,
    load::{self, Depth, Load},
    stage::Stage,
};

/// What was seen of a contender.
#[derive(Debug, Serialize)]
pub(in super::super) struct Worth {
    pub(in super::super) contender: Contender,
    /// Sent one by one.
    pub(in super::super) alone: u32,
    /// Of those: acknowledged after a sync of their own.
    pub(in super::super) synced: u32,
    /// Of each of those.
    pub(in super::super) syncs_alone: f64,
    /// Of each message on fifty sessions.
    pub(in super::super) syncs_in_company: f64,
    /// Files that were opened such that every write is a sync; none of those is counted above.
    pub(in super::super) synchronous_files: usize,
}

impl Worth {
    /// Whether a `250` of it says that the message is on the disk.
    pub(in super::super) const fn is_durable(&self) -> bool {
        self.alone > 0 && self.synced == self.alone
    }
}

/// Looks at all that keep mail.
pub(in super::super) fn measure(stage: &Stage) -> Result<Vec<Worth>> {
    let keepers = Contender::ALL
        .into_iter()
        .filter(|contender| *contender != Contender::Direct);
    keepers
        .map(|contender| look(stage, contender).with_context(|| contender.name()))
        .collect()
}

fn look(stage: &Stage, contender: Contender) -> Result<Worth> {
    let trace = stage
        .directory()
        .join(format!("{}.strace", contender.port()));
    let mut around: Vec<OsString> = STRACE.iter().map(OsString::from).collect();
    around.push(trace.clone().into());
    let process = stage.contender(contender, &around)?;
    let target = stage.contended(contender, false);
    let counted = stage.counted_plain.clone();
    let (spans, company) = stage.generate(async move {
        let load = Load::new(&target, 4096);
        let before = counted.messages();
        let mut sessions = load::open(&target, 1, Depth::Plain).await?;
        let wire = sessions.first_mut().context("a session")?;
        // What is made once, with the first message, is no message's.
        load::message(wire, &load).await?;
        settled(&counted, before + 1).await;
        let clock = Clock::new()?;
        let mut spans = Vec::new();
        for sent in 2..=u64::from(ALONE) + 1 {
            let [begun, ended] = load::message(wire, &load).await?;
            spans.push(clock.span(begun, ended));
            // What is written about one that was delivered must not be taken for the next one's.
            settled(&counted, before + sent).await;
            tokio::time::sleep(APART).await;
        }
        let sessions = load::open(&target, SESSIONS, Depth::Plain).await?;
        let begun = Instant::now();
        let (sessions, times) = load::timed_flood(sessions, load, COMPANY).await?;
        let span = clock.span(begun, Instant::now());
        drop(sessions);
        Ok((spans, (span, times.len())))
    })?;
    drop(process);
    let text = fs::read_to_string(&trace).with_context(|| trace.display().to_string())?;
    judge(contender, &Traced::read(&text), &spans, company)
}

fn judge(
    contender: Contender,
    traced: &Traced,
    spans: &[Span],
    (company, messages): (Span, usize),
) -> Result<Worth> {
    let within = |span: &Span| {
        let inside = traced.syncs.iter().filter(|sync| sync.is_within(span));
        u32::try_from(inside.count())
    };
    let (mut synced, mut all) = (0, 0);
    for span in spans {
        let syncs = within(span)?;
        synced += u32::from(syncs > 0);
        all += syncs;
    }
    let alone = u32::try_from(spans.len())?;
    Ok(Worth {
        contender,
        alone,
        synced,
        syncs_alone: f64::from(all) / f64::from(alone),
        syncs_in_company: f64::from(within(&company)?) / f64::from(u32::try_from(messages)?),
        synchronous_files: traced.synchronous_files,
    })
}

/// The wall's time at a moment.
struct Clock {
    moment: Instant,
    wall: f64,
}

impl Clock {
    /// Looks at both clocks, until nothing came in between.
    fn new() -> Result<Self> {
        loop {
            let moment = Instant::now();
            let wall = SystemTime::now().duration_since(UNIX_EPOCH)?;
            if moment.elapsed() < Duration::from_micros(5) {
                let wall = wall.as_secs_f64();
                return Ok(Self { moment, wall });
            }
        }
    }

    fn span(&self, begun: Instant, ended: Instant) -> Span {
        let [begun, ended] = [begun, ended].map(|at| self.wall + (at - self.moment).as_secs_f64());
        Span { begun, ended }
    }
}

/// A time by the wall, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    begun: f64,
    ended: f64,
}

impl Span {
    fn is_within(&self, other: &Self) -> bool {
        other.begun <= self.begun && self.ended <= other.ended
    }
}

/// What strace wrote, as far as it is about disks.
#[derive(Debug, Default, PartialEq)]
struct Traced {
    /// Those that succeeded.
    syncs: Vec<Span>,
    synchronous_files: usize,
}

impl Traced {
    /// Reads lines of a process number, a time, and a system call; one that others came in between of is in two lines.
    fn read(text: &str) -> Self {
        let mut traced = Self::default();
        let mut begun: HashMap<&str, f64> = HashMap::new();
        for line in text.lines() {
            let mut words = line.trim_start().splitn(2, ' ');
            let (Some(process), Some(rest)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((at, call)) = rest.trim_start().split_once(' ') else {
                continue;
            };
            let Ok(at) = at.parse::<f64>() else {
                continue;
            };
            if let Some(resumed) = call.strip_prefix("<... ") {
                let is_sync = SYNCS.iter().any(|name| resumed.starts_with(name));
                let since = begun.remove(process);
                if let (true, true, Some(begun)) = (is_sync, succeeded(call), since) {
                    traced.syncs.push(Span { begun, ended: at });
                }
            } else if is_call_of(call, &SYNCS) {
                if call.ends_with("<unfinished ...>") {
                    begun.insert(process, at);
                } else if let (true, Some(took)) = (succeeded(call), seconds(call)) {
                    let ended = at + took;
                    traced.syncs.push(Span { begun: at, ended });
                }
            } else if is_call_of(call, &["openat", "open"])
                && ["O_SYNC", "O_DSYNC"].iter().any(|flag| call.contains(flag))
            {
                traced.synchronous_files += 1;
            }
        }
        traced
    }
}

fn is_call_of(call: &str, names: &[&str]) -> bool {
    let name = call.split_once('(').map(|(name, _)| name);
    name.is_some_and(|name| names.contains(&name))
}

/// What comes back stands behind the last bracket; strace fills up with spaces before it.
fn succeeded(call: &str) -> bool {
    call.rsplit_once(')')
        .is_some_and(|(_, result)| result.trim_start().starts_with("= 0 "))
}

/// At the end of a line, in pointed brackets.
fn seconds(call: &str) -> Option<f64> {
    let (_, last) = call.rsplit_once('<')?;
    last.strip_suffix('>')?.parse().ok()
}

/// Follows every process, and says when a call began and how long it took; the file's name follows.
const STRACE: [&str; 8] = [
    "strace",
    "-f",
    "-ttt",
    "-T",
    "--seccomp-bpf",
    "-e",
    "trace=fsync,fdatasync,sync_file_range,syncfs,sync,msync,openat,open",
    "-o",
];
const SYNCS: [&str; 6] = [
    "fsync",
    "fdatasync",
    "sync_file_range",
    "syncfs",
    "sync",
    "msync",
];
const ALONE: u32 = 20;
/// Longer than a group of writes waits for company.
const APART: Duration = Duration::from_millis(50);
const COMPANY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
100  10.000000 openat(AT_FDCWD, \"/q/1\", O_RDWR|O_CREAT|O_EXCL, 0700) = 5 <0.000010>
100  10.100000 fdatasync(5)        = 0 <0.050000>
100  10.200000 fsync(5 <unfinished ...>
101  10.210000 openat(AT_FDCWD, \"/log\", O_WRONLY|O_DSYNC) = 6 <0.000010>
101  10.220000 fsync(6)            = -1 EIO (Input/output error) <0.000010>
100  10.300000 <... fsync resumed>)  = 0 <0.100000>
101  10.400000 +++ exited with 0 +++
";

    #[test]
    fn syncs_are_read_whether_others_came_in_between_or_not() {
        let traced = Traced::read(TRACE);
        let spans: Vec<String> = traced
            .syncs
            .iter()
            .map(|span| format!("{:.2}-{:.2}", span.begun, span.ended))
            .collect();
        // The one that failed has put nothing on a disk.
        assert_eq!(spans, ["10.10-10.15", "10.20-10.30"]);
        assert_eq!(traced.synchronous_files, 1);
    }

    #[track_caller]
    fn check(spans: &[(f64, f64)], synced: u32, durable: bool) {
        let spans: Vec<Span> = spans
            .iter()
            .map(|&(begun, ended)| Span { begun, ended })
            .collect();
        let company = Span {
            begun: 10.0,
            ended: 11.0,
        };
        let worth = judge(
            Contender::Postfix,
            &Traced::read(TRACE),
            &spans,
            (company, 4),
        );
        let worth = worth.unwrap();
        assert_eq!((worth.synced, worth.is_durable()), (synced, durable));
        assert!((worth.syncs_in_company - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn only_a_sync_between_dot_and_answer_makes_a_message_durable() {
        check(&[(10.05, 10.16), (10.16, 10.31)], 2, true);
        // The answer was there before the sync had ended.
        check(&[(10.05, 10.16), (10.16, 10.29)], 1, false);
        // It was begun for something else.
        check(&[(10.11, 10.16)], 0, false);
        check(&[], 0, false);
    }
}
