//! The required behaviour of every [`Queue`](super::Queue) and [`Storage`](super::Storage), as
//! tests to run on your own: each rule by name, on a fresh instance.
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

/// A violated rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {found}")]
pub struct Broken {
    /// The name of the rule, which describes it.
    pub rule: &'static str,
    /// The observed behaviour.
    pub found: String,
}

/// The result of a rule.
type RuleResult = Result<(), String>;

/// Checks that two values are equal.
fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> RuleResult {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

/// Checks that a call succeeded.
fn done<T>(what: &str, result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| format!("{what} is refused: {} ({error})", error.code))
}
