//! The file system: directories that the configuration names, and what TLS and DNS need of the system (landlock,
//! Linux 5.13).
//!
//! Directories and not files, because certificates and snapshots are replaced by a rename. Nothing may be executed. What
//! was opened before, listeners and maps among it, is not touched.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use enumflags2::BitFlags;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};

use super::Came;
use crate::config::{Config, ScannerConfig};

pub(super) fn confine(config: &Config, file: &Path) -> Came {
    if let Some(spool) = &config.spool {
        // It would make its directory itself, which it could not any more. What is wrong with it, it says itself.
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&spool.dir);
        drop(made);
    }
    if let Some(quarantine) = &config.quarantine {
        // The same.
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&quarantine.dir);
        drop(made);
    }
    let (written, read) = (written(config), read(config, file));
    // The spool makes its own name durable there.
    let listed = config.spool.as_ref().and_then(|spool| spool.dir.parent());
    match restrict(&written, &read, listed) {
        Ok(status) => {
            let named = written.union(&read).map(|path| path.display().to_string());
            let what = format!("only {}", named.collect::<Vec<_>>().join(", "));
            match status.ruleset {
                RulesetStatus::FullyEnforced => Came::InForce(what),
                RulesetStatus::PartiallyEnforced => Came::InPart(what),
                RulesetStatus::NotEnforced => {
                    Came::NotInForce("the kernel has no landlock, or it is not switched on".into())
                }
            }
        }
        Err(error) => Came::NotInForce(error.to_string()),
    }
}

fn restrict(
    written: &BTreeSet<PathBuf>,
    read: &BTreeSet<PathBuf>,
    listed: Option<&Path>,
) -> Result<RestrictionStatus, RulesetError> {
    let all = AccessFs::from_all(KNOWN);
    let made: BitFlags<AccessFs> = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
    let ruleset: RulesetCreated = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .create()?;
    // Paths that are not there are left out; whatever is made there later is not for us.
    ruleset
        .add_rules(path_beneath_rules(written, all & !made))?
        .add_rules(path_beneath_rules(
            read,
            AccessFs::ReadFile | AccessFs::ReadDir,
        ))?
        .add_rules(path_beneath_rules(listed, AccessFs::ReadDir))?
        .restrict_self()
}

/// Directories that are written to.
fn written(config: &Config) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::from([config.state_dir.clone(), config.message.spill_dir.clone()]);
    paths.extend(config.controller.iter().map(|it| directory_of(&it.cache)));
    paths.extend(config.spool.iter().map(|spool| spool.dir.clone()));
    paths.extend(config.quarantine.iter().map(|it| it.dir.clone()));
    paths.insert(directory_of(&config.splice.learnt));
    // The admin socket is bound once the queue is open.
    paths.insert(directory_of(&config.queue.admin));
    // Where standard output and error may lead, and what is opened by name in tests of programs.
    paths.insert("/dev/null".into());
    paths
}

/// What is read again: on SIGHUP, when a certificate is renewed, or when resolvers change.
fn read(config: &Config, file: &Path) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    paths.insert(directory_of(&file));
    if let Some(files) = &config.tls {
        paths.extend([directory_of(&files.certificate), directory_of(&files.key)]);
    }
    paths.extend(config.dkim.iter().map(|key| directory_of(&key.key)));
    let models = config.scanners.iter().filter_map(|scanner| match scanner {
        ScannerConfig::Classifier(classifier) => classifier.model.as_deref(),
        ScannerConfig::Builtin
        | ScannerConfig::Rspamd { .. }
        | ScannerConfig::Clamd { .. }
        | ScannerConfig::Milter { .. }
        | ScannerConfig::Dnsbl(_)
        | ScannerConfig::Uribl(_) => None,
    });
    paths.extend(models.map(directory_of));
    paths.extend(config.mta_sts.authorities.iter().map(|it| directory_of(it)));
    let authorities = config.acme.iter().flat_map(|acme| &acme.authorities);
    paths.extend(authorities.map(|it| directory_of(it)));
    // Certificates are often links into another directory.
    let targets: Vec<PathBuf> = config
        .tls
        .iter()
        .flat_map(|files| [&files.certificate, &files.key])
        .chain(config.dkim.iter().map(|key| &key.key))
        .filter_map(|path| path.canonicalize().ok())
        .map(|path| directory_of(&path))
        .collect();
    paths.extend(targets);
    paths
}

fn directory_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("/")).to_owned()
}

/// What this program knows of landlock; the kernel may know less.
const KNOWN: ABI = ABI::V5;
/// Randomness, resolvers, which are written anew by name, and the authorities of the system.
const SYSTEM: &[&str] = &[
    // The spool draws the number of each new segment from it.
    "/dev/urandom",
    "/etc/resolv.conf",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/lib/ssl",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
];
