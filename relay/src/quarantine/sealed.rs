//! What lies under the seal: the message as it would have gone out, envelope and all.
//!
//! ```text
//! X-Outgate-Envelope: base64, folded: 16 random octets, and the envelope as the spool writes it
//! X-Outgate-Content: follows
//! the content, octet for octet
//! ```
//!
//! So what `age -d` opens is a message that mail programs show, and without these fields it is what the customer wrote.

use std::io::{self, Cursor, Read};

use aws_lc_rs::rand;
use data_encoding::BASE64;
use relay_proto::queued::Queued;
use relay_proto::record::envelope;

/// The fields that stand above the content. `None` only if the machine has no randomness left.
pub(super) fn field(queued: &Queued) -> Option<String> {
    // Who knows the content and the hash must not be able to try addresses.
    let mut octets = vec![0; SALT_OCTETS];
    rand::fill(&mut octets).ok()?;
    octets.extend(envelope::encode(queued));
    let text = BASE64.encode(&octets);
    let mut field = NAME.to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(COLUMNS).unwrap_or((rest, ""));
        field += "\r\n ";
        field += line;
        rest = after;
    }
    field += END;
    Some(field)
}

/// The envelope that `text` begins with, and how many octets it takes. `Ok(None)` = more of the text is needed.
pub(super) fn split(text: &[u8]) -> io::Result<Option<(Queued, usize)>> {
    let wrong = || {
        let what = "not what was sealed: it does not begin with X-Outgate-Envelope";
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    let known = text.len().min(NAME.len());
    if text[..known] != NAME.as_bytes()[..known] {
        return Err(wrong());
    }
    // A line of its own, because the content may begin with a blank, as a folded line does.
    let Some(end) = memchr::memmem::find(text, END.as_bytes()) else {
        if text.len() > FIELD_OCTETS_MAX {
            return Err(wrong());
        }
        return Ok(None);
    };
    let mut base64 = text[NAME.len()..end].to_vec();
    base64.retain(|octet| !octet.is_ascii_whitespace());
    let octets = BASE64.decode(&base64).map_err(|_decode| wrong())?;
    let octets = octets.get(SALT_OCTETS..).ok_or_else(wrong)?;
    let queued = envelope::decode(octets).map_err(|_envelope| wrong())?;
    Ok(Some((queued, end + END.len())))
}

/// What the customer wrote, of a text that was opened.
pub fn without_envelope(mut text: impl Read) -> io::Result<impl Read> {
    let mut front = Vec::new();
    loop {
        if let Some((_, end)) = split(&front)? {
            let rest = front.split_off(end);
            return Ok(Cursor::new(rest).chain(text));
        }
        let read = text.by_ref().take(BLOCK_OCTETS).read_to_end(&mut front)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

const BLOCK_OCTETS: u64 = 64 << 10;
const NAME: &str = "X-Outgate-Envelope:";
const END: &str = "\r\nX-Outgate-Content: follows\r\n";
const COLUMNS: usize = 76;
const SALT_OCTETS: usize = 16;
/// A thousand recipients with long names.
pub(super) const FIELD_OCTETS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use relay_proto::address::ReversePath;
    use relay_proto::envelope::{Mail, Recipient};
    use relay_proto::queued::{Egress, QueueId, Source, UnixMillis};

    use super::*;

    fn queued(recipients: usize) -> Queued {
        let recipient = |number| {
            let path = format!("<user{number}@mx.example>");
            Recipient::new(path.parse().unwrap())
        };
        Queued {
            id: QueueId::from_number(1).unwrap(),
            arrived: UnixMillis(0),
            source: Source::Relay,
            egress: Egress::Pool,
            mail: Mail::new(ReversePath::Null),
            recipients: (0..recipients).map(recipient).collect(),
            trace: "Received: x\r\n".into(),
            may_notify: false,
            held: None,
        }
    }

    #[test]
    fn the_envelope_is_found_again_however_much_of_it_is_there() {
        for recipients in [1, 100] {
            let queued = queued(recipients);
            let field = field(&queued).unwrap();
            assert!(field.lines().all(|line| line.len() <= 78), "{field}");
            assert_ne!(field, super::field(&queued).unwrap(), "salted");
            let text = format!("{field} Subject: x\r\n\r\nx\r\n");
            for end in 0..field.len() {
                assert_eq!(split(&text.as_bytes()[..end]).unwrap(), None, "{end}");
            }
            let found = split(text.as_bytes()).unwrap().unwrap();
            assert_eq!(found, (queued, field.len()));
            let mut content = String::new();
            let mut rest = without_envelope(text.as_bytes()).unwrap();
            rest.read_to_string(&mut content).unwrap();
            assert_eq!(content, " Subject: x\r\n\r\nx\r\n");
            assert!(without_envelope(field.split_at(50).0.as_bytes()).is_err());
        }
    }

    #[test]
    fn what_was_not_sealed_here_is_refused() {
        let endless = format!("{NAME}{}", "\r\n AAAA".repeat(FIELD_OCTETS_MAX / 4));
        for wrong in [
            "Subject: x\r\n\r\n".to_owned(),
            format!("{NAME} AAAA{END}Subject: x\r\n"),
            format!("{NAME} !{END}Subject: x\r\n"),
            endless,
        ] {
            assert!(split(wrong.as_bytes()).is_err());
        }
    }
}
