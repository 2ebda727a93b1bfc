//! [`Asked`]: what a connection has asked of the store.

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
