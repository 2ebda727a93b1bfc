//! What every [`Queue`](super::Queue) and every [`Storage`](super::Storage) must do, as tests to run
//! over one's own: each rule by its name, on a fresh one of it.
//!
//! ```
//! # #[actix_rt::main]
//! # async fn main() {
//! use wakeful::work::{Bounds, MemoryQueue, conformance};
//!
//! let kept = conformance::queue(async || MemoryQueue::new(Bounds::default())).await;
//! assert_eq!(kept, Ok(()));
//! # }
//! ```

mod queue;
mod storage;

use std::fmt;

pub use queue::queue;
pub use storage::storage;

use crate::error::Error;

/// A rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {found}")]
pub struct Broken {
    /// Its name, which says it.
    pub rule: &'static str,
    /// What was found instead.
    pub found: String,
}

/// What a rule says of what it found.
type Kept = Result<(), String>;

/// That two things are the same.
fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Kept {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

/// That nothing was refused.
fn done<T>(what: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{what} is refused: {} ({error})", error.code))
}
