//! The port of a relay, without a relay: what the controller's health checks meet.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Stands in for a relay's port alone: it says 220 and hangs up after QUIT.
pub(crate) struct Greeter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Greeter {
    pub(crate) fn start(namespace: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let file = fs::File::open(namespace).unwrap();
            move_into_link_name_space(
                rustix::fd::AsFd::as_fd(&file),
                Some(LinkNameSpaceType::Network),
            )
            .unwrap();
            let listener = TcpListener::bind(("0.0.0.0", 2525)).unwrap();
            listener.set_nonblocking(true).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(1)))
                    .unwrap();
                // Who probes may hang up at any point.
                let mut octets = [0; 64];
                drop(
                    stream
                        .write_all(b"220 relay-1.example.net\r\n")
                        .and_then(|()| stream.read(&mut octets)),
                );
                drop(stream.write_all(b"221 bye\r\n"));
            }
        });
        Self { stop, thread }
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
