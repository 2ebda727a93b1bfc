//! [`FairShares`]: how much of a bounded resource each client holds.
//!
//! A client may take more only if it then holds no more than is left for all others. A single client gets
//! half of the limit; two that grow together get a third each; of clients that come one after another, each
//! gets half of what the earlier ones left, so about log2(N) clients use up a limit of N. There is nothing
//! to configure, and no client is refused for what others hold while it holds less than is left.
//!
//! Source: A. Choudhury and E. Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
//! IEEE/ACM Transactions on Networking 6 (1998), with the factor 1.

use std::collections::HashMap;
use std::hash::Hash;

use crate::environment::RandomState;

/// Identifies a client that shares limits with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ClientId {
    /// This process, whose own requests the limits bound without a share.
    #[default]
    Process,
    /// A connection without a user, by a random number, which is unique across restarts.
    Connection(u64),
    /// A user, over any connection, by a fingerprint of the name.
    User(u64),
}

/// A party that may hold part of a bounded resource.
pub(crate) trait Sharer: Copy + Eq + Hash {
    /// Returns whether the party may hold no more than its share; if not, only the limit applies.
    fn has_share(self) -> bool {
        true
    }
}

impl Sharer for ClientId {
    fn has_share(self) -> bool {
        self != Self::Process
    }
}

/// `None` has no share.
impl<Who: Sharer> Sharer for Option<Who> {
    fn has_share(self) -> bool {
        self.is_some_and(Who::has_share)
    }
}

/// The amount of a bounded resource that each client holds, and all together.
#[derive(Debug)]
pub(crate) struct FairShares<Who> {
    held: HashMap<Who, u64, RandomState>,
    total: u64,
}

/// The reason why a client may not hold more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// All units are held.
    Full,
    /// The client would hold more than is left for the others.
    Share,
}

impl Excess {
    /// Returns the reason for a refusal: `full` if the limit itself is reached.
    pub(crate) fn what(self, full: &'static str) -> &'static str {
        match self {
            Self::Full => full,
            Self::Share => {
                "one client may hold no more of it than is left for all others; end some of yours first"
            }
        }
    }
}

impl<Who> Default for FairShares<Who> {
    fn default() -> Self {
        Self { held: HashMap::default(), total: 0 }
    }
}

impl<Who: Sharer> FairShares<Who> {
    /// Checks that `who` may hold `more`, of `max` in total.
    pub(crate) fn check(&self, who: Who, more: u64, max: u64) -> Result<(), Excess> {
        let left = max.saturating_sub(self.total);
        if more > left {
            return Err(Excess::Full);
        }
        let is_more = who.has_share() && self.held(who).saturating_add(more) > left;
        if is_more { Err(Excess::Share) } else { Ok(()) }
    }

    /// Returns how much a client with a share holds.
    pub(crate) fn held(&self, who: Who) -> u64 {
        self.held.get(&who).copied().unwrap_or(0)
    }

    /// Returns how many more units `who` may take one after the other, of `max` in total.
    pub(crate) fn units(&self, who: Who, max: u64) -> u64 {
        let left = max.saturating_sub(self.total);
        if !who.has_share() {
            return left;
        }
        // Each unit taken is one more for the client, and one less for all.
        (left + 1).saturating_sub(self.held(who)) / 2
    }

    /// Returns how much all clients hold together.
    #[cfg(test)]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn take(&mut self, who: Who, more: u64) {
        self.total += more;
        if who.has_share() {
            *self.held.entry(who).or_default() += more;
        }
    }

    pub(crate) fn give_back(&mut self, who: Who, less: u64) {
        self.total = self.total.saturating_sub(less);
        let Some(held) = self.held.get_mut(&who) else { return };
        *held = held.saturating_sub(less);
        if *held == 0 {
            self.held.remove(&who);
            // Nothing is kept of a crowd that has left.
            if self.held.is_empty() && self.held.capacity() > IDLE_CAPACITY {
                self.held.shrink_to_fit();
            }
        }
    }
}

/// Capacity that an empty table keeps.
const IDLE_CAPACITY: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MAX: u64 = 200;

    impl Sharer for u64 {}

    /// Takes one after the other until it is refused; returns how many that were.
    fn fill(shares: &mut FairShares<Option<u64>>, who: u64) -> u64 {
        (0..)
            .find(|_| {
                let refused = shares.check(Some(who), 1, MAX).is_err();
                if !refused {
                    shares.take(Some(who), 1);
                }
                refused
            })
            .unwrap_or(0)
    }

    #[test]
    fn one_client_holds_half_and_of_each_further_one_as_much_as_it_leaves() {
        let mut shares = FairShares::default();
        assert_eq!(shares.units(Some(1), MAX), 100);
        assert_eq!(fill(&mut shares, 1), 100);
        assert_eq!(shares.check(Some(1), 1, MAX), Err(Excess::Share));
        assert_eq!(fill(&mut shares, 2), 50);
        assert_eq!(fill(&mut shares, 3), 25);
        // A client that now holds more than is left cannot take again what it gives back.
        shares.give_back(Some(1), 10);
        assert_eq!(shares.check(Some(1), 1, MAX), Err(Excess::Share));
        assert_eq!(shares.check(Some(4), 1, MAX), Ok(()));
        assert_eq!(shares.check(None, 35, MAX), Ok(()), "this process has no share");
        assert_eq!(shares.check(None, 36, MAX), Err(Excess::Full));
    }

    #[test]
    fn a_limit_of_one_is_for_whoever_comes_first() {
        let mut shares = FairShares::default();
        assert_eq!(shares.check(Some(1), 1, 1), Ok(()));
        shares.take(Some(1), 1);
        assert_eq!(shares.check(Some(2), 1, 1), Err(Excess::Full));
    }

    proptest! {
        #[test]
        fn whoever_holds_nothing_is_never_refused_while_something_is_left(
            steps in proptest::collection::vec((0..5_u64, 1..20_u64, any::<bool>()), 1..200),
        ) {
            let (mut shares, mut plain) = (FairShares::default(), BTreeMap::<u64, u64>::new());
            for (who, amount, takes) in steps {
                let total: u64 = plain.values().sum();
                let held = plain.entry(who).or_default();
                if !takes {
                    let less = amount.min(*held);
                    *held -= less;
                    shares.give_back(Some(who), less);
                    continue;
                }
                let left = MAX - total;
                let expected = match *held + amount {
                    _ if amount > left => Err(Excess::Full),
                    after if after > left => Err(Excess::Share),
                    _ => Ok(()),
                };
                prop_assert_eq!(shares.check(Some(who), amount, MAX), expected);
                if expected.is_ok() {
                    *held += amount;
                    shares.take(Some(who), amount);
                }
                prop_assert_eq!(shares.total, plain.values().sum::<u64>());
            }
            for (who, held) in plain {
                shares.give_back(Some(who), held);
            }
            prop_assert!(shares.held.is_empty() && shares.total == 0);
        }
    }
}
