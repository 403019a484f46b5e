//! What of a message is shown to a filter, and what it answers to.

use core::ops::BitOr;

use super::{Command, DATA_VERSION};

/// A set of `SMFIP_*`: offered by the server, chosen from by the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Steps(u32);

impl Steps {
    /// Nothing but version 2's usual.
    pub const NONE: Self = Self(0);
    /// `Connect` is not shown.
    pub const NO_CONNECT: Self = Self(0x1);
    /// `Helo` is not shown.
    pub const NO_HELO: Self = Self(0x2);
    /// `Mail` is not shown.
    pub const NO_MAIL: Self = Self(0x4);
    /// `Recipient` is not shown.
    pub const NO_RECIPIENT: Self = Self(0x8);
    /// `Body` is not shown.
    pub const NO_BODY: Self = Self(0x10);
    /// `Header` is not shown.
    pub const NO_HEADER: Self = Self(0x20);
    /// `EndOfHeader` is not shown.
    pub const NO_END_OF_HEADER: Self = Self(0x40);
    /// `Header` is not answered.
    pub const SILENT_HEADER: Self = Self(0x80);
    /// Unknown commands of SMTP are not shown.
    pub const NO_UNKNOWN: Self = Self(0x100);
    /// `Data` is not shown.
    pub const NO_DATA: Self = Self(0x200);
    /// The filter may say `Skip`.
    pub const SKIP: Self = Self(0x400);
    /// Recipients are shown, too, that the server has refused.
    pub const REFUSED_RECIPIENTS: Self = Self(0x800);
    /// `Connect` is not answered.
    pub const SILENT_CONNECT: Self = Self(0x1000);
    /// `Helo` is not answered.
    pub const SILENT_HELO: Self = Self(0x2000);
    /// `Mail` is not answered.
    pub const SILENT_MAIL: Self = Self(0x4000);
    /// `Recipient` is not answered.
    pub const SILENT_RECIPIENT: Self = Self(0x8000);
    /// `Data` is not answered.
    pub const SILENT_DATA: Self = Self(0x1_0000);
    /// Unknown commands of SMTP are not answered.
    pub const SILENT_UNKNOWN: Self = Self(0x2_0000);
    /// `EndOfHeader` is not answered.
    pub const SILENT_END_OF_HEADER: Self = Self(0x4_0000);
    /// `Body` is not answered.
    pub const SILENT_BODY: Self = Self(0x8_0000);
    /// Values of fields are shown with the space behind the colon.
    pub const LEADING_SPACE: Self = Self(0x10_0000);
    /// All of these. What makes frames longer than [`super::BODY_OCTETS`] is not among them.
    pub const ALL: Self = Self(0x1F_FFFF);

    /// Of the bits of a frame.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As bits of a frame.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// The bits of these that are not among `others`.
    #[must_use]
    pub const fn beyond(self, others: Self) -> u32 {
        self.0 & !others.0
    }
}

impl BitOr for Steps {
    type Output = Self;

    fn bitor(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl Command {
    /// Whether it is said to a filter with whom this version and these steps were agreed on.
    #[must_use]
    pub fn is_shown(&self, version: u32, steps: Steps) -> bool {
        let hidden = match self {
            Self::Connect { .. } => Steps::NO_CONNECT,
            Self::Helo(_) => Steps::NO_HELO,
            Self::Mail(_) => Steps::NO_MAIL,
            Self::Recipient(_) => Steps::NO_RECIPIENT,
            Self::Data if version < DATA_VERSION => return false,
            Self::Data => Steps::NO_DATA,
            Self::Header { .. } => Steps::NO_HEADER,
            Self::EndOfHeader => Steps::NO_END_OF_HEADER,
            Self::Body(_) => Steps::NO_BODY,
            Self::Negotiate(_)
            | Self::Macros { .. }
            | Self::EndOfBody
            | Self::Abort
            | Self::Quit => return true,
        };
        !steps.has(hidden)
    }

    /// Whether the filter answers to it, once it was said.
    #[must_use]
    pub fn is_answered(&self, steps: Steps) -> bool {
        let silent = match self {
            Self::Connect { .. } => Steps::SILENT_CONNECT,
            Self::Helo(_) => Steps::SILENT_HELO,
            Self::Mail(_) => Steps::SILENT_MAIL,
            Self::Recipient(_) => Steps::SILENT_RECIPIENT,
            Self::Data => Steps::SILENT_DATA,
            Self::Header { .. } => Steps::SILENT_HEADER,
            Self::EndOfHeader => Steps::SILENT_END_OF_HEADER,
            Self::Body(_) => Steps::SILENT_BODY,
            Self::Negotiate(_) | Self::EndOfBody => return true,
            Self::Macros { .. } | Self::Abort | Self::Quit => return false,
        };
        !steps.has(silent)
    }
}
