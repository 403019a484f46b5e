//! Reports about TLS as the real program sends them: by mail to a real Postfix, whose TLS is what the report is about, and to
//! a real HTTPS server, as a real resolver says.

use std::fs;
use std::path::PathBuf;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::host::wait_until;
use crate::namespace::{self, MX, MX6, STRANGER};
use crate::notifications::{VERIFY, openssl, python};
use crate::pki::Pki;
use crate::policy_host::{PolicyHost, Posted};
use crate::postfix::Postfix;
use crate::program::Home;
use crate::resolver::Resolver;

/// The wishes of some domains. What Postfix shows is in none of its TLSA records, and not in the policy of its domain.
fn zone() -> String {
    let wrong = "00".repeat(32);
    format!(
        "mx.example. MX 10 host.example.net.\n\
         host.example.net. A {MX}\n\
         host.example.net. AAAA {MX6}\n\
         _25._tcp.host.example.net. TLSA 3 1 1 {wrong}\n\
         _smtp._tls.mail.example.net. TXT \"v=TLSRPTv1; rua=mailto:tls@mx.exa\" \"mple\"\n\
         _smtp._tls.web.example.net. TXT \"v=TLSRPTv1;rua=https://reports.example.net/v1?x=y\"\n\
         _smtp._tls.both.example.net. TXT \"v=TLSRPTv1;rua=mailto:tls@mx.example,https://reports.example.net/\"\n\
         _smtp._tls.wrong.example.net. TXT \"v=TLSRPTv1;rua=tls@mx.example\"\n\
         reports.example.net. A {STRANGER}\n"
    )
}

/// The day before yesterday: all of its reports are due.
fn day() -> Date {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_sub(Span::new().days(2)).unwrap()
}

/// What was counted on it.
fn results() -> String {
    let counted = |domain: &str| {
        json!({
            "mail_of": domain, "domain": domain, "policy": "sts", "mx_host": format!("mx.{domain}"),
            "text": ["version: STSv1", "mode: enforce", "max_age: 86400", format!("mx: *.{domain}")],
            "successes": 7, "failures": {"certificate-expired": 3},
            "details": [{"result": "certificate-expired", "sending_ip": "198.51.100.2", "receiving_ip": "2001:db8::9", "count": 2}],
        })
    };
    let domains = ["both", "mail", "none", "web", "wrong"];
    let policies = domains.map(|name| counted(&format!("{name}.example.net")));
    json!({ day().to_string(): { "policies": policies, "uncounted": 0 } }).to_string()
}

struct Scene {
    home: Home,
    records: PathBuf,
    message: PathBuf,
}

impl Scene {
    fn set(pki: &Pki) -> Self {
        let mut home = Home::authorised(
            false,
            "[[authorised]]\nlisten = [\"198.51.100.2:2526\"]\nfrom = [\"192.0.2.0/24\"]\ndestination = \"so-original-dst\"\n",
        );
        pki.write(&home.path("authorities.pem"));
        let key = home.path("key");
        openssl(&["genrsa", "-out", key.to_str().unwrap(), "2048"]);
        let [spool, authorities] = ["spool", "authorities.pem"].map(|name| home.path(name));
        home.add_table(&format!(
            "[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n\
             [dns]\nservers = [\"127.0.0.1\"]\n[mta_sts]\nauthorities = {authorities:?}\n\
             [[dkim]]\ndomain = \"example.net\"\nselector = \"relay\"\nkey = {key:?}\n\
             [tls_reports]\norganization = \"Ex\u{e4}mple\"\ncontact = \"https://example.net/\"\nfrom = \"tls-reports@example.net\"\n"
        ));
        fs::write(home.path("tls-results.json"), results()).unwrap();
        let record = home.command(&[]).args(["dkim", "record"]).output().unwrap();
        let (records, message) = (home.path("records"), home.path("message"));
        fs::write(&records, record.stdout).unwrap();
        Self {
            home,
            records,
            message,
        }
    }

    /// What the program notes about what it has sent.
    fn progress(&self) -> Value {
        let text = fs::read(self.home.path("tls-reports.json")).unwrap_or_else(|_| b"{}".into());
        serde_json::from_slice(&text).unwrap()
    }

    /// Lets what is tried again be due.
    fn advance(&self) {
        let mut progress = self.progress();
        for pending in progress["pending"].as_array_mut().unwrap() {
            pending["due"] = "2026-01-01T00:00:00Z".into();
        }
        fs::write(self.home.path("tls-reports.json"), progress.to_string()).unwrap();
    }

