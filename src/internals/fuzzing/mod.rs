//! The functions that the fuzz targets in `fuzz/` run, and the tests below.
//!
//! Each function takes any bytes and panics if a promise about them is broken.

mod bytes;
mod json;
mod queue;
mod segments;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use json::json_requests;
pub use queue::queue_records;
pub use segments::journal_segments;
pub use snapshot::journal_snapshot;
pub use store::store_records;
pub use wire::{bodies, frames};
