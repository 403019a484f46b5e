//! Watching whether lists in the DNS name the operator's own addresses. Pure: no socket, no clock, no store.
//!
//! A [`Watch`] is driven like a machine: [`Watch::next`] says what is to be asked now, whoever asks brings the answer back
//! ([`Watch::heard`], [`Watch::heard_of_itself`]), and [`Watch::notes`] are what the store is to learn of it. A listing opens
//! or closes after a second look ([`Standing::hear`]), and only once the list, asked after that, has shown again that it is to
//! be believed. Who does not answer, or answers with a refusal, changes nothing.
//!
//! Three things are asked about, each list by itself: first what is to be confirmed, then who is likely to be listed
//! ([`Watch::keep_watch`]) or is, and, evenly over its time, every IPv4 address ([`Sweep`]). Of IPv6 only those are asked
//! about that are known: nobody gets round a /48.

mod agenda;
mod lane;
mod standing;
mod sweep;
mod watch;

use std::net::Ipv4Addr;

pub use self::{
    agenda::Agenda,
    standing::{Standing, Step},
    sweep::{Ranges, Sweep},
    watch::{Ask, News, Noted, OfZone, Trust, Watch},
};
use crate::{
    config::Zone,
    dnsbl::{Listed, is_listing},
};

/// What a list has said of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It names it.
    Named {
        /// Codes that count, sorted.
        codes: Vec<Ipv4Addr>,
        /// Its words.
        words: String,
    },
    /// It does not, or only with answers that do not count.
    Absent,
    /// Nobody could tell: no answer, or a refusal.
    Silent(String),
}

impl Heard {
    /// Judges what was heard.
    #[must_use]
    pub fn judge(zone: &Zone, listed: &Listed) -> Self {
        let codes = match &listed.codes {
            Err(silence) => return Self::Silent(silence.to_string()),
            Ok(codes) => codes,
        };
        // One refusal among them, and the rest is not about the address either.
        if let Some(odd) = codes.iter().find(|code| !is_listing(**code)) {
            return Self::Silent(format!(
                "{}. IN A {odd}: it refuses the question",
                listed.name
            ));
        }
        let counts = |code: &&Ipv4Addr| zone.counts.iter().any(|prefix| prefix.contains(**code));
        let mut codes: Vec<Ipv4Addr> = codes.iter().filter(counts).copied().collect();
        if codes.is_empty() {
            return Self::Absent;
        }
        codes.sort_unstable();
        let words: Vec<&str> = listed.words.iter().flatten().map(String::as_str).collect();
        let mut words = words.join(" ");
        // What stands for octets that are no letters is ASCII, too.
        words.truncate(WORDS_OCTETS);
        Self::Named { codes, words }
    }
}

/// Words are a sentence and an address of a page.
const WORDS_OCTETS: usize = 500;

#[cfg(test)]
mod tests;
