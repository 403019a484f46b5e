//! `[notices]` and `[[contact]]`: how customers are told, and who is.

use super::*;
use crate::secret::SecretFile;

const NOTICES: &str = r#"
[notices]
from = "Example Hosting <abuse@example.net>"
reply_to = "desk@example.net"
submit = "smtps://mail.example.net:4465"
user = "outgate"
password_file = "notices"
ca_file = "/etc/outgate/mail-ca.pem"
templates = "/etc/outgate/notices"
language = "de"
at_most_every = "2h"
insecure = false

[[contact]]
prefix = "192.0.2.0/24"
mail = "abuse@customer.example"

[[contact]]
prefix = "2001:db8:a::/48"
mail = "Six <six@customer.example>"
"#;

#[test]
fn every_key_of_notices_is_read() {
    assert_eq!(parse(WHOLE).unwrap().notices, None);
    let config = parse(&format!("{WHOLE}{NOTICES}")).unwrap();
    let expected = Notices {
        from: String::from("Example Hosting <abuse@example.net>"),
        reply_to: Some(String::from("desk@example.net")),
        submit: Submit {
            host: String::from("mail.example.net"),
            port: 4465,
            tls: SubmitTls::Implicit,
        },
        login: Some((
            String::from("outgate"),
            SecretFile::Credential(String::from("notices")),
        )),
        ca_file: Some(PathBuf::from("/etc/outgate/mail-ca.pem")),
        templates: Some(PathBuf::from("/etc/outgate/notices")),
        language: String::from("de"),
        at_most_every: Duration::from_secs(7200),
    };
    assert_eq!(config.notices, Some(expected));
    let of = |prefix: &str| {
        config
            .contacts
            .of(prefix.parse().unwrap())
            .map(str::to_owned)
    };
    assert_eq!(
        of("192.0.2.10/32").as_deref(),
        Some("abuse@customer.example")
    );
    assert_eq!(
        of("2001:db8:a:a::/64").as_deref(),
        Some("Six <six@customer.example>")
    );
}

#[test]
fn mail_is_sealed_unless_it_stays_on_this_host() {
    let submit = |text: &str, insecure: &str| {
        let text = NOTICES
            .replace("smtps://mail.example.net:4465", text)
            .replace("insecure = false", insecure)
            .replace("user = \"outgate\"\npassword_file = \"notices\"\n", "");
        parse(&format!("{WHOLE}{text}")).map(|config| config.notices.unwrap().submit)
    };
    for (text, insecure, host, port, tls) in [
        (
            "smtp://mail.example.net",
            "insecure = false",
            "mail.example.net",
            587,
            SubmitTls::Starttls,
        ),
        (
            "smtp://mail.example.net:25",
            "insecure = true",
            "mail.example.net",
            25,
            SubmitTls::None,
        ),
        (
            "smtp://[::1]:25",
            "insecure = false",
            "::1",
            25,
            SubmitTls::None,
        ),
        (
            "smtp://[2001:db8::1]",
            "insecure = false",
            "2001:db8::1",
            587,
            SubmitTls::Starttls,
        ),
        (
            "smtps://192.0.2.1",
            "insecure = false",
            "192.0.2.1",
            465,
            SubmitTls::Implicit,
        ),
    ] {
        let submit = submit(text, insecure).unwrap();
        assert_eq!(
            (submit.host.as_str(), submit.port, submit.tls),
            (host, port, tls)
        );
    }
    for wrong in [
        "mail.example.net:25",
        "smtp://",
        "smtp://a b",
        "smtp://x:0",
        "smtp://::1",
        "lmtp://x",
    ] {
        let error = submit(wrong, "insecure = false").unwrap_err();
        assert!(
            error.contains("notices.submit: ") && error.contains("smtp://HOST:PORT"),
            "{error}"
        );
    }
}

#[test]
fn what_could_not_be_sent_names_the_key() {
    for (from, to, expected) in [
        (
            "Hosting <abuse@example.net>",
            "Hosting",
            "notices.from: \"Example Hosting\": not an address of mail",
        ),
        (
            "\"desk@example.net\"",
            "\"d\u{fc}sk@example.net\"",
            "notices.reply_to: \"d\u{fc}sk@example.net\": not an address",
        ),
        (
            "user = \"outgate\"\n",
            "",
            "notices.user: missing: a user is of no use",
        ),
        (
            "password_file = \"notices\"\n",
            "",
            "notices.password_file: missing: a user is of no use",
        ),
        (
            "\"/etc/outgate/notices\"",
            "\"notices\"",
            "notices.templates: notices: a relative path",
        ),
        (
            "\"de\"",
            "\"../x\"",
            "notices.language: \"../x\": not a language",
        ),
        (
            "\"2h\"",
            "\"0s\"",
            "notices.at_most_every: 0s: out of range",
        ),
        (
            "\"192.0.2.0/24\"",
            "\"192.0.2.1/24\"",
            "contact[0].prefix: 192.0.2.1/24: host bits are set",
        ),
        (
            "\"192.0.2.0/24\"",
            "\"2001:db8:a::/48\"",
            "contact[1].prefix: 2001:db8:a::/48: named twice",
        ),
        (
            "\"abuse@customer.example\"",
            "\"nobody\"",
            "contact[0].mail: \"nobody\": not an address",
        ),
    ] {
        assert!(NOTICES.contains(from), "{from}");
        let error = parse(&format!("{WHOLE}{}", NOTICES.replacen(from, to, 1))).unwrap_err();
        assert!(
            error.starts_with(&format!("o.toml: {expected}")),
            "{to}: {error}"
        );
    }
    let open = NOTICES
        .replace("smtps://", "smtp://")
        .replace("insecure = false", "insecure = true");
    let error = parse(&format!("{WHOLE}{open}")).unwrap_err();
    assert!(
        error.contains("a password would go over the network in clear text"),
        "{error}"
    );
}
