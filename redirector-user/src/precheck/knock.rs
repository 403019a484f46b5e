//! Knocks at port 25: connects, says what [`super::relay`] wants said, writes down the replies, hangs up.

use std::{io, net::IpAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    Question,
    facts::{Exchange, Knock},
    relay,
};
use crate::dns::printable;

/// What port 25 of an address does; `stranger` is a mailbox that it has no business with.
pub(super) async fn knock(
    address: IpAddr,
    question: &Question,
    stranger: &str,
    deadline: Instant,
) -> Knock {
    let until = deadline.min(Instant::now() + CONNECT);
    let stream = match timeout_at(until, TcpStream::connect((address, PORT))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Knock::Refused;
        }
        Ok(Err(error)) => return Knock::Silent(error.to_string()),
        Err(_elapsed) => return Knock::Silent(format!("nothing within {} s", CONNECT.as_secs())),
    };
    // RFC 5321 section 4.1.3: who has no name says its address.
    let own = match stream.local_addr().map(|own| own.ip()) {
        Ok(IpAddr::V4(own)) => format!("EHLO [{own}]"),
        Ok(IpAddr::V6(own)) => format!("EHLO [IPv6:{own}]"),
        Err(error) => return Knock::Silent(error.to_string()),
    };
    let until = deadline.min(Instant::now() + DIALOGUE);
    let mut dialogue = Dialogue {
        stream: BufReader::new(stream),
        until,
        exchanges: Vec::new(),
    };
    if dialogue.say(String::new()).await && dialogue.say(own).await {
        let mut refused = false;
        for command in relay::script(question, stranger) {
            // A recipient of a sender that was refused would be refused for that.
            if refused && command.starts_with("RCPT") {
                continue;
            }
            refused = !dialogue.say(command).await;
            if dialogue.is_over() {
                break;
            }
        }
    }
    dialogue.leave().await;
    Knock::Spoke(dialogue.exchanges)
}

struct Dialogue {
    stream: BufReader<TcpStream>,
    until: Instant,
    exchanges: Vec<Exchange>,
}

impl Dialogue {
    /// Says something, nothing at first, and writes down what is replied; answers with whether that is good.
    async fn say(&mut self, command: String) -> bool {
        let replied = timeout_at(self.until, exchange(&mut self.stream, &command)).await;
        let reply = match replied {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err(String::from("not in time")),
        };
        let exchange = Exchange { command, reply };
        let good = exchange.is('2');
        self.exchanges.push(exchange);
        good
    }

    fn is_over(&self) -> bool {
        self.exchanges
            .last()
            .is_some_and(|last| last.reply.is_err())
    }

    async fn leave(&mut self) {
        // A courtesy; whoever does not hear it hears the end of the connection.
        let said = timeout_at(self.until, self.stream.get_mut().write_all(b"QUIT\r\n")).await;
        drop(said);
    }
}

/// The last line of the reply (RFC 5321 section 4.2.1).
async fn exchange(stream: &mut BufReader<TcpStream>, command: &str) -> io::Result<String> {
    if !command.is_empty() {
        let line = format!("{command}\r\n");
        stream.get_mut().write_all(line.as_bytes()).await?;
    }
    for _line in 0..LINES_MAX {
        let mut line = Vec::new();
        let mut bounded = (&mut *stream).take(LINE_OCTETS);
        bounded.read_until(b'\n', &mut line).await?;
        match line.as_slice() {
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b'-', ..] => {}
            [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', ..] if line.ends_with(b"\n") => {
                return Ok(printable(line.trim_ascii_end()));
            }
            _ => return Err(io::Error::other("that is not SMTP")),
        }
    }
    Err(io::Error::other("a reply without an end"))
}

const PORT: u16 = 25;
/// Long enough for a SYN to be sent three times.
const CONNECT: Duration = Duration::from_secs(5);
/// Some let strangers wait before they greet.
const DIALOGUE: Duration = Duration::from_secs(20);
const LINES_MAX: usize = 64;
/// Twice what RFC 5321 section 4.5.3.1.5 allows.
const LINE_OCTETS: u64 = 1024;
