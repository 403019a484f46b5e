//! Whether what comes in by one interface fits through the others.
//!
//! The kernel drops a frame that is redirected into an interface with a smaller MTU, and tells nobody:
//! a packet too big is a router's word, and diverted frames pass no routing.

use super::{Finding, judge::warning};

/// Judges the attached interfaces, by name and MTU.
pub(super) fn judge(interfaces: &[(String, u32)]) -> Vec<Finding> {
    let Some((largest, most)) = interfaces.iter().max_by_key(|(_, mtu)| mtu) else {
        return Vec::new();
    };
    let small = interfaces.iter().filter(|(_, mtu)| mtu < most);
    small
        .map(|(name, mtu)| {
            warning(
                name,
                format!(
                    "its MTU of {mtu} is smaller than the {most} of {largest}: longer diverted frames for it are dropped, and no sender is told"
                ),
                &format!(
                    "give all attached interfaces one MTU, or clamp the MSS of connections through {name}"
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_ones_are_named() {
        let interfaces = |mtus: [u32; 3]| -> Vec<(String, u32)> {
            let names = ["cust0", "up0", "relay0"].map(String::from);
            names.into_iter().zip(mtus).collect()
        };
        assert_eq!(judge(&interfaces([1500, 1500, 1500])), []);
        assert_eq!(judge(&[]), []);
        let found = judge(&interfaces([1500, 9000, 1400]));
        let about: Vec<&str> = found.iter().map(|found| found.about.as_str()).collect();
        assert_eq!(about, ["cust0", "relay0"]);
        assert!(found[1].found.contains("1400"), "{found:#?}");
        assert!(found[1].found.contains("9000 of up0"), "{found:#?}");
    }
}