    /// What `tls report` prints.
    fn preview(&self, more: &[&str]) -> (Option<i32>, String) {
        let mut command = self.home.command(&[]);
        let output = command.args(["tls", "report", "--day", &day().to_string()]);
        let output = output.args(more).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    /// What python finds in a report's message, and dkimpy in its signature.
    #[track_caller]
    fn read(&self, delivered: &str) -> Value {
        // Postfix's own fields are above ours; and it writes LF.
        let start = delivered.find("DKIM-Signature:").unwrap();
        let (_, ours) = delivered.split_at(start);
        fs::write(&self.message, ours.replace('\n', "\r\n")).unwrap();
        let verified = python(VERIFY, &[&self.message, &self.records]);
        assert_eq!(verified, "relay rsa-sha256 True\n", "{ours}");
        serde_json::from_str(&python(READ, &[&self.message])).unwrap()
    }

    /// What python makes of a compressed report.
    #[track_caller]
    fn unpacked(&self, posted: &Posted) -> Value {
        fs::write(&self.message, &posted.body).unwrap();
        serde_json::from_str(&python(UNPACK, &[&self.message])).unwrap()
    }
}

/// Prints fields and the report as JSON; fails where RFC 8460 is not kept.
const READ: &str = r#"
import email, email.policy, gzip, json, re, sys
message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.SMTP)
assert not message.defects, message.defects
assert message.get_content_type() == "multipart/report" and message.get_param("report-type") == "tlsrpt"
human, part = message.iter_parts()
assert human.get_content_type() == "text/plain" and not human.defects
assert part.get_content_type() == "application/tlsrpt+gzip" and not part.defects
report = json.loads(gzip.decompress(part.get_content()))
sender, domain, begin, end, unique = part.get_filename().split("!")
assert re.fullmatch(r"[A-Za-z0-9]+\.json\.gz", unique), unique
assert int(end) - int(begin) == 86399, part.get_filename()
subject = r"Report Domain: (\S+) Submitter: (\S+) Report-ID: <(\S+@\S+)>"
about, submitter, name = re.fullmatch(subject, str(message["subject"])).groups()
assert about == domain == message["tls-report-domain"], about
assert submitter == sender == message["tls-report-submitter"], submitter
assert name == report["report-id"], name
signed = str(message["dkim-signature"]).lower()
assert "l=" not in re.sub(r"\b(bh?|h)=[^;]*", "", signed), signed
print(json.dumps({"to": str(message["to"]), "from": str(message["from"]), "report": report}))
"#;

const UNPACK: &str = r#"
import gzip, sys
print(gzip.decompress(open(sys.argv[1], "rb").read()).decode())
"#;

/// The report about `domain`, as RFC 8460 section 4.4 has it.
fn expected(domain: &str) -> Value {
    let day = day();
    json!({
        "organization-name": "Exämple",
        "date-range": {
            "start-datetime": format!("{day}T00:00:00Z"),
            "end-datetime": format!("{day}T23:59:59Z"),
        },
        "contact-info": "https://example.net/",
        "report-id": format!("{}.{domain}@relay-1.example.net", day.strftime("%Y%m%d")),
        "policies": [{
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: enforce", "max_age: 86400", format!("mx: *.{domain}")],
                "policy-domain": domain,
                "mx-host": [format!("*.{domain}")],
            },
            "summary": { "total-successful-session-count": 7, "total-failure-session-count": 3 },
            "failure-details": [
                {
                    "result-type": "certificate-expired", "sending-mta-ip": "198.51.100.2",
                    "receiving-mx-hostname": format!("mx.{domain}"), "receiving-ip": "2001:db8::9",
                    "failed-session-count": 2,
                },
                {
                    "result-type": "certificate-expired",
                    "receiving-mx-hostname": format!("mx.{domain}"), "failed-session-count": 1,
                },
            ],
        }],
    })
}

