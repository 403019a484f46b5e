//! Senders' programs and libraries on a customer's host: msmtp, Python's smtplib, nodemailer.
//!
//! All of them insist on STARTTLS, and believe whatever certificate they are shown: whose it was is for the test to
//! find out.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use crate::{host::Host, lab::Lab, message::Message};

/// What sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// msmtp, a sendmail for hosts without a queue.
    Msmtp,
    /// Python's smtplib, as most scripts use it.
    Smtplib,
    /// The same, announcing 8BITMIME.
    SmtplibEightBit,
    /// The same, from and to addresses in UTF-8 (RFC 6531).
    SmtplibUtf8,
    /// The same, with MAIL, RCPT and DATA in one write (RFC 2920).
    SmtplibPipelined,
    /// nodemailer, the library of Node.js.
    Nodemailer,
}

impl Client {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Msmtp,
        Self::Smtplib,
        Self::SmtplibEightBit,
        Self::SmtplibUtf8,
        Self::SmtplibPipelined,
        Self::Nodemailer,
    ];

    /// Sends a message from a host.
    ///
    /// # Errors
    /// That the program is missing, or says that the message was not taken; with its words.
    pub fn send(self, lab: &Lab, from: Host, to: SocketAddr, message: &Message) -> Result<()> {
        let content = lab.dir().join(format!("{}.eml", message.token));
        fs::write(&content, &message.content)?;
        let (program, arguments) = self.words(lab, from, to, &content)?;
        let output = lab
            .namespace(from)
            .command(program)
            .args(arguments)
            // Where Debian's libraries of Node.js are.
            .env("NODE_PATH", "/usr/share/nodejs")
            .stdin(if self == Self::Msmtp {
                File::open(local_form(&content, message)?)?.into()
            } else {
                Stdio::null()
            })
            .output()
            .with_context(|| format!("starting {program}"))?;
        ensure!(
            output.status.success(),
            "{self:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn words(
        self,
        lab: &Lab,
        from: Host,
        to: SocketAddr,
        content: &Path,
    ) -> Result<(&'static str, Vec<OsString>)> {
        let name = format!("{}.example.org", from.name());
        let (host, port) = (to.ip().to_string(), to.port().to_string());
        let script = |file: &str, text: &str, mode: &str| -> Result<Vec<OsString>> {
            let path = lab.dir().join(file);
            fs::write(&path, text)?;
            let own = [mode, &name, &host, &port].map(OsString::from);
            Ok([&[path.into()], own.as_slice(), &[content.into()]].concat())
        };
        let python = |mode| Ok(("/usr/bin/python3", script("send.py", SMTPLIB, mode)?));
        match self {
            Self::Msmtp => {
                let options = [
                    format!("--host={host}"),
                    format!("--port={port}"),
                    format!("--domain={name}"),
                    "--tls=on".to_owned(),
                    "--tls-starttls=on".to_owned(),
                    "--tls-certcheck=off".to_owned(),
                    "--from=sender@example.org".to_owned(),
                    "recipient@example.net".to_owned(),
                ];
                Ok(("msmtp", options.map(OsString::from).into()))
            }
            Self::Smtplib => python("plain"),
            Self::SmtplibEightBit => python("8bit"),
            Self::SmtplibUtf8 => python("utf8"),
            Self::SmtplibPipelined => python("pipelined"),
            Self::Nodemailer => Ok(("node", script("send.js", NODEMAILER, "raw")?)),
        }
    }
}

/// The message as programs of the machine have it: lines end in LF.
fn local_form(content: &Path, message: &Message) -> Result<PathBuf> {
    let path = content.with_extension("txt");
    let lines = message.content.split_inclusive(|octet| *octet == b'\n');
    let lf: Vec<u8> = lines
        .flat_map(|line| [line.strip_suffix(b"\r\n").unwrap_or(line), b"\n"].concat())
        .collect();
    fs::write(&path, lf)?;
    Ok(path)
}

/// Mode, EHLO name, address, port, file. `putcmd` adds CRLF, and the context believes every certificate.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys

mode, name, host, port, path = sys.argv[1:]
content = open(path, "rb").read()
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with smtplib.SMTP(host, int(port), local_hostname=name, timeout=60) as client:
    client.starttls(context=context)
    client.ehlo()
    sender, recipient, options = "sender@example.org", "recipient@example.net", []
    if mode == "8bit":
        options = ["BODY=8BITMIME"]
    elif mode == "utf8":
        sender, recipient = "absender-ü@example.org", "empfänger@example.net"
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    if mode == "pipelined":
        client.send(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n")
        heard = [client.getreply() for _ in range(3)]
        if [code for code, _ in heard] != [250, 250, 354]:
            sys.exit(str(heard))
        client.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        heard = client.getreply()
        if heard[0] != 250:
            sys.exit(str(heard))
    else:
        client.sendmail(sender, [recipient], content, options)
"#;

/// The same arguments; the mode has one value.
const NODEMAILER: &str = r#"
const nodemailer = require("nodemailer");
const [name, host, port, path] = process.argv.slice(3);
const transport = nodemailer.createTransport({
  name, host, port: Number(port), secure: false, requireTLS: true, tls: { rejectUnauthorized: false },
});
transport
  .sendMail({
    envelope: { from: "sender@example.org", to: "recipient@example.net", use8BitMime: true },
    raw: require("fs").readFileSync(path),
  })
  .then((sent) => console.log(sent.response), (error) => { console.error(error); process.exitCode = 1; });
"#;
