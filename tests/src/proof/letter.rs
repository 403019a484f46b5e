//! Messages of a run: each says in its header what its body must be, so that whoever gets it can tell whether it is
//! whole.

use super::chance::Chance;

/// A message to send.
#[derive(Debug)]
pub(super) struct Letter {
    /// Local parts of its recipients; each is an entry of its own in the ledger.
    pub(super) entries: Vec<String>,
    /// As it is sent: dots stuffed, with the end of data.
    pub(super) wire: Vec<u8>,
}

impl Letter {
    /// One with a name that no other has.
    pub(super) fn new(name: &str, chance: &mut Chance, octets_max: usize) -> Self {
        let recipients = if chance.once_in(8) { 3 } else { 1 };
        let entries = (0..recipients)
            .map(|number| format!("{name}-{number}"))
            .collect();
        let body = body(chance, octets_max);
        let mut wire = format!(
            "From: <sender@{DOMAIN}>\r\nTo: undisclosed\r\nSubject: {name}\r\n{FIELD}{:016x}\r\n\r\n",
            hash(&body)
        )
        .into_bytes();
        for line in body.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        Self { entries, wire }
    }
}

/// Whether a message, received and without stuffed dots, has the body that its header says.
pub(super) fn is_whole(content: &[u8]) -> bool {
    let end = b"\r\n\r\n";
    let Some(at) = content.windows(end.len()).position(|octets| octets == end) else {
        return false;
    };
    let (header, rest) = content.split_at(at);
    let body = rest.get(end.len()..).unwrap_or_default();
    let header = String::from_utf8_lossy(header).into_owned();
    let said = header.lines().find_map(|line| line.strip_prefix(FIELD));
    said == Some(format!("{:016x}", hash(body)).as_str())
}

/// Most are small, some do not fit into a segment's share, all have lines that begin with dots.
fn body(chance: &mut Chance, octets_max: usize) -> Vec<u8> {
    let most = u64::try_from(octets_max).unwrap_or(u64::MAX);
    let octets = if chance.once_in(25) {
        chance.within(most / 2..most)
    } else {
        chance.within(1..8 * 1024)
    };
    let mut body = Vec::new();
    while u64::try_from(body.len()).unwrap_or(u64::MAX) < octets {
        let line = format!(
            "{}{:0>70}\r\n",
            [".", "", ".."][usize::from(chance.once_in(2))],
            chance.next()
        );
        body.extend_from_slice(line.as_bytes());
    }
    body
}

/// FNV-1a.
fn hash(octets: &[u8]) -> u64 {
    octets.iter().fold(0xCBF2_9CE4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// All recipients', and the sender's.
pub(super) const DOMAIN: &str = "sink.test";
const FIELD: &str = "X-Ledger-Body: ";

#[cfg(test)]
mod tests {
    use super::*;

    fn unstuffed(wire: &[u8]) -> Vec<u8> {
        let content = wire.strip_suffix(b".\r\n").unwrap();
        let lines = content.split_inclusive(|octet| *octet == b'\n');
        lines
            .flat_map(|line| line.strip_prefix(b".").unwrap_or(line))
            .copied()
            .collect()
    }

    #[test]
    fn a_body_that_lost_or_changed_an_octet_is_not_whole() {
        for number in 0..50 {
            let mut chance = Chance::new(1, number);
            let letter = Letter::new("n", &mut chance, 100_000);
            let content = unstuffed(&letter.wire);
            let traced = [b"Received: by a relay\r\n", content.as_slice()].concat();
            assert!(is_whole(&content) && is_whole(&traced));
            let mut changed = content.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert!(!is_whole(&changed));
            assert!(!is_whole(&content[..content.len() - 1]));
            assert!(!is_whole(b"Subject: n\r\n\r\nanything\r\n"));
        }
    }
}
