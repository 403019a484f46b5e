use smoltcp::{time::Duration, wire::IpProtocol};

use super::*;

/// A relay on the same wire, which does as it is told.
struct Relay {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    packets: Packets,
    manners: Manners,
    heard: Vec<u8>,
    greeted: bool,
}

#[derive(Clone, Copy)]
enum Manners {
    /// Says this and closes after QUIT.
    Says(&'static str),
    /// Says this and hangs up.
    HangsUpAfter(&'static str),
    /// Refuses every connection.
    Refuses,
    /// Is not there.
    Absent,
}

impl Relay {
    fn new(address: SocketAddr, caller: SocketAddr, manners: Manners) -> Self {
        let mut packets = Packets::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut packets, Instant::ZERO);
        let whole = if address.is_ipv4() { 32 } else { 128 };
        interface.update_ip_addrs(|list| {
            list.push(IpCidr::new(address.ip().into(), whole)).unwrap();
        });
        let routes = interface.routes_mut();
        match caller.ip() {
            IpAddr::V4(v4) => routes.add_default_ipv4_route(v4).map(drop),
            IpAddr::V6(v6) => routes.add_default_ipv6_route(v6).map(drop),
        }
        .unwrap();
        let mut socket = Socket::new(buffer(4096), buffer(8192));
        if !matches!(manners, Manners::Refuses) {
            socket.listen(address).unwrap();
        }
        let mut sockets = SocketSet::new(Vec::new());
        Self {
            interface,
            handle: sockets.add(socket),
            sockets,
            packets,
            manners,
            heard: Vec::new(),
            greeted: false,
        }
    }

    fn advance(&mut self, now: Instant) {
        self.work(now);
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let heard = &mut self.heard;
        hear(socket, |octets| {
            heard.extend_from_slice(octets);
            None::<()>
        });
        if let Manners::Says(text) | Manners::HangsUpAfter(text) = self.manners
            && socket.may_send()
            && !self.greeted
        {
            self.greeted = true;
            socket.send_slice(text.as_bytes()).unwrap();
            if matches!(self.manners, Manners::HangsUpAfter(_)) {
                socket.close();
            }
        }
        if self.heard.ends_with(QUIT) {
            socket.close();
        }
        self.work(now);
    }

    fn work(&mut self, now: Instant) {
        self.interface
            .poll(now, &mut self.packets, &mut self.sockets);
    }
}

/// What came of a call.
struct Played {
    /// In words.
    outcome: String,
    /// What the relay heard.
    heard: String,
    /// How the relay's connection ended.
    relay: State,
    /// The first packet.
    first: Vec<u8>,
    /// Until the outcome.
    took: Duration,
}

/// Plays a call against a relay on a virtual clock, in steps of ten milliseconds.
#[track_caller]
fn play([from, to]: [&str; 2], manners: Manners) -> Played {
    let [from, to] = [from, to].map(|end| end.parse::<SocketAddr>().unwrap());
    let mut relay = Relay::new(to, from, manners);
    let deadline = Instant::ZERO + Duration::from_secs(1);
    let mut call = Call::begin(from, to, 7, Instant::ZERO, deadline).unwrap();
    let (mut outcome, mut first) = (None, Vec::new());
    let mut now = Instant::ZERO;
    while !call.is_over() {
        assert!(now <= deadline, "over in time");
        if let Some(result) = call.advance(now) {
            assert!(outcome.is_none(), "a call answers once");
            let words = result.map_or_else(|error| error.to_string(), |()| String::from("up"));
            outcome = Some((words, now - Instant::ZERO));
        }
        while let Some(packet) = call.next_packet() {
            if first.is_empty() {
                first.clone_from(&packet);
            }
            if !matches!(relay.manners, Manners::Absent) {
                relay.packets.received.push_back(packet);
            }
        }
        relay.advance(now);
        while let Some(packet) = relay.packets.sent.pop_front() {
            call.receive(packet);
        }
        assert!(call.due(now) <= deadline);
        now += Duration::from_millis(10);
    }
    let (outcome, took) = outcome.expect("a call answers");
    Played {
        outcome,
        heard: String::from_utf8(relay.heard).unwrap(),
        relay: relay.sockets.get::<Socket<'_>>(relay.handle).state(),
        first,
        took,
    }
}

const ENDS: [[&str; 2]; 2] = [
    ["192.0.2.225:40000", "192.0.2.25:25"],
    ["[2001:db8:a:ffff::1]:40000", "[2001:db8::25]:25"],
];

#[test]
fn a_relay_that_greets_is_up_and_left_politely() {
    for ends in ENDS {
        for greeting in [
            "220 relay-1 ESMTP\r\n",
            "220-one\r\n220-two\r\n220 three\r\n",
        ] {
            let played = play(ends, Manners::Says(greeting));
            assert_eq!(
                (played.outcome.as_str(), played.heard.as_str()),
                ("up", "QUIT\r\n")
            );
            assert_eq!(played.relay, State::Closed, "no TIME_WAIT is left behind");
        }
    }
}

#[test]
fn a_greeting_longer_than_the_window_is_read_to_its_end() {
    let long = "220-a line of a greeting\r\n".repeat(100) + "220 the last\r\n";
    let played = play(ENDS[0], Manners::Says(long.leak()));
    assert_eq!(played.outcome, "up");
}

#[test]
fn what_failed_is_said() {
    let cases = [
        (
            Manners::Says("421 4.3.2 later\r\n"),
            "greeted with \"421 4.3.2 later\" instead of 220",
        ),
        (
            Manners::Says(""),
            "connected, but no banner within the time-out",
        ),
        (
            Manners::Says("220-wait for it\r\n"),
            "connected, but no banner within the time-out",
        ),
        (
            Manners::HangsUpAfter(""),
            "connection lost before the banner: unexpected end of file",
        ),
        (Manners::Refuses, "no connection: connection refused"),
        (Manners::Absent, "no SYN-ACK within the time-out"),
    ];
    for ends in ENDS {
        for (manners, expected) in cases {
            let played = play(ends, manners);
            assert_eq!(played.outcome, expected);
            assert_eq!(played.heard, "", "{expected}");
            let waits = expected.contains("within the time-out");
            assert_eq!(played.took >= Duration::from_secs(1), waits, "{expected}");
        }
    }
}

#[test]
fn a_call_leaves_from_its_source_by_tcp() {
    for ends in ENDS {
        let [from, to] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
        let first = play(ends, Manners::Absent).first;
        let (protocol, ports) = match from {
            SocketAddr::V4(_) => (first[9], &first[20..24]),
            SocketAddr::V6(_) => (first[6], &first[40..44]),
        };
        let expected = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        assert_eq!(
            (protocol, ports),
            (u8::from(IpProtocol::Tcp), expected.as_slice())
        );
    }
}
