//! What was sent, on disk.

use std::io;
use std::path::Path;

use tokio::task::spawn_blocking;
use tracing::warn;

use super::plan::Progress;

/// What an earlier run has noted. If that cannot be read, what it sent may be sent again.
pub(super) async fn load(file: &Path) -> Progress {
    let file = file.to_owned();
    let loading = spawn_blocking(move || {
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Progress::default(),
            Err(error) => {
                warn!(file = %file.display(), %error, "what TLS reports were sent cannot be read");
                return Progress::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            let aside = file.with_extension("damaged");
            let put_aside = std::fs::rename(&file, &aside).is_ok();
            warn!(file = %file.display(), %error, put_aside, "what TLS reports were sent cannot be read");
            Progress::default()
        })
    });
    loading.await.unwrap_or_default()
}

/// Notes what was sent; whether that is durable.
pub(super) async fn keep(file: &Path, progress: &Progress) -> bool {
    let (path, text) = (file.to_owned(), serde_json::to_vec(progress));
    let keeping = spawn_blocking(move || {
        let text = text.map_err(io::Error::other)?;
        crate::durable::replace(&path, &text)
    });
    let kept = keeping.await;
    match kept.unwrap_or_else(|bug| Err(io::Error::other(bug))) {
        Ok(()) => true,
        Err(error) => {
            warn!(file = %file.display(), %error, "what TLS reports were sent cannot be noted; others wait");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_noted_is_known_and_what_is_damaged_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tls-reports.json");
        let mut progress = load(&file).await;
        assert_eq!(progress, Progress::default());
        let day = jiff::civil::Date::constant(2026, 11, 21);
        progress.add(day, "example.org", None, jiff::Timestamp::UNIX_EPOCH);
        assert!(keep(&file, &progress).await);
        assert_eq!(load(&file).await, progress);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(load(&file).await, Progress::default());
        assert!(directory.path().join("tls-reports.damaged").exists());
        assert!(!keep(&directory.path().join("absent/file"), &progress).await);
    }
}
