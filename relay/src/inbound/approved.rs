//! Connections to approved submission services: joined from the first octet, so that their customers can authenticate
//! with whom they mean.

use relay_proto::reply::Reply;
use relay_proto::server::Session;
use tokio::net::TcpStream;
use tracing::info;

use super::session::Driver;
use crate::Relay;
use crate::admission::Admitted;
use crate::metrics::Counter;
use crate::origin::OriginalDst;
use crate::outbound::Unreachable;
use crate::splice::{self, Joint};
use crate::treatment::{Nobody, splices_full};

/// Whether this connection is one of those.
pub(super) fn is_approved(relay: &Relay, admitted: &Admitted, destination: OriginalDst) -> bool {
    let walled = admitted.treatment() == contract::Treatment::Walled;
    let destination = destination.socket_addr().ip();
    let approved = &relay.config.splice.approved;
    !walled && approved.iter().any(|network| network.contains(destination))
}

/// Serves it to its end.
pub(super) async fn serve(driver: Driver<'_>, admitted: &Admitted, destination: OriginalDst) {
    let Driver {
        stream,
        clock,
        relay,
        connections,
    } = driver;
    let joint = match joint(relay, admitted, destination).await {
        Ok(joint) => joint,
        Err(reply) => {
            info!(reply.code = reply.code().value(), %reply, "approved connection refused");
            let driver = Driver {
                stream,
                clock,
                relay,
                connections,
            };
            let session = Session::refuse(reply, clock.now());
            return driver.run(session, &mut Nobody).await;
        }
    };
    match stream.take_plain() {
        Ok(customer) => splice::join_and_tell(relay, customer, joint, &[]).await,
        Err(error) => info!(%error, "connection lost before it was joined"),
    }
}

async fn joint(
    relay: &Relay,
    admitted: &Admitted,
    destination: OriginalDst,
) -> Result<Joint, Reply> {
    let place = relay.spliced.enter(admitted.customer).map_err(|_full| {
        relay.metrics().count(Counter::RefusedSplicedFull);
        splices_full(&relay.config.identity.hostname)
    })?;
    match connect(relay, admitted, destination).await {
        Ok(connected) => Ok(Joint {
            destination: connected,
            server_name: None,
            why: "approved",
            place,
        }),
        Err(unreachable) => {
            relay.metrics().count(Counter::Unreachable);
            if let Unreachable::NoWay(no_way) = unreachable {
                return Err(no_way.reply());
            }
            let text = format!("cannot reach {destination}: {unreachable}; try again");
            Err(Reply::new(421, "4.4.1", &text))
        }
    }
}

/// A connection to the destination, by the first way that works.
async fn connect(
    relay: &Relay,
    admitted: &Admitted,
    destination: OriginalDst,
) -> Result<TcpStream, Unreachable> {
    let mut legs = admitted.legs(&relay.egresses, None, destination);
    loop {
        let leg = legs.best()?;
        match relay.outbound.connect(&leg).await {
            Err(Unreachable::Connect(error)) if legs.may_go_on(leg, &error) => {}
            connected => return connected,
        }
    }
}
