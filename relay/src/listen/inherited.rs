//! Listening sockets that the service manager holds for us (socket activation, sd_listen_fds(3)).
//!
//! They outlive the process: while one relay drains and the next one starts, connections wait in them and none is
//! refused. [`Inherited::take`] is called once, before anything else; listeners then [`Inherited::claim`] theirs by
//! address, and bind what was not passed themselves. What nobody has claimed is an error, because mail that comes
//! there would wait for ever.
//!
//! # Diagnostics
//! Returned: [`InheritedError`], which names the address and the directive that is wrong.
#![expect(
    unsafe_code,
    reason = "a descriptor that another process has put there has no owner yet"
)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use rustix::net::{SocketType, sockopt};

/// The sockets, by their addresses.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, OwnedFd)>);

/// What the service manager does wrong.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// `LISTEN_FDS` or `LISTEN_PID` make no sense, or a descriptor is not there.
    #[error("sockets from the service manager (LISTEN_FDS): {0}")]
    Protocol(#[from] io::Error),
    /// Something else than a listening TCP socket.
    #[error(
        "descriptor {number} from the service manager is {what}; ListenStream= with ADDRESS:PORT is meant"
    )]
    NotAListener {
        /// Its number.
        number: i32,
        /// What it is instead.
        what: &'static str,
    },
    /// A socket that nobody has asked for.
    #[error(
        "the service manager passes a socket for {0}, where no listener of the configuration is: mail that comes \
         there would wait in vain. Remove its ListenStream=, or name it in listen, transparent, [[authorised]], \
         [submission], metrics.listen or acme.listen"
    )]
    Unneeded(SocketAddr),
}

impl Inherited {
    /// Takes what was passed to this process; nothing, usually. Must be called before anything else opens a file,
    /// and once.
    pub fn take() -> Result<Self, InheritedError> {
        let mut sockets = Vec::new();
        for number in sd_notify::listen_fds()? {
            // SAFETY: the service manager has opened this descriptor for this very process (LISTEN_PID was compared),
            // it is open (FD_CLOEXEC was just set on it), and this function, called once, is the only one to own it.
            let socket = unsafe { OwnedFd::from_raw_fd(number) };
            let address = address_of(&socket)
                .map_err(|what| InheritedError::NotAListener { number, what })?;
            sockets.push((address, socket));
        }
        Ok(Self(sockets))
    }

    /// The socket that listens at `address`, if there is one that nobody has claimed.
    pub(crate) fn claim(&mut self, address: SocketAddr) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(known, _)| *known == address)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Whether all have been claimed.
    pub fn expect_none(&self) -> Result<(), InheritedError> {
        match self.0.first() {
            Some((address, _)) => Err(InheritedError::Unneeded(*address)),
            None => Ok(()),
        }
    }
}

fn address_of(socket: &impl AsFd) -> Result<SocketAddr, &'static str> {
    let kind = sockopt::socket_type(socket).map_err(|_not_a_socket| "no socket")?;
    let address = rustix::net::getsockname(socket).map_err(|_no_name| "no socket")?;
    let address = SocketAddr::try_from(address).map_err(|_family| "no TCP socket")?;
    if kind != SocketType::STREAM {
        return Err("no TCP socket");
    }
    match sockopt::socket_acceptconn(socket) {
        Ok(true) => Ok(address),
        Ok(false) | Err(_) => Err("a socket that does not listen (Accept=yes?)"),
    }
}
