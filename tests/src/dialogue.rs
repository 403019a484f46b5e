//! An SMTP connection driven line by line, for what a mail program would not do: stay silent,
//! choose its source port, look at a reset.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use crate::{netns::Namespace, wait::patient};

/// One connection and what was said on it.
#[derive(Debug)]
pub struct Dialogue {
    stream: BufReader<TcpStream>,
    transcript: String,
}

/// A reply, its lines joined by spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Such as 250.
    pub code: u16,
    /// What follows the code.
    pub text: String,
}

/// What became of a connection attempt that was not accepted, or of a connection that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// RST in answer to the SYN.
    Refused,
    /// RST on an open connection.
    Reset,
    /// FIN.
    Closed,
    /// Nothing, until the patience given had passed.
    Silence,
}

impl Dialogue {
    /// Connects from inside a namespace; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The connection's, as `io::Error` ([`end_of`] reads it), or the namespace's.
    pub fn open(
        namespace: &Namespace,
        from: SocketAddr,
        to: SocketAddr,
        patience: Duration,
    ) -> Result<Self> {
        let patience = patient(patience);
        let stream = namespace.inside(|| Ok(connected(from, to, patience)?))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream: BufReader::new(stream),
            transcript: String::new(),
        })
    }

    /// The connection's own address and port.
    ///
    /// # Errors
    /// The socket's.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.stream.get_ref().local_addr()?)
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// The end of the connection, or silence, as `io::Error`; a line that is no reply.
    pub fn reply(&mut self) -> Result<Reply> {
        let mut texts = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.transcript.push_str(&format!("S: {line}"));
            let line = line.trim_end();
            let (Some(code), separator) = (line.get(..3), line.get(3..4)) else {
                bail!("no reply: {line:?}")
            };
            texts.push(line.get(4..).unwrap_or_default().to_owned());
            if separator != Some("-") {
                let code = code
                    .parse()
                    .with_context(|| format!("no reply: {line:?}"))?;
                return Ok(Reply {
                    code,
                    text: texts.join(" "),
                });
            }
        }
    }

    /// Sends a command, reads its reply.
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub fn command(&mut self, line: &str) -> Result<Reply> {
        self.transcript.push_str(&format!("C: {line}\n"));
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// As [`Self::command`], for a reply that must have that code.
    ///
    /// # Errors
    /// Another reply, with the transcript.
    pub fn expect(&mut self, code: u16, line: &str) -> Result<Reply> {
        let reply = self
            .command(line)
            .with_context(|| format!("{line}\n{}", self.transcript))?;
        if reply.code != code {
            bail!("{line}: expected {code}\n{}", self.transcript);
        }
        Ok(reply)
    }

    /// A whole small transaction in clear text, after the greeting was read; returns the last reply.
    ///
    /// # Errors
    /// A refusal before the end of the data, or the end of the connection.
    pub fn transaction(&mut self, content: &[u8]) -> Result<Reply> {
        self.begin_data()?;
        self.send_data(content)?;
        self.command(".")
    }

    /// The part of a transaction before its content.
    ///
    /// # Errors
    /// A refusal, or the end of the connection.
    pub fn begin_data(&mut self) -> Result<()> {
        self.expect(250, "EHLO client.example.org")?;
        self.expect(250, "MAIL FROM:<sender@example.org>")?;
        self.expect(250, "RCPT TO:<recipient@example.net>")?;
        self.expect(354, "DATA")?;
        Ok(())
    }

    /// Some of the content, whose lines are not split between two calls where one begins with a dot.
    ///
    /// # Errors
    /// The end of the connection.
    pub fn send_data(&mut self, content: &[u8]) -> Result<()> {
        let mut stuffed = Vec::with_capacity(content.len() + 8);
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        self.stream.get_mut().write_all(&stuffed)?;
        Ok(())
    }

    /// Octets as they are, for what no client should send.
    ///
    /// # Errors
    /// The end of the connection.
    pub fn send_octets(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(octets)?;
        Ok(())
    }

    /// What was said so far.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.transcript
    }
}

/// What an error of [`Dialogue::open`] or [`Dialogue::reply`] says about the connection; `None` for
/// errors that are about something else.
#[must_use]
pub fn end_of(error: &anyhow::Error) -> Option<End> {
    let kind = error.chain().find_map(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        io.or_else(|| {
            cause
                .downcast_ref::<rustix::io::Errno>()
                .map(|errno| errno.kind())
        })
    })?;
    if kind == io::ErrorKind::ConnectionRefused {
        Some(End::Refused)
    } else if kind == io::ErrorKind::ConnectionReset || kind == io::ErrorKind::BrokenPipe {
        Some(End::Reset)
    } else if kind == io::ErrorKind::UnexpectedEof {
        Some(End::Closed)
    } else if matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        Some(End::Silence)
    } else {
        None
    }
}

/// Any port of an address.
#[must_use]
pub const fn any_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

/// Port 25 of an address.
#[must_use]
pub const fn smtp(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 25)
}

fn connected(from: SocketAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    // Or a child of another test would keep the connection open.
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Two connections of one port to two destinations share the local address.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // On Linux the send time-out bounds connect() as well (socket(7)).
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
    bind(&socket, &from)?;
    connect(&socket, &to).map_err(|errno| match errno {
        rustix::io::Errno::INPROGRESS => io::Error::from(io::ErrorKind::TimedOut),
        other => other.into(),
    })?;
    Ok(TcpStream::from(socket))
}
