//! The promises, tested from outside: over raw sockets, through the client, with the real binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says no by panicking, in its helpers too"
)]

#[cfg(all(feature = "cli", target_os = "linux"))]
mod abuse;
mod architecture;
#[cfg(all(feature = "cli", unix))]
mod auth;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod client;
#[cfg(all(feature = "cli", unix))]
mod durable;
mod embed;
#[cfg(feature = "cli")]
mod examples;
mod json;
#[cfg(all(feature = "cli", unix))]
mod limits;
#[cfg(all(feature = "cli", unix))]
mod link;
mod manifest;
mod operate;
#[cfg(feature = "cli")]
mod process;
#[cfg(all(feature = "cli", unix))]
mod readme;
mod seed;
mod support;
#[cfg(all(feature = "cli", feature = "tls", unix))]
mod tls;
mod wire;
