//! Mail software that nobody here wrote: it decides whether ours speaks SMTP.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{
    dialogue::{Dialogue, any_port, smtp},
    host::{Family, Host},
    lab::Lab,
    process::checked,
};

pub mod authority;
pub mod clamd;
pub mod client;
pub mod exchanger;
pub mod forwarder;
pub mod greylist;
pub mod maildir;
mod overlay;
pub mod policy_host;
pub mod postfix;
pub mod resolver;
pub mod rspamd;
pub mod scanner;
pub mod swaks;

/// Something, if a mail server on that host greets.
fn greets(lab: &Lab, host: Host) -> Option<()> {
    let own = host.address(Family::V4);
    let namespace = lab.namespace(host);
    let patience = Duration::from_secs(5);
    Dialogue::open(&namespace, any_port(own), smtp(own), patience)
        .and_then(|mut dialogue| dialogue.reply())
        .ok()
        .map(drop)
}

/// `key.pem` and `cert.pem` in a directory, self-signed in the host's name, unless they are there.
///
/// # Errors
/// As `openssl` says.
pub fn certificate(dir: &Path, host: Host) -> Result<()> {
    if dir.join("cert.pem").exists() {
        return Ok(());
    }
    let subject = format!("/CN={}.example.net", host.name());
    checked(
        Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", &subject])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .arg("-keyout")
            .arg(dir.join("key.pem"))
            .arg("-out")
            .arg(dir.join("cert.pem")),
    )?;
    Ok(())
}
