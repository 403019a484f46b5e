//! `swaks`, a real mail client, run on a customer's host.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    host::{Family, Host},
    lab::Lab,
    message::Message,
};

/// One message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// Which host sends it.
    pub from: Host,
    /// Where it connects to.
    pub to: SocketAddr,
    /// What it sends.
    pub message: &'a Message,
    /// Whether it insists on STARTTLS; otherwise it stays in clear text.
    pub tls: bool,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// The client's exit status: 0 = the server took the message.
    pub code: i32,
    /// What both sides said, as the client printed it.
    pub transcript: String,
    /// From start to end of the client.
    pub elapsed: Duration,
}

impl Submission<'_> {
    /// Sends it.
    ///
    /// # Errors
    /// That swaks cannot be started.
    pub fn send(&self, lab: &Lab) -> Result<Outcome> {
        let data = lab.dir().join(format!("{}.eml", self.message.token));
        fs::write(&data, wire_form(&self.message.content))?;
        let mut command = lab.namespace(self.from).command("swaks");
        command
            .args([
                "--server",
                &self.to.ip().to_string(),
                "--port",
                &self.to.port().to_string(),
            ])
            .args([
                "--from",
                "sender@example.org",
                "--to",
                "recipient@example.net",
            ])
            .args([
                "--ehlo",
                &format!("{}.example.org", self.from.name()),
                "--timeout",
                "20",
            ])
            // A body that swaks must not touch: no tokens replaced, no lines mended.
            .arg("--no-data-fixup")
            .arg("--data")
            .arg(format!("@{}", data.display()));
        if self.to.is_ipv6() {
            command.arg("-6");
        }
        if self.tls {
            command.arg("--tls");
        }
        let begun = Instant::now();
        let output = command
            .output()
            .context("starting swaks: is it installed?")?;
        let said = [output.stdout, output.stderr].concat();
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            transcript: String::from_utf8_lossy(&said).into_owned(),
            elapsed: begun.elapsed(),
        })
    }
}

impl Outcome {
    /// That the server took the message, over TLS if the client wanted that.
    ///
    /// # Errors
    /// The transcript.
    pub fn accepted(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "swaks ended with {}:\n{}",
            self.code,
            self.transcript
        );
        Ok(self)
    }

    /// The line of the transcript in which the server said `text`.
    ///
    /// # Errors
    /// The transcript.
    pub fn server_said(&self, text: &str) -> Result<&str> {
        let mut lines = self.transcript.lines();
        lines
            .find(|line| line.starts_with('<') && line.contains(text))
            .with_context(|| format!("the server never said {text:?}:\n{}", self.transcript))
    }

    /// Subject of the certificate that the client was shown. How swaks words it depends on its
    /// version.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        let mut lines = self.transcript.lines();
        lines.find(|line| line.starts_with("=== TLS peer") && line.contains("CN="))
    }
}

/// Dots stuffed and the final dot added, as RFC 5321 section 4.5.2 wants.
fn wire_form(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 8);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".");
    wire
}

/// Both address families' port 25 of a host.
#[must_use]
pub fn exchanger(host: Host, family: Family) -> SocketAddr {
    crate::dialogue::smtp(host.address(family))
}
