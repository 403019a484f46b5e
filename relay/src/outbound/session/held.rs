//! A destination that has been greeted in clear text and may speak TLS with somebody else.

use relay_proto::client::{Config, Event, Extensions, LostCause, Session, Stage};
use tokio::net::TcpStream;

use super::super::{Lost, Unreachable};
use super::{Handshake, Step, Upstream, out_of_turn};
use crate::clock::Clock;

/// It has answered EHLO, and STARTTLS has not been said.
#[derive(Debug)]
pub(crate) struct Held(Upstream);

impl Held {
    /// Greets over `tcp`.
    pub(in crate::outbound) async fn open(
        tcp: TcpStream,
        config: Config,
        tls: Handshake,
    ) -> Result<Self, Unreachable> {
        let clock = Clock::start();
        let session = Session::held(config, clock.now());
        let upstream = Upstream::start(tcp, session, clock, tls);
        upstream.ready().await.map(Self)
    }

    /// What it offers in clear text.
    pub(crate) fn extensions(&self) -> &Extensions {
        self.0.extensions()
    }

    /// Goes on as a session of our own, under TLS if that is offered.
    pub(crate) async fn into_upstream(mut self) -> Result<Upstream, Unreachable> {
        if self.0.extensions.starttls {
            self.0.session.starttls(self.0.clock.now());
            return self.0.ready().await;
        }
        Ok(self.0)
    }

    /// Says STARTTLS. The connection, on which TLS comes next and nothing else has come yet.
    pub(crate) async fn give_away(mut self) -> Result<TcpStream, Lost> {
        self.0.session.starttls(self.0.clock.now());
        let lost = |cause| Lost {
            stage: Stage::StartTls,
            cause,
        };
        match self.0.next_step().await {
            Step::StartTls => {
                let tcp = self.0.stream.take_plain();
                tcp.map_err(|_closed| lost(LostCause::HungUp))
            }
            Step::Event(Event::Lost { stage, cause }) => Err(Lost { stage, cause }),
            Step::Event(Event::Ready(_) | Event::Answered { .. }) => {
                Err(out_of_turn(Stage::StartTls))
            }
            Step::Closed => Err(lost(LostCause::HungUp)),
        }
    }

    /// QUIT.
    pub(crate) async fn quit(self) {
        self.0.quit().await;
    }
}
