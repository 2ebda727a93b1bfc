//! What is promised, from outside: over raw sockets, through the client, with the real binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says no by panicking, in its helpers too"
)]

mod support;
mod wire;
