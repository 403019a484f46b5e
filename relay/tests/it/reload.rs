//! SIGHUP to the real program: what can change changes, what cannot is named, and a mistake changes nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::host::{free_address, wait_until};
use crate::program::{Home, Program};

/// A relay for whoever comes through this load balancer, which is the test.
fn home(listen: SocketAddr, from: &str) -> Home {
    let tables = format!(
        "[[authorised]]\nlisten = [\"{listen}\"]\nfrom = [\"{from}\"]\ndestination = \"proxy-v2\"\n\
         proxies = [\"127.0.0.1/32\"]\n"
    );
    Home::authorised(false, &tables)
}

/// The greeting of a customer at 192.0.2.10, which talks to an MX that is not there.
fn greeting(relay: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(relay).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&[192, 0, 2, 10, 203, 0, 113, 10]);
    header.extend_from_slice(&[0x9c, 0x40, 0, 25]);
    stream.write_all(&header).unwrap();
    let line = line(&mut stream);
    (stream, line)
}

fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).unwrap();
        line.push(octet[0]);
    }
    String::from_utf8(line).unwrap()
}

/// Tells the program, and waits until it has said this.
#[track_caller]
fn hang_up(home: &Home, program: &Program, said: &str) {
    let before = home.log().len();
    program.hang_up();
    wait_until(said, || {
        home.log()
            .get(before..)
            .is_some_and(|new| new.contains(said))
    });
}

#[test]
fn what_can_change_changes_for_new_sessions() {
    let listen = free_address();
    let home = home(listen, "192.0.2.0/24");
    let program = home.start();
    let (mut running, first) = greeting(listen);
    assert!(
        first.starts_with("220 ") && first.contains("Example Hosting"),
        "{first}"
    );
    let file = home.path("relay.toml");
    let old = fs::read_to_string(&file).unwrap();
    let new = old
        .replace(
            "operator = \"Example Hosting\"",
            "operator = \"Another Name\"",
        )
        .replace("[limits]\n", "[limits]\nconnections_per_customer = 1\n")
        .replace("log = \"debug\"", "log = \"info\"");
    fs::write(&file, &new).unwrap();
    hang_up(&home, &program, "configuration read again");
    let quiet = home.log().len();
    // The customer has its one connection already, made when it was allowed fifty.
    let (_, full) = greeting(listen);
    assert!(full.starts_with("421 4.7.0"), "{full}");
    // It knows nothing of all this.
    running.write_all(b"NOOP\r\n").unwrap();
    assert!(line(&mut running).starts_with("250 "));
    running.write_all(b"QUIT\r\n").unwrap();
    assert!(line(&mut running).starts_with("221 "));
    drop(running);
    wait_until("the new operator", || {
        let (_, said) = greeting(listen);
        assert!(!said.contains("Example Hosting"), "{said}");
        said.starts_with("220 ") && said.contains("Another Name")
    });
    assert!(
        !home.log().split_off(quiet).contains("DEBUG"),
        "{}",
        home.log()
    );
    // A range that is authorised no more.
    fs::write(&file, new.replace("192.0.2.0/24", "198.51.100.0/24")).unwrap();
    hang_up(&home, &program, "configuration read again");
    let (_, refused) = greeting(listen);
    assert!(refused.starts_with("554 "), "{refused}");
    assert!(program.stop().success());
}

#[test]
fn a_mistake_changes_nothing() {
    let listen = free_address();
    let home = home(listen, "192.0.2.0/24");
    let program = home.start();
    let file = home.path("relay.toml");
    let old = fs::read_to_string(&file).unwrap();
    let renamed = old.replace(
        "operator = \"Example Hosting\"",
        "operator = \"Another Name\"",
    );
    let dkim = format!(
        "{renamed}[[dkim]]\ndomain = \"example.net\"\nselector = \"a\"\nkey = \"{}\"\n",
        home.path("absent").display()
    );
    for (text, problem) in [
        (
            renamed.replace("[limits]\n", "[limits]\nconnections = 0\n"),
            "limits.connections: 0: must be",
        ),
        (dkim, "dkim.key: "),
        (
            renamed.replace("[limits]\n", "[limits]\nconnections = 99999999\n"),
            "limits.connections: 99999999: needs",
        ),
        ("nonsense".into(), "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        hang_up(&home, &program, problem);
        assert!(home.log().contains("the old one stays in force"));
        let (_, said) = greeting(listen);
        assert!(
            said.starts_with("220 ") && said.contains("Example Hosting"),
            "{said}"
        );
    }
    assert!(program.stop().success());
}

#[test]
fn what_cannot_change_is_named_and_stays() {
    let (listen, other) = (free_address(), free_address());
    let home = home(listen, "192.0.2.0/24");
    let program = home.start();
    let file = home.path("relay.toml");
    let new = fs::read_to_string(&file)
        .unwrap()
        .replace(&listen.to_string(), &other.to_string())
        .replace(
            "operator = \"Example Hosting\"",
            "operator = \"Another Name\"",
        )
        .replace("hostname = \"relay-1", "hostname = \"relay-2")
        .replace("name = \"relay-1\"", "name = \"relay-2\"");
    fs::write(&file, new).unwrap();
    hang_up(&home, &program, "configuration read again");
    wait_until("what stays", || {
        home.log().contains("name, hostname, authorised")
    });
    let (_, said) = greeting(listen);
    assert!(
        said.starts_with("220 relay-1.example.net") && said.contains("Another Name"),
        "{said}"
    );
    assert!(TcpStream::connect(other).is_err());
    assert!(program.stop().success());
}
