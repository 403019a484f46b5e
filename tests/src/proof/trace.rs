//! What strace does to a system's calls, and what it writes down of that.

use std::{
    ffi::OsString,
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

use super::plan::Injection;

/// The file of one run; every life's strace adds to it.
#[derive(Debug)]
pub(super) struct Trace {
    path: PathBuf,
    /// When the run began.
    begun: SystemTime,
}

impl Trace {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            begun: SystemTime::now(),
        }
    }

    /// The words in front of a system's command; `writes` are the calls that it takes room on the disk by.
    pub(super) fn around(&self, injection: Option<Injection>, writes: &str) -> Vec<OsString> {
        let Some(injection) = injection else {
            return Vec::new();
        };
        let mut words: Vec<OsString> = ["strace", "-f", "-qq", "-ttt", "--seccomp-bpf", "-A", "-o"]
            .map(OsString::from)
            .into();
        words.push(self.path.clone().into());
        let traced = format!("trace=fsync,fdatasync,{writes}");
        for expression in [traced, injection.expression(writes)] {
            words.extend(["-e".into(), expression.into()]);
        }
        words
    }

    /// When calls were made to fail, or to take long, since the run began.
    pub(super) fn hits(&self) -> Result<Vec<Duration>> {
        let text = match fs::read(&self.path) {
            Ok(octets) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("what strace wrote"),
        };
        let begun = self.begun.duration_since(SystemTime::UNIX_EPOCH)?;
        let mut hits: Vec<Duration> = text
            .lines()
            .filter(|line| line.ends_with("(INJECTED)") || line.ends_with("(DELAYED)"))
            .filter_map(time)
            .map(|time| time.saturating_sub(begun))
            .collect();
        hits.sort_unstable();
        Ok(hits)
    }
}

/// The second word of a line: seconds since 1970. The last line may be cut off in any place.
fn time(line: &str) -> Option<Duration> {
    let seconds = line.split_whitespace().nth(1)?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_injected_is_found_among_what_was_not() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let trace = Trace {
            path: dir.path().join("strace"),
            begun: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        };
        assert!(trace.hits()?.is_empty());
        fs::write(
            &trace.path,
            "7  1001.500000 fdatasync(9)            = 0\n\
             8  1002.000000 fsync(9 <unfinished ...>\n\
             7  1003.250000 fdatasync(9)            = -1 EIO (Input/output error) (INJECTED)\n\
             8  1002.500000 <... fsync resumed>)    = 0 (DELAYED)\n\
             8  1004.000000 fsync(9)    = -1 EIO (Input/output error) (INJ",
        )?;
        assert_eq!(trace.hits()?, [2500, 3250].map(Duration::from_millis));
        Ok(())
    }
}
