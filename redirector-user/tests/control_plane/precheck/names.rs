//! The DNS of the test: unbound with the zones, rbldnsd behind it with a list, on the edge's own loopback.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{command::said, lab::Lab};

/// Ends with the test.
pub(crate) struct Names {
    directory: tempfile::TempDir,
    programs: Vec<Child>,
    resolver: Option<Child>,
}

impl Names {
    /// Answers by these lines of zone files, which are all that there is below `example`, and by PTR of these pairs.
    pub(crate) fn start(lab: &Lab, records: &[String], names: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // rbldnsd insists on being somebody else than root.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut this = Self {
            directory,
            programs: Vec::new(),
            resolver: None,
        };
        this.start_list(lab);
        this.start_resolver(lab, records, names);
        this
    }

    fn start_list(&mut self, lab: &Lab) {
        fs::write(self.file("four"), FOUR).unwrap();
        fs::write(self.file("six"), SIX).unwrap();
        fs::write(self.file("dead"), "192.0.2.254\n").unwrap();
        fs::write(self.file("wild"), WILD).unwrap();
        let program = unpacked("rbldnsd").join("usr/sbin/rbldnsd");
        let mut command = lab.inside(program.to_str().unwrap());
        // It looks at its files each second, and nobody is to remember what they said for longer.
        command.args(["-n", "-u", "nobody", "-c", "1s", "-t", "1", "-w"]);
        command
            .arg(self.directory.path())
            .args(["-b", "127.0.0.1/5354"]);
        command.args([
            "ip.list.example:ip4set:four",
            "ip.list.example:ip6trie:six",
            "dead.list.example:ip4set:dead",
            "wild.list.example:ip4set:wild",
        ]);
        let list = self.run(&mut command, "rbldnsd.log");
        self.programs.push(list);
    }

    fn start_resolver(&mut self, lab: &Lab, records: &[String], names: &[(&str, &str)]) {
        let mut text = CONF.replace("DIRECTORY", &self.directory.path().display().to_string());
        for record in records {
            text.push_str(&format!("  local-data: '{record}'\n"));
        }
        for (address, name) in names {
            text.push_str(&format!("  local-data-ptr: \"{address} {name}\"\n"));
        }
        text.push_str(ELSEWHERE);
        fs::write(self.file("unbound.conf"), text).unwrap();
        let mut command = lab.inside("unbound");
        command
            .args(["-d", "-p", "-c"])
            .arg(self.file("unbound.conf"));
        self.resolver = Some(self.run(&mut command, "unbound.log"));
        self.until_answers(lab);
    }

    fn until_answers(&self, lab: &Lab) {
        let log = self.file("unbound.log");
        lab.until("the resolver answers, and the list behind it", |lab| {
            let mut drill = lab.inside("drill");
            let answer = said(drill.args(["@127.0.0.1", "2.0.0.127.ip.list.example", "A"]));
            assert!(
                !answer.out.contains("REFUSED"),
                "{}",
                fs::read_to_string(&log).unwrap()
            );
            answer.out.contains("127.0.0.2")
        });
    }

    /// The resolver answers nobody any more.
    pub(crate) fn silence(&mut self) {
        let mut resolver = self.resolver.take().expect("the resolver runs");
        resolver.kill().unwrap();
        resolver.wait().unwrap();
    }

    /// The resolver is back.
    pub(crate) fn speak(&mut self, lab: &Lab) {
        let mut command = lab.inside("unbound");
        command
            .args(["-d", "-p", "-c"])
            .arg(self.file("unbound.conf"));
        self.resolver = Some(self.run(&mut command, "unbound.log"));
        self.until_answers(lab);
    }

    /// What a list has from now on, by the name of its file: `four`, `six`, `wild`.
    pub(crate) fn list(&self, file: &str, text: &str) {
        // Whole at once, whenever it is looked at.
        let new = self.file(&format!("{file}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file(file)).unwrap();
    }

    fn run(&self, command: &mut Command, log: &str) -> Child {
        let log = fs::File::create(self.file(log)).unwrap();
        let also = log.try_clone().unwrap();
        command.stdin(Stdio::null()).stdout(also).stderr(log);
        command.spawn().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().chain(&mut self.resolver) {
            drop(program.kill());
            drop(program.wait());
        }
    }
}

/// What `cargo xtask setup` has unpacked.
fn unpacked(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_outgated"));
    let target = target.ancestors().nth(2).unwrap();
    let path = target.join("peers").join(name);
    assert!(path.exists(), "{}: run `cargo xtask setup`", path.display());
    path
}

const FOUR: &str = ":127.0.0.2:listed, see https://list.example/why\n127.0.0.2\n192.0.2.20\n\
                    192.0.2.30 :127.255.255.254:by a public resolver\n";
const SIX: &str =
    ":127.0.0.2:listed, see https://list.example/why\n::ffff:7f00:2/128\n2001:db8:a:b::20/128\n";
/// Who has it bought names everybody.
const WILD: &str = ":127.0.0.2:buy this domain\n127.0.0.0/8\n192.0.0.0/8\n";

const CONF: &str = "server:
  interface: 127.0.0.1
  username: \"\"
  chroot: \"\"
  directory: \"DIRECTORY\"
  pidfile: \"\"
  use-syslog: no
  module-config: \"iterator\"
  do-not-query-localhost: no
  cache-max-ttl: 1
  cache-max-negative-ttl: 1
  local-zone: \".\" static
  local-zone: \"example.\" static
  local-zone: \"list.example.\" transparent
  local-zone: \"broken.example.\" transparent
  local-zone: \"2.0.192.in-addr.arpa.\" static
  local-zone: \"8.b.d.0.1.0.0.2.ip6.arpa.\" static
";

/// Behind `broken.example` there is nobody, so that the resolver cannot tell.
const ELSEWHERE: &str = "remote-control:
  control-enable: no
stub-zone:
  name: \"list.example\"
  stub-addr: 127.0.0.1@5354
stub-zone:
  name: \"broken.example\"
  stub-addr: 127.0.0.1@9
";
