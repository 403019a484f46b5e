//! In a thread of its own, which is what all of it holds for when it is entered with others beside.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

use super::*;

fn config(directory: &Path, more: &str) -> Config {
    let directory = directory.display();
    Config::parse(&format!(
        r#"
        name = "relay-1"
        operator = "Example Hosting"
        hostname = "relay-1.example.net"
        help_url = "https://abuse.example.net/smtp"
        state_dir = "{directory}/state"
        {more}
        [message]
        spill_dir = "{directory}/spill"
        [[scanner]]
        kind = "builtin"
        [[authorised]]
        listen = ["192.0.2.1:25"]
        from = ["192.0.2.0/24"]
        destination = "so-original-dst"
        "#
    ))
    .unwrap()
}

/// Runs `judge` in a sandbox over a directory with `state`, `spill`, `etc` and `other`.
fn inside(more: &str, judge: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    for name in ["state", "spill", "etc", "other"] {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::write(directory.path().join(name).join("file"), name).unwrap();
    }
    let config = config(directory.path(), more);
    std::thread::scope(|scope| {
        let run = || {
            enter(&config, &directory.path().join("etc/relay.toml"));
            judge(directory.path());
        };
        scope.spawn(run).join().expect("see above");
    });
}

#[track_caller]
fn refused<T>(result: io::Result<T>) {
    let kind = result.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::PermissionDenied));
}

#[test]
fn files_outside_of_the_configuration_are_out_of_reach() {
    inside("", |directory| {
        for (name, written) in [("state", true), ("spill", true), ("etc", false)] {
            assert_eq!(
                fs::read_to_string(directory.join(name).join("file")).unwrap(),
                name
            );
            let new = File::create(directory.join(name).join("new"));
            assert_eq!(new.is_ok(), written, "{name}");
        }
        let moved = fs::rename(directory.join("state/new"), directory.join("state/moved"));
        moved.unwrap();
        drop(tempfile::tempfile_in(directory.join("spill")).unwrap());
        refused(fs::read(directory.join("other/file")));
        refused(File::create(directory.join("other/new")));
        refused(fs::read_dir(directory.join("other")));
        refused(fs::read("/etc/passwd"));
        refused(fs::read_dir("/proc/1"));
        refused(fs::rename(
            directory.join("state/moved"),
            directory.join("other/moved"),
        ));
        // Where a certificate is replaced, the new one is read.
        assert!(fs::read("/etc/resolv.conf").is_ok() || !Path::new("/etc/resolv.conf").exists());
    });
}

#[test]
fn nothing_is_executed_and_no_process_made() {
    inside("", |_| {
        refused(Command::new("/bin/true").status());
        assert_eq!(rustix::process::chroot("/").err(), Some(Errno::PERM));
        for (family, kind) in [
            (AddressFamily::INET, SocketType::RAW),
            (AddressFamily::INET6, SocketType::RAW),
            (AddressFamily::PACKET, SocketType::DGRAM),
        ] {
            assert_eq!(socket(family, kind, None).err(), Some(Errno::PERM));
        }
        // What a relay does is not touched.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = std::thread::spawn(move || TcpStream::connect(address).is_ok());
        assert!(connected.join().unwrap());
    });
}

#[test]
fn capabilities_are_gone_but_for_transparent_egress() {
    inside("", |_| {
        let held = capabilities(None).unwrap();
        assert!(held.permitted.is_empty() && held.effective.is_empty());
        assert!(no_new_privs().unwrap());
    });
    let before = capabilities(None).unwrap().permitted;
    let steered = "transparent = [\"0.0.0.0:25\"]\ncontroller = { socket = \"/run/x\", cache = \"/tmp/x/y\" }";
    inside(steered, |_| {
        let held = capabilities(None).unwrap();
        assert_eq!(held.permitted, before & CapabilitySet::NET_RAW);
        assert_eq!(held.effective, held.permitted);
        assert!(held.inheritable.is_empty());
    });
}

#[test]
fn what_is_switched_off_is_not_given_up() {
    let off = "sandbox = { files = false, system_calls = false, capabilities = false }";
    let before = capabilities(None).unwrap().permitted;
    inside(off, |directory| {
        assert!(fs::read(directory.join("other/file")).is_ok());
        assert!(Command::new("/bin/true").status().unwrap().success());
        assert_eq!(capabilities(None).unwrap().permitted, before);
    });
}
