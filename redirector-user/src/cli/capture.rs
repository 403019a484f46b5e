//! `outgate capture`: what the program takes, into a file that Wireshark reads.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use ipnetwork::IpNetwork;
use serde::Serialize;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
};
use crate::{
    api::view::{CaptureLine, CaptureRequest, CapturedView},
    client::Client,
    hex,
    pcap::write::{Record, Writer},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CaptureArgs {
    /// File to write, pcapng; - for standard output
    file: PathBuf,
    /// End with so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Only frames from or to this address or prefix
    #[arg(long, value_name = "PREFIX")]
    source: Option<IpNetwork>,
    /// Octets of each frame, 1 to 2048, payload and all [default: the headers alone, no payload]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2048))]
    octets: Option<u32>,
}

/// How it went, for programs.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: PathBuf,
    frames: u64,
    lost: u64,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    arguments: CaptureArgs,
) -> Result<Outcome, CliError> {
    let CaptureArgs {
        file,
        count,
        seconds,
        source,
        octets,
    } = arguments;
    let request = CaptureRequest {
        source,
        octets,
        count,
        seconds,
        actor: whoever(None),
    };
    let mut writer = None;
    let mut report = Report {
        file,
        ..Report::default()
    };
    let capturing = client.post_for_lines("/v1/capture", &request, |line| {
        take(line, &mut writer, &mut report)
    });
    tokio::select! {
        ended = capturing => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    if let Some(writer) = &mut writer {
        writer.flush()?;
    }
    // On standard output are the frames.
    let to_stdout = is_stdout(&report.file);
    if to_stdout {
        let mut err = std::io::stderr().lock();
        writeln!(err, "{}", in_words(&report))?;
        return Ok(Outcome::Done);
    }
    teller.tell(&report, |report, _| in_words(report))
}

type Out = Writer<BufWriter<Box<dyn Write>>>;

fn take(
    line: CaptureLine,
    writer: &mut Option<Out>,
    report: &mut Report,
) -> Result<ControlFlow<()>, CliError> {
    // Only now is it known that the controller grants it: a file that is there is not emptied for nothing.
    let writer = match writer {
        Some(writer) => writer,
        None => {
            let opened = open(&report.file)?;
            let mut err = std::io::stderr().lock();
            writeln!(
                err,
                "capturing into {}; Ctrl-C ends it",
                report.file.display()
            )?;
            writer.insert(opened)
        }
    };
    match line {
        CaptureLine::Frame(frame) => {
            let Some(octets) = hex::decode(&frame.frame) else {
                return Ok(ControlFlow::Continue(()));
            };
            writer.frame(&Record {
                interface: &frame.interface,
                at: frame.at,
                octets: &octets,
                wire_octets: frame.octets,
                comment: &comment(&frame),
            })?;
            report.frames += 1;
        }
        CaptureLine::Going { lost } => {
            // Once a second the file is whole, for who looks at it meanwhile.
            writer.flush()?;
            report.lost = lost;
        }
        CaptureLine::Ended { lost } => {
            report.lost = lost;
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// What stands beside a frame.
fn comment(frame: &CapturedView) -> String {
    let mut comment = format!("{} counter={}", frame.verdict, frame.counter);
    if let Some(relay) = frame.relay {
        comment.push_str(&format!(" relay={relay}"));
    }
    if let Some(flag) = frame.flag_id {
        comment.push_str(&format!(" flag={flag}"));
    }
    if frame.as_it_left {
        comment.push_str(" (as it left)");
    }
    comment
}

/// For its owner alone: it is other people's traffic.
fn open(file: &Path) -> Result<Out, CliError> {
    let out: Box<dyn Write> = if is_stdout(file) {
        Box::new(std::io::stdout())
    } else {
        Box::new(private_file(file)?)
    };
    Ok(Writer::new(BufWriter::new(out))?)
}

/// A file for its owner alone, in the place of whatever it held.
pub(super) fn private_file(file: &Path) -> Result<File, CliError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file).map_err(|source| CliError::File {
        path: file.to_owned(),
        source,
    })
}

fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

fn in_words(report: &Report) -> String {
    let frames = match report.frames {
        1 => String::from("1 frame"),
        frames => format!("{frames} frames"),
    };
    let lost = match report.lost {
        0 => "none lost".to_owned(),
        lost => format!("{lost} lost (they came faster than they could be written)"),
    };
    format!("{frames} in {}, {lost}", report.file.display())
}

const EXAMPLES: &str = "Examples:
  outgate capture taken.pcapng --seconds 60
  outgate capture taken.pcapng --source 192.0.2.10 --count 100
  outgate capture - --octets 2048 | tcpdump -nr -

Frames that the kernel program redirects, drops or answers never reach tcpdump; here they are, as they came in, with
verdict, counter, relay and flag as a comment of each. Frames that it lets pass are not: tcpdump sees those. Without
--octets no payload is kept. One capture runs at a time. `outgate why --pcap` judges the file again.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_why() {
        let mut frame = CapturedView {
            at: jiff::Timestamp::UNIX_EPOCH,
            interface: String::from("cust0"),
            verdict: String::from("redirect"),
            counter: String::from("to_relay"),
            relay: Some(1),
            flag_id: Some(7),
            octets: 60,
            as_it_left: false,
            frame: String::new(),
        };
        assert_eq!(comment(&frame), "redirect counter=to_relay relay=1 flag=7");
        frame.relay = None;
        frame.as_it_left = true;
        assert_eq!(
            comment(&frame),
            "redirect counter=to_relay flag=7 (as it left)"
        );
    }
}
