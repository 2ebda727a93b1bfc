//! [`KeyRange`]: the keys of an operation.

use std::fmt;
use std::ops::Bound;

use super::Blob;

/// The keys of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyRange {
    /// One key; not empty.
    Key(Blob),
    /// Every key that begins with this prefix; an empty prefix stands for all keys.
    Prefix(Blob),
    /// Every key from `from`, inclusive, to `to`, exclusive.
    Range {
        /// The first key of the range.
        from: Blob,
        /// The end of the range, exclusive; empty for no end.
        to: Blob,
    },
}

impl KeyRange {
    /// Returns the range of one key.
    pub fn key(key: impl Into<Blob>) -> Self {
        Self::Key(key.into())
    }

    /// Returns the range of every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<Blob>) -> Self {
        Self::Prefix(prefix.into())
    }

    /// Returns the range `[from, to)`; an empty `to` stands for no end.
    pub fn range(from: impl Into<Blob>, to: impl Into<Blob>) -> Self {
        Self::Range { from: from.into(), to: to.into() }
    }

    /// Returns the range of all keys.
    pub fn all() -> Self {
        Self::Prefix(Blob::default())
    }

    /// Returns whether the range contains `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(one) => **one == *key,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Range { from, to } => **from <= *key && (to.is_empty() || *key < **to),
        }
    }

    /// Returns whether the range can contain no key: an empty key, or a range whose end is not after
    /// its start.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Key(key) => key.is_empty(),
            Self::Prefix(_) => false,
            Self::Range { from, to } => !to.is_empty() && from >= to,
        }
    }

    /// Returns the bytes of the bounds together.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Key(key) => key.len(),
            Self::Prefix(prefix) => prefix.len(),
            Self::Range { from, to } => from.len() + to.len(),
        }
    }

    /// Returns the bytes of the longest bound.
    pub(crate) fn bytes_max(&self) -> usize {
        match self {
            Self::Key(key) => key.len(),
            Self::Prefix(prefix) => prefix.len(),
            Self::Range { from, to } => from.len().max(to.len()),
        }
    }

    /// Returns the bounds for an ordered map. The range must not be empty.
    pub(crate) fn bounds(&self) -> (Bound<Blob>, Bound<Blob>) {
        let end = |to: Blob| if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        match self {
            Self::Key(key) => (Bound::Included(key.clone()), Bound::Included(key.clone())),
            Self::Prefix(prefix) => (Bound::Included(prefix.clone()), end(after_prefix(prefix))),
            Self::Range { from, to } => (Bound::Included(from.clone()), end(to.clone())),
        }
    }
}

/// Returns the first key after every key that begins with `prefix`; empty if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Blob {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    Blob::from(end)
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Range { from, to } => write!(f, "[{from}, {to})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_prefix_skips_trailing_ff() {
        assert_eq!(after_prefix(b"ab"), "ac");
        assert_eq!(after_prefix(b"a\xff\xff"), "b");
        assert_eq!(after_prefix(b"\xff"), "");
        assert_eq!(after_prefix(b""), "");
    }
}
