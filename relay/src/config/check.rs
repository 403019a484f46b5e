//! Checks of single values: text in, a valid value or the reason why not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use contract::{Delivery, Treatment};
use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;

use super::{Invalid, Log, LogFormat};

pub(super) fn relay_name(name: String) -> Result<String, Invalid> {
    // It stands in the path of the controller's URL.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let problem = "must be 1 to 64 letters, digits, '-', '_' or '.', as in outgated's pool";
        return Err(Invalid::new("name", name, problem));
    }
    Ok(name)
}

pub(super) fn operator(operator: String) -> Result<String, Invalid> {
    let fits = |c: char| (' '..='~').contains(&c) && !"()\\".contains(c);
    // 64 is the upper bound of an organisation name in a certificate (RFC 5280, ub-organization-name).
    if operator.trim().is_empty() || operator.len() > 64 || !operator.chars().all(fits) {
        let problem = "must be 1 to 64 printable ASCII characters without '(', ')' and '\\'";
        return Err(Invalid::new("operator", operator, problem));
    }
    Ok(operator)
}

pub(super) fn hostname(hostname: String) -> Result<String, Invalid> {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if hostname.len() > 253 || !hostname.contains('.') || !hostname.split('.').all(label_fits) {
        let problem = "must be a fully qualified domain name, as relay-1.example.net";
        return Err(Invalid::new("hostname", hostname, problem));
    }
    Ok(hostname)
}

pub(super) fn help_url(url: String) -> Result<String, Invalid> {
    let schemed = url.starts_with("https://") || url.starts_with("http://");
    // It shares one reply line with the reason (RFC 5321 section 4.5.3.1.5: 512 octets).
    if !schemed || url.len() > 200 || !url.chars().all(|c| c.is_ascii_graphic()) {
        let problem = "must be an http:// or https:// URL of at most 200 printable characters";
        return Err(Invalid::new("help_url", url, problem));
    }
    Ok(url)
}

pub(super) fn listeners(key: &str, listen: &[String]) -> Result<Vec<SocketAddr>, Invalid> {
    let parse = |text: &String| {
        let problem = "must be ADDRESS:PORT, as 198.51.100.2:2525 or [2001:db8:2::2]:2525";
        text.parse::<SocketAddr>()
            .map_err(|_parse| Invalid::new(key, text, problem))
    };
    listen.iter().map(parse).collect()
}

pub(super) fn transparent_listeners(listen: &[String]) -> Result<Vec<SocketAddr>, Invalid> {
    let parse = |text: &String| match text.parse::<SocketAddr>() {
        // What is steered here was going to anybody's port 25: a listener for less would miss the rest.
        Ok(address) if address.ip().is_unspecified() && address.port() == 25 => Ok(address),
        Ok(_) | Err(_) => {
            let problem = "must be 0.0.0.0:25 or [::]:25";
            Err(Invalid::new("transparent", text, problem))
        }
    };
    listen.iter().map(parse).collect()
}

pub(super) fn log(filter: String, format: &str) -> Result<Log, Invalid> {
    EnvFilter::try_new(&filter).map_err(|error| Invalid::new("log", &filter, error))?;
    let format = match format {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => {
            return Err(Invalid::new(
                "log_format",
                format,
                "must be \"text\" or \"json\"",
            ));
        }
    };
    Ok(Log { filter, format })
}

pub(super) fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, Invalid> {
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Invalid::new(
            key,
            path.display(),
            "must be an absolute path",
        ))
    }
}

pub(super) fn duration(
    key: &str,
    text: &str,
    min: Duration,
    max: Duration,
) -> Result<Duration, Invalid> {
    let out_of_range = || format!("must be between {min:?} and {max:?}, as \"10s\" or \"5m\"");
    let signed: SignedDuration = text
        .parse()
        .map_err(|_parse| Invalid::new(key, text, out_of_range()))?;
    match Duration::try_from(signed) {
        Ok(duration) if (min..=max).contains(&duration) => Ok(duration),
        Ok(_) | Err(_) => Err(Invalid::new(key, text, out_of_range())),
    }
}

pub(super) fn treatment(key: &str, word: &str) -> Result<Treatment, Invalid> {
    Treatment::from_name(word).ok_or_else(|| {
        let known = Treatment::ALL.map(Treatment::name).join(", ");
        Invalid::new(key, word, format!("must be one of: {known}"))
    })
}

pub(super) fn delivery(key: &str, word: &str) -> Result<Delivery, Invalid> {
    Delivery::from_name(word).ok_or_else(|| {
        let known = Delivery::ALL.map(Delivery::name).join(", ");
        Invalid::new(key, word, format!("must be one of: {known}"))
    })
}

pub(super) fn metrics_listener(listen: &str) -> Result<SocketAddr, Invalid> {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) | Err(_) => {
            let problem = "must be the ADDRESS:PORT of a loopback address, as 127.0.0.1:9125: nobody has to \
                           say who he is there";
            Err(Invalid::new("metrics.listen", listen, problem))
        }
    }
}

pub(super) fn dmarc(word: &str) -> Result<bool, Invalid> {
    match word {
        "keep" => Ok(true),
        "off" => Ok(false),
        _ => Err(Invalid::new("dmarc", word, "must be \"keep\" or \"off\"")),
    }
}
