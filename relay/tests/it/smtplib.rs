//! Python's smtplib as the customer: a client of others that says any parameter of MAIL, under TLS or not.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

/// What it is to send, in one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail<'a> {
    /// After STARTTLS.
    pub(crate) tls: bool,
    /// Without brackets; empty for none.
    pub(crate) from: &'a str,
    /// Parameters of MAIL.
    pub(crate) options: &'a [&'a str],
    pub(crate) to: &'a [&'a str],
    pub(crate) content: &'a str,
}

/// What it heard: each command with its reply, in order.
#[derive(Debug)]
pub(crate) struct Heard(Vec<(String, String)>);

impl Heard {
    /// The replies to this command.
    pub(crate) fn replies(&self, command: &str) -> Vec<&str> {
        let mine = self.0.iter().filter(|(said, _)| said == command);
        mine.map(|(_, reply)| reply.as_str()).collect()
    }

    /// Asserts how the only reply to this command begins; all of it.
    #[track_caller]
    pub(crate) fn expect(&self, command: &str, expected: &str) -> &str {
        let replies = self.replies(command);
        let [reply] = replies[..] else {
            panic!("{self:?}");
        };
        assert!(reply.starts_with(expected), "{expected}\n{self:?}");
        reply
    }
}

/// Sends one message.
pub(crate) async fn send(relay: SocketAddr, mail: Mail<'_>) -> Heard {
    let plan = json!({
        "tls": mail.tls, "from": mail.from, "options": mail.options, "to": mail.to, "content": mail.content,
    });
    let arguments = [
        relay.ip().to_string(),
        relay.port().to_string(),
        plan.to_string(),
    ];
    // Debian's.
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", SCRIPT]).args(arguments);
    let output = tokio::task::spawn_blocking(move || python.output());
    let output = output.await.unwrap().expect("python3 is not installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let heard: Vec<(String, u16, String)> = serde_json::from_slice::<Value>(&output.stdout)
        .and_then(serde_json::from_value)
        .unwrap();
    let heard = heard.into_iter();
    Heard(
        heard
            .map(|(said, code, text)| (said, format!("{code} {text}")))
            .collect(),
    )
}

const SCRIPT: &str = r#"
import json, smtplib, ssl, sys
address, port, plan = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
heard = []
def hear(command, reply):
    heard.append((command, reply[0], reply[1].decode()))
    return reply[0]
smtp = smtplib.SMTP(address, port, local_hostname="client.example", timeout=60)
hear("EHLO", smtp.ehlo())
if plan["tls"]:
    smtp.starttls(context=ssl._create_unverified_context())
    heard.clear()
    hear("EHLO", smtp.ehlo())
if hear("MAIL", smtp.mail(plan["from"], plan["options"])) == 250:
    if 250 in [hear("RCPT", smtp.rcpt(to)) for to in plan["to"]]:
        hear("DATA", smtp.data(plan["content"]))
smtp.close()
print(json.dumps(heard))
"#;
