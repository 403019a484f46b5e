//! A network namespace with all of a test's addresses on its loopback.
//!
//! Packets never leave it, and ports are the real ones: a customer, a relay and an MX each have a
//! documentation address of their own.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::host::require_root;

pub(crate) const CUSTOMER: &str = "192.0.2.10";
pub(crate) const CUSTOMER6: &str = "2001:db8:a:a::10";
pub(crate) const STRANGER: &str = "203.0.113.99";
pub(crate) const RELAY: &str = "198.51.100.2";
pub(crate) const RELAY6: &str = "2001:db8:2::2";
pub(crate) const MX: &str = "203.0.113.10";
pub(crate) const MX6: &str = "2001:db8:b:1::10";

/// Runs `test` on a thread inside of a namespace of its own; children inherit it.
#[track_caller]
pub(crate) fn inside(name: &str, test: impl FnOnce() + Send + 'static) {
    require_root();
    let namespace = Namespace::create(&format!("relay-it-{name}-{}", std::process::id()));
    let file = File::open(format!("/run/netns/{}", namespace.0)).unwrap();
    let thread = std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        test();
    });
    let result = thread.join();
    drop(namespace);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

struct Namespace(String);

impl Namespace {
    fn create(name: &str) -> Self {
        ip(&["netns", "add", name]);
        let this = Self(name.to_owned());
        ip(&["-n", name, "link", "set", "lo", "up"]);
        for address in [CUSTOMER, STRANGER, RELAY, MX] {
            ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{address}/32"),
                "dev",
                "lo",
            ]);
        }
        for address in [CUSTOMER6, RELAY6, MX6] {
            ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{address}/128"),
                "dev",
                "lo",
                "nodad",
            ]);
        }
        this
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("ip is not installed");
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}
