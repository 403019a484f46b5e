//! Policies as an operator has them: hosts mostly, prefixes among them, IPv4 and IPv6.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// What all of them are in.
pub(super) const CUSTOMER_PREFIXES: [&str; 2] = ["10.0.0.0/8", "2001:db8::/32"];

/// The policy of a number: of a hundred, one is an IPv4 prefix, 39 are IPv6 customers (/64), the others IPv4 hosts.
pub(super) fn target(number: u32) -> String {
    match number % 100 {
        // Apart from the hosts, so that nobody is in two.
        0 => format!("{}/28", Ipv4Addr::from(PREFIXES + (number / 100) * 16)),
        1..40 => {
            let number = u128::from(number);
            format!("{}/64", Ipv6Addr::from(CUSTOMERS_V6 + (number << 64)))
        }
        _ => Ipv4Addr::from(HOSTS + number).to_string(),
    }
}

/// An address that the policy of this number is about.
pub(super) fn member(number: u32) -> String {
    let target = target(number);
    let host = target.split('/').next().unwrap_or_default();
    host.to_owned()
}

/// A file of them.
pub(super) fn csv(numbers: Range<u32>) -> String {
    let mut text = String::from("prefix,action,reason,for\n");
    for number in numbers {
        // A string takes all that is written.
        let _written = writeln!(text, "{},drop,benchmark,30d", target(number));
    }
    text
}

/// 10.0.0.0; a million hosts reach to 10.16.0.0.
const HOSTS: u32 = 0x0a00_0000;
/// Where no policy reaches and no writer writes, 10.192.0.0 and what follows.
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 0);
/// 10.128.0.0.
const PREFIXES: u32 = 0x0a80_0000;
/// 2001:db8::, of which a number is the fourth group and part of the third.
const CUSTOMERS_V6: u128 = 0x2001_0db8_0000_0000_0000_0000_0000_0000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_number_is_somebody_else_and_a_customer() {
        let targets: HashSet<String> = (0..200_000).map(target).collect();
        assert_eq!(targets.len(), 200_000);
        let within = |target: &String| target.starts_with("10.") || target.starts_with("2001:db8:");
        assert!(targets.iter().all(within));
        assert_eq!(target(1_000_000), "10.130.113.0/28");
        assert_eq!(member(1_000_000), "10.130.113.0");
    }
}
