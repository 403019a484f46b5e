//! `[[protected]]`: addresses that nobody can flag.

use ipnetwork::IpNetwork;

use super::{super::raw::RawProtected, Wrong, prefix};
use crate::policy::prefixes::Prefixes;

pub(super) fn protected(raw: &[RawProtected]) -> Result<Prefixes<String>, Wrong> {
    if raw.len() > PROTECTED_MAX {
        let problem = format!(
            "too many; each pass over the kernel looks at all of them. Allowed are {PROTECTED_MAX}; protect wider prefixes"
        );
        return Err(Wrong::new("protected", raw.len(), problem));
    }
    let mut protected = Prefixes::default();
    for (index, RawProtected { prefix: text, why }) in raw.iter().enumerate() {
        let key = |field: &str| format!("protected[{index}].{field}");
        let prefix: IpNetwork = prefix(&key("prefix"), text)?;
        let odd = |why: &str| why.chars().any(char::is_control) || why.len() > WHY_OCTETS;
        if why.trim().is_empty() || odd(why) {
            let problem = format!(
                "not a reason that stands in answers; allowed are 1 to {WHY_OCTETS} octets without control characters"
            );
            return Err(Wrong::new(key("why"), format!("{why:?}"), problem));
        }
        if protected.insert(prefix, why.trim().to_owned()).is_some() {
            let problem = "named twice; one entry per prefix";
            return Err(Wrong::new(key("prefix"), text, problem));
        }
    }
    Ok(protected)
}

/// Own servers and monitoring are a handful; each is a policy in the kernel.
const PROTECTED_MAX: usize = 1000;
const WHY_OCTETS: usize = 100;
