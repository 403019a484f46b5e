//! A Postfix of its own: directories, what every configuration of it has, start and stop.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::user;
use crate::host::require_root;

/// Its files, and the running program once it has been started; stops with the test.
pub(crate) struct Instance {
    directory: TempDir,
}

impl Instance {
    /// Nothing runs yet.
    pub(crate) fn new() -> Self {
        require_root();
        let directory = tempfile::tempdir().unwrap();
        let this = Self { directory };
        // Its processes run as another user and have to get in.
        fs::set_permissions(this.root(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, owner) in [("config", 0), ("queue", 0), ("data", user("postfix"))] {
            this.make_directory(name, owner);
        }
        this
    }

    /// A directory of somebody's.
    pub(crate) fn make_directory(&self, name: &str, owner: u32) {
        fs::create_dir(self.path(name)).unwrap();
        chown(self.path(name), Some(owner), None).unwrap();
    }

    /// Starts it with these lines of configuration, and these services beside the usual ones.
    pub(crate) fn start(&self, main_cf: &str, services: &str) {
        let main_cf = self.usual_main_cf() + main_cf;
        fs::write(self.path("config/main.cf"), main_cf).unwrap();
        let services = format!("{services}{USUAL_SERVICES}");
        fs::write(self.path("config/master.cf"), services).unwrap();
        self.command("start");
    }

    /// `postfix VERB`.
    pub(crate) fn command(&self, verb: &str) {
        let output = Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(self.path("config"))
            .arg(verb)
            .output()
            .expect("postfix is not installed");
        assert!(output.status.success(), "postfix {verb}: {output:?}");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("data/postfix.log")).unwrap_or_default()
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn usual_main_cf(&self) -> String {
        let root = self.root().display();
        format!(
            "compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
mydestination =
alias_maps =
maillog_file_prefixes = {root}
maillog_file = {root}/data/postfix.log
"
        )
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.path("queue/pid/master.pid").exists() {
            self.command("stop");
        }
    }
}

const USUAL_SERVICES: &str = "cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
";
