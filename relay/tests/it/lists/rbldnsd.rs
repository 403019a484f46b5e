//! rbldnsd with lists of the test's own, which writes down what it is asked.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::clamd::unpacked;
use crate::host::{Running, free_address, wait_until};

/// A running rbldnsd; its lists end with the test.
pub(crate) struct Rbldnsd {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    _process: Running,
}

/// Addresses, IPv4 and IPv6, by the answer.
const ADDRESSES: [(&str, &str); 2] = [
    (
        "ip4set",
        ":127.0.0.2:listed\n127.0.0.1\n192.0.2.10\n192.0.2.20 :127.0.0.10:perhaps\n192.0.2.30 :127.0.0.30:other\n\
         192.0.2.254 :127.255.255.254:by a public resolver\n",
    ),
    (
        "ip6trie",
        ":127.0.0.2:listed\n2001:db8:bad::/48\n2001:db8:fee::/48 :127.255.255.255:too many\n",
    ),
];
/// Domains, with all below them.
const DOMAINS: &str = ":127.0.1.2:listed\n.bad.example\n.worse.co.uk\n.perhaps.example :127.0.1.8:perhaps\n\
     .refused.example :127.0.0.1:refused\n.parked.example :203.0.113.80:parked\n";

impl Rbldnsd {
    /// With `ip.list.example` and `uri.list.example`.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // It insists on being somebody else than root.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let mut zones = Vec::new();
        for (kind, entries) in ADDRESSES {
            fs::write(path.join(kind), entries).unwrap();
            zones.push(format!("ip.list.example:{kind}:{kind}"));
        }
        fs::write(path.join("dnset"), DOMAINS).unwrap();
        zones.push("uri.list.example:dnset:dnset".to_owned());
        // A list of domains that has addresses, too.
        zones.push("uri.list.example:ip4set:ip4set".to_owned());
        zones.push("uri.list.example:ip6trie:ip6trie".to_owned());
        let address = free_address();
        let mut command = Command::new(unpacked("rbldnsd").join("usr/sbin/rbldnsd"));
        command
            .args(["-n", "-u", "nobody", "-w"])
            .arg(path)
            .arg("-b")
            .arg(format!("{}/{}", address.ip(), address.port()))
            .args(["-l", "+log"])
            .args(&zones)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Running::start(&mut command);
        let this = Self {
            address,
            directory,
            _process: process,
        };
        wait_until("rbldnsd", || this.answers());
        this
    }

    /// `[dns]` that asks it.
    pub(crate) fn dns(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
    }

    /// The names that it was asked about, without what is not of its lists: whether a resolver validates is asked of all.
    pub(crate) fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let name = |line: &str| line.split(' ').nth(2).map(str::to_ascii_lowercase);
        let mut names: Vec<String> = log.lines().filter_map(name).collect();
        names.retain(|name| name.ends_with(".list.example") && !name.starts_with("up."));
        names.sort();
        names
    }

    /// A question of the test's own: `up.ip.list.example A`.
    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = Some(Duration::from_millis(200));
        socket.set_read_timeout(patience).unwrap();
        let question =
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02up\x02ip\x04list\x07example\0\0\x01\0\x01";
        let sent = socket.send_to(question, self.address);
        sent.is_ok() && socket.recv(&mut [0; 512]).is_ok()
    }
}
