//! One probe of one listener, without a socket or a clock: IP packets in, IP packets and an outcome out.
//!
//! The caller hands packets in with [`Call::receive`], lets it work with [`Call::advance`], which answers once
//! with what is known of the listener, and takes packets out with [`Call::next_packet`]. A call goes on after its
//! answer until it has said goodbye; then [`Call::is_over`].

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
};

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer, State},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr},
};

use crate::edge::health::{Greeting, ProbeError, QUIT};

/// One probe.
pub(super) struct Call {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    packets: Packets,
    stage: Stage,
    deadline: Instant,
}

/// How far it has come.
enum Stage {
    /// The SYN is out.
    Calling,
    /// There is a connection, and no whole greeting yet.
    Listening(Greeting),
    /// Greeted; QUIT is said.
    Leaving,
    /// Nothing more to do but to send what is left.
    Over,
}

impl Call {
    /// Calls `to` from a port of `from`, both of one family; the whole may take until `deadline`.
    pub(super) fn begin(
        from: SocketAddr,
        to: SocketAddr,
        seed: u64,
        now: Instant,
        deadline: Instant,
    ) -> Result<Self, ProbeError> {
        let mut packets = Packets::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut packets, now);
        let own = IpAddress::from(from.ip());
        let whole = if from.is_ipv4() { 32 } else { 128 };
        let mut addressed = false;
        interface.update_ip_addrs(|addresses| {
            addressed = addresses.push(IpCidr::new(own, whole)).is_ok();
        });
        // There is nobody else on this wire, so whoever is meant is the way to him.
        let routes = interface.routes_mut();
        let routed = match to.ip() {
            IpAddr::V4(v4) => routes.add_default_ipv4_route(v4).is_ok(),
            IpAddr::V6(v6) => routes.add_default_ipv6_route(v6).is_ok(),
        };
        let mut socket = Socket::new(buffer(WINDOW_OCTETS), buffer(QUIT.len()));
        socket.set_ack_delay(None);
        let connected = socket.connect(interface.context(), to, from).is_ok();
        if !(addressed && routed && connected) {
            return Err(ProbeError::NoProbe(format!(
                "{from} cannot call {to}; this is a fault of Outgate: please report it"
            )));
        }
        let mut sockets = SocketSet::new(Vec::new());
        Ok(Self {
            interface,
            handle: sockets.add(socket),
            sockets,
            packets,
            stage: Stage::Calling,
            deadline,
        })
    }

    /// A packet for it has come in.
    pub(super) fn receive(&mut self, packet: Vec<u8>) {
        self.packets.received.push_back(packet);
    }

    /// Does what can be done by `now`; answers once.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Result<(), ProbeError>> {
        self.work(now);
        let outcome = self.step(now);
        // What the step has left to be sent.
        self.work(now);
        outcome
    }

    /// The next packet to be sent.
    pub(super) fn next_packet(&mut self) -> Option<Vec<u8>> {
        self.packets.sent.pop_front()
    }

    /// Whether nothing more will come of it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// When to look again although no packet has come.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        match self.interface.poll_at(now, &self.sockets) {
            Some(at) => at.min(self.deadline),
            None => self.deadline,
        }
    }

    fn work(&mut self, now: Instant) {
        let _changed = self
            .interface
            .poll(now, &mut self.packets, &mut self.sockets);
    }

    fn step(&mut self, now: Instant) -> Option<Result<(), ProbeError>> {
        let late = now >= self.deadline;
        let socket: &mut Socket<'_> = self.sockets.get_mut(self.handle);
        if matches!(self.stage, Stage::Calling) {
            match socket.state() {
                State::SynSent if !late => return None,
                State::SynSent => return self.end(Some(Err(ProbeError::NoAnswer))),
                State::Closed => {
                    let refused = io::ErrorKind::ConnectionRefused.into();
                    return self.end(Some(Err(ProbeError::Connect(refused))));
                }
                _ => self.stage = Stage::Listening(Greeting::default()),
            }
        }
        if let Stage::Listening(greeting) = &mut self.stage {
            let heard = hear(socket, |octets| greeting.read(octets));
            let ended = !socket.may_recv();
            match heard {
                Some(Ok(())) => {
                    // Room for it was made, and nothing else is ever sent.
                    let _all = socket.send_slice(QUIT);
                    self.stage = Stage::Leaving;
                    return Some(Ok(()));
                }
                Some(Err(error)) => return self.end(Some(Err(error))),
                None if ended => {
                    let lost = io::ErrorKind::UnexpectedEof.into();
                    return self.end(Some(Err(ProbeError::Lost(lost))));
                }
                None if late => return self.end(Some(Err(ProbeError::TimedOut))),
                None => return None,
            }
        }
        if matches!(self.stage, Stage::Leaving) {
            hear(socket, |_goodbye| None::<()>);
            // The relay closes after its goodbye.
            if late || !socket.may_recv() {
                return self.end(None);
            }
        }
        None
    }

    /// Ends the connection with RST: the relay keeps no TIME_WAIT, and the flow table no closing entry.
    fn end(&mut self, outcome: Option<Result<(), ProbeError>>) -> Option<Result<(), ProbeError>> {
        self.sockets.get_mut::<Socket<'_>>(self.handle).abort();
        self.stage = Stage::Over;
        outcome
    }
}

/// Takes all octets that have come in, until something comes of them.
fn hear<T>(socket: &mut Socket<'_>, mut take: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    while socket.can_recv() {
        let taken = socket.recv(|octets| (octets.len(), take(octets)));
        match taken {
            Ok(None) => {}
            Ok(some) => return some,
            Err(_closed) => return None,
        }
    }
    None
}

fn buffer(octets: usize) -> SocketBuffer<'static> {
    SocketBuffer::new(vec![0; octets])
}

/// What came in and what goes out. As a device it has neither a speed nor a bound: a call sends little.
#[derive(Default)]
struct Packets {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

struct Incoming(Vec<u8>);

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl Device for Packets {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Incoming(packet), Outgoing(&mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.sent))
    }

    /// Checksums are computed and verified: a wrong one is one of the faults that a probe is there to find.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, octets: usize, f: F) -> R {
        let mut packet = vec![0; octets];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

/// Less than a packet: what was sent and merged on its way still fits one.
const WINDOW_OCTETS: usize = 1024;
const MTU: usize = 1500;

#[cfg(test)]
mod tests;
