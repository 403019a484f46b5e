//! What the players of both sides share: reading scripts, cutting octets, comparing transcripts.

use std::time::Duration;

/// How the octets of a script arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Line by line, as written.
    Lines,
    /// Octet by octet.
    Octets,
    /// All at once, as far as nothing else happens in between.
    Together,
}

pub(crate) const ARRIVALS: [Arrival; 3] = [Arrival::Lines, Arrival::Octets, Arrival::Together];

/// The lines of a script as (mark, rest). A mark is all before the first colon.
pub(crate) fn lines(script: &str) -> Vec<(&str, &str)> {
    script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (mark, rest) = line.split_once(':').unwrap();
            (mark, rest.strip_prefix(' ').unwrap_or(rest))
        })
        .collect()
}

/// Octets of a script's line, in which `\r`, `\n`, `\0` and `\\` stand for themselves.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' {
            match chars.next().unwrap() {
                'r' => '\r',
                'n' => '\n',
                '0' => '\0',
                '\\' => '\\',
                other => panic!("no such escape: {other}"),
            }
        } else {
            c
        };
        octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    octets
}

/// The text of octets, as a script has it.
pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .replace('\\', "\\\\")
        .replace('\r', "\\r")
        .replace('\n', "\\n")
        .replace('\0', "\\0")
}

/// `299.999` seconds.
pub(crate) fn seconds(text: &str) -> Duration {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let millis = format!("{fraction:0<3}").parse().unwrap();
    Duration::from_secs(whole.parse().unwrap()) + Duration::from_millis(millis)
}

/// Takes whole lines off `octets`, without their CRLF.
pub(crate) fn take_lines(octets: &mut Vec<u8>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(end) = octets.windows(2).position(|pair| pair == b"\r\n") {
        let line: Vec<u8> = octets.drain(..end + 2).collect();
        lines.push(text(&line[..end]));
    }
    lines
}

/// Panics with both transcripts if they differ.
#[track_caller]
pub(crate) fn compare(arrival: Arrival, expected: &[String], seen: &[String]) {
    let differs = expected.iter().zip(seen).position(|(a, b)| a != b);
    let at = differs.unwrap_or_else(|| expected.len().min(seen.len()));
    assert!(
        expected == seen,
        "{arrival:?}: differs at line {at}: expected {:?}, seen {:?}\n--- seen\n{}\n---",
        expected.get(at),
        seen.get(at),
        seen.join("\n")
    );
}
