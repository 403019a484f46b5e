//! Where in the kernel a case is run, and what that makes of the host's answer.

use redirector_common::tables::Verdict;

/// Where in the kernel the core runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// In XDP.
    Xdp,
    /// In tc.
    Tc,
}

impl Hook {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Xdp, Self::Tc];

    /// Name of its program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Xdp => "outgate_xdp",
            Self::Tc => "outgate_tc",
        }
    }

    /// Name that people read.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }

    /// The verdict as the kernel numbers it.
    pub(crate) fn code(self, verdict: Verdict) -> u32 {
        match (self, verdict) {
            (Self::Xdp, Verdict::Drop) => 1,
            (Self::Xdp, Verdict::Pass) => 2,
            (Self::Xdp, Verdict::Tx) => 3,
            (Self::Xdp, Verdict::Redirect { .. }) => 4,
            // TC_ACT_SHOT, TC_ACT_UNSPEC, TC_ACT_REDIRECT.
            (Self::Tc, Verdict::Drop) => 2,
            (Self::Tc, Verdict::Pass) => u32::MAX,
            (Self::Tc, Verdict::Tx | Verdict::Redirect { .. }) => 7,
        }
    }

    /// Whether a test can run such a frame: the kernel makes no `skb` of one whose IP header is not whole
    /// (Linux 6.18; older ones did).
    pub(crate) fn takes(self, frame: &[u8]) -> bool {
        let header_octets = match frame[12..14] {
            [0x08, 0x00] => 20,
            [0x86, 0xdd] => 40,
            _ => 0,
        };
        self == Self::Xdp || frame.len() >= 14 + header_octets
    }

    /// The octets that must be left of a frame that the host made; `None` = they do not matter. An `skb`
    /// that goes anywhere, or came in a tunnel and was taken out of it, has its outer tag beside its octets.
    pub(crate) fn octets(self, verdict: Verdict, opened: bool, frame: &[u8]) -> Option<Vec<u8>> {
        match (self, verdict) {
            (Self::Xdp, _) => Some(frame.to_vec()),
            (Self::Tc, Verdict::Pass) if !opened => Some(frame.to_vec()),
            (Self::Tc, Verdict::Drop) => None,
            (Self::Tc, Verdict::Pass | Verdict::Tx | Verdict::Redirect { .. }) => {
                let mut octets = frame.to_vec();
                if matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xa8]) {
                    octets.drain(12..16);
                }
                Some(octets)
            }
        }
    }
}
