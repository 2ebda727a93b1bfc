//! [`Shape`]: the form of the answer to a request.

/// The answer of Go's tutorial for a missing key.
pub(super) const NOT_FOUND: &str = "not found";

/// The answer when nothing has changed in time.
pub(super) const TIMEOUT: &str = "timeout";

/// The form of the answer to a request.
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
    /// The fields of the native reply, with its durability if requested.
    Plain { durability: bool },
    /// The result of a method.
    Invoke(Box<str>),
    /// No answer: it opens the stream of a watch, whose own request is answered.
    Opening,
    /// The number of the watch.
    Opened { watch: u64 },
    /// The next items of a watch.
    News { watch: u64 },
}
