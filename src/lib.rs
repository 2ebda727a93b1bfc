//! Wakeful: a key-value store whose changes can be awaited.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
mod duration;
pub mod error;
mod model;
#[allow(dead_code)]
mod operations;
#[allow(dead_code, unused_imports)]
pub mod rpc;

pub use config::{ClientConfig, Config};
pub use error::{Details, Error, ErrorCode};
pub use model::*;
pub use operations::Operations;
pub use rpc::client::{Call, Client, WatchId, WatchMux, WatchStream};
