//! How much the verifier has to follow, against what it had to before.
//!
//! `verifier.txt` says it for each kernel, hook and role. A program for which it has to follow a tenth more
//! fails, long before a million, at which the verifier gives up: what costs so much is worth a second look.
//! Another kernel is held to the most that any of those needs. Whoever means it writes the new figures, which
//! the test prints, into the file.

use std::io::Write as _;

use redirector_common::abi::Role;

use super::{Kernel, ROLES, hook::Hook};

// They need no case, so that `cargo xtask kernels` can ask another kernel's verifier soon after its boot.

#[test]
fn the_verifier_follows_little_more_than_before_in_xdp() {
    follow(Hook::Xdp);
    for role in ROLES {
        drop(Kernel::load_dry(Hook::Xdp, role));
    }
}

#[test]
fn the_verifier_follows_little_more_than_before_in_tc() {
    follow(Hook::Tc);
}

#[track_caller]
fn follow(hook: Hook) {
    let mut too_much = Vec::new();
    for role in ROLES {
        let loaded = Kernel::load(hook, role, false);
        let followed = loaded.verified_instructions().unwrap_or_default();
        let name = format!("{} {}", hook.name(), role.map_or("tags", Role::name));
        too_much.extend(beyond(&name, followed));
        drop(Kernel::load(hook, role, true));
    }
    assert!(too_much.is_empty(), "{}", too_much.join("; "));
}

/// Says how many instructions the verifier has followed, and what is wrong with that.
pub(crate) fn beyond(name: &str, followed: u32) -> Option<String> {
    let kernel = release();
    drop(writeln!(std::io::stderr(), "{kernel} {name} {followed}"));
    let before = baseline(&kernel, name);
    let too_much = u64::from(followed) * 10 > u64::from(before) * 11;
    too_much.then(|| format!("{name}: {followed}, and {before} before"))
}

/// Instructions that this kernel had to follow, or the most that any had to.
fn baseline(kernel: &str, name: &str) -> u32 {
    let lines = include_str!("verifier.txt").lines();
    let of_name: Vec<(&str, u32)> = lines.filter_map(|line| entry(line, name)).collect();
    let own = of_name.iter().find(|(of, _)| *of == kernel);
    let most = of_name.iter().max_by_key(|(_, followed)| *followed);
    own.or(most)
        .map(|(_, followed)| *followed)
        .expect("a line for each hook and role")
}

/// Kernel and figure of a line that is about this hook and role.
fn entry<'line>(line: &'line str, name: &str) -> Option<(&'line str, u32)> {
    let (kernel, rest) = line.split_once(' ')?;
    let followed = rest.strip_prefix(name)?.trim();
    Some((kernel, followed.parse().ok()?))
}

/// Major and minor version of the running kernel.
fn release() -> String {
    let name = rustix::system::uname();
    let release = name.release().to_str().expect("a version is ASCII");
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}
