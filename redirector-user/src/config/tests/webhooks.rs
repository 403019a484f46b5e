//! `[[webhook]]`: who is told events.

use super::*;
use crate::secret::SecretFile;

const HOOK: &str = r#"
[[webhook]]
name = "billing"
url = "https://billing.example.net:8443/hooks/outgate?tenant=1"
events = ["flag_*", "relay_down"]
secret_file = "/etc/outgate/billing.secret"
ca_file = "/etc/outgate/billing-ca.pem"
timeout = "3s"
insecure = false
"#;

#[test]
fn every_key_of_a_webhook_is_read() {
    assert!(parse(WHOLE).unwrap().webhooks.is_empty());
    let config = parse(&format!("{WHOLE}{HOOK}")).unwrap();
    let [hook] = config.webhooks.as_slice() else {
        panic!("{:?}", config.webhooks);
    };
    let url = WebhookUrl {
        tls: true,
        authority: String::from("billing.example.net:8443"),
        host: String::from("billing.example.net"),
        port: 8443,
        path: String::from("/hooks/outgate?tenant=1"),
    };
    assert_eq!(hook.url, url);
    assert_eq!(hook.url.origin(), "https://billing.example.net:8443");
    assert_eq!(
        (hook.name.as_str(), hook.timeout),
        ("billing", Duration::from_secs(3))
    );
    assert!(hook.events.want("flag_added") && !hook.events.want("relay_up"));
    let secret = SecretFile::File(PathBuf::from("/etc/outgate/billing.secret"));
    assert_eq!(hook.secret_file, secret);
    assert_eq!(
        hook.ca_file,
        Some(PathBuf::from("/etc/outgate/billing-ca.pem"))
    );
}

#[test]
fn without_tls_it_is_told_on_this_host_alone() {
    let with = |url: &str, insecure: &str| {
        let text = HOOK
            .replace(
                "https://billing.example.net:8443/hooks/outgate?tenant=1",
                url,
            )
            .replace("insecure = false", insecure);
        parse(&format!("{WHOLE}{text}")).map(|config| config.webhooks[0].url.clone())
    };
    for (url, host, port) in [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://[::1]/x", "::1", 80),
        ("http://localhost/", "localhost", 80),
    ] {
        let url = with(url, "insecure = false").unwrap();
        assert_eq!((url.tls, url.host.as_str(), url.port), (false, host, port));
    }
    let refused = with("http://192.0.2.1/x", "insecure = false").unwrap_err();
    assert!(
        refused
            .starts_with("o.toml: webhook[0].url: \"http://192.0.2.1/x\": whoever is on the way"),
        "{refused}"
    );
    assert_eq!(
        with("http://192.0.2.1/x", "insecure = true").unwrap().path,
        "/x"
    );
}

#[test]
fn what_is_no_webhook_names_the_key() {
    let many = (0..33).map(|number| HOOK.replace("\"billing\"", &format!("\"n{number}\"")));
    let many: String = many.collect();
    let cases = [
        (
            "\"flag_*\", ",
            "\"flag.*\", ",
            "webhook[0].events: [\"flag.*\", \"relay_down\"]: \"flag.*\" is no kind of event",
        ),
        (
            "[\"flag_*\", \"relay_down\"]",
            "[]",
            "webhook[0].events: []: it would be told nothing",
        ),
        (
            "https://billing",
            "ftp://billing",
            "webhook[0].url: \"ftp://billing.example.net:8443/hooks/outgate?tenant=1\": not where",
        ),
        (
            "https://billing",
            "https://user@billing",
            "webhook[0].url: \"https://user@billing",
        ),
        (
            "\"/etc/outgate/billing.secret\"",
            "\"../x\"",
            "webhook[0].secret_file: \"../x\": neither an absolute path",
        ),
        (
            "\"/etc/outgate/billing-ca.pem\"",
            "\"ca.pem\"",
            "webhook[0].ca_file: ca.pem: a relative path",
        ),
        ("\"3s\"", "\"61s\"", "webhook[0].timeout: 61s: out of range"),
        (
            "\"billing\"",
            "\"b/c\"",
            "webhook[0].name: \"b/c\": not a name",
        ),
        (
            "insecure = false",
            "secret = \"x\"",
            "webhook[0].secret: secret: unknown field",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(HOOK.contains(from), "{from}");
        let error = parse(&format!("{WHOLE}{}", HOOK.replacen(from, to, 1))).unwrap_err();
        assert!(
            error.starts_with(&format!("o.toml: {expected}")),
            "{to}: {error}"
        );
    }
    let twice = parse(&format!("{WHOLE}{HOOK}{HOOK}")).unwrap_err();
    assert!(
        twice.starts_with("o.toml: webhook[1].name: billing: named twice"),
        "{twice}"
    );
    let error = parse(&format!("{WHOLE}{many}")).unwrap_err();
    assert_eq!(error, "o.toml: webhook: 33: too many; at most 32");
}
