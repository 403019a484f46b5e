//! What goes in and out of a host, read by a tap inside its namespace.
//!
//! # Diagnostics
//! A frame that does not parse is kept as it is: comparisons then show it.

use std::{
    fs::File,
    io::BufWriter,
    net::IpAddr,
    num::NonZeroU32,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt,
};
use smoltcp::{
    phy::{Device as _, Medium, PcapLinkType, PcapSink as _, RawSocket, TxToken as _},
    time::Instant,
};

use crate::{frames::Datagram, netns::Namespace};

/// A frame and when it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    at: Instant,
    /// From the destination MAC address to the last octet of payload.
    pub octets: Vec<u8>,
}

/// A running tap; it ends when it is dropped.
#[derive(Debug)]
pub struct Capture {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Begins to read every frame in and out of a host.
    ///
    /// # Errors
    /// No right to do so (CAP_NET_RAW).
    pub fn start(namespace: &Namespace) -> Result<Self> {
        // Not bound to an interface: then there is no error when the interface goes.
        let socket = namespace.inside(|| {
            let flags = SocketFlags::CLOEXEC;
            let every = Some(Protocol::from_raw(EVERY_PROTOCOL));
            let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, every)?;
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
            sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_OCTETS)?;
            Ok(socket)
        })?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (sink, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; FRAME_OCTETS];
            while !stopped.load(Ordering::Relaxed) {
                // An error is the time-out, or shows as a missing frame.
                let Ok((octets, _)) = recv(&socket, &mut *buffer, RecvFlags::empty()) else {
                    continue;
                };
                let octets = buffer.get(..octets).unwrap_or_default().to_vec();
                // The loopback interface has no addresses.
                if !octets.starts_with(&[0; 12]) {
                    lock(&sink).push(Seen {
                        at: Instant::now(),
                        octets,
                    });
                }
            }
        });
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// Everything so far.
    #[must_use]
    pub fn frames(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// The datagrams so far from one address to another, in order.
    #[must_use]
    pub fn datagrams(&self, from: IpAddr, to: IpAddr) -> Vec<Datagram> {
        lock(&self.seen)
            .iter()
            .filter_map(|seen| Datagram::parse(&seen.octets))
            .filter(|datagram| datagram.source == from && datagram.destination == to)
            .collect()
    }

    /// Writes everything so far for a person with a packet analyser.
    ///
    /// # Errors
    /// The file's.
    pub fn write_pcap(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let mut sink = BufWriter::new(file);
        sink.global_header(PcapLinkType::Ethernet);
        for seen in self.frames() {
            sink.packet(seen.at, &seen.octets);
        }
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Sends a frame out of an interface of a namespace, as it is.
///
/// # Errors
/// That there is no such interface, or no right to do so (CAP_NET_RAW).
pub fn send(namespace: &Namespace, interface: &str, frame: &[u8]) -> Result<()> {
    send_all(namespace, interface, &[frame.to_vec()])
}

/// As [`send`], of many frames by one socket: closing one takes the kernel milliseconds.
///
/// # Errors
/// As [`send`].
pub fn send_all(namespace: &Namespace, interface: &str, frames: &[Vec<u8>]) -> Result<()> {
    namespace.inside(|| {
        let mut socket = RawSocket::new(interface, Medium::Ethernet)?;
        for frame in frames {
            let token = socket
                .transmit(Instant::now())
                .ok_or_else(|| anyhow!("{interface} cannot send"))?;
            token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
        }
        Ok(())
    })
}

/// What was sent on one wire and did not come out of another as it was, or came without being sent.
///
/// Two of them are the same if everything from the IP header on is, but for what a router changes:
/// the hop limit, one less, and the IPv4 header's checksum, which must then be right.
#[must_use]
pub fn differences(sent: &[Datagram], received: &[Datagram]) -> Vec<String> {
    let mut missing: Vec<&Datagram> = sent.iter().collect();
    let mut differences = Vec::new();
    for datagram in received {
        match missing.iter().position(|sent| sent.is_hop_before(datagram)) {
            Some(at) => drop(missing.remove(at)),
            None => differences.push(format!("received, but never sent so: {datagram}")),
        }
        if !datagram.checksums_are_right {
            differences.push(format!("wrong checksum: {datagram}"));
        }
    }
    differences.extend(
        missing
            .into_iter()
            .map(|datagram| format!("sent, but never received so: {datagram}")),
    );
    differences
}

/// How long a wire may take to deliver what was sent on it.
pub const SETTLE: Duration = Duration::from_secs(3);

/// ETH_P_ALL, in network order as packet(7) wants it.
const EVERY_PROTOCOL: NonZeroU32 = NonZeroU32::new(0x0003_u16.to_be() as u32).expect("not zero");
/// How long a tap may go on after it was dropped.
const PATIENCE: Duration = Duration::from_millis(50);
/// More than any frame, also one that receive offload put together.
const FRAME_OCTETS: usize = 65_536 + 64;
/// What the kernel keeps while the reader does not run.
const BUFFER_OCTETS: usize = 8 << 20;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
