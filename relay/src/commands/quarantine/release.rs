//! Opening what is sealed, and giving it back to be delivered.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use hyper::StatusCode;
use relay::quarantine::seal::{Identity, Opener};
use relay::quarantine::shapes::{BodyQuestion, Did, Done, Failed, Opened, RecordId, Wanted};

use super::arguments::WhichArguments;
use super::{ended, list, told};
use crate::commands::queue::client::{Client, SaysNo};

/// The names of those that are meant and can be released.
pub(super) fn meant(client: &Client, which: &WhichArguments) -> anyhow::Result<Vec<RecordId>> {
    if !which.ids.is_empty() {
        return Ok(which.ids.clone());
    }
    let wanted = Wanted {
        alike: which.alike.clone(),
        identity: which.identity.clone(),
        releasable: true,
        ..Wanted::default()
    };
    let listing = list(client, &wanted, AT_ONCE, false).map_err(ended)?;
    if !listing.complete {
        bail!("the quarantine is still being read: not all that is meant is known; try again");
    }
    Ok(listing.records.into_iter().map(|found| found.id).collect())
}

/// What is done with messages by giving their opened content back to the relay.
pub(super) struct GivenBack<'a> {
    path: &'static str,
    word: &'static str,
    identities: &'a [Identity],
    reason: &'a str,
}

impl<'a> GivenBack<'a> {
    /// They are sent to their recipients.
    pub(super) fn release(identities: &'a [Identity], reason: &'a str) -> Self {
        Self {
            path: "/v1/quarantine/release",
            word: "released",
            identities,
            reason,
        }
    }

    /// They are spam, and learnt from.
    pub(super) fn confirm(identities: &'a [Identity], reason: &'a str) -> Self {
        Self {
            path: "/v1/quarantine/confirm",
            word: "confirmed",
            identities,
            reason,
        }
    }

    /// One after the other.
    pub(super) fn all(
        &self,
        client: &Client,
        ids: &[RecordId],
        json: bool,
    ) -> anyhow::Result<bool> {
        let mut done = Done::default();
        for id in ids {
            match self.one(client, id) {
                Ok(did) => done.done.push(did),
                // Of one alone everything is said.
                Err(error) if ids.len() == 1 => return Err(error),
                Err(error) => {
                    let status = error.downcast_ref::<SaysNo>().map(|no| no.status);
                    done.failed.push(Failed {
                        id: id.clone(),
                        is_missing: status == Some(StatusCode::NOT_FOUND),
                        error: format!("{error:#}"),
                    });
                }
            }
        }
        told(&done, json, self.word)
    }

    fn one(&self, client: &Client, id: &RecordId) -> anyhow::Result<Did> {
        let text = open(client, id, self.identities, self.reason)?;
        let question = Opened {
            id: id.clone(),
            reason: self.reason.to_owned(),
        };
        client.upload(self.path, &question, text)
    }
}

/// The sealed part, opened here.
pub(super) fn open(
    client: &Client,
    id: &RecordId,
    identities: &[Identity],
    reason: &str,
) -> anyhow::Result<impl Read> {
    let question = BodyQuestion {
        id: id.clone(),
        reason: reason.to_owned(),
    };
    let sealed = client.download("/v1/quarantine/body", &question)?;
    Opener::new(BufReader::new(sealed), identities).with_context(|| id.to_string())
}

pub(super) fn identities(file: Option<&Path>) -> anyhow::Result<Vec<Identity>> {
    let file = file.ok_or_else(|| anyhow!("--identity-file is needed"))?;
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Identity::read(&text).with_context(|| file.display().to_string())
}

/// As many as the relay gives at once.
const AT_ONCE: usize = 10_000;
