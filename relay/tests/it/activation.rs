//! Listeners that a supervisor holds: one relay after the other, and no connection refused.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::host::wait_until;
use crate::program::Home;

/// A socket that programs of the test inherit.
fn held(socket: impl Into<OwnedFd>) -> OwnedFd {
    let socket = socket.into();
    rustix::io::fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    socket
}

fn listener(address: &str) -> (SocketAddr, OwnedFd) {
    let listener = TcpListener::bind(address).unwrap();
    (listener.local_addr().unwrap(), held(listener))
}

/// As systemd makes one, with `only` as its BindIPv6Only=ipv6-only.
fn listener6(address: &str, only: bool) -> (SocketAddr, OwnedFd) {
    let socket = rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
    sockopt::set_ipv6_v6only(&socket, only).unwrap();
    rustix::net::bind(&socket, &address.parse::<SocketAddr>().unwrap()).unwrap();
    rustix::net::listen(&socket, 1024).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap();
    (address.try_into().unwrap(), held(socket))
}

/// A relay that listens there, for health checks of a load balancer.
fn home(listen: &[SocketAddr]) -> Home {
    let listen: Vec<String> = listen
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    let listen = listen.join(", ");
    Home::authorised(
        false,
        &format!(
            "[[authorised]]\nlisten = [{listen}]\nfrom = [\"192.0.2.0/24\"]\ndestination = \"proxy-v2\"\n\
             proxies = [\"127.0.0.1/32\", \"::1/128\"]\n"
        ),
    )
}

/// Words that start a program as systemd does, with these sockets.
fn passing(sockets: &[&OwnedFd]) -> Vec<String> {
    let redirections: Vec<String> = sockets
        .iter()
        .zip(3..)
        .map(|(socket, number)| format!("{number}<&{}", socket.as_raw_fd()))
        .collect();
    let count = sockets.len();
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\" {}",
        redirections.join(" ")
    );
    ["bash", "-c", &script, "bash"].map(str::to_owned).into()
}

fn start(home: &Home, sockets: &[&OwnedFd]) -> crate::program::Program {
    let words = passing(sockets);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    home.start_under(&words)
}

/// What a load balancer's health check hears.
fn greeting(relay: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(relay)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")?;
    let mut heard = [0; 3];
    stream.read_exact(&mut heard)?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

#[test]
fn one_relay_follows_the_other_and_no_connection_is_refused() {
    let (v4, v4_socket) = listener("127.0.0.1:0");
    let (v6, v6_socket) = listener6("[::1]:0", true);
    let home = home(&[v4, v6]);
    let sockets = [&v4_socket, &v6_socket];
    let (served, over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut program = start(&home, &sockets);
    let hammers: Vec<_> = [v4, v6, v4, v6]
        .into_iter()
        .map(|relay| {
            let (served, over) = (Arc::clone(&served), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    match greeting(relay) {
                        Ok(heard) if heard == "220" => served.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{relay}: {other:?}"),
                    };
                }
            })
        })
        .collect();
    let more = |count: usize| {
        let goal = served.load(Ordering::Relaxed) + count;
        wait_until("connections are served", || {
            served.load(Ordering::Relaxed) >= goal || hammers.iter().any(|it| it.is_finished())
        });
    };
    for _ in 0..5 {
        more(100);
        assert!(program.stop().success(), "{}", home.log());
        program = start(&home, &sockets);
    }
    more(100);
    over.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.join().expect("a connection was refused");
    }
    assert!(program.stop().success());
}

#[test]
fn what_is_not_passed_is_bound() {
    let (passed, socket) = listener("127.0.0.1:0");
    let own = crate::host::free_address();
    let home = home(&[own, passed]);
    let program = start(&home, &[&socket]);
    for relay in [own, passed] {
        assert_eq!(greeting(relay).unwrap(), "220", "{relay}");
    }
    assert!(program.stop().success());
}

#[track_caller]
fn refuses(home: &Home, sockets: &[&OwnedFd], problem: &str) {
    let words = passing(sockets);
    let words = words.iter().map(String::as_str);
    // One that starts all the same shall not wait for the test.
    let words: Vec<&str> = ["timeout", "60"].into_iter().chain(words).collect();
    let output = home.command(&words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(problem), "{problem}: {said}");
    assert!(!output.status.success());
}

#[test]
fn sockets_that_are_not_right_are_named() {
    let (wanted, wanted_socket) = listener("127.0.0.1:0");
    let (stray, stray_socket) = listener("127.0.0.1:0");
    let home_of_one = home(&[wanted]);
    let problem = format!("passes a socket for {stray}, where no listener of the configuration is");
    refuses(&home_of_one, &[&wanted_socket, &stray_socket], &problem);
    // Of a single address IPv6 alone would be taken anyway.
    let (both, both_socket) = listener6("[::]:0", false);
    refuses(&home(&[both]), &[&both_socket], "BindIPv6Only=ipv6-only");
    let silent = held(rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap());
    refuses(
        &home_of_one,
        &[&silent],
        "descriptor 3 from the service manager is a socket that does not listen",
    );
    let udp = held(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    refuses(
        &home_of_one,
        &[&wanted_socket, &udp],
        "descriptor 4 from the service manager is no TCP socket",
    );
    let file = held(std::fs::File::open("/etc/hostname").unwrap());
    refuses(
        &home_of_one,
        &[&file],
        "descriptor 3 from the service manager is no socket",
    );
}
