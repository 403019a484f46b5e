//! Caps: how many customers may be flagged without a person, in a minute and in one prefix.
//!
//! A rule that is wrong, or figures that are, must not take a network off the internet before somebody looks. So what
//! flags by itself asks [`Tally::room`] first, with the caps of the rule and those of all rules together, and says
//! [`Tally::took`] afterwards.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};

/// Upper bounds; `None` = there is none of this kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caps {
    /// Times a minute that the dial is turned up.
    pub per_minute: Option<NonZeroU32>,
    /// Share of a customer prefix's addresses (IPv6: /64s) that may be flagged at the same time; at least one may.
    pub share: Option<f64>,
}

/// A wish to turn the dial up.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// By which rule.
    pub rule: &'a str,
    /// What that rule may do.
    pub own: Caps,
    /// What all of them may do.
    pub overall: Caps,
    /// The customer prefix.
    pub prefix: IpNetwork,
    /// Whether its customer has no automatic flag yet.
    pub fresh: bool,
}

/// Which rules are meant.
type Whose<'a> = &'a dyn Fn(&String) -> bool;

/// What was flagged by itself in the last minute, and what is flagged now.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    raises: VecDeque<(Timestamp, String)>,
    /// How many of which rule, by customer prefix.
    flagged: BTreeMap<IpNetwork, BTreeMap<String, u64>>,
}

impl Tally {
    /// Takes over what was done before this program began.
    pub fn recall(&mut self, raises: impl IntoIterator<Item = (Timestamp, String)>) {
        self.raises.extend(raises);
        self.raises.make_contiguous().sort_unstable();
    }

    /// Takes the present for what it is: `flagged` are the automatic flags, each with its customer prefix and rule.
    pub fn refresh(
        &mut self,
        now: Timestamp,
        flagged: impl IntoIterator<Item = (IpNetwork, String)>,
    ) {
        for (at, _) in &mut self.raises {
            // The time of day may jump back, and must not hold everything up then.
            *at = (*at).min(now);
        }
        while let Some((at, _)) = self.raises.front()
            && at.saturating_add(MINUTE).is_ok_and(|over| over <= now)
        {
            self.raises.pop_front();
        }
        self.flagged.clear();
        for (prefix, rule) in flagged {
            *self.count(prefix, rule) += 1;
        }
    }

    /// Whether the caps leave room.
    ///
    /// # Errors
    ///
    /// Which cap does not, in words.
    pub fn room(&self, wish: &Wish<'_>) -> Result<(), String> {
        let of_rule = |rule: &String| rule == wish.rule;
        let raises = |whose: Whose<'_>| self.raises.iter().filter(|(_, rule)| whose(rule)).count();
        let standing = |whose: Whose<'_>| -> u64 {
            let rules = self.flagged.get(&wish.prefix).into_iter().flatten();
            let counts = rules.filter(|(rule, _)| whose(rule));
            counts.map(|(_, count)| count).sum()
        };
        let both: [(Caps, &str, Whose<'_>); 2] = [
            (wish.own, "this rule", &of_rule),
            (wish.overall, "all rules", &|_| true),
        ];
        for (caps, who, whose) in both {
            if let Some(most) = caps.per_minute
                && raises(whose) >= most.get() as usize
            {
                return Err(format!("{most} new flags a minute by {who}"));
            }
            if let Some(share) = caps.share
                && wish.fresh
                && standing(whose) >= most_of(wish.prefix, share)
            {
                let (most, percent) = (most_of(wish.prefix, share), 100.0 * share);
                return Err(format!(
                    "{percent} % of {}, which is {most}, by {who}",
                    wish.prefix
                ));
            }
        }
        Ok(())
    }

    /// Notes that there was room, and that it was used.
    pub fn took(&mut self, wish: &Wish<'_>, at: Timestamp) {
        self.raises.push_back((at, wish.rule.to_owned()));
        if wish.fresh {
            *self.count(wish.prefix, wish.rule.to_owned()) += 1;
        }
    }

    fn count(&mut self, prefix: IpNetwork, rule: String) -> &mut u64 {
        self.flagged
            .entry(prefix)
            .or_default()
            .entry(rule)
            .or_default()
    }
}

