//! Wakeful: a key-value store whose changes can be awaited.

pub mod actor;
pub mod config;
pub mod error;
mod local_watch;
mod model;
mod operations;
pub mod rpc;
mod service;
mod store;
mod watch;

pub use config::Config;
pub use error::{Details, Error, ErrorCode};
pub use local_watch::{LocalWatch, WatchInto};
pub use model::*;
pub use operations::Operations;
pub use service::Wakeful;
