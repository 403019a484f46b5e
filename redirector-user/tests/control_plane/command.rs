//! Programs that tests run to their end.

use std::{
    io::{Read as _, Seek as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::lab::deadline;

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program to its end. One that does not end by itself in time is killed, which fails the test.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> Said {
    // Files, not pipes: nobody reads while we wait, and a pipe that is full would stop the program.
    let [mut out, mut err] = [(); 2].map(|()| tempfile::tempfile().unwrap());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut read = |code| {
        let [out, err] = [&mut out, &mut err].map(|file| {
            let mut octets = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut octets).unwrap();
            String::from_utf8_lossy(&octets).into_owned()
        });
        Said { code, out, err }
    };
    let until = Instant::now() + deadline();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return read(status.code().unwrap_or(-1));
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} goes on: {:?}", read(-1));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("iproute2 is installed");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "ip {}: {error} (these tests need root)",
        arguments.join(" ")
    );
}
