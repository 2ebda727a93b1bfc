//! [`Shares`]: how much of a shared resource each client holds, and who holds the most.
//!
//! Things that are kept only for a while (remembered replies, outcomes, dead letters, indexes of
//! finished jobs) are evicted from the client that holds the most, so that none loses anything while
//! another has more.

use std::collections::BTreeSet;

/// The amount of one resource that each client holds; clients that hold nothing are not listed.
#[derive(Debug)]
pub(crate) struct Shares<Who> {
    order: BTreeSet<(u64, Who)>,
}

impl<Who> Default for Shares<Who> {
    fn default() -> Self {
        Self { order: BTreeSet::new() }
    }
}

impl<Who: Copy + Ord> Shares<Who> {
    /// Replaces the amount `before` of `who` with `now`.
    pub(crate) fn change(&mut self, who: Who, before: u64, now: u64) {
        self.order.remove(&(before, who));
        if now > 0 {
            self.order.insert((now, who));
        }
    }

    /// Returns the client that holds the most, and the amount.
    pub(crate) fn most(&self) -> Option<(u64, Who)> {
        self.order.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_most_is_that_of_a_plain_map(
            changes in proptest::collection::vec((0..4_u32, 0..9_u64), 1..60),
        ) {
            let (mut shares, mut plain) = (Shares::default(), BTreeMap::new());
            for (who, now) in changes {
                let before = plain.insert(who, now).unwrap_or(0);
                shares.change(who, before, now);
                let most = plain.iter().map(|(who, it)| (*it, *who)).max();
                prop_assert_eq!(shares.most(), most.filter(|(it, _)| *it > 0));
            }
        }
    }
}
