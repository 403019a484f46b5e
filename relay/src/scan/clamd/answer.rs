//! What clamd's line means.

use relay_proto::verdict::{Concern, Finding};

use super::super::{ScanError, words};

/// `stream: OK`, `stream: NAME FOUND`, or `REASON ERROR`.
pub(super) fn finding(line: &str) -> Result<Finding, ScanError> {
    let line = line.trim_end();
    if let Some(error) = line.strip_suffix(" ERROR") {
        let error = error.strip_prefix("stream: ").unwrap_or(error);
        if error.starts_with(TOO_LARGE) {
            let reason = "longer than clamd's StreamMaxLength".to_owned();
            return Ok(Finding::Unscannable { reason });
        }
        return Err(ScanError::Answer(words::clean(error, ERROR_MAX)));
    }
    let Some(found) = line.strip_prefix("stream: ") else {
        return Err(ScanError::Answer(format!(
            "not of clamd: {:?}",
            words::clean(line, ERROR_MAX)
        )));
    };
    if found == "OK" {
        return Ok(Finding::Clean);
    }
    let Some(name) = found.strip_suffix(" FOUND") else {
        return Err(ScanError::Answer(format!(
            "not of clamd: {:?}",
            words::clean(line, ERROR_MAX)
        )));
    };
    let shown = words::clean(name, NAME_MAX);
    // It says with the same word that it has found something and that it could not look.
    if NOT_SCANNED.iter().any(|prefix| name.starts_with(prefix)) {
        let reason = format!("clamd could not look into it ({shown})");
        return Ok(Finding::Unscannable { reason });
    }
    Ok(Finding::Found {
        concern: Concern::Malware,
        reason: format!("the message contains malware: {shown}"),
    })
}

const TOO_LARGE: &str = "INSTREAM size limit exceeded";
/// Names that say that something was not looked at: clamd's limits (AlertExceedsMax), and what is
/// encrypted (AlertEncrypted).
const NOT_SCANNED: [&str; 2] = ["Heuristics.Limits.Exceeded", "Heuristics.Encrypted."];
/// A reply has 512 octets for everything.
const NAME_MAX: usize = 100;
const ERROR_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_and_not_looked_at_are_told_apart() {
        let malware = |name: &str| {
            let reason = format!("the message contains malware: {name}");
            Some(Finding::Found {
                concern: Concern::Malware,
                reason,
            })
        };
        let unscannable = |reason: &str| {
            let reason = reason.to_owned();
            Some(Finding::Unscannable { reason })
        };
        let cases = [
            ("stream: OK", Some(Finding::Clean)),
            ("stream: Eicar-Signature FOUND", malware("Eicar-Signature")),
            ("stream: Bad\u{7} näme FOUND", malware("Bad? n?me")),
            (
                "INSTREAM size limit exceeded. ERROR",
                unscannable("longer than clamd's StreamMaxLength"),
            ),
            (
                "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND",
                unscannable(
                    "clamd could not look into it (Heuristics.Limits.Exceeded.MaxFileSize)",
                ),
            ),
            (
                "stream: Heuristics.Encrypted.Zip FOUND",
                unscannable("clamd could not look into it (Heuristics.Encrypted.Zip)"),
            ),
            ("stream: Can't allocate memory ERROR", None),
            ("UNKNOWN COMMAND", None),
            ("stream: OK or so", None),
            ("", None),
            ("220 mx.example ESMTP", None),
        ];
        for (line, expected) in cases {
            assert_eq!(finding(line).ok(), expected, "{line}");
        }
        let long = format!("stream: {} FOUND", "x".repeat(4000));
        let Ok(Finding::Found { reason, .. }) = finding(&long) else {
            panic!("{long}");
        };
        assert!(reason.len() < 200, "{reason}");
    }
}
