//! Interfaces: where the program is, and keeping it where the configuration wants it.

use std::collections::BTreeMap;

use redirector_common::abi::Role;
use serde_json::json;

use super::{Controller, Problem, clock};
use crate::{
    config::{self, Interface},
    edge::{AttachMode, Attachment},
    store::audit::{Entry, Kind},
};

impl Controller {
    /// Where the program is.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub async fn attachments(&self) -> Result<Vec<Attachment>, Problem> {
        Ok(self.kernel.call(|edge| edge.attachments()).await??)
    }

    /// Attaches the program at a person's word, which from then on stands above the configuration.
    ///
    /// # Errors
    ///
    /// [`Problem::Edge`] says what the interface or its driver refuses.
    pub async fn attach(&self, interface: Interface, actor: &str) -> Result<Attachment, Problem> {
        self.unless_importing()?;
        let mut state = self.lock().await;
        let attachment = self.attach_now(&interface).await?;
        state.by_hand.insert(interface.name);
        let payload = json!({ "role": attachment.role, "mode": attachment.mode });
        let subject = format!("interface:{}", attachment.interface);
        let entry = Entry {
            at: clock(),
            actor: actor.to_owned(),
            kind: Kind::InterfaceAttached,
            subject,
            payload,
        };
        self.store.record(entry).await?;
        Ok(attachment)
    }

    /// Takes the program off an interface, and keeps it off until it is attached by hand or the controller
    /// starts anew.
    ///
    /// # Errors
    ///
    /// [`Problem::Edge`] if it is not there.
    pub async fn detach(&self, interface: String, actor: &str) -> Result<(), Problem> {
        self.unless_importing()?;
        let mut state = self.lock().await;
        let name = interface.clone();
        self.kernel.call(move |edge| edge.detach(&name)).await??;
        tracing::info!(interface, "detached");
        let subject = format!("interface:{interface}");
        state.by_hand.insert(interface);
        let payload = json!({});
        let entry = Entry {
            at: clock(),
            actor: actor.to_owned(),
            kind: Kind::InterfaceDetached,
            subject,
            payload,
        };
        self.store.record(entry).await?;
        Ok(())
    }

    /// Brings this binary's program to every interface that has one, and to the configured ones. What cannot
    /// be attached now is tried again by [`Controller::attach_configured`].
    pub(super) async fn attach_at_start(&self) -> Result<(), Problem> {
        let mut wanted: BTreeMap<String, Interface> = BTreeMap::new();
        for attachment in self.attachments().await? {
            if let Some(role) = config::parse_role(&attachment.role) {
                let interface = Interface {
                    name: attachment.interface,
                    role,
                    mode: attachment.mode,
                };
                wanted.insert(interface.name.clone(), interface);
            }
        }
        let configured = self.config.interfaces.iter();
        wanted.extend(configured.map(|interface| (interface.name.clone(), interface.clone())));
        for interface in wanted.into_values() {
            match self.attach_now(&interface).await {
                Ok(_attachment) => {}
                // No later attempt would fare better: a person must act.
                Err(error) if error.is_privilege() => return Err(error),
                Err(error) => {
                    tracing::error!(interface = interface.name, %error, "interface not attached");
                }
            }
        }
        Ok(())
    }

    /// Attaches what the configuration names and the kernel does not have: an interface that was not there
    /// at start, or was made anew.
    pub(super) async fn attach_configured(&self) -> Result<(), Problem> {
        if self.config.interfaces.is_empty() {
            return Ok(());
        }
        let attached = self.attachments().await?;
        let mut outcome = Ok(());
        for interface in &self.config.interfaces {
            let state = self.lock().await;
            let there = attached
                .iter()
                .any(|attachment| attachment.interface == interface.name);
            if there || state.by_hand.contains(&interface.name) {
                continue;
            }
            if let Err(error) = self.attach_now(interface).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn attach_now(&self, interface: &Interface) -> Result<Attachment, Problem> {
        let (name, role, mode): (String, Role, AttachMode) =
            (interface.name.clone(), interface.role, interface.mode);
        let attachment = self
            .kernel
            .call(move |edge| edge.attach(&name, role, mode))
            .await??;
        tracing::info!(
            interface = attachment.interface, role = attachment.role, mode = ?attachment.mode,
            program.id = attachment.program_id, "attached"
        );
        Ok(attachment)
    }
}