/// So many addresses, or /64s, of a prefix; at least one.
#[must_use]
pub fn most_of(prefix: IpNetwork, share: f64) -> u64 {
    let bits = match prefix {
        IpNetwork::V4(v4) => 32 - v4.prefix(),
        IpNetwork::V6(v6) => 64_u8.saturating_sub(v6.prefix()),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion from a float saturates, and a share is not negative"
    )]
    let most = (f64::from(bits).exp2() * share).floor() as u64;
    most.max(1)
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + seconds).unwrap()
    }

    fn wish(rule: &str, prefix: &str, fresh: bool) -> (String, IpNetwork, bool) {
        (rule.to_owned(), prefix.parse().unwrap(), fresh)
    }

    fn caps(per_minute: u32, share: f64) -> Caps {
        Caps {
            per_minute: NonZeroU32::new(per_minute),
            share: (share > 0.0).then_some(share),
        }
    }

    /// Asks, and takes what there is room for.
    fn ask(
        tally: &mut Tally,
        (rule, prefix, fresh): &(String, IpNetwork, bool),
        own: Caps,
        overall: Caps,
        at: Timestamp,
    ) -> Result<(), String> {
        let wish = Wish {
            rule,
            own,
            overall,
            prefix: *prefix,
            fresh: *fresh,
        };
        tally.room(&wish)?;
        tally.took(&wish, at);
        Ok(())
    }

    #[test]
    fn a_minute_has_so_much_room_for_a_rule_and_for_all() {
        let mut tally = Tally::default();
        let (own, overall) = (caps(2, 0.0), caps(3, 0.0));
        let [one, other] = ["one", "other"].map(|rule| wish(rule, "192.0.2.0/24", true));
        assert_eq!(ask(&mut tally, &one, own, overall, at(0)), Ok(()));
        assert_eq!(ask(&mut tally, &one, own, overall, at(10)), Ok(()));
        let full = ask(&mut tally, &one, own, overall, at(20)).unwrap_err();
        assert_eq!(full, "2 new flags a minute by this rule");
        assert_eq!(ask(&mut tally, &other, own, overall, at(20)), Ok(()));
        let full = ask(&mut tally, &other, own, overall, at(20)).unwrap_err();
        assert_eq!(full, "3 new flags a minute by all rules");
        // A minute after the first there is room for one.
        tally.refresh(at(60), []);
        assert_eq!(ask(&mut tally, &one, own, overall, at(60)), Ok(()));
        assert!(ask(&mut tally, &one, own, overall, at(60)).is_err());
        // A clock that was set back holds nothing up for longer than that.
        tally.refresh(at(-5000), []);
        assert!(ask(&mut tally, &other, own, overall, at(-5000)).is_err());
        tally.refresh(at(-4940), []);
        assert_eq!(ask(&mut tally, &other, own, overall, at(-4940)), Ok(()));
    }

    #[test]
    fn a_prefix_has_so_much_room_for_customers_that_are_not_flagged_yet() {
        let mut tally = Tally::default();
        let overall = caps(0, 0.01);
        let four = wish("one", "192.0.2.0/24", true);
        for _ in 0..2 {
            assert_eq!(
                ask(&mut tally, &four, Caps::default(), overall, at(0)),
                Ok(())
            );
        }
        let full = ask(&mut tally, &four, Caps::default(), overall, at(0)).unwrap_err();
        assert_eq!(full, "1 % of 192.0.2.0/24, which is 2, by all rules");
        // Who is flagged already takes no more room, and another prefix has its own.
        let again = wish("one", "192.0.2.0/24", false);
        assert_eq!(
            ask(&mut tally, &again, Caps::default(), overall, at(0)),
            Ok(())
        );
        let six = wish("one", "2001:db8:a::/48", true);
        assert_eq!(
            ask(&mut tally, &six, Caps::default(), overall, at(0)),
            Ok(())
        );
        let standing = [("192.0.2.0/24", "other"); 2];
        let standing = standing.map(|(prefix, rule)| (prefix.parse().unwrap(), rule.to_owned()));
        tally.refresh(at(100), standing);
        assert!(ask(&mut tally, &four, Caps::default(), overall, at(100)).is_err());
        assert_eq!(
            ask(&mut tally, &four, caps(0, 0.01), Caps::default(), at(100)),
            Ok(())
        );
    }

    #[test]
    fn the_smallest_prefix_has_room_for_one() {
        let most = |prefix: &str, share| most_of(prefix.parse().unwrap(), share);
        assert_eq!(most("192.0.2.10/32", 0.05), 1);
        assert_eq!(most("192.0.2.0/24", 0.05), 12);
        assert_eq!(most("2001:db8:a::/48", 0.05), 3276);
        assert_eq!(most("2001:db8:a:a::/64", 0.5), 1);
        assert_eq!(most("2001:db8:a:a::/72", 1.0), 1);
        assert_eq!(most("10.0.0.0/8", 1.0), 1 << 24);
    }
}
