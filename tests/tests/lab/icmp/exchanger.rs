//! An exchanger that has much to say: its answer to RCPT takes many segments. No mail software is so
//! talkative, and what a relay sends to a customer is nothing but answers.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use lab::{Family, Host, Lab, dialogue::smtp};

use crate::PATIENCE;

/// It listens on port 25 until it is dropped.
pub(super) struct Exchanger {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Exchanger {
    pub(super) fn start(lab: &Lab, host: Host) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for family in Family::ALL {
            let listener = lab
                .namespace(host)
                .inside(|| Ok(TcpListener::bind(smtp(host.address(family)))?))?;
            listener.set_nonblocking(true)?;
            let stopped = Arc::clone(&stop);
            threads.push(thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    match listener.accept() {
                        // The other end sees what is missing.
                        Ok((stream, _)) => drop(serve(&stream)),
                        Err(_) => thread::sleep(Duration::from_millis(15)),
                    }
                }
            }));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Exchanger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn serve(mut stream: &TcpStream) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"220 mx1.example.net\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let answer = match line.get(..4) {
            Some("RCPT") => long_answer(),
            Some("QUIT") => "221 2.0.0 bye\r\n".to_owned(),
            _ => "250 mx1.example.net\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Some twenty full segments.
fn long_answer() -> String {
    let line = format!("250-2.1.5 {}\r\n", "much to say ".repeat(40));
    line.repeat(60) + "250 2.1.5 " + LAST_WORDS + "\r\n"
}

/// How its long answer ends.
pub(super) const LAST_WORDS: &str = "and that was all";
