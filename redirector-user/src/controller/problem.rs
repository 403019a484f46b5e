//! Why a request was not granted.

use crate::{edge::EdgeError, policy::dial::Refusal, store::StoreError};

/// Why a request was not granted.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The request is malformed.
    #[error("{0}")]
    Usage(String),
    /// A guard forbids it.
    #[error("{0}")]
    Guard(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It is not any more what the caller took it for.
    #[error("{0}")]
    Changed(String),
    /// Not now.
    #[error("{0}")]
    Busy(String),
    /// The edge refused.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The edge's thread has ended.
    #[error("the thread that owns the kernel's maps has ended; restart outgated")]
    KernelGone,
}

impl Problem {
    /// Whether it was judged without knowing of what another edge has changed; nothing was stored, and it may be tried again
    /// after [`Controller::catch_up`](super::Controller::catch_up).
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        matches!(self, Self::Store(StoreError::Behind))
    }

    /// Whether it is that the store does not answer, while everything else does.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Store(StoreError::Away { .. }))
    }

    /// Whether the process lacks a capability.
    #[must_use]
    pub const fn is_privilege(&self) -> bool {
        match self {
            Self::Edge(error) => matches!(error, EdgeError::NotPermitted { .. }),
            Self::Usage(_)
            | Self::Guard(_)
            | Self::NotFound(_)
            | Self::Changed(_)
            | Self::Busy(_)
            | Self::Store(_)
            | Self::KernelGone => false,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Usage(message) => Self::Usage(message),
            Refusal::Guard(message) => Self::Guard(message),
        }
    }
}
