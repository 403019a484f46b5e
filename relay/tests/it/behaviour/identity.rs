//! Sites inside of a shared host.

use relay::behaviour::shapes::{LockOrder, UnlockOrder};
use relay::metrics::Counter;
use tempfile::tempdir;

use super::{destination, send};
use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};

const RULES: &str = "[[identity]]\nby = \"header\"\nheader = \"X-PHP-Originating-Script\"\n\
                     [[identity]]\nby = \"sender-domain\"\nfrom = [\"127.0.0.2/32\"]\n";

fn of_site(name: &str) -> String {
    format!("X-PHP-Originating-Script: {name}\r\nSubject: x\r\n\r\n")
}

fn lock(identity: &str, customer: Option<&str>) -> LockOrder {
    LockOrder {
        identity: identity.into(),
        customer: customer.map(str::to_owned),
        reason: "sends spam, ticket 4711".into(),
        until: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_site_is_locked_and_its_neighbour_is_served() {
    let destination = destination(&[]).await;
    let state = tempdir().unwrap();
    let start = || {
        Gate::start(Options {
            more: RULES.into(),
            state_dir: Some(state.path().to_owned()),
            ..Options::to(destination.address)
        })
    };
    let gate = start();
    let (bad, good) = ("1001:bad.php", "1002:good.php");
    gate.relay
        .behaviour()
        .order_lock(&lock(bad, Some("127.0.0.1")))
        .unwrap();
    for _ in 0..2 {
        let mut customer = Dialogue::ehlo(gate.address).await;
        let reply = send(&mut customer, "b@mx.example", &of_site(bad)).await;
        let refusal = "550 5.7.1 identity 1001:bad.php on 127.0.0.1 is locked: sends spam, ticket 4711; \
                       see https://abuse.example.net/smtp";
        assert_eq!(reply.trim_end(), refusal);
        let reply = send(&mut customer, "b@mx.example", &of_site(good)).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    gate.assert_counted(Counter::IdentityLocked, 2);
    assert_eq!(destination.messages().len(), 2);
    // The same name on another host is another site.
    let (mut other, _) = Dialogue::open_from(gate.address, "127.0.0.3").await;
    other.expect("EHLO client.example\r\n", "250").await;
    let reply = send(&mut other, "b@mx.example", &of_site(bad)).await;
    assert!(reply.starts_with("250"), "{reply}");
    drop(other);
    gate.stop().await;
    let gate = start();
    let mut customer = Dialogue::ehlo(gate.address).await;
    let reply = send(&mut customer, "b@mx.example", &of_site(bad)).await;
    assert!(reply.starts_with("550 5.7.1 identity"), "{reply}");
    let order = UnlockOrder {
        identity: bad.into(),
        customer: Some("127.0.0.1".into()),
    };
    assert!(gate.relay.behaviour().order_unlock(&order).unwrap().changed);
    let reply = send(&mut customer, "b@mx.example", &of_site(bad)).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_the_envelope_names_is_refused_before_its_content() {
    let destination = destination(&[]).await;
    let gate = Gate::start(Options {
        more: RULES.into(),
        ..Options::to(destination.address)
    });
    let behaviour = gate.relay.behaviour();
    behaviour.order_lock(&lock("shop.example", None)).unwrap();
    let (mut customer, _) = Dialogue::open_from(gate.address, "127.0.0.2").await;
    customer.expect("EHLO client.example\r\n", "250").await;
    let refusal = "550 5.7.1 identity shop.example on 127.0.0.2 is locked";
    customer
        .expect("MAIL FROM:<a@Shop.Example>\r\n", refusal)
        .await;
    customer
        .expect("MAIL FROM:<a@other.example>\r\n", "250")
        .await;
    // The rule is for that host alone.
    let mut another = Dialogue::ehlo(gate.address).await;
    another
        .expect("MAIL FROM:<a@shop.example>\r\n", "250")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_has_limits_of_its_own() {
    let destination = destination(&[]).await;
    let gate = Gate::start(Options {
        more: format!("{RULES}[behaviour.identity_limits]\nmessages_per_hour = 2\n"),
        ..Options::to(destination.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    for _ in 0..2 {
        let reply = send(&mut customer, "b@mx.example", &of_site("1001:a.php")).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let reply = send(&mut customer, "b@mx.example", &of_site("1001:a.php")).await;
    let limit = "451 4.7.1 1001:a.php on 127.0.0.1 sent more than 2 messages in an hour (limit messages_per_hour), ";
    assert!(reply.starts_with(limit), "{reply}");
    let reply = send(&mut customer, "b@mx.example", &of_site("1002:b.php")).await;
    assert!(reply.starts_with("250"), "{reply}");
    let shown = gate.relay.behaviour().show("127.0.0.1").unwrap().unwrap();
    let sites: Vec<_> = shown
        .identities
        .iter()
        .map(|site| (site.identity.as_str(), site.messages))
        .collect();
    assert_eq!(sites, [("1001:a.php", 2), ("1002:b.php", 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_locked_is_said() {
    let destination = destination(&[]).await;
    let gate = Gate::to(destination.address);
    let behaviour = gate.relay.behaviour();
    let wrong = [
        LockOrder {
            reason: " ".into(),
            ..lock("x", None)
        },
        LockOrder {
            reason: "two\nlines".into(),
            ..lock("x", None)
        },
        LockOrder {
            until: Some("2020-01-01T00:00:00Z".parse().unwrap()),
            ..lock("x", None)
        },
        lock("", None),
        lock("tab\there", None),
        lock(&"x".repeat(65), None),
        lock("x", Some("example.org")),
    ];
    for order in wrong {
        behaviour.order_lock(&order).unwrap_err();
    }
    assert!(behaviour.locks().list().is_empty());
}
