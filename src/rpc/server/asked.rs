//! [`Asked`]: what a connection has asked of the store; [`StreamOut`]: a stream that came of it.

use std::collections::VecDeque;

use super::push_writer::PushWriter;
use crate::watch::Handle;

/// A request handed to the store.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) about: About,
}

#[derive(Clone, Copy)]
pub(super) enum About {
    Plain,
    /// Reads a part of a file.
    File,
    Open {
        window_bytes: u32,
    },
    Add {
        stream: u64,
    },
    Cancel {
        stream: u64,
    },
}

/// A stream of watches, as the connection sees it.
pub(super) struct StreamOut {
    pub(super) handle: Handle,
    /// Bytes of pushes that the client will still take.
    pub(super) credit: i64,
    /// Watches that have not ended.
    pub(super) watches: usize,
    /// One, and when the service stops a last one behind it.
    pub(super) batches: VecDeque<PushWriter>,
    /// It stands among the sendable.
    pub(super) listed: bool,
}
