//! The spool on a simulated disk and on a real one.

mod crashes;
mod deliveries;
mod mutated;
mod real;
mod sim;

use std::sync::Arc;

use relay_proto::address::ReversePath;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queued::{Egress, QueueId, Queued, Source, UnixMillis};
use relay_proto::record::{Extent, Kind, envelope};

use super::active::Draft;
use super::engine::{Engine, Terms};
use super::life::Secret;
use super::recover::{self, Recovered};
use super::storage::Storage;
use super::{OpenError, ReadError};

/// A message to so many recipients.
fn queued(id: QueueId, recipients: usize) -> Queued {
    let recipient = |number| {
        let path = format!("<user{number}@mx{}.example>", number % 3);
        Recipient::new(path.parse().unwrap())
    };
    Queued {
        id,
        arrived: UnixMillis(1_790_000_000_000),
        source: Source::Customer {
            address: "192.0.2.10".parse().unwrap(),
            original_dst: "203.0.113.10:25".parse().ok(),
            ehlo: None,
            tls: false,
            flag_id: Some(17),
            user: None,
        },
        egress: Egress::Pool,
        mail: Mail::new(ReversePath::Null),
        recipients: (0..recipients).map(recipient).collect(),
        trace: format!("Received: by relay-1.example.net id {id}\r\n"),
        may_notify: false,
        held: None,
    }
}

fn draft(queued: &Queued, content: &[u8]) -> Draft {
    let envelope = envelope::encode(queued);
    Draft {
        kind: Kind::Message,
        id: Some(queued.id),
        recipients: queued.recipients.len().try_into().unwrap(),
        envelope: Extent::of(&envelope),
        content: Extent::of(content),
        body: [&envelope[..], content].concat(),
    }
}

fn open(
    storage: Arc<dyn Storage>,
    terms: Terms,
    secret: u64,
) -> Result<(Arc<Engine>, Recovered), OpenError> {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&secret.to_le_bytes());
    recover::open(storage, terms, Secret(octets))
}

/// A message's content, as whoever delivers it reads it.
async fn content(engine: &Engine, id: QueueId) -> Result<Vec<u8>, ReadError> {
    let content = engine.read(id)?.content;
    Ok(content.read_whole().await?.to_vec())
}
