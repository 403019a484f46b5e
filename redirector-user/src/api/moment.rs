//! A moment as people write it: a time, or how long ago it was.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::error::ApiError;

/// Reads it; `field` is what it was given as.
pub(super) fn read(field: &str, text: &str) -> Result<Timestamp, ApiError> {
    let ago = |text: &str| {
        let span: Span = text.parse().ok()?;
        let ago: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Timestamp::now().checked_sub(ago.abs()).ok()
    };
    let at = text.parse().ok().or_else(|| ago(text));
    at.ok_or_else(|| {
        ApiError::usage(format!(
            "{field} {text:?}: not a time, as 2026-03-01T12:00:00Z, nor how long ago it was, as 2h or 7d"
        ))
    })
}
