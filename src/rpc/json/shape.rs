//! [`Shape`]: what the answer to a request looks like.

/// What Go's tutorial says of a key that is not there.
pub(super) const NOT_FOUND: &str = "not found";

/// What it says when nothing has changed in time.
pub(super) const TIMEOUT: &str = "timeout";

/// What the answer to a request looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The value of a key, as a string.
    Value,
    /// `{}`.
    Empty,
    /// The key that changed, as a string.
    ChangedKey,
    /// The name of the user, as a string.
    User,
    /// The fields of the native reply; and how durable that is, if that was asked for.
    Plain { durability: bool },
    /// What a method came to.
    Invoke(Box<str>),
    /// None of its own: it opens the stream of a watch, whose own request is answered.
    Opening,
    /// The number of the watch.
    Opened { watch: u64 },
    /// What is new on a watch.
    News { watch: u64 },
}
