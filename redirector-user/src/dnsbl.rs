//! Lists of addresses in the DNS (RFC 5782): how one is asked, and when it is to be believed.
//!
//! A list that is gone says that it names nobody, or, where somebody has bought its name, that it names everybody. So what it
//! says of itself comes first (section 5): [`OfItself::not_to_be_believed`].

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};
use tokio::join;
use utoipa::ToSchema;

use crate::{
    dns::{Answer, Asker, reversed},
    precheck::Fqdn,
};

/// Which addresses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

/// What one list says of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name that was asked for.
    pub name: String,
    /// Its codes; empty = it is not listed.
    pub codes: Answer<Ipv4Addr>,
    /// Its words; asked for only where there is a code.
    pub words: Answer<String>,
}

/// What a list says of itself.
#[derive(Clone, Debug)]
pub struct OfItself {
    /// Its name.
    pub zone: Fqdn,
    /// Of which family it was asked.
    pub family: Family,
    /// Of the address that every list names.
    pub always: Answer<Ipv4Addr>,
    /// Of the one that no list names.
    pub never: Answer<Ipv4Addr>,
}

/// Asks what it says of an address.
pub(crate) async fn ask(asker: &Asker, zone: &Fqdn, address: IpAddr) -> Listed {
    let name = reversed(address, zone.as_str());
    let codes = asker.codes(&name).await;
    let words = match codes.as_deref() {
        Ok([_, ..]) => asker.texts(&name).await,
        Ok([]) | Err(_) => Ok(Vec::new()),
    };
    Listed { name, codes, words }
}

/// Asks what it says of itself.
pub(crate) async fn ask_of_itself(asker: &Asker, zone: &Fqdn, family: Family) -> OfItself {
    let [always, never] =
        [family.always_listed(), family.never_listed()].map(|known| reversed(known, zone.as_str()));
    let (always, never) = join!(asker.codes(&always), asker.codes(&never));
    OfItself {
        zone: zone.clone(),
        family,
        always,
        never,
    }
}

impl OfItself {
    /// Why what the list says is worth nothing, if so (section 5).
    #[must_use]
    pub fn not_to_be_believed(&self) -> Option<String> {
        let code = |answer: &Answer<Ipv4Addr>| match answer {
            Ok(codes) => Ok(codes.first().copied()),
            Err(silence) => Err(silence.to_string()),
        };
        let (always, never) = (self.family.always_listed(), self.family.never_listed());
        match (code(&self.always), code(&self.never)) {
            (Err(silence), _) | (_, Err(silence)) => Some(silence),
            (Ok(None), _) => Some(format!(
                "it does not name {always}, which every list does; is it still there?"
            )),
            (Ok(Some(code)), _) if !is_listing(code) => Some(format!(
                "it answers {code} for {always}: it refuses the question"
            )),
            (_, Ok(Some(code))) => {
                Some(format!("it names {never} ({code}), so it names everybody"))
            }
            (Ok(Some(_)), Ok(None)) => None,
        }
    }
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// As it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// The address that every list of the family names (section 5).
    #[must_use]
    pub const fn always_listed(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
            Self::V6 => IpAddr::V6(Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped()),
        }
    }

    /// The one that no list of the family names.
    #[must_use]
    pub const fn never_listed(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::V6 => IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// 127.0.0.0/8 is a listing (section 2.1), but for 127.255.255.0/24, by which lists say that they do not answer.
#[must_use]
pub const fn is_listing(code: Ipv4Addr) -> bool {
    match code.octets() {
        [127, 255, 255, _] => false,
        [127, ..] => true,
        _ => false,
    }
}

/// The first address of the /64 that an address is in: what stands for a host that rotates inside of it.
#[must_use]
pub fn first_of_64(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Silence;

    fn said(family: Family, always: Answer<Ipv4Addr>, never: Answer<Ipv4Addr>) -> Option<String> {
        let of_itself = OfItself {
            zone: Fqdn::new("ip.list.example").unwrap(),
            family,
            always,
            never,
        };
        of_itself.not_to_be_believed()
    }

    #[test]
    fn a_list_is_believed_that_names_whom_every_list_names_and_not_everybody() {
        let two = || Ok(vec![Ipv4Addr::new(127, 0, 0, 2)]);
        let refused = || Ok(vec![Ipv4Addr::new(127, 255, 255, 254)]);
        let silent = || {
            Err(Silence {
                what: String::from("A x"),
                why: String::from("SERVFAIL"),
            })
        };
        for family in Family::ALL {
            assert_eq!(said(family, two(), Ok(Vec::new())), None);
            for (always, never, words) in [
                (Ok(Vec::new()), Ok(Vec::new()), "is it still there?"),
                (two(), two(), "so it names everybody"),
                (refused(), refused(), "it refuses the question"),
                (silent(), Ok(Vec::new()), "SERVFAIL"),
                (two(), silent(), "SERVFAIL"),
            ] {
                let why = said(family, always, never).unwrap();
                assert!(why.contains(words), "{why}");
            }
        }
        assert_eq!(Family::V6.always_listed().to_string(), "::ffff:127.0.0.2");
    }

    #[test]
    fn a_refusal_is_no_listing() {
        for (code, listed) in [
            ([127, 0, 0, 2], true),
            ([127, 255, 254, 255], true),
            ([127, 255, 255, 0], false),
            ([127, 255, 255, 254], false),
            ([192, 0, 2, 1], false),
        ] {
            assert_eq!(is_listing(Ipv4Addr::from(code)), listed, "{code:?}");
        }
    }
}
