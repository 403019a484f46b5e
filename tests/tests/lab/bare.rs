//! The lab without the product: what it proves later must not come from the lab itself.

use anyhow::Result;
use lab::{
    Family, Host,
    capture::{Capture, SETTLE, differences},
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    wait::until,
};

use crate::lab_up;

#[test]
fn mail_crosses_the_bare_lab_unchanged() -> Result<()> {
    let lab = lab_up("ogtbare")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let near = Capture::start(&lab.namespace(Host::CustomerB))?;
    let far = Capture::start(&lab.namespace(Host::Mx1))?;
    for family in Family::ALL {
        let message = Message::awkward();
        let submission = Submission {
            from: Host::CustomerB,
            to: exchanger(Host::Mx1, family),
            message: &message,
            tls: true,
        };
        submission.send(&lab)?.accepted()?;
        let stored = mx.delivered(&message.token)?;
        assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
        assert!(
            stored.arrived_from(Host::CustomerB.address(family)),
            "{}",
            stored.text()
        );
        assert!(stored.arrived_by_tls(), "{}", stored.text());
        assert_eq!(stored.outgate_id(), None);

        let (customer, mx) = (Host::CustomerB.address(family), Host::Mx1.address(family));
        let same = |from, to, sent: &Capture, received: &Capture| {
            until("the wires to agree", SETTLE, || {
                let (sent, received) = (sent.datagrams(from, to), received.datagrams(from, to));
                Ok(
                    (!sent.is_empty() && differences(&sent, &received).is_empty())
                        .then_some(sent.len()),
                )
            })
        };
        assert!(same(customer, mx, &near, &far)? > 5);
        assert!(same(mx, customer, &far, &near)? > 5);
    }
    Ok(())
}
