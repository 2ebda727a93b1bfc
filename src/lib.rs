//! Wakeful: a key-value store whose changes can be awaited.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod error;
mod model;
#[allow(dead_code)]
mod operations;
#[allow(dead_code, unused_imports)]
pub mod rpc;

pub use config::Config;
pub use error::{Details, Error, ErrorCode};
pub use model::*;
pub use operations::Operations;
