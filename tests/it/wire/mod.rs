//! The TCP port, over raw sockets.

mod deadlines;
mod document;
mod framing;
mod jobs;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod memory;
mod order;
mod requests;
mod stopping;
mod waits;
mod watches;
