//! Everybody who takes part in the story, started.

use anyhow::{Result, bail};

use super::report::Act;
use crate::{
    capture::Capture,
    gate::Gate,
    host::{Family, Host},
    lab::Lab,
    message::{Message, Stored},
    peers::{
        postfix::Postfix,
        rspamd::Rspamd,
        swaks::{Outcome, Submission, exchanger},
    },
    pool::Pool,
    relay::{Options, RelayNode},
};

/// Everybody, running.
#[derive(Debug)]
pub(crate) struct Cast<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) gate: Gate<'lab>,
    pub(crate) relay: RelayNode<'lab>,
    /// Takes what is steered, and delivers from the customer's own address.
    pub(crate) second_relay: RelayNode<'lab>,
    pub(crate) rspamd: Rspamd,
    pub(crate) mx1: Postfix,
    pub(crate) mx2: Postfix,
    /// What the bystander puts on its wire, and gets from it.
    pub(crate) near_bystander: Capture,
    /// What arrives at the exchanger, and leaves it.
    pub(crate) near_mx1: Capture,
}

impl<'lab> Cast<'lab> {
    /// Starts everybody, and waits until mail could flow.
    pub(crate) fn start(lab: &'lab Lab) -> Result<Self> {
        let mx1 = Postfix::start(lab, Host::Mx1)?;
        let mx2 = Postfix::start(lab, Host::Mx2)?;
        let rspamd = Rspamd::start(lab)?;
        let near_bystander = Capture::start(&lab.namespace(Host::CustomerB))?;
        let near_mx1 = Capture::start(&lab.namespace(Host::Mx1))?;
        let mut gate = Gate::start_with_pools(lab, &[Pool::REWRITE, Pool::SECOND])?;
        let options = Options {
            rspamd: Some(rspamd.url()),
            ..Options::default()
        };
        let relay = RelayNode::start(lab, &options)?;
        let options = Options {
            pool: Pool::SECOND,
            ..options
        };
        let second_relay = RelayNode::start(lab, &options)?;
        gate.wait_for_relay()?;
        Ok(Self {
            lab,
            gate,
            relay,
            second_relay,
            rspamd,
            mx1,
            mx2,
            near_bystander,
            near_mx1,
        })
    }

    /// Sends a message to mx1 over STARTTLS.
    pub(crate) fn mail(&self, from: Host, family: Family, message: &Message) -> Result<Outcome> {
        let submission = Submission {
            from,
            to: exchanger(Host::Mx1, family),
            message,
            tls: true,
        };
        submission.send(self.lab)
    }

    /// Checks that mail of a customer reaches mx1 directly, and as it was sent.
    pub(crate) fn mails_directly(&self, act: &mut Act<'_>, from: Host, family: Family) {
        let name = format!("{} mails mx1 directly, {}", from.name(), family.name());
        act.check(&name, || {
            let message = Message::awkward();
            self.mail(from, family, &message)?.accepted()?;
            let stored = self.mx1.delivered(&message.token)?;
            let customer = from.address(family);
            if !stored.arrived_from(customer) || stored.outgate_id().is_some() {
                bail!("it did not come from {customer} itself:\n{}", stored.text());
            }
            intact(&stored, &message)?;
            Ok(format!("mx1 saw {customer}"))
        });
    }

    /// Lets everybody outlive this guard.
    pub(crate) fn keep(&mut self) {
        self.gate.keep();
        self.relay.keep();
        self.second_relay.keep();
        self.rspamd.keep();
        self.mx1.keep();
        self.mx2.keep();
    }
}

/// Header and body are as sent, under trace fields only.
pub(crate) fn intact(stored: &Stored, message: &Message) -> Result<()> {
    stored
        .preserves(message)
        .map_err(|difference| anyhow::anyhow!("{difference}\n{}", stored.text()))
}
