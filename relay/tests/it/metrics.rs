//! What a scrape of the real program is answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::flows::PinDirectory;
use crate::namespace::{self, RELAY};
use crate::program::Home;

#[test]
fn counters_are_served_on_loopback() {
    namespace::inside("metrics", || {
        let pins = PinDirectory::create("metrics");
        let mut home = Home::new(&pins.0);
        home.add_table("[metrics]\nlisten = \"127.0.0.1:9125\"\n");
        let _flows = pins.pin_flows();
        let mut snapshot = crate::gate::snapshot();
        snapshot.customer_prefixes = vec!["192.0.2.0/24".parse().unwrap()];
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot).unwrap();
        let program = home.start();

        let mut greeting = String::new();
        let relay = SocketAddr::new(RELAY.parse().unwrap(), 2525);
        let mut stranger = TcpStream::connect(relay).unwrap();
        stranger.write_all(b"QUIT\r\n").unwrap();
        stranger.read_to_string(&mut greeting).unwrap();
        assert!(greeting.starts_with("554 "), "{greeting}");

        let answer = ask("GET /metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        for sample in [
            "outgate_relay_refused_unknown_outside_total 1",
            "outgate_relay_sessions_served_total 0",
            "outgate_relay_sessions 0",
            "outgate_relay_snapshot_generation 7",
        ] {
            assert!(
                answer.lines().any(|line| line == sample),
                "{sample}\n{answer}"
            );
        }
        assert!(ask("GET /").starts_with("HTTP/1.1 404 "));
        assert!(ask("POST /metrics").starts_with("HTTP/1.1 405 "));
        assert!(program.stop().success());
    });
}

fn ask(request: &str) -> String {
    let mut stream = TcpStream::connect("127.0.0.1:9125").unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: relay\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
