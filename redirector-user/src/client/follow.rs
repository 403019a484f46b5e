//! Following server-sent events (WHATWG HTML, section 9.2.6), as far as outgated makes use of them.

use std::{ops::ControlFlow, time::Duration};

use http_body_util::BodyExt as _;
use hyper::{
    Method,
    body::Bytes,
    header::{ACCEPT, HeaderName},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Client, ClientError, LINE_OCTETS};

impl Client {
    /// Reads the data of each event of a stream, until the other side ends it, says nothing for too long, or `each` says
    /// that it is enough. `after` is the last event that was seen before.
    ///
    /// # Errors
    ///
    /// [`ClientError`], or what `each` fails with.
    pub async fn follow<T: DeserializeOwned, E: From<ClientError>>(
        &self,
        path: &str,
        after: Option<u64>,
        mut each: impl FnMut(T) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut headers = vec![(ACCEPT, String::from("text/event-stream"))];
        if let Some(after) = after {
            headers.push((HeaderName::from_static("last-event-id"), after.to_string()));
        }
        let asked = self.ask_with(&headers, Method::GET, path, Bytes::new());
        let (response, driver) = asked.await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let said = self.read(body).await?;
            return self.judge(status, said).map(drop).map_err(E::from);
        }
        let mut pending = Vec::new();
        while let Ok(Some(frame)) = timeout(LONGEST_SILENCE, body.frame()).await {
            let frame = frame.map_err(|error| self.unusable(error))?;
            pending.extend(frame.into_data().unwrap_or_default());
            while let Some(end) = pending.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                // Numbers and kinds are in the data, too; comments say that the other side lives.
                let Some(data) = line.strip_prefix(b"data: ") else {
                    continue;
                };
                let event = serde_json::from_slice(data).map_err(|error| self.unusable(error))?;
                if each(event)?.is_break() {
                    driver.abort();
                    return Ok(());
                }
            }
            if pending.len() > LINE_OCTETS {
                return Err(self.unusable("a line without an end").into());
            }
        }
        driver.abort();
        Ok(())
    }
}

/// Three heartbeats.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
