//! What a filter's words mean.

use std::ffi::CStr;

use relay_proto::milter::Reply;
use relay_proto::verdict::{Concern, Finding};

use super::super::{ScanError, words};

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The next thing is shown.
    GoOn,
    /// Nothing more of this kind is shown.
    Enough,
    /// The matter is settled, and why, in the filter's words.
    Settled(Finding, Option<String>),
}

/// What `reply` means of a filter that looks for `concern`. What may stand only behind the end of the content is out of turn.
pub(super) fn heard(reply: &Reply, concern: Concern) -> Result<Heard, ScanError> {
    let found = |reason: &str| Finding::Found {
        concern,
        reason: reason.to_owned(),
    };
    let later = || Finding::Defer {
        reason: "the content filter asks you to try again later".to_owned(),
    };
    let (finding, said) = match reply {
        Reply::Continue => return Ok(Heard::GoOn),
        Reply::Skip => return Ok(Heard::Enough),
        Reply::Accept => return Ok(Heard::Settled(Finding::Clean, None)),
        Reply::Reject => (found(REFUSED), "reject"),
        Reply::Discard => (found(REFUSED), "discard"),
        Reply::TempFail => (later(), "tempfail"),
        Reply::Shutdown => (later(), "shutdown"),
        Reply::ConnectionFailed => (later(), "connection failure"),
        Reply::Code(code) => return by_code(code, concern),
        Reply::Negotiate(_) | Reply::Progress | Reply::Quarantine(_) | Reply::Change { .. } => {
            return Err(out_of_turn(reply));
        }
    };
    Ok(Heard::Settled(finding, Some(said.to_owned())))
}

/// What it means that a message is to be kept until somebody has looked.
pub(super) fn quarantined(why: &CStr, concern: Concern) -> Heard {
    let why = words::clean(&why.to_string_lossy(), TEXT_MAX);
    let finding = Finding::Found {
        concern,
        reason: REFUSED.to_owned(),
    };
    Heard::Settled(finding, Some(format!("quarantine: {why}")))
}

pub(super) fn out_of_turn(reply: &Reply) -> ScanError {
    let what = match reply {
        Reply::Negotiate(_) => "negotiates",
        Reply::Change { .. } => "changes something",
        Reply::Quarantine(_) => "quarantines",
        Reply::Skip => "skips",
        Reply::Progress => "is at work",
        Reply::Continue => "goes on",
        Reply::Accept
        | Reply::Reject
        | Reply::TempFail
        | Reply::Discard
        | Reply::Code(_)
        | Reply::Shutdown
        | Reply::ConnectionFailed => "judges",
    };
    ScanError::Answer(format!("the filter {what} out of turn"))
}

/// A reply of SMTP in the filter's words: `550 5.7.1 TEXT`, with lines joined.
fn by_code(code: &CStr, concern: Concern) -> Result<Heard, ScanError> {
    let code = code.to_string_lossy();
    let said = words::clean(&code, TEXT_MAX);
    let text: Vec<&str> = code
        .lines()
        .map(text_of)
        .filter(|it| !it.is_empty())
        .collect();
    // Percent signs are doubled, because Sendmail has them printed by a format.
    let text = words::clean(&text.join(" ").replace("%%", "%"), TEXT_MAX);
    let reason = if text.is_empty() {
        REFUSED.to_owned()
    } else {
        text
    };
    let finding = match code.as_bytes() {
        [b'5', b'0'..=b'9', b'0'..=b'9', ..] => Finding::Found { concern, reason },
        [b'4', b'0'..=b'9', b'0'..=b'9', ..] => Finding::Defer { reason },
        _ => {
            let problem = format!("neither a 4xx nor a 5xx: {said:?}");
            return Err(ScanError::Answer(problem));
        }
    };
    Ok(Heard::Settled(finding, Some(said)))
}

