//! How high the dial stands: what is harder on a customer is higher.

use contract::Treatment;

use super::Action;

/// Heights, the lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Height {
    /// No flag, or an exemption.
    #[default]
    None,
    /// Counted.
    Observe,
    /// New connections above a rate are dropped.
    Limit,
    /// Sent to a relay that reads clear text alone.
    Opaque,
    /// Sent to a relay that scans.
    Filter,
    /// Sent to a relay that refuses everything.
    Walled,
    /// Refused by the edge.
    Refuse,
    /// Answered with RST.
    Reset,
    /// Dropped.
    Drop,
}

impl Height {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Observe,
        Self::Limit,
        Self::Opaque,
        Self::Filter,
        Self::Walled,
        Self::Refuse,
        Self::Reset,
        Self::Drop,
    ];

    /// Where an action turns the dial.
    #[must_use]
    pub const fn of(action: &Action) -> Self {
        match action {
            Action::Pass => Self::None,
            Action::Observe => Self::Observe,
            Action::Limit(_) => Self::Limit,
            Action::Redirect(redirect) => match redirect.treatment {
                Treatment::Opaque => Self::Opaque,
                Treatment::Filter => Self::Filter,
                Treatment::Walled => Self::Walled,
            },
            Action::Refuse => Self::Refuse,
            Action::Reset => Self::Reset,
            Action::Drop => Self::Drop,
        }
    }

    /// Its name; that of a redirect is its treatment's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Observe => "observe",
            Self::Limit => "limit",
            Self::Opaque => "opaque",
            Self::Filter => "filter",
            Self::Walled => "walled",
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::Drop => "drop",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}
