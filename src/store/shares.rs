//! [`Shares`]: how much each of several has of something that all of them share, and who has the most.
//!
//! What is kept for a while only (remembered replies, outcomes, dead letters, indexes of finished jobs)
//! is given up where there is most of it, so that nobody loses anything while another has more.

use std::collections::BTreeSet;

/// How much of one thing each has; one that has nothing is not in it.
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
    /// Notes that `who` has `now` of it, in place of `before`.
    pub(crate) fn change(&mut self, who: Who, before: u64, now: u64) {
        self.order.remove(&(before, who));
        if now > 0 {
            self.order.insert((now, who));
        }
    }

    /// Returns who has the most, and how much that is.
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