/// A line without code and enhanced code.
fn text_of(line: &str) -> &str {
    let text = line.get(3..).unwrap_or_default();
    let text = text.strip_prefix(['-', ' ']).unwrap_or(text).trim();
    match text.split_once(' ').unwrap_or((text, "")) {
        (first, rest) if is_enhanced(first) => rest.trim(),
        _ => text,
    }
}

/// RFC 3463 section 2.
fn is_enhanced(word: &str) -> bool {
    let numbers: Vec<&str> = word.split('.').collect();
    let is_number = |text: &&str| {
        (1..=3).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
    };
    numbers.len() == 3 && numbers.iter().all(is_number)
}

const REFUSED: &str = "the content filter refuses the message";
/// A reply has 512 octets for everything.
const TEXT_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use bytes::Bytes;
    use relay_proto::milter::{Change, Terms};

    use super::*;

    fn found(reason: &str) -> Finding {
        Finding::Found {
            concern: Concern::Malware,
            reason: reason.to_owned(),
        }
    }

    fn later(reason: &str) -> Finding {
        let reason = reason.to_owned();
        Finding::Defer { reason }
    }

    fn means(reply: &Reply) -> Result<Heard, String> {
        heard(reply, Concern::Malware).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_dropped_in_silence() {
        let asks = "the content filter asks you to try again later";
        for (reply, finding, said) in [
            (Reply::Reject, found(REFUSED), "reject"),
            (Reply::Discard, found(REFUSED), "discard"),
            (Reply::TempFail, later(asks), "tempfail"),
            (Reply::Shutdown, later(asks), "shutdown"),
            (Reply::ConnectionFailed, later(asks), "connection failure"),
        ] {
            let expected = Heard::Settled(finding, Some(said.to_owned()));
            assert_eq!(means(&reply), Ok(expected), "{reply:?}");
        }
        assert_eq!(means(&Reply::Continue), Ok(Heard::GoOn));
        assert_eq!(means(&Reply::Skip), Ok(Heard::Enough));
        let clean = Heard::Settled(Finding::Clean, None);
        assert_eq!(means(&Reply::Accept), Ok(clean));
        let kept = quarantined(c"looks\nbad", Concern::Malware);
        let said = Some("quarantine: looks?bad".to_owned());
        assert_eq!(kept, Heard::Settled(found(REFUSED), said));
    }

    #[test]
    fn a_reply_of_its_own_is_told_to_the_sender() {
        for (code, finding) in [
            ("550 5.7.1 virus found", found("virus found")),
            ("550 virus found", found("virus found")),
            ("554", found(REFUSED)),
            ("550 5.7.1", found(REFUSED)),
            ("451 4.7.1 100%% busy", later("100% busy")),
            ("421 4.3.2 no\r\n250 ok", later("no ok")),
            ("550-5.7.1 one\r\n550 5.7.1 two", found("one two")),
            ("550 5.7.1 a\u{1b}[2Jb", found("a?[2Jb")),
            ("550 5.7.1234 x", found("5.7.1234 x")),
        ] {
            let reply = Reply::Code(CString::new(code).unwrap());
            let Ok(Heard::Settled(heard, Some(_))) = means(&reply) else {
                panic!("{code}");
            };
            assert_eq!(heard, finding, "{code}");
        }
        for code in ["", "250 ok", "5", "55x no", "ok"] {
            let reply = Reply::Code(CString::new(code).unwrap());
            let error = means(&reply).unwrap_err();
            assert!(error.contains("neither a 4xx nor a 5xx"), "{error}");
        }
    }

    #[test]
    fn what_belongs_behind_the_content_is_out_of_turn_before() {
        for reply in [
            Reply::Negotiate(Terms::offer()),
            Reply::Quarantine(CString::default()),
            Reply::Change {
                kind: Change::AddHeader,
                octets: Bytes::new(),
            },
        ] {
            let error = means(&reply).unwrap_err();
            assert!(error.contains("out of turn"), "{error}");
        }
    }
}
