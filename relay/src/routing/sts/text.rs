//! The texts of MTA-STS: the TXT record, and the policy itself (RFC 8461 sections 3.1 and 3.2). Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dns::DnsName;
use crate::routing::policy::within_bounds;

/// A policy as its domain publishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routing) struct Policy {
    mode: Mode,
    /// Names of servers, or `*.` and the rest of a name.
    mx: Vec<String>,
    max_age_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Enforce,
    Testing,
    None,
}

/// Text that is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::routing) enum Invalid {
    /// Not `STSv1`, or not as the first field.
    #[error("it does not say that it is of version STSv1")]
    Version,
    /// No mode, or an unknown one.
    #[error("it has no mode that is known")]
    Mode,
    /// No lifetime, or one that is no number.
    #[error("it has no max_age")]
    MaxAge,
    /// No server, or one that is no name.
    #[error("it names no servers")]
    Mx,
}

impl Policy {
    /// Reads a policy. The first of each field counts, but for `mx`; unknown ones are passed over.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let mut fields = fields
            .by_ref()
            .map(|(key, value)| (key.trim(), value.trim()));
        if fields.next() != Some(("version", "STSv1")) {
            return Err(Invalid::Version);
        }
        let (mut mode, mut max_age, mut mx) = (None, None, Vec::new());
        for (key, value) in fields {
            match key {
                "mode" if mode.is_none() => mode = Some(value),
                "max_age" if max_age.is_none() => max_age = Some(value),
                "mx" => mx.push(pattern(value)?),
                _ => {}
            }
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            Some(_) | None => return Err(Invalid::Mode),
        };
        let max_age = max_age.ok_or(Invalid::MaxAge)?;
        let max_age: u64 = max_age.parse().map_err(|_not_a_number| Invalid::MaxAge)?;
        if mx.is_empty() && mode != Mode::None {
            return Err(Invalid::Mx);
        }
        Ok(Self {
            mode,
            mx,
            max_age_s: max_age.min(MAX_AGE_MAX_S),
        })
    }

    /// How long it holds.
    pub(super) fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_s)
    }

    /// It demands something, if only as a test.
    pub(super) fn is_followed(&self) -> bool {
        self.mode != Mode::None
    }

    /// A failure is only reported.
    pub(in crate::routing) fn testing(&self) -> bool {
        self.mode == Mode::Testing
    }

    /// Whether `host` is one of its servers: `*` stands for one label (RFC 8461 section 4.1).
    pub(in crate::routing) fn names(&self, host: &DnsName) -> bool {
        let host = host.as_str();
        self.mx
            .iter()
            .any(|pattern| match pattern.strip_prefix("*.") {
                Some(rest) => host.split_once('.').is_some_and(|(_, above)| above == rest),
                None => pattern == host,
            })
    }

    /// What it says, in lines as it is published, within bounds.
    pub(in crate::routing) fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let head = ["version: STSv1".to_owned(), format!("mode: {mode}")];
        let age = format!("max_age: {}", self.max_age_s);
        let mx = self.mx.iter().map(|pattern| format!("mx: {pattern}"));
        within_bounds(head.into_iter().chain([age]).chain(mx))
    }

    /// About how many octets it takes.
    pub(super) fn weight(&self) -> usize {
        self.mx
            .iter()
            .map(|pattern| pattern.len() + 32)
            .sum::<usize>()
            + 64
    }
}

fn pattern(value: &str) -> Result<String, Invalid> {
    let (wildcard, name) = match value.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", value),
    };
    let name = DnsName::new(name).map_err(|_not_a_name| Invalid::Mx)?;
    Ok(format!("{wildcard}{name}"))
}

/// The id that the domain's TXT records say; `None` unless exactly one is of this version.
pub(super) fn id<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut ours = texts.filter(|text| {
        let first = text.split(';').next().unwrap_or_default();
        first.trim_end() == "v=STSv1"
    });
    let (only, None) = (ours.next()?, ours.next()) else {
        return None;
    };
    let fields = only.split(';').filter_map(|field| field.split_once('='));
    let mut ids = fields.filter(|(key, _)| key.trim() == "id");
    let (_, id) = ids.next()?;
    let id = id.trim();
    let fits = (1..=32).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}

/// A year (RFC 8461 section 3.2).
const MAX_AGE_MAX_S: u64 = 31_557_600;

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str = "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

    #[test]
    fn a_policy_names_its_servers() {
        let policy = Policy::parse(USUAL).unwrap();
        assert!(policy.is_followed() && !policy.testing());
        assert_eq!(policy.max_age(), Duration::from_secs(604_800));
        for (host, is_named) in [
            ("mail.example.org", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("xmail.example.org", false),
            ("mail.example.org.evil.example", false),
            ("aexample.net", false),
        ] {
            assert_eq!(
                policy.names(&DnsName::new(host).unwrap()),
                is_named,
                "{host}"
            );
        }
    }

    #[test]
    fn modes_lines_and_unknown_fields() {
        let testing =
            Policy::parse("version:STSv1\nmode:testing\nmx:a.example\nmax_age:1\nfuture: x")
                .unwrap();
        assert!(testing.testing() && testing.is_followed());
        let none = Policy::parse("version: STSv1\nmode: none\nmax_age: 86400\n").unwrap();
        assert!(!none.is_followed());
        let first = Policy::parse(&format!("{USUAL}mode: none\nmax_age: 1\n")).unwrap();
        assert_eq!(first, Policy::parse(USUAL).unwrap());
        let for_ever = USUAL.replace("604800", "99999999999");
        assert_eq!(
            Policy::parse(&for_ever).unwrap().max_age().as_secs(),
            MAX_AGE_MAX_S
        );
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        for (text, why) in [
            ("", Invalid::Version),
            ("<html>: no\n", Invalid::Version),
            ("version: STSv2\nmode: none\nmax_age: 1\n", Invalid::Version),
            ("mode: none\nversion: STSv1\nmax_age: 1\n", Invalid::Version),
            ("version: STSv1\nmax_age: 1\nmx: a.example\n", Invalid::Mode),
            (
                "version: STSv1\nmode: maybe\nmax_age: 1\nmx: a.example\n",
                Invalid::Mode,
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a.example\n",
                Invalid::MaxAge,
            ),
            (
                "version: STSv1\nmode: enforce\nmax_age: -1\nmx: a.example\n",
                Invalid::MaxAge,
            ),
            ("version: STSv1\nmode: enforce\nmax_age: 1\n", Invalid::Mx),
            (
                "version: STSv1\nmode: enforce\nmax_age: 1\nmx: *.*.example\n",
                Invalid::Mx,
            ),
            (
                "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a*.example\n",
                Invalid::Mx,
            ),
        ] {
            assert_eq!(Policy::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn one_record_has_one_id() {
        let read = |texts: &[&str]| id(texts.iter().copied());
        assert_eq!(
            read(&["v=STSv1; id=20260101T010101;"]).as_deref(),
            Some("20260101T010101")
        );
        assert_eq!(read(&["v=spf1 -all", "v=STSv1;id=1"]).as_deref(), Some("1"));
        for wrong in [
            &["v=STSv1; id=1", "v=STSv1; id=2"][..],
            &["v=STSv2; id=1"],
            &["id=1; v=STSv1"],
            &["v=STSv1"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &["v=STSv1; id=012345678901234567890123456789012"],
            &[],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
