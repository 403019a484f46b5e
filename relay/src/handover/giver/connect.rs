//! A connection to the taker, up to its welcome; and what is told to people when there is none.

use std::io;
use std::time::Duration;

use relay_proto::handover::{Frame, Hello, SpoolName, VERSIONS, Welcome};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::wire::{Broken, Wire, kind};
use super::{Connection, Giver, Stopped};

impl Giver<'_> {
    /// To the first of the target's addresses that answers.
    pub(super) async fn connect(&self, name: SpoolName) -> Result<(Connection, Welcome), Stopped> {
        let mut problem = format!("{}: no address", self.target.name);
        for &address in &self.target.addresses {
            let connecting = async {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::IpAddress(address.ip().into());
                self.peers.connector.connect(name, stream).await
            };
            match timeout(CONNECTING, connecting).await {
                Ok(Ok(stream)) => return self.greet(Wire::new(stream), name).await,
                Ok(Err(error)) => {
                    let said = self.told(&error);
                    if is_certificate(&error) {
                        return Err(Stopped::Refused(said));
                    }
                    problem = format!("{} ({address}): {said}", self.target.name);
                }
                Err(_elapsed) => {
                    let seconds = CONNECTING.as_secs();
                    problem = format!(
                        "{} ({address}): no answer within {seconds} s",
                        self.target.name
                    );
                }
            }
        }
        Err(Stopped::Connection(problem))
    }

    async fn greet(
        &self,
        mut wire: Connection,
        name: SpoolName,
    ) -> Result<(Connection, Welcome), Stopped> {
        let hello = Frame::Hello(Hello {
            versions: VERSIONS,
            relay: self.relay.to_owned(),
            spool: name,
            tried_until: self.source.tried_until(),
        });
        let greeted = async {
            wire.send(&hello).await?;
            wire.flush().await?;
            wire.receive().await
        };
        match greeted.await {
            Ok(Frame::Welcome(welcome)) if VERSIONS.contains(&welcome.version) => {
                Ok((wire, welcome))
            }
            Ok(Frame::Refused(text)) => {
                let name = &self.target.name;
                Err(Stopped::Refused(format!("{name} refuses: {text}")))
            }
            Ok(other) => Err(out_of_turn(other).into()),
            // In TLS 1.3 the client is done before it hears that its certificate is not taken.
            Err(Broken::Lost(error)) if is_certificate(&error) => {
                Err(Stopped::Refused(self.told(&error)))
            }
            Err(broken) => Err(broken.into()),
        }
    }

    /// What went wrong between two relays that do not know each other, with what to do about it.
    fn told(&self, error: &io::Error) -> String {
        let name = &self.target.name;
        match certificate_problem(error) {
            Some(Side::Ours) => format!(
                "{name} does not take our certificate: put its fingerprint, {}, into a [[peers.relay]] there",
                self.peers.own
            ),
            Some(Side::Theirs) => format!(
                "{name} shows a certificate that is none of those in [[peers.relay]] here; nothing was said to it"
            ),
            None => error.to_string(),
        }
    }
}

/// Whose certificate is not known.
enum Side {
    Ours,
    Theirs,
}

fn certificate_problem(error: &io::Error) -> Option<Side> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(_) => Some(Side::Theirs),
        rustls::Error::AlertReceived(_) => {
            crate::tls::certificate_alert(error).map(|_alert| Side::Ours)
        }
        _ => None,
    }
}

fn is_certificate(error: &io::Error) -> bool {
    certificate_problem(error).is_some()
}

/// What was said is not what was to be said.
pub(super) fn out_of_turn(frame: Frame) -> Broken {
    match frame {
        Frame::Refused(text) => Broken::Refused(text),
        other => Broken::OutOfTurn(kind(&other)),
    }
}

impl From<Broken> for Stopped {
    fn from(broken: Broken) -> Self {
        let said = broken.to_string();
        match broken {
            Broken::Lost(_) | Broken::Silent | Broken::Superseded | Broken::Stopping => {
                Self::Connection(said)
            }
            Broken::Frame(_) | Broken::OutOfTurn(_) | Broken::Refused(_) => Self::Refused(said),
        }
    }
}

const CONNECTING: Duration = Duration::from_secs(10);