fn response(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn each_domain_is_told_once_and_where_it_wants() {
    inside("tlsrpt", async || {
        let pki = Pki::new();
        let scene = Scene::set(&pki);
        let _resolver = Resolver::start(&zone(), "");
        let postfix = Postfix::at(
            format!("{MX}:25").parse().unwrap(),
            Some(format!("[{MX6}]:25").parse().unwrap()),
        );
        let web = pki.certify(&["reports.example.net"]).acceptor;
        let web = PolicyHost::start_at(&format!("{STRANGER}:443"), web).await;
        web.respond_as("reports.example.net", response("503 Not Now"));

        foreseen(&scene);
        assert!(postfix.delivered().is_empty() && web.posted().is_empty());

        // The server's certificate is not what its own TLSA records say, and that is what reports are about.
        let program = scene.home.start();
        wait_until("both messages", || postfix.delivered().len() == 2);
        wait_until("both requests", || web.posted().len() == 2);
        let mut found: Vec<Value> = Vec::new();
        for message in postfix.delivered() {
            let read = scene.read(&message);
            assert!(
                message.starts_with("Return-Path: <tls-reports@example.net>\n"),
                "{message}"
            );
            assert!(message.contains("using TLSv1."), "{message}");
            assert_eq!(
                (&read["to"], &read["from"]),
                (&"tls@mx.example".into(), &"tls-reports@example.net".into())
            );
            found.push(read["report"].clone());
        }
        found.sort_by_key(|report| report["report-id"].to_string());
        assert_eq!(
            found,
            ["both", "mail"].map(|name| expected(&format!("{name}.example.net")))
        );
        wait_until("what was not taken", || pending(&scene) == 2);
        assert!(program.stop().success(), "{}", scene.home.log());
        counted(&scene, [2, 0, 0]);

        // A restart forgets nothing: what was not taken is posted again, what was mailed is not mailed again.
        web.respond_as("reports.example.net", response("201 Created"));
        scene.advance();
        let program = scene.home.start();
        wait_until("nothing left", || pending(&scene) == 0);
        assert!(program.stop().success(), "{}", scene.home.log());
        counted(&scene, [0, 2, 0]);
        assert_eq!(postfix.delivered().len(), 2);
        let posted = web.posted();
        assert_eq!(posted.len(), 4);
        for posted in &posted {
            assert!(
                posted
                    .head
                    .iter()
                    .any(|line| line == "content-type: application/tlsrpt+gzip")
            );
        }
        let lines: Vec<&str> = posted
            .iter()
            .map(|posted| posted.head[0].as_str())
            .collect();
        assert!(
            lines.contains(&"POST /v1?x=y HTTP/1.1") && lines.contains(&"POST / HTTP/1.1"),
            "{lines:?}"
        );
        let is_web = |posted: &&Posted| posted.head[0].contains("/v1");
        let about_web = posted.iter().rfind(is_web).unwrap();
        assert_eq!(scene.unpacked(about_web), expected("web.example.net"));

        // Nobody is told of how telling went.
        let results: Value =
            serde_json::from_slice(&fs::read(scene.home.path("tls-results.json")).unwrap())
                .unwrap();
        assert_eq!(results.as_object().unwrap().len(), 1, "{results}");
    });
}

#[test]
fn what_is_taken_nowhere_is_given_up_after_a_day() {
    inside("tlsrptgone", async || {
        let pki = Pki::new();
        let scene = Scene::set(&pki);
        let mut resolver = Resolver::start(&zone(), "");
        // Nobody can be asked, and each try is about all five.
        resolver.pause();
        let program = scene.home.start();
        wait_until("all to be pending", || pending(&scene) == 5);
        assert!(program.stop().success(), "{}", scene.home.log());
        let mut progress = scene.progress();
        for pending in progress["pending"].as_array_mut().unwrap() {
            pending["attempts"] = 7.into();
        }
        fs::write(scene.home.path("tls-reports.json"), progress.to_string()).unwrap();
        scene.advance();
        let program = scene.home.start();
        wait_until("nothing left", || pending(&scene) == 0);
        assert!(program.stop().success(), "{}", scene.home.log());
        counted(&scene, [0, 0, 5]);
    });
}

#[track_caller]
fn foreseen(scene: &Scene) {
    let (code, said) = scene.preview(&["-j"]);
    assert_eq!(code, Some(0), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    let to = |place: usize| (told[place]["domain"].clone(), told[place]["to"].clone());
    let mail = "mailto:tls@mx.example";
    for (place, name, expected) in [
        (0, "both", json!([mail, "https://reports.example.net/"])),
        (1, "mail", json!([mail])),
        (2, "none", json!([])),
        (3, "web", json!(["https://reports.example.net/v1?x=y"])),
        (4, "wrong", json!([])),
    ] {
        assert_eq!(to(place), (format!("{name}.example.net").into(), expected));
    }
    assert_eq!(told[1]["report"], expected("mail.example.net"));
    let (code, said) = scene.preview(&["--domain", "Mail.example.net"]);
    assert_eq!(code, Some(0), "{said}");
    let (head, report) = said.split_once('\n').unwrap();
    assert_eq!(head, "# mail.example.net: to mailto:tls@mx.example");
    assert_eq!(
        serde_json::from_str::<Value>(report).unwrap(),
        expected("mail.example.net")
    );
    let (code, said) = scene.preview(&["--domain", "nobody.example"]);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(2),
            format!("nothing was counted on {}\n", day()).as_str()
        )
    );
}

fn pending(scene: &Scene) -> usize {
    // There is no such list before something was noted.
    scene.progress()["pending"]
        .as_array()
        .map_or(usize::MAX, Vec::len)
}

/// Reports mailed, posted and given up, as the program says at its end.
#[track_caller]
fn counted(scene: &Scene, expected: [u64; 3]) {
    let log = scene.home.log();
    for (name, value) in ["mailed", "posted", "failed"].iter().zip(expected) {
        let line = format!("counter=\"tls_reports_{name}_total\" value={value}");
        assert!(log.contains(&line), "{line}\n{log}");
    }
}

fn inside(name: &str, test: impl AsyncFnOnce() + Send + 'static) {
    namespace::inside(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(test());
    });
}
