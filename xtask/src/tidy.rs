//! What no compiler checks: who may depend on whom, how large a file may grow, where a word may stand.
//!
//! Runs as `cargo xtask tidy` and as a test of this crate, so `cargo test` fails on it too.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell::{cargo, workspace};

/// Prints every finding; any is an error.
pub(crate) fn run() -> Result<()> {
    let findings = findings()?;
    for finding in &findings {
        writeln!(std::io::stderr(), "tidy: {finding}")?;
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("{count} untidy"),
    }
}

fn findings() -> Result<Vec<String>> {
    let mut findings = edges()?;
    let mut sources = Vec::new();
    for dir in sources_of_truth() {
        rust_files(&workspace().join(dir), &mut sources)?;
    }
    for path in sources {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let shown = path
            .strip_prefix(workspace())
            .unwrap_or(&path)
            .display()
            .to_string();
        findings.extend(file_findings(&shown, &text));
    }
    Ok(findings)
}

/// The workspace's own edges, and the crates that must stay free of the world.
fn edges() -> Result<Vec<String>> {
    let metadata = cargo(["metadata", "--locked", "--format-version", "1", "--no-deps"])
        .output()
        .context("cargo metadata; is Cargo.lock current?")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata: packages")?;
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();

    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(of, _)| *of == name) else {
            findings.push(format!(
                "{name}: a crate that xtask/src/tidy.rs does not know"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let shipped = dependency["kind"].is_null() && dependency["optional"] == false;
            if ours.contains(on) && !allowed.contains(&on) {
                findings.push(format!(
                    "{name} depends on {on}: only {allowed:?} is allowed"
                ));
            }
            if shipped && PURE.contains(&name) && WORLDLY.contains(&on) {
                findings.push(format!("{name} is pure, but depends on {on}"));
            }
            if shipped && name == "redirector-common" {
                findings.push(format!("{name} has no dependency, but depends on {on}"));
            }
        }
    }
    Ok(findings)
}

fn file_findings(shown: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.push(format!(
            "{shown}: {lines} lines, at most {LINES_MAX}: split it by idea"
        ));
    }
    if shown.ends_with("/mod.rs") {
        findings.push(format!("{shown}: a module is foo.rs beside foo/"));
    }
    // A file of tests speaks through their names.
    let contract_due = shown.contains("/src/") && !shown.ends_with("/tests.rs");
    if contract_due && !text.starts_with("//!") {
        findings.push(format!(
            "{shown}: begins without its contract (a `//!` comment)"
        ));
    }
    // The relay meets the kernel's maps in one file, so that it can be used without our edge.
    let in_relay = shown.starts_with("relay/src/");
    if in_relay && shown != "relay/src/origin.rs" && text.contains("redirector_common") {
        findings.push(format!(
            "{shown}: only relay/src/origin.rs may know redirector-common"
        ));
    }
    // It nests messages as deep as they say, and is dropped by recursion.
    let may_parse = [
        "relay/src/classifier/features",
        "relay/src/tls_reports/letter.rs",
    ];
    let guarded = may_parse.iter().any(|place| shown.starts_with(place));
    if in_relay && !guarded && text.contains("MessageParser") {
        findings.push(format!(
            "{shown}: mail-parser's MessageParser reads no message without the bounds of classifier/features/parts; take scan/mime"
        ));
    }
    findings
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // Not every crate has every directory.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| dir.display().to_string()),
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn sources_of_truth() -> impl Iterator<Item = String> {
    CRATE_DIRS.iter().flat_map(|dir| {
        ["src", "tests", "fuzz/fuzz_targets"]
            .into_iter()
            .map(move |sub| format!("{dir}/{sub}"))
    })
}

/// Lines of a source file; a file aims at 150 and stops at 400.
const LINES_MAX: usize = 600;

const CRATE_DIRS: [&str; 9] = [
    "bench",
    "contract",
    "redirector-common",
    "redirector-ebpf",
    "redirector-user",
    "relay",
    "relay-proto",
    "tests",
    "xtask",
];

/// Each crate, and the crates of ours that it may depend on.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("contract", &[]),
    ("redirector-common", &[]),
    ("redirector-ebpf", &["redirector-common"]),
    ("redirector-user", &["contract", "redirector-common"]),
    ("relay", &["contract", "redirector-common", "relay-proto"]),
    ("relay-proto", &[]),
    (
        "outgate-bench",
        &[
            "outgate-tests",
            "redirector-common",
            "redirector-user",
            "relay",
            "relay-proto",
        ],
    ),
    ("outgate-tests", &[]),
    ("xtask", &[]),
];

/// Crates without sockets, clocks and runtimes.
const PURE: [&str; 3] = ["contract", "redirector-common", "relay-proto"];
const WORLDLY: [&str; 8] = [
    "aya",
    "hyper",
    "rustix",
    "rustls",
    "socket2",
    "sqlx",
    "tokio",
    "tracing-subscriber",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = findings().unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn untidy_files_are_found() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        for (shown, text, finding) in [
            ("relay/src/a.rs", long.as_str(), "601 lines"),
            ("relay/src/a/mod.rs", "//! A.\n", "foo.rs beside foo/"),
            ("relay/src/a.rs", "use b;\n", "without its contract"),
            (
                "relay/src/a.rs",
                "//! A.\nuse redirector_common::abi;\n",
                "only relay/src/origin.rs",
            ),
            (
                "relay/src/a.rs",
                "//! A.\nuse mail_parser::MessageParser;\n",
                "take scan/mime",
            ),
        ] {
            let findings = file_findings(shown, text);
            assert!(
                findings.len() == 1 && findings[0].contains(finding),
                "{shown}: {findings:?}"
            );
        }
        assert!(
            file_findings("relay/src/origin.rs", "//! O.\nuse redirector_common;\n").is_empty()
        );
    }
}
