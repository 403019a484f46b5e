//! A file of the prefixes that an operator announces: one a line, or what NetBox exports. Pure.

use ipnetwork::IpNetwork;
use serde_json::Value;

/// Why such a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncedError {
    /// Not a prefix, or one with host bits.
    #[error(
        "line {line}: {found:?} is not a prefix, as 192.0.2.0/24 or 2001:db8::/32; a line has one, and # begins a comment"
    )]
    Line {
        /// From 1.
        line: usize,
        /// What stands there, at most so long that it can be read.
        found: String,
    },
    /// Not JSON, or none that NetBox would write.
    #[error(
        "{0}; wanted is what NetBox's /api/ipam/prefixes/ answers: an object with `results`, or their list, each with a `prefix`"
    )]
    Netbox(String),
    /// Nothing in it.
    #[error("no prefix in it")]
    Empty,
}

/// Reads it; what begins with `{` or `[` is JSON. Each prefix is told once, in order.
///
/// # Errors
///
/// [`AnnouncedError`]: the first line or element that is not as it should be.
pub fn read(text: &str) -> Result<Vec<IpNetwork>, AnnouncedError> {
    let text = text.trim_start_matches('\u{feff}');
    let mut prefixes = match text.trim_start().starts_with(['{', '[']) {
        true => netbox(text)?,
        false => lines(text)?,
    };
    prefixes.sort_unstable();
    prefixes.dedup();
    if prefixes.is_empty() {
        return Err(AnnouncedError::Empty);
    }
    Ok(prefixes)
}

fn lines(text: &str) -> Result<Vec<IpNetwork>, AnnouncedError> {
    let mut prefixes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let said = line
            .split_once('#')
            .map_or(line, |(before, _)| before)
            .trim();
        if said.is_empty() {
            continue;
        }
        prefixes.push(prefix(said).ok_or_else(|| AnnouncedError::Line {
            line: index + 1,
            found: said.chars().take(SHOWN).collect(),
        })?);
    }
    Ok(prefixes)
}

fn netbox(text: &str) -> Result<Vec<IpNetwork>, AnnouncedError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| AnnouncedError::Netbox(error.to_string()))?;
    let results = value.get("results").unwrap_or(&value);
    let results = results
        .as_array()
        .ok_or_else(|| AnnouncedError::Netbox(String::from("no list in it")))?;
    let mut prefixes = Vec::new();
    for (index, result) in results.iter().enumerate() {
        let said = result.get("prefix").and_then(Value::as_str);
        let read = said.and_then(prefix).ok_or_else(|| {
            AnnouncedError::Netbox(format!("results[{index}].prefix: not a prefix"))
        })?;
        prefixes.push(read);
    }
    Ok(prefixes)
}

/// A prefix as it is announced: with its length, and without host bits.
fn prefix(text: &str) -> Option<IpNetwork> {
    let prefix: IpNetwork = text.contains('/').then(|| text.parse().ok())??;
    (prefix.ip() == prefix.network()).then_some(prefix)
}

/// So much of a line tells which one it is.
const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Vec<String>, AnnouncedError> {
        Ok(read(text)?.iter().map(IpNetwork::to_string).collect())
    }

    #[test]
    fn lines_and_what_netbox_exports_are_read_alike() {
        let wanted = ["192.0.2.0/24", "2001:db8::/32"].map(String::from);
        let lines =
            "\u{feff}# ours\r\n2001:db8::/32\r\n\r\n192.0.2.0/24  # rack 7\r\n192.0.2.0/24\r\n";
        let netbox = r#"{"count": 2, "next": null, "results": [
            {"id": 1, "prefix": "192.0.2.0/24", "status": {"value": "active"}}, {"prefix": "2001:db8::/32"}]}"#;
        let list = r#"[{"prefix": "2001:db8::/32"}, {"prefix": "192.0.2.0/24"}]"#;
        for text in [lines, netbox, list] {
            assert_eq!(told(text).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (text, wanted) in [
            ("192.0.2.0/24\n192.0.2.7/24\n", "line 2: \"192.0.2.7/24\""),
            ("192.0.2.1\n", "line 1"),
            ("\0\0\0\n", "line 1"),
            ("# nothing\n", "no prefix"),
            ("", "no prefix"),
            ("{\"results\": [{\"prefix\": 7}]}", "results[0].prefix"),
            ("{\"results\": 7}", "no list"),
            ("[{]", "NetBox"),
        ] {
            let error = told(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let long = told(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(long.len() < 300, "{long}");
    }
}
