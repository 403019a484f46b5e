//! Interfaces: where the program is, and keeping it where the configuration wants it.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Controller, Problem, clock};
use crate::{
    api::view::MissingInterface,
    config::{self, Interface},
    edge::{Attachment, RefusedMode},
    store::audit::{Entry, Kind},
};

/// What came of attaching, by interface, as far as the kernel does not tell.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Modes that stood before the one that was got.
    refused: BTreeMap<String, Vec<RefusedMode>>,
    /// Why it has no program.
    failed: BTreeMap<String, String>,
}

impl Controller {
    /// Where the program is.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub async fn attachments(&self) -> Result<Vec<Attachment>, Problem> {
        let mut attachments = self.kernel.call(|edge| edge.attachments()).await??;
        let attempts = self.attempts();
        for attachment in &mut attachments {
            if let Some(refused) = attempts.refused.get(&attachment.interface) {
                attachment.refused.clone_from(refused);
            }
        }
        Ok(attachments)
    }

    /// Configured interfaces without the program, but for those that a person took it off.
    pub(super) async fn missing_from(&self, attached: &[Attachment]) -> Vec<MissingInterface> {
        let state = self.lock().await;
        let attempts = self.attempts();
        let configured = self.config.interfaces.iter().filter(|interface| {
            let there = |attachment: &Attachment| attachment.interface == interface.name;
            !attached.iter().any(there) && !state.by_hand.contains(&interface.name)
        });
        configured
            .map(|interface| MissingInterface {
                interface: interface.name.clone(),
                role: interface.role.name().to_owned(),
                reason: attempts
                    .failed
                    .get(&interface.name)
                    .cloned()
                    .unwrap_or_else(|| String::from("it has gone, or has just come")),
            })
            .collect()
    }

    /// Attaches the program at a person's word, which from then on stands above the configuration.
    ///
    /// # Errors
    ///
    /// [`Problem::Edge`] says what the interface or its driver refuses.
    pub async fn attach(&self, interface: Interface, actor: &str) -> Result<Attachment, Problem> {
        self.refuse_probe_interface(&interface.name)?;
        self.unless_importing()?;
        let mut state = self.lock().await;
        let attachment = self.attach_now(&interface).await?;
        state.by_hand.insert(interface.name);
        self.learn_uplinks(&mut state).await?;
        self.reconcile(&mut state).await?;
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
        self.refuse_probe_interface(&interface)?;
        self.unless_importing()?;
        let mut state = self.lock().await;
        let name = interface.clone();
        self.kernel.call(move |edge| edge.detach(&name)).await??;
        tracing::info!(interface, "detached");
        let subject = format!("interface:{interface}");
        state.by_hand.insert(interface);
        self.learn_uplinks(&mut state).await?;
        self.reconcile(&mut state).await?;
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
        let attached = self.attachments().await?;
        let probe = self.probe_interface(&attached);
        for attachment in attached {
            if let Some(role) = config::parse_role(&attachment.role) {
                let interface = Interface {
                    name: attachment.interface,
                    role,
                    modes: attachment.mode.into(),
                };
                wanted.insert(interface.name.clone(), interface);
            }
        }
        let configured = self.config.interfaces.iter();
        let configured = configured.cloned().chain(probe);
        wanted.extend(configured.map(|interface| (interface.name.clone(), interface)));
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
        let attached = self.attachments().await?;
        let mut outcome = Ok(());
        let probe = self.probe_interface(&attached);
        for interface in self.config.interfaces.iter().chain(&probe) {
            let state = self.lock().await;
            // The mode of the probe's end follows from the others', of which nobody has the last word.
            let there = attached.iter().any(|attachment| {
                attachment.interface == interface.name
                    && (probe.as_ref() != Some(interface) || interface.modes.has(attachment.mode))
            });
            if there || state.by_hand.contains(&interface.name) {
                continue;
            }
            if let Err(error) = self.attach_now(interface).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    pub(super) async fn attach_now(&self, interface: &Interface) -> Result<Attachment, Problem> {
        let Interface { name, role, modes } = interface.clone();
        let outcome = self
            .kernel
            .call(move |edge| edge.attach(&name, role, modes))
            .await?;
        let mut attempts = self.attempts();
        let attachment = match outcome {
            Ok(attachment) => attachment,
            Err(error) => {
                attempts
                    .failed
                    .insert(interface.name.clone(), error.to_string());
                return Err(error.into());
            }
        };
        attempts.failed.remove(&interface.name);
        if attachment.refused.is_empty() {
            // Kept in its mode, it has refused nothing anew.
            let kept = attempts.refused.get(&interface.name);
            if kept.is_some_and(|kept| kept.iter().any(|one| one.mode == attachment.mode)) {
                attempts.refused.remove(&interface.name);
            }
        } else {
            attempts
                .refused
                .insert(interface.name.clone(), attachment.refused.clone());
        }
        drop(attempts);
        for RefusedMode { mode, reason } in &attachment.refused {
            tracing::warn!(
                interface = attachment.interface,
                mode = mode.name(),
                reason,
                "a mode was refused; the next one was tried"
            );
        }
        tracing::info!(
            interface = attachment.interface,
            role = attachment.role,
            mode = attachment.mode.name(),
            program.id = attachment.program_id,
            "attached"
        );
        Ok(attachment)
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        // A panic while it was held left whole records.
        self.attempts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
