//! Where a line ends: CRLF and nothing else.

/// A line-end rule that somebody broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FramingError {
    /// CR without LF after it.
    #[error("bare CR")]
    BareCr,
    /// LF without CR before it.
    #[error("bare LF")]
    BareLf,
    /// NUL.
    #[error("NUL")]
    Nul,
}
