//! A report: what was counted of one domain's mail on one day, as RFC 8460 section 4 writes it. Pure.
//!
//! Its name is the same whenever it is made, so a domain that gets it twice can tell (RFC 8460 section 5.3).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::outbound::results::Counted;

/// Who reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reporting<'a> {
    pub(super) organization: &'a str,
    pub(super) contact: &'a str,
    /// Domain of the address that reports come from.
    pub(super) submitter: &'a str,
    /// The relay; each has reports of its own.
    pub(super) hostname: &'a str,
}

/// The report, field by field of RFC 8460 section 4.4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    organization_name: String,
    date_range: DateRange,
    contact_info: String,
    /// Its name, without angle brackets.
    pub report_id: String,
    policies: Vec<Policy>,
    #[serde(skip)]
    file_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct DateRange {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Policy {
    policy: Published,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failure_details: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Published {
    policy_type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policy_string: Vec<String>,
    policy_domain: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mx_host: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Failure {
    result_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sending_mta_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_mx_hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiving_ip: Option<IpAddr>,
    failed_session_count: u64,
}

impl Report {
    /// What was counted of the mail of `domain` on `day`.
    pub(super) fn of(day: Date, domain: &str, counted: &[Counted], by: Reporting<'_>) -> Self {
        let (start, end) = (moment(day, Time::midnight()), moment(day, LAST_SECOND));
        let compact = day.strftime("%Y%m%d");
        let report_id = format!("{compact}.{domain}@{}", by.hostname);
        let unique: String = hexadecimal(&Sha256::digest(&report_id));
        let file_name = format!(
            "{}!{domain}!{}!{}!{unique}.json.gz",
            by.submitter,
            start.as_second(),
            end.as_second()
        );
        let mut policies: BTreeMap<Published, Vec<&Counted>> = BTreeMap::new();
        for counted in counted {
            let published = Published::of(counted);
            policies.entry(published).or_default().push(counted);
        }
        Self {
            organization_name: by.organization.to_owned(),
            date_range: DateRange {
                start_datetime: start.to_string(),
                end_datetime: end.to_string(),
            },
            contact_info: by.contact.to_owned(),
            report_id,
            policies: policies.into_iter().map(Policy::of).collect(),
            file_name,
        }
    }

    /// Sessions that showed what was demanded, and those that did not.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let summaries = self.policies.iter().map(|policy| policy.summary);
        summaries.fold((0, 0), |(good, bad), summary| {
            let Summary {
                total_successful_session_count: successes,
                total_failure_session_count: failures,
            } = summary;
            (good + successes, bad + failures)
        })
    }

    /// What its file is called (RFC 8460 section 5.1).
    pub(super) fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Its file.
    pub(super) fn gzip(&self) -> io::Result<Vec<u8>> {
        let mut file = GzEncoder::new(Vec::new(), Compression::default());
        file.write_all(&serde_json::to_vec(self)?)?;
        file.finish()
    }
}

impl Published {
    fn of(counted: &Counted) -> Self {
        // In MTA-STS the names that servers may have stand among the lines.
        let patterns = counted
            .text
            .iter()
            .filter_map(|line| line.strip_prefix("mx: "));
        Self {
            policy_type: counted.policy.clone(),
            policy_string: counted.text.clone(),
            policy_domain: counted.domain.clone(),
            mx_host: patterns.map(str::to_owned).collect(),
        }
    }
}

impl Policy {
    fn of((policy, counted): (Published, Vec<&Counted>)) -> Self {
        let summary = Summary {
            total_successful_session_count: counted.iter().map(|it| it.successes).sum(),
            total_failure_session_count: counted.iter().map(|it| it.failed()).sum(),
        };
        let failure_details = counted.iter().flat_map(|counted| failures(counted));
        Self {
            policy,
            summary,
            failure_details: failure_details.collect(),
        }
    }
}

/// By address, and what is left without.
fn failures(counted: &Counted) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut add = |result: &str, sending, receiving, count| {
        failures.push(Failure {
            result_type: result.to_owned(),
            sending_mta_ip: sending,
            receiving_mx_hostname: counted.mx_host.clone(),
            receiving_ip: receiving,
            failed_session_count: count,
        });
    };
    for detail in &counted.details {
        add(
            &detail.result,
            detail.sending_ip,
            detail.receiving_ip,
            detail.count,
        );
    }
    for (result, &count) in &counted.failures {
        let detailed = counted.details.iter().filter(|it| it.result == *result);
        let left = count.saturating_sub(detailed.map(|it| it.count).sum());
        if left > 0 {
            add(result, None, None, left);
        }
    }
    failures
}

fn moment(day: Date, time: Time) -> Timestamp {
    let moment = day.to_datetime(time).to_zoned(TimeZone::UTC);
    moment.map_or(Timestamp::UNIX_EPOCH, |moment| moment.timestamp())
}

/// The moment after which nothing of a day is counted any more.
pub(super) fn end_of(day: Date) -> Timestamp {
    moment(day, LAST_SECOND) + SignedDuration::from_secs(1)
}

fn hexadecimal(digest: &[u8]) -> String {
    let octets = digest.iter().take(UNIQUE_OCTETS);
    octets.map(|octet| format!("{octet:02x}")).collect()
}

const LAST_SECOND: Time = Time::constant(23, 59, 59, 0);
const UNIQUE_OCTETS: usize = 6;

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use serde_json::{Value, json};

    use super::*;
    use crate::outbound::results::Detail;

    pub(crate) fn counted(policy: &str, domain: &str, host: &str, text: &[&str]) -> Counted {
        Counted {
            mail_of: "example.org".into(),
            domain: domain.into(),
            policy: policy.into(),
            mx_host: Some(host.into()),
            text: text.iter().map(ToString::to_string).collect(),
            successes: 10,
            failures: BTreeMap::new(),
            details: Vec::new(),
        }
    }

    pub(crate) const BY: Reporting<'_> = Reporting {
        organization: "Example Hosting",
        contact: "tls@example.net",
        submitter: "example.net",
        hostname: "relay-1.example.net",
    };

    #[test]
    fn a_report_has_the_fields_of_the_rfc() {
        let lines = [
            "version: STSv1",
            "mode: testing",
            "max_age: 86400",
            "mx: *.mail.example.org",
        ];
        let mut first = counted("sts", "example.org", "mx1.mail.example.org", &lines);
        first.failures.insert("certificate-expired".into(), 5);
        first.details.push(Detail {
            result: "certificate-expired".into(),
            sending_ip: Some("198.51.100.2".parse().unwrap()),
            receiving_ip: Some("2001:db8::25".parse().unwrap()),
            count: 3,
        });
        let second = counted("sts", "example.org", "mx2.mail.example.org", &lines);
        let dane = counted("tlsa", "mx3.example.org", "mx3.example.org", &["3 1 1 ab"]);
        let mut without = counted("no-policy-found", "example.org", "mx4.example.org", &[]);
        without.failures.insert("starttls-not-supported".into(), 2);
        let day = Date::constant(2026, 11, 21);
        let report = Report::of(day, "example.org", &[first, dane, second, without], BY);
        assert_eq!(report.totals(), (40, 7));
        assert_eq!(
            report.file_name(),
            format!(
                "example.net!example.org!1795219200!1795305599!{}.json.gz",
                hexadecimal(&Sha256::digest("20261121.example.org@relay-1.example.net"))
            )
        );
        let mut text = String::new();
        let gzip = report.gzip().unwrap();
        GzDecoder::new(&gzip[..]).read_to_string(&mut text).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "organization-name": "Example Hosting",
            "date-range": {
                "start-datetime": "2026-11-21T00:00:00Z",
                "end-datetime": "2026-11-21T23:59:59Z",
            },
            "contact-info": "tls@example.net",
            "report-id": "20261121.example.org@relay-1.example.net",
            "policies": [
                {
                    "policy": {
                        "policy-type": "no-policy-found",
                        "policy-domain": "example.org",
                    },
                    "summary": {
                        "total-successful-session-count": 10,
                        "total-failure-session-count": 2,
                    },
                    "failure-details": [
                        {
                            "result-type": "starttls-not-supported",
                            "receiving-mx-hostname": "mx4.example.org",
                            "failed-session-count": 2,
                        },
                    ],
                },
                {
                    "policy": {
                        "policy-type": "sts",
                        "policy-string": lines,
                        "policy-domain": "example.org",
                        "mx-host": ["*.mail.example.org"],
                    },
                    "summary": {
                        "total-successful-session-count": 20,
                        "total-failure-session-count": 5,
                    },
                    "failure-details": [
                        {
                            "result-type": "certificate-expired",
                            "sending-mta-ip": "198.51.100.2",
                            "receiving-mx-hostname": "mx1.mail.example.org",
                            "receiving-ip": "2001:db8::25",
                            "failed-session-count": 3,
                        },
                        {
                            "result-type": "certificate-expired",
                            "receiving-mx-hostname": "mx1.mail.example.org",
                            "failed-session-count": 2,
                        },
                    ],
                },
                {
                    "policy": {
                        "policy-type": "tlsa",
                        "policy-string": ["3 1 1 ab"],
                        "policy-domain": "mx3.example.org",
                    },
                    "summary": {
                        "total-successful-session-count": 10,
                        "total-failure-session-count": 0,
                    },
                },
            ],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn the_name_is_the_same_again_and_another_elsewhere() {
        let day = Date::constant(2026, 11, 21);
        let of = |domain, by| Report::of(day, domain, &[], by);
        assert_eq!(of("example.org", BY), of("example.org", BY));
        let other = Reporting {
            hostname: "relay-2.example.net",
            ..BY
        };
        assert_ne!(
            of("example.org", BY).report_id,
            of("example.org", other).report_id
        );
        assert_ne!(
            of("example.org", BY).file_name,
            of("example.org", other).file_name
        );
        assert_eq!(end_of(day).to_string(), "2026-11-22T00:00:00Z");
    }
}
