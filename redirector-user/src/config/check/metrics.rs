//! `[metrics]`: where figures are scraped.

use std::net::SocketAddr;

use crate::config::{Wrong, raw::RawMetrics};

pub(super) fn listen(raw: &RawMetrics) -> Result<Option<SocketAddr>, Wrong> {
    let Some(text) = &raw.listen else {
        return Ok(None);
    };
    let wrong = |problem| Wrong::new("metrics.listen", text, problem);
    let address: SocketAddr = text.parse().map_err(|_malformed| {
        wrong("not an address with a port; allowed is loopback, as \"127.0.0.1:9105\" or \"[::1]:9105\"")
    })?;
    if !address.ip().is_loopback() || address.port() == 0 {
        return Err(wrong(
            "whoever asks is answered, so it must be a loopback address with a port, as \"127.0.0.1:9105\"; \
             put a proxy that authenticates in front of it to scrape from elsewhere",
        ));
    }
    Ok(Some(address))
}
