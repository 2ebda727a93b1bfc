//! [`CodecError`]: the reasons why bytes are refused.

/// The reason why bytes are not a valid frame or body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The header names a kind of frame that this version does not know.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// The header names a codec that this version does not know, or sets reserved bytes.
    #[error("unknown codec {0}, or reserved header bytes set")]
    UnknownCodec(u8),
    /// The header announces a body above the limit.
    #[error("frame body of {bytes} bytes, but at most {max} are allowed (rpc.frame_bytes_max)")]
    TooLarge {
        /// The announced length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The header of a request or a reply names a durability that this version does not know.
    #[error("unknown durability {0}; there are 0 (the default), 1 (interval) and 2 (fsync)")]
    UnknownDurability(u8),
    /// The body is not of the expected type.
    #[error("malformed body: {0}")]
    Malformed(String),
    /// The body continues after its value.
    #[error("{0} trailing bytes after the body")]
    Trailing(usize),
}
