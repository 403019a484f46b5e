//! Scanners that look for what a server should not do: sslyze for its TLS, nmap for an open relay.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{host::Host, lab::Lab, process::checked, wait::patient};

/// What sslyze found of the TLS behind STARTTLS: its `scan_result`, in which everything has a `result`.
///
/// # Errors
/// That it is not installed, could not connect, or could not finish one of its scans.
pub fn sslyze(lab: &Lab, from: Host, to: SocketAddr) -> Result<Value> {
    let report = lab.dir().join("sslyze.json");
    let sslyze = lab.binaries().peer("python")?.join("bin/sslyze");
    checked(
        lab.namespace(from)
            .command(sslyze)
            .args(["--starttls=smtp", "--mozilla_config=disable", "--quiet"])
            .args(SSLYZE_SCANS.map(|(option, _)| option))
            .arg(format!("--json_out={}", report.display()))
            .arg(to.to_string()),
    )?;
    let report: Value = serde_json::from_slice(&std::fs::read(report)?)?;
    let server = &report["server_scan_results"][0];
    ensure!(server["scan_status"] == "COMPLETED", "{report:#}");
    for (_, name) in SSLYZE_SCANS {
        let scan = &server["scan_result"][name];
        ensure!(scan["status"] == "COMPLETED", "{name}: {scan:#}");
    }
    Ok(server["scan_result"].clone())
}

/// What nmap's `smtp-open-relay` has to say of a server: sixteen ways to have it relay for a stranger.
///
/// # Errors
/// That it is not installed, or says nothing.
pub fn open_relay(lab: &Lab, from: Host, to: SocketAddr) -> Result<String> {
    let mut nmap = lab.namespace(from).command("nmap");
    nmap.args(["-Pn", "-n", "-sT", // Forced: the relay's own port is none that nmap takes for mail.
        "--script=+smtp-open-relay", "-oN", "-"])
        .arg(format!("--script-timeout={}s", patient(NMAP_LIMIT).as_secs()))
        .arg("--script-args=smtp-open-relay.from=stranger@example.org,smtp-open-relay.to=stranger@example.com,smtp-open-relay.domain=scanner.example.org")
        // Its probes for a version would not be SMTP.
        .arg(format!("-p{}", to.port()));
    if to.is_ipv6() {
        nmap.arg("-6");
    }
    let output = checked(nmap.arg(to.ip().to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let finding = text
        .lines()
        .find_map(|line| line.split_once("smtp-open-relay:"))
        .with_context(|| format!("nmap found nothing out:\n{text}"))?;
    Ok(finding.1.trim().to_owned())
}

/// Options, and what the report calls them.
const SSLYZE_SCANS: [(&str, &str); 13] = [
    ("--sslv2", "ssl_2_0_cipher_suites"),
    ("--sslv3", "ssl_3_0_cipher_suites"),
    ("--tlsv1", "tls_1_0_cipher_suites"),
    ("--tlsv1_1", "tls_1_1_cipher_suites"),
    ("--tlsv1_2", "tls_1_2_cipher_suites"),
    ("--tlsv1_3", "tls_1_3_cipher_suites"),
    ("--compression", "tls_compression"),
    ("--early_data", "tls_1_3_early_data"),
    ("--ems", "tls_extended_master_secret"),
    ("--heartbleed", "heartbleed"),
    ("--openssl_ccs", "openssl_ccs_injection"),
    ("--reneg", "session_renegotiation"),
    ("--robot", "robot"),
];
const NMAP_LIMIT: Duration = Duration::from_secs(60);
