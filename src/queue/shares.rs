//! [`Shares`]: how much each topic has of something that all of them share, and which has the most.
//!
//! What is kept for a while only (outcomes, dead letters, indexes of finished jobs) is given up where
//! there is most of it, so that no topic loses anything while another has more.

use std::collections::BTreeSet;

/// How much of one thing each topic has; one that has nothing is not in it.
#[derive(Debug, Default)]
pub(super) struct Shares {
    order: BTreeSet<(u64, u32)>,
}

impl Shares {
    /// Notes that `topic` has `now` of it, in place of `before`.
    pub(super) fn change(&mut self, topic: u32, before: u64, now: u64) {
        self.order.remove(&(before, topic));
        if now > 0 {
            self.order.insert((now, topic));
        }
    }

    /// Returns the topic that has the most, and how much that is.
    pub(super) fn most(&self) -> Option<(u64, u32)> {
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
            for (topic, now) in changes {
                let before = plain.insert(topic, now).unwrap_or(0);
                shares.change(topic, before, now);
                let most = plain.iter().map(|(topic, it)| (*it, *topic)).max();
                prop_assert_eq!(shares.most(), most.filter(|(it, _)| *it > 0));
            }
        }
    }
}
