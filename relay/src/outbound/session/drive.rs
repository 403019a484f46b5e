//! Octets and time in, octets out: what drives a session between two events.

use std::io;

use relay_proto::client::{Action, Event, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use super::super::TIMEOUTS;
use super::{Handshake, Step, Upstream};
use crate::clock::Clock;
use crate::tls;

impl Upstream {
    pub(super) async fn next_step(&mut self) -> Step {
        loop {
            while let Some(action) = self.poll() {
                match action {
                    Action::Send(octets) if self.unsent.is_empty() => self.send(&octets).await,
                    Action::Send(octets) => {
                        self.unsent.extend_from_slice(&octets);
                        self.flush().await;
                    }
                    Action::StartTls => return Step::StartTls,
                    Action::Event(event) => return Step::Event(event),
                    Action::Close => return Step::Closed,
                }
            }
            tokio::select! {
                read = self.stream.read(&mut self.buffer) => {
                    fed(&mut self.session, self.clock, &self.buffer, read);
                }
                () = self.clock.reach(self.session.deadline()) => {
                    self.session.expire(self.clock.now());
                }
            }
        }
    }

    /// Sends what is kept of the content.
    pub(super) async fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let unsent = self.unsent.split().freeze();
            self.send(&unsent).await;
        }
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        self.queued.pop_front().or_else(|| self.session.poll())
    }

    /// Writes, and listens meanwhile: a destination that refuses in mid-content stops reading, and
    /// who only writes would wait for it until a time-out instead of hearing why.
    pub(super) async fn send(&mut self, octets: &[u8]) {
        let Self {
            stream,
            session,
            clock,
            queued,
            buffer,
            ..
        } = self;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async {
            writer.write_all(octets).await?;
            writer.flush().await
        };
        let mut write = std::pin::pin!(timeout(TIMEOUTS.data_block, write));
        loop {
            tokio::select! {
                biased;
                written = &mut write => {
                    match written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                        Ok(()) => {}
                        Err(error) => {
                            debug!(%error, "destination does not take octets");
                            session.hang_up();
                        }
                    }
                    return;
                }
                read = reader.read(buffer) => {
                    fed(session, *clock, buffer, read);
                    while let Some(action) = session.poll() {
                        let is_over = matches!(action, Action::Event(Event::Lost { .. }));
                        // Of an envelope that is said in one go, the first answers may come before its end is out.
                        queued.push_back(action);
                        if is_over {
                            return;
                        }
                    }
                }
            }
        }
    }

    pub(super) async fn handshake(&mut self) {
        let Handshake { config, name, .. } = self.tls.clone();
        let connect = self.stream.connect_tls(config, name);
        let result = tokio::select! {
            result = connect => result,
            () = self.clock.reach(self.session.deadline()) => {
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        match result {
            Ok(()) => self.session.tls_started(self.clock.now()),
            Err(error) => {
                debug!(%error, "destination's TLS handshake failed");
                self.old_tls = tls::is_too_old(&error);
                self.session.tls_failed(self.clock.now());
            }
        }
    }
}

/// Hands what was read to the session; the end of the connection too.
pub(super) fn fed(session: &mut Session, clock: Clock, buffer: &[u8], read: io::Result<usize>) {
    match read {
        Ok(0) => session.hang_up(),
        Ok(count) => session.receive(clock.now(), &buffer[..count]),
        Err(error) => {
            debug!(%error, "destination lost");
            session.hang_up();
        }
    }
}
