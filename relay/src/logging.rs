//! The log, on standard error.

use relay::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::reloading::SetFilter;

/// Starts it; what it returns changes its filter.
pub(crate) fn start_log(log: &Log) -> anyhow::Result<SetFilter> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.filter))
        .with_writer(std::io::stderr);
    // The two formats are two types.
    Ok(match log.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| Ok(handle.reload(EnvFilter::new(filter))?))
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| Ok(handle.reload(EnvFilter::new(filter))?))
        }
    })
}
