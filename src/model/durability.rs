//! [`Durability`]: what a reply waits for.

/// What a reply to a write, and everything that shows the write, waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The operating system has it: a killed process loses nothing, a power cut at most
    /// `journal.sync_interval` and the time a sync takes, always a suffix.
    Interval,
    /// The disk has it: a power cut loses nothing.
    Fsync,
}
