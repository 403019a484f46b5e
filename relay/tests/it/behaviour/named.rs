//! Limits that a customer's flag names.

use contract::Snapshot;
use relay::metrics::Counter;
use relay::snapshot::put_into_force;

use super::{MAIL, destination, send};
use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, snapshot};

const LIMITS: &str = "[behaviour.limits]\nmessages_per_day = 2\n[behaviour.named_limits.small]\nmessages_per_day = 1\n\
                      [behaviour.named_limits.bulk]\nmessages_per_day = 0\n";
const MESSAGE: &str = "Subject: x\r\n\r\n";

/// 127.0.0.1's flag names these.
fn naming(limits: Option<&str>) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.customers[0].limits = limits.map(|name| name.parse().unwrap());
    snapshot
}

/// How many messages of a new session pass, of three.
async fn passing(gate: &Gate, customer: &str) -> usize {
    let (mut customer, _) = Dialogue::open_from(gate.address, customer).await;
    customer.expect("EHLO client.example\r\n", "250").await;
    for passed in 0..3 {
        customer.say(MAIL.as_bytes()).await;
        if !customer.hear().await.starts_with("250") {
            return passed;
        }
        customer.expect("RSET\r\n", "250").await;
        let reply = send(&mut customer, "b@mx.example", MESSAGE).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    3
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_names_limits_and_its_neighbours_have_those_of_everybody() {
    for (named, passed, shown) in [
        (Some("small"), 1, Some("small")),
        (Some("bulk"), 3, Some("bulk")),
        (Some("nosuch"), 2, None),
        (None, 2, None),
    ] {
        let destination = destination(&[]).await;
        let gate = Gate::start(Options {
            more: LIMITS.into(),
            snapshot: Some(naming(named)),
            ..Options::to(destination.address)
        });
        assert_eq!(passing(&gate, "127.0.0.1").await, passed, "{named:?}");
        assert_eq!(passing(&gate, "127.0.0.2").await, 2, "{named:?}");
        let told = gate.relay.behaviour().show("127.0.0.1").unwrap().unwrap();
        assert_eq!(told.limits_name.as_deref(), shown);
        let daily = told.limits.iter().find(|it| it.name == "messages_per_day");
        let allowed = daily.map(|it| it.limit);
        let expected = match named {
            Some("small") => Some(1),
            Some("bulk") => None,
            _ => Some(2),
        };
        assert_eq!(allowed, expected, "{named:?}");
        // A relay that does not have them goes on, and says so.
        let missing = u64::from(named == Some("nosuch"));
        gate.assert_counted(Counter::LimitsMissing, missing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_flag_holds_for_the_next_session() {
    let destination = destination(&[]).await;
    let gate = Gate::start(Options {
        more: LIMITS.into(),
        snapshot: Some(naming(Some("small"))),
        ..Options::to(destination.address)
    });
    assert_eq!(passing(&gate, "127.0.0.1").await, 1);
    put_into_force(&gate.newest, naming(Some("bulk")));
    assert_eq!(passing(&gate, "127.0.0.1").await, 3);
}
