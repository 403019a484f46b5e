//! Programs of the machine, for one test.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Its number is its own only until it has been waited for.
        if matches!(self.0.try_wait(), Ok(None)) {
            // Politely first: a killed rspamd leaves its workers behind.
            let asked = kill_process(Pid::from_child(&self.0), Signal::TERM).is_ok();
            let deadline = Instant::now() + Duration::from_secs(5);
            while asked && Instant::now() < deadline && matches!(self.0.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        // An error means that it has already ended.
        let _ended = self.0.kill().is_ok();
        let _reaped = self.0.wait().is_ok();
    }
}

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}; is it installed?")))
    }
}

/// An address of loopback that nobody listens on at this moment.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Waits until something at `address` says 220.
#[track_caller]
pub(crate) fn wait_for_greeting(address: SocketAddr) {
    wait_until(&format!("a greeting at {address}"), || {
        let Ok(mut stream) = TcpStream::connect(address) else {
            return false;
        };
        let mut digits = [0; 3];
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.read_exact(&mut digits).is_ok() && digits == *b"220"
    });
}

/// Polls until `holds`, at most 20 s.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Privileged tests fail without privilege, they do not pass in silence.
#[track_caller]
pub(crate) fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
}
