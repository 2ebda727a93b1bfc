//! [`KeySet`]: the union of several patterns, which answers whether it contains a whole range.

use super::Pattern;
use crate::model::{Blob, KeyRange, after_prefix};

/// Names, as ordered spans that neither overlap nor touch: a range is granted if one span contains
/// it, however many grants that took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    spans: Vec<Span>,
}

/// A span from the first name, inclusive, to the second, exclusive; an empty second means no end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    from: Blob,
    to: Blob,
}

impl Span {
    fn of(pattern: &Pattern) -> Self {
        match pattern {
            // The successor of a name is the name followed by a zero byte.
            Pattern::One(name) => {
                let next: Vec<u8> = name.iter().copied().chain([0]).collect();
                Self { from: name.clone(), to: next.into() }
            }
            Pattern::Prefix(prefix) => Self { from: prefix.clone(), to: after_prefix(prefix) },
        }
    }

    /// Returns true if the span ends at `to` or later, where an empty `to` means no end.
    fn reaches(&self, to: &[u8]) -> bool {
        self.to.is_empty() || (!to.is_empty() && *to <= *self.to)
    }
}

impl KeySet {
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a Pattern>) -> Self {
        let mut spans: Vec<Span> = patterns.into_iter().map(Span::of).collect();
        spans.sort_unstable_by(|a, b| a.from.cmp(&b.from));
        let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match joined.last_mut() {
                Some(last) if last.to.is_empty() || span.from <= last.to => {
                    if !last.reaches(&span.to) {
                        last.to = span.to;
                    }
                }
                _ => joined.push(span),
            }
        }
        Self { spans: joined }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns true if the set contains every name.
    pub(crate) fn is_all(&self) -> bool {
        self.spans.first().is_some_and(|span| span.from.is_empty() && span.to.is_empty())
    }

    /// Returns the only span that can contain `name`: the last that begins at or before it.
    fn before(&self, name: &[u8]) -> Option<&Span> {
        let after = self.spans.partition_point(|span| *span.from <= *name);
        self.spans.get(after.checked_sub(1)?)
    }

    /// Returns true if the set contains `name`.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.before(name).is_some_and(|span| span.to.is_empty() || *name < *span.to)
    }

    /// Returns true if the set contains every name in `range`. For an empty range, returns true if
    /// the set contains its start.
    pub(crate) fn covers(&self, range: &KeyRange) -> bool {
        match range {
            KeyRange::Key(key) => self.contains(key),
            KeyRange::Prefix(prefix) => self
                .before(prefix)
                .is_some_and(|span| span.to.is_empty() || span.reaches(&after_prefix(prefix))),
            KeyRange::Range { from, to } => {
                self.contains(from) && self.before(from).is_some_and(|span| span.reaches(to))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(patterns: &[&str]) -> KeySet {
        let patterns: Vec<Pattern> =
            patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        KeySet::new(&patterns)
    }

    #[test]
    fn a2_grants_that_touch_are_one() {
        let granted = set(&["a*", "b*", "d/*", "x"]);
        assert_eq!(granted.spans.len(), 3);
        assert!(granted.covers(&KeyRange::range("a", "c")), "both prefixes together");
        assert!(!granted.covers(&KeyRange::range("a", "c\0")));
        assert!(!granted.covers(&KeyRange::range("b", "d/")));
        assert!(!granted.covers(&KeyRange::range("b", "")), "no end");
        assert!(granted.covers(&KeyRange::key("x")) && !granted.covers(&KeyRange::prefix("x")));
        assert!(
            granted.covers(&KeyRange::prefix("d/e")) && !granted.covers(&KeyRange::prefix("d"))
        );
        assert!(!granted.covers(&KeyRange::all()));
        let every = set(&["*", "a"]);
        assert!(every.is_all() && every.covers(&KeyRange::all()));
        assert!(every.covers(&KeyRange::range("b", "")));
        assert!(!set(&[]).covers(&KeyRange::key("")) && set(&[]).is_empty());
        assert!(set(&["\\xff*"]).covers(&KeyRange::range(b"\xff\x01", "")));
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(b'a'), Just(b'b'), Just(254), Just(255)];
        proptest::collection::vec(byte, 0..4)
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        let one = name().prop_filter("a name", |name| !name.is_empty());
        prop_oneof![
            one.prop_map(|name| Pattern::One(name.into())),
            name().prop_map(|name| Pattern::Prefix(name.into())),
        ]
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        prop_oneof![
            name().prop_map(KeyRange::key),
            name().prop_map(KeyRange::prefix),
            (name(), name()).prop_map(|(from, to)| KeyRange::range(from, to)),
        ]
    }

    /// Returns the names at which the granted set may change: the start of the range, and the ends of
    /// all grants. If the set contains those within the range, it contains the whole range.
    fn critical(patterns: &[Pattern], range: &KeyRange) -> Vec<Vec<u8>> {
        let (KeyRange::Key(from) | KeyRange::Prefix(from) | KeyRange::Range { from, .. }) = range;
        let mut names = vec![from.to_vec()];
        for pattern in patterns {
            names.push(match pattern {
                Pattern::One(name) => [name, &[0][..]].concat(),
                Pattern::Prefix(prefix) => after_prefix(prefix).to_vec(),
            });
        }
        // No grant ends at the first name: an empty end means no end.
        let first = names.remove(0);
        names.retain(|name| !name.is_empty() && range.contains(name));
        names.push(first);
        names
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn a2_a_range_is_granted_if_each_of_its_names_is(
            patterns in proptest::collection::vec(pattern(), 0..5),
            range in range(),
        ) {
            let granted = |name: &[u8]| patterns.iter().any(|pattern| pattern.matches(name));
            let naive = critical(&patterns, &range).iter().all(|name| granted(name));
            let set = KeySet::new(&patterns);
            if !range.is_empty() {
                prop_assert_eq!(set.covers(&range), naive);
            }
            for name in critical(&patterns, &range) {
                prop_assert_eq!(set.contains(&name), granted(&name));
            }
        }
    }
}
