//! Wakeful: a key-value store whose changes can be awaited.

pub mod actor;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
mod duration;
pub mod error;
mod local_watch;
mod model;
mod operations;
pub mod rpc;
mod service;
mod store;
mod watch;

pub use config::{ClientConfig, Config};
pub use error::{Details, Error, ErrorCode};
pub use local_watch::{LocalWatch, WatchInto};
pub use model::*;
pub use operations::Operations;
pub use rpc::client::{Call, Client, WatchId, WatchMux, WatchStream};
pub use service::Wakeful;
