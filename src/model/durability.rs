//! [`Durability`]: the guarantee that a reply waits for.

/// The guarantee that a reply to a write, and everything that shows the write, waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The operating system has the write: a killed process loses nothing; a power failure loses at
    /// most the writes of `journal.sync_interval` plus the duration of a sync, always a suffix.
    Interval,
    /// The disk has the write: a power failure loses nothing.
    Fsync,
}
