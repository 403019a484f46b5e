//! Where in the kernel a program may sit, and in which order that is tried.
//!
//! Nothing is changed silently: what a [`Ladder`] names is tried, each refusal is reported, and so is what
//! was got.

use std::fmt;

use aya::util::KernelVersion;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's generic hook; slower, works everywhere.
    Generic,
    /// tc, as a link (Linux 6.6): behind whatever XDP program there is, and right with checksums that are
    /// still to be computed.
    Tcx,
    /// The same as a filter of the `clsact` queueing discipline, on every kernel.
    Clsact,
}

impl AttachMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Native, Self::Generic, Self::Tcx, Self::Clsact];

    /// As the operator writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether the program sits in XDP, of which an interface takes one.
    #[must_use]
    pub const fn is_xdp(self) -> bool {
        match self {
            Self::Native | Self::Generic => true,
            Self::Tcx | Self::Clsact => false,
        }
    }

    /// The mode of this kernel that goes beside another XDP program.
    pub(crate) fn beside_xdp() -> Self {
        if KernelVersion::current().is_ok_and(|version| version < TCX_SINCE) {
            Self::Clsact
        } else {
            Self::Tcx
        }
    }
}

/// A mode that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedMode {
    /// What was tried.
    pub mode: AttachMode,
    /// Why not, and what to do.
    pub reason: String,
}

/// Modes in the order in which they are tried: at least one, none twice. Written as one name or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "OneOrMore", into = "Vec<AttachMode>")]
pub struct Ladder(Vec<AttachMode>);

/// Why modes are no ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LadderError {
    /// There is none.
    #[error("no mode; name at least one of native, generic, tcx and clsact")]
    Empty,
    /// One would be tried twice.
    #[error("{} is named twice", _0.name())]
    Twice(AttachMode),
}

impl Ladder {
    /// The only way to a ladder of more than one mode.
    ///
    /// # Errors
    ///
    /// [`LadderError`].
    pub fn new(modes: Vec<AttachMode>) -> Result<Self, LadderError> {
        if modes.is_empty() {
            return Err(LadderError::Empty);
        }
        for (index, mode) in modes.iter().enumerate() {
            if modes.iter().skip(index + 1).any(|other| other == mode) {
                return Err(LadderError::Twice(*mode));
            }
        }
        Ok(Self(modes))
    }

    /// What is tried, first things first.
    pub fn modes(&self) -> impl Iterator<Item = AttachMode> + '_ {
        self.0.iter().copied()
    }

    /// What is tried first.
    #[must_use]
    pub fn first(&self) -> AttachMode {
        // There is always one; no default could be more honest than the configuration's own.
        self.modes().next().unwrap_or(AttachMode::Native)
    }

    /// Whether the mode is among them.
    #[must_use]
    pub fn has(&self, mode: AttachMode) -> bool {
        self.0.contains(&mode)
    }
}

impl From<AttachMode> for Ladder {
    fn from(mode: AttachMode) -> Self {
        Self(vec![mode])
    }
}

impl From<Ladder> for Vec<AttachMode> {
    fn from(ladder: Ladder) -> Self {
        ladder.0
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.modes().map(AttachMode::name).collect();
        f.write_str(&names.join(", "))
    }
}

/// As people write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(AttachMode),
    More(Vec<AttachMode>),
}

impl TryFrom<OneOrMore> for Ladder {
    type Error = LadderError;

    fn try_from(written: OneOrMore) -> Result<Self, LadderError> {
        match written {
            OneOrMore::One(mode) => Ok(mode.into()),
            OneOrMore::More(modes) => Self::new(modes),
        }
    }
}

/// Linux 6.6 brought tcx.
pub(crate) const TCX_SINCE: KernelVersion = KernelVersion::new(6, 6, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_written_as_one_mode_or_as_several() {
        let read = serde_json::from_str::<Ladder>;
        assert_eq!(read("\"tcx\"").unwrap(), Ladder::from(AttachMode::Tcx));
        let several = read("[\"native\", \"tcx\"]").unwrap();
        assert_eq!(several.to_string(), "native, tcx");
        assert_eq!(
            serde_json::to_string(&several).unwrap(),
            "[\"native\",\"tcx\"]"
        );
    }

    #[test]
    fn a_ladder_has_rungs_and_none_of_them_twice() {
        assert_eq!(Ladder::new(Vec::new()), Err(LadderError::Empty));
        let twice = vec![AttachMode::Native, AttachMode::Tcx, AttachMode::Native];
        let error = Ladder::new(twice).unwrap_err();
        assert_eq!(error.to_string(), "native is named twice");
    }

    #[test]
    fn every_mode_has_a_name_of_its_own() {
        for mode in AttachMode::ALL {
            assert_eq!(AttachMode::parse(mode.name()), Some(mode));
            let written = serde_json::to_string(&mode).unwrap();
            assert_eq!(written, format!("{:?}", mode.name()));
        }
    }
}
