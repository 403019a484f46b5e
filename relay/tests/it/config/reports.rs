//! `[tls_reports]`, and what a `[[dkim]]` signs.

use relay::config::{Config, DkimSigns};

use super::{EXAMPLE, left_out};

/// The example with these of its tables in force, and `more` in the last of them.
fn with(tables: &[&str], more: &str) -> Result<Config, String> {
    let mut text = EXAMPLE.to_owned();
    for table in tables {
        text += &left_out(table);
    }
    Config::parse(&(text + more)).map_err(|error| error.to_string())
}

#[test]
fn the_examples_own_reports_are_right() {
    let config = with(&["[spool]", "[[dkim]]", "[tls_reports]"], "").unwrap();
    let reports = config.tls_reports.unwrap();
    assert_eq!(reports.organization, "Example Hosting");
    assert_eq!(reports.contact, "tls-reports@example.net");
    assert_eq!(reports.from, "tls-reports@example.net");
    assert_eq!(config.dkim[0].signs, DkimSigns::Own);
    assert!(
        with(&["[spool]", "[[dkim]]"], "")
            .unwrap()
            .tls_reports
            .is_none()
    );
}

#[test]
fn mistakes_are_named() {
    for (tables, more, expected) in [
        (
            &["[[dkim]]", "[tls_reports]"][..],
            "",
            "tls_reports: without [spool]: needs [spool]",
        ),
        (
            &["[spool]", "[tls_reports]"],
            "",
            "tls_reports.from: tls-reports@example.net: needs a [[dkim]]",
        ),
        (
            &["[spool]", "[[dkim]]", "[tls_reports]"],
            "often = true",
            "often: unknown field",
        ),
        (
            &["[spool]", "[[dkim]]"],
            "[tls_reports]\nfrom = \"tls\"\n",
            "tls_reports.from: tls: must be a mailbox",
        ),
        (
            &["[spool]", "[[dkim]]"],
            "[tls_reports]\norganization = \"\"\n",
            "tls_reports.organization: : must be one line",
        ),
        (
            &[],
            "[[dkim]]\ndomain = \"example.org\"\nselector = \"s\"\nkey = \"/k\"\nsign = \"all\"\n",
            "dkim.domain: example.org: must be the domain of notifications.from",
        ),
        (
            &[],
            "[[dkim]]\ndomain = \"example.org\"\nselector = \"s\"\nkey = \"/k\"\nsign = \"theirs\"\n",
            "unknown variant `theirs`, expected one of `own`, `customers`, `all`",
        ),
    ] {
        let error = with(tables, more).unwrap_err();
        assert!(error.contains(expected), "{tables:?} {more}: {error}");
    }
}
