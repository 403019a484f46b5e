//! `[tls_reports]`: reports to domains about the TLS of their servers (RFC 8460).

use serde::Deserialize;

use super::notifications::mailbox;
use super::{DkimKey, DnsConfig, Identity, Invalid, Notifications};

/// Who sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsReports {
    /// Name of the organisation.
    pub organization: String,
    /// How to reach who is responsible for them.
    pub contact: String,
    /// Whom they come from: an ASCII mailbox with a domain name, for which one of the relay's keys signs.
    pub from: String,
}

/// `[tls_reports]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTlsReports {
    organization: Option<String>,
    contact: Option<String>,
    from: Option<String>,
}

impl RawTlsReports {
    /// The other arguments are what stands elsewhere in the file.
    pub(super) fn check(
        self,
        identity: &Identity,
        notifications: &Notifications,
        dkim: &[DkimKey],
        dns: &DnsConfig,
        has_spool: bool,
    ) -> Result<TlsReports, Invalid> {
        if !has_spool {
            let problem = "needs [spool], where reports wait for their delivery";
            return Err(Invalid::new("tls_reports", "without [spool]", problem));
        }
        if dns.servers.as_ref().is_some_and(Vec::is_empty) {
            let problem = "needs dns.servers: the DNS says who wants reports";
            return Err(Invalid::new("tls_reports", "without a resolver", problem));
        }
        let from = match self.from {
            Some(text) => mailbox("tls_reports.from", &text)?,
            None => notifications.from.clone(),
        };
        // RFC 8460 section 3: reports without a signature of their sender's domain must be ignored.
        if !dkim.iter().any(|key| key.signs_for(&from)) {
            let problem = "needs a [[dkim]] that signs own mail for its domain or one above it: unsigned reports are ignored";
            return Err(Invalid::new("tls_reports.from", from, problem));
        }
        let organization = self.organization.map(|text| line("organization", text));
        let contact = self.contact.map(|text| line("contact", text));
        Ok(TlsReports {
            organization: organization
                .transpose()?
                .unwrap_or_else(|| identity.operator.clone()),
            contact: contact.transpose()?.unwrap_or_else(|| from.clone()),
            from,
        })
    }
}

fn line(key: &str, text: String) -> Result<String, Invalid> {
    if text.trim().is_empty() || text.chars().count() > CHARS_MAX || text.contains(char::is_control)
    {
        let problem = format!("must be one line of at most {CHARS_MAX} characters");
        return Err(Invalid::new(&format!("tls_reports.{key}"), text, problem));
    }
    Ok(text)
}

const CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::DkimSigns;

    fn check(
        raw: RawTlsReports,
        signs: DkimSigns,
        servers: bool,
        spool: bool,
    ) -> Result<TlsReports, Invalid> {
        let identity = Identity {
            operator: "Example Hosting".into(),
            hostname: "relay-1.example.net".into(),
            help_url: "https://abuse.example.net/smtp".into(),
        };
        let notifications = Notifications {
            from: "mailer-daemon@relay-1.example.net".into(),
            delay_after: None,
            per_domain_per_hour: NonZeroU32::MIN,
            per_customer_per_hour: NonZeroU32::MIN,
        };
        let key = DkimKey {
            domain: "example.net".into(),
            selector: "s".into(),
            key: "/k".into(),
            signs,
        };
        let dns = DnsConfig {
            servers: (!servers).then(Vec::new),
            ..DnsConfig::default()
        };
        raw.check(&identity, &notifications, &[key], &dns, spool)
    }

    fn from(text: &str) -> RawTlsReports {
        RawTlsReports {
            from: Some(text.into()),
            ..RawTlsReports::default()
        }
    }

    #[test]
    fn who_sends_them_is_known_from_the_rest() {
        let reports = check(RawTlsReports::default(), DkimSigns::All, true, true).unwrap();
        assert_eq!(reports.organization, "Example Hosting");
        assert_eq!(reports.from, "mailer-daemon@relay-1.example.net");
        assert_eq!(reports.contact, reports.from);
        let reports = check(from("tls@example.net"), DkimSigns::Own, true, true).unwrap();
        assert_eq!(reports.contact, "tls@example.net");
    }

    #[test]
    fn what_would_be_ignored_or_lost_is_not_sent() {
        let key = |result: Result<TlsReports, Invalid>| result.unwrap_err().key;
        let raw = RawTlsReports::default;
        assert_eq!(
            key(check(raw(), DkimSigns::Own, true, false)),
            "tls_reports"
        );
        assert_eq!(
            key(check(raw(), DkimSigns::Own, false, true)),
            "tls_reports"
        );
        let unsigned = check(raw(), DkimSigns::Customers, true, true);
        assert_eq!(key(unsigned), "tls_reports.from");
        let elsewhere = check(from("tls@example.org"), DkimSigns::Own, true, true);
        assert_eq!(key(elsewhere), "tls_reports.from");
        for (organization, contact) in [("a\nb", "c"), (" ", "c"), ("a", "")] {
            let raw = RawTlsReports {
                organization: Some(organization.into()),
                contact: Some(contact.into()),
                from: None,
            };
            assert!(
                check(raw, DkimSigns::Own, true, true).is_err(),
                "{organization:?} {contact:?}"
            );
        }
    }
}
