//! The host behind the wire: takes questions, makes a call of each, and moves packets between calls and wire.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use rustix::rand::{GetRandomFlags, getrandom};
use smoltcp::time;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};

use super::{INTERFACE, Wire, call::Call, destination};
use crate::edge::health::ProbeError;

/// Asks the host to probe; any number of them.
#[derive(Clone, Debug)]
pub struct Line(mpsc::Sender<Question>);

/// What the host is asked; for [`serve`].
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<Question>);

#[derive(Debug)]
struct Question {
    source: IpAddr,
    deadline: Instant,
    answer: oneshot::Sender<Result<(), ProbeError>>,
}

impl Line {
    /// A line, and what is asked over it.
    #[must_use]
    pub fn open() -> (Self, Questions) {
        let (questions, asked) = mpsc::channel(WAITING_MAX);
        (Self(questions), Questions(asked))
    }

    /// Probes the relay that the program keeps for `source`: connect, a `220` greeting, QUIT. The whole may take
    /// `timeout`. One probe of a source at a time: a second one ends the first.
    ///
    /// # Errors
    ///
    /// [`ProbeError`] says at which step it failed; [`ProbeError::NoProbe`] that nobody serves the line.
    pub async fn probe(&self, source: IpAddr, timeout: Duration) -> Result<(), ProbeError> {
        let unserved = || {
            ProbeError::NoProbe(format!(
                "there is nothing to probe from on {INTERFACE}; outgated's log says why"
            ))
        };
        let deadline = Instant::now() + timeout;
        let (answer, answered) = oneshot::channel();
        let question = Question {
            source,
            deadline,
            answer,
        };
        self.0.try_send(question).map_err(|_unserved| unserved())?;
        match timeout_at(deadline + PATIENCE, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(unserved()),
        }
    }
}

/// Serves the line until the wire breaks; answers with how it broke. What was asked while nobody served is stale
/// and passed over.
pub async fn serve(wire: &Wire, questions: &mut Questions) -> io::Error {
    let broken = match Host::new() {
        Ok(mut host) => host.serve(wire, questions).await,
        Err(error) => Err(error),
    };
    match broken {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

struct Host {
    /// The epoch of the calls' clock.
    began: Instant,
    /// Of sequence numbers.
    seed: u64,
    /// The port of the last call.
    port: u16,
    /// By source.
    calls: BTreeMap<IpAddr, Open>,
}

struct Open {
    call: Call,
    /// Until it is known.
    answer: Option<oneshot::Sender<Result<(), ProbeError>>>,
}

impl Host {
    fn new() -> io::Result<Self> {
        let mut seed = [0; 8];
        getrandom(&mut seed, GetRandomFlags::empty())?;
        let seed = u64::from_ne_bytes(seed);
        let (first, ports) = (*PORTS.start(), PORTS.len());
        // Somewhere else than the last controller, whose entries may be in the flow table still.
        let offset = u16::try_from(seed % ports as u64).unwrap_or_default();
        Ok(Self {
            began: Instant::now(),
            seed,
            port: first + offset,
            calls: BTreeMap::new(),
        })
    }

    async fn serve(
        &mut self,
        wire: &Wire,
        Questions(questions): &mut Questions,
    ) -> io::Result<std::convert::Infallible> {
        loop {
            let next = self.advance(wire)?;
            tokio::select! {
                Some(question) = questions.recv() => self.take(question),
                packet = wire.receive() => self.deliver(packet?),
                () = sleep_until(next) => {}
            }
        }
    }

    /// Lets every call work and sends what they have to send; when to do so again at the latest.
    fn advance(&mut self, wire: &Wire) -> io::Result<Instant> {
        let now = self.now();
        let mut next = now + time::Duration::from_secs(IDLE_S);
        for open in self.calls.values_mut() {
            if let Some(outcome) = open.call.advance(now)
                && let Some(answer) = open.answer.take()
            {
                // Who asked may have gone.
                drop(answer.send(outcome));
            }
            while let Some(packet) = open.call.next_packet() {
                wire.send(&packet)?;
            }
            next = next.min(open.call.due(now));
        }
        self.calls.retain(|_, open| !open.call.is_over());
        Ok(self.began + Duration::from_micros(next.total_micros().unsigned_abs()))
    }

    fn take(&mut self, question: Question) {
        let Question {
            source,
            deadline,
            answer,
        } = question;
        let now = self.now();
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        self.port = match self.port {
            last if last == *PORTS.end() => *PORTS.start(),
            port => port + 1,
        };
        self.seed = self.seed.wrapping_add(1);
        let call = Call::begin(
            SocketAddr::new(source, self.port),
            destination(source),
            self.seed,
            now,
            now + left.into(),
        );
        match call {
            Ok(call) => {
                let open = Open {
                    call,
                    answer: Some(answer),
                };
                drop(self.calls.insert(source, open));
            }
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn deliver(&mut self, packet: Vec<u8>) {
        if let Some(open) = addressee(&packet).and_then(|to| self.calls.get_mut(&to)) {
            open.call.receive(packet);
        }
    }

    fn now(&self) -> time::Instant {
        let micros = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        time::Instant::from_micros(micros)
    }
}

/// Destination of an IP packet.
fn addressee(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        6 => {
            let octets: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

/// Linux's own range, less the ports of return steering.
const PORTS: RangeInclusive<u16> = 32_768..=60_999;
/// Every relay and family at once.
const WAITING_MAX: usize = 512;
/// How much later than its deadline an answer may come.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks when nobody asks.
const IDLE_S: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_find_their_call_by_destination() {
        let mut v4 = vec![0x45; 20];
        v4[16..20].copy_from_slice(&[192, 0, 2, 225]);
        assert_eq!(addressee(&v4), Some("192.0.2.225".parse().unwrap()));
        assert_eq!(addressee(&v4[..19]), None);
        let mut v6 = vec![0x60; 40];
        let to: Ipv6Addr = "2001:db8:a:ffff::1".parse().unwrap();
        v6[24..40].copy_from_slice(&to.octets());
        assert_eq!(addressee(&v6), Some(to.into()));
        assert_eq!(addressee(&v6[..39]), None);
        assert_eq!(addressee(&[]), None);
        assert_eq!(addressee(&[0x10; 64]), None);
    }
}
