//! What rules can ask for: figures of one customer over one window, by name.

use super::Observation;

/// A figure that a condition can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// SYNs that it sent, counted by the edge.
    Syns,
    /// Distinct networks (/24 or /48) that it tried to reach, estimated by the edge.
    DistinctDestinations,
    /// Share of its connections that the far side reset or refused.
    RstShare,
    /// Share of its connections that the far side ended after a greeting.
    ShortShare,
    /// Frames that it sent.
    Packets,
    /// Octets of these.
    Octets,
    /// Connections that relays took from it.
    Connections,
    /// Messages that relays heard from it.
    Messages,
    /// Recipients that it named to relays.
    Recipients,
    /// Distinct recipients in the relays' report that had the most.
    DistinctRecipients,
    /// Distinct reverse-paths in the relays' report that had the most.
    DistinctSenders,
    /// Share of its recipients that their servers did not know.
    UnknownShare,
    /// Share of its recipients that were refused, for whatever reason.
    RefusedShare,
    /// Messages that scanners took for spam or malware.
    Spam,
    /// Their share of its messages.
    SpamShare,
    /// Times that it met a limit of the relay.
    LimitHits,
    /// Destinations at which relays learnt that it verifies certificates.
    Learnt,
}

/// The figures of one customer; what cannot be said is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures([Option<f64>; Figure::ALL.len()]);

impl Figure {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::Syns,
        Self::DistinctDestinations,
        Self::RstShare,
        Self::ShortShare,
        Self::Packets,
        Self::Octets,
        Self::Connections,
        Self::Messages,
        Self::Recipients,
        Self::DistinctRecipients,
        Self::DistinctSenders,
        Self::UnknownShare,
        Self::RefusedShare,
        Self::Spam,
        Self::SpamShare,
        Self::LimitHits,
        Self::Learnt,
    ];

    /// Its name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syns => "syns",
            Self::DistinctDestinations => "distinct_destinations",
            Self::RstShare => "rst_share",
            Self::ShortShare => "short_share",
            Self::Packets => "packets",
            Self::Octets => "octets",
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::DistinctRecipients => "distinct_recipients",
            Self::DistinctSenders => "distinct_senders",
            Self::UnknownShare => "unknown_share",
            Self::RefusedShare => "refused_share",
            Self::Spam => "spam",
            Self::SpamShare => "spam_share",
            Self::LimitHits => "limit_hits",
            Self::Learnt => "learnt",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether it is between 0 and 1.
    #[must_use]
    pub const fn is_share(self) -> bool {
        matches!(
            self,
            Self::RstShare
                | Self::ShortShare
                | Self::UnknownShare
                | Self::RefusedShare
                | Self::SpamShare
        )
    }

    /// As people read it: shares in percent.
    #[must_use]
    pub fn in_words(self, value: f64) -> String {
        match self.is_share() {
            true => format!("{} %", rounded(100.0 * value)),
            false => rounded(value),
        }
    }
}

/// With one decimal where that says more.
fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Figures {
    /// What an observation comes to.
    #[must_use]
    pub fn of(seen: &Observation) -> Self {
        let mut figures = Self::default();
        let counts = [
            (Figure::Syns, seen.syns),
            (Figure::DistinctDestinations, seen.destinations.estimate()),
            (Figure::Packets, seen.packets),
            (Figure::Octets, seen.octets),
            (Figure::Connections, seen.connections),
            (Figure::Messages, seen.messages),
            (Figure::Recipients, seen.recipients),
            (Figure::DistinctRecipients, seen.distinct_recipients),
            (Figure::DistinctSenders, seen.distinct_senders),
            (Figure::Spam, seen.spam),
            (Figure::LimitHits, seen.limit_hits),
            (Figure::Learnt, seen.learnt),
        ];
        for (figure, count) in counts {
            figures.set(figure, count as f64);
        }
        let shares = [
            (Figure::RstShare, seen.reset, seen.ended),
            (Figure::ShortShare, seen.short, seen.ended),
            (Figure::UnknownShare, seen.unknown, seen.recipients),
            (Figure::RefusedShare, seen.refused, seen.recipients),
            (Figure::SpamShare, seen.spam, seen.messages),
        ];
        for (figure, part, whole) in shares {
            // One connection that was reset is not "100 % reset".
            if whole >= SHARE_LEAST {
                figures.set(figure, (part as f64 / whole as f64).min(1.0));
            }
        }
        figures
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, figure: Figure) -> Option<f64> {
        self.0.get(figure as usize).copied().flatten()
    }

    /// Says one of them, as a person does who tries a rule.
    pub fn set(&mut self, figure: Figure, value: f64) {
        if let Some(place) = self.0.get_mut(figure as usize) {
            *place = Some(value);
        }
    }

    /// All that can be said.
    pub fn known(&self) -> impl Iterator<Item = (Figure, f64)> + '_ {
        let known = Figure::ALL.into_iter();
        known.filter_map(|figure| Some((figure, self.get(figure)?)))
    }
}

/// Connections, recipients or messages from which on shares of them say something.
pub(super) const SHARE_LEAST: u64 = 10;
