//! Frames: the hand-written header before every body, and the splitting of bytes into frames.
//!
//! Pure: bytes in, frames out. `docs/protocol.md` draws the header byte by byte.

use super::codec_error::CodecError;

/// The first bytes from a client: the name of the protocol and its version.
pub const PREFACE: [u8; 8] = *b"WAKEFUL\x01";

/// The first bytes of either end of a link: a magic number and the version.
pub(crate) const LINK_PREFACE: [u8; 8] = *b"WAKELNK\x01";

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 20;

/// Bodies are bincode, little-endian, integers of fixed width.
const CODEC_BINCODE: u8 = 1;

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client: its name and options. The first frame after the preface.
    Hello = 1,
    /// Server: its properties. Answers `Hello`.
    Welcome = 2,
    /// Client: a request under a new id.
    Request = 3,
    /// Server: answers the request with this id.
    Reply = 4,
    /// Server: refuses the request with this id; id 0: refuses the connection.
    Error = 5,
    /// Server: new items on the stream that the request with this id opened.
    Push = 6,
    /// Client: cancels the request, or closes the stream, with this id.
    Cancel = 7,
    /// Client: has consumed this many bytes of pushes of the stream with this id.
    Credit = 8,
    /// Either: asks for a sign of life, a `Pong` with the same id.
    Ping = 9,
    /// Either: answers a `Ping`.
    Pong = 10,
    /// Either: no new requests from now on; those in flight are completed.
    Goodbye = 11,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body that follows.
    pub body_bytes: u32,
    /// The kind of the frame.
    pub kind: Kind,
    /// Requests: the requested durability; replies: the durability reached. Kept as the byte on the
    /// wire, because an unknown number concerns one request, not the framing. Otherwise 0.
    pub durability: u8,
    /// Requests: how long the caller waits after the server has read the request; 0 for ever.
    pub deadline_ms: u32,
    /// The request or stream it belongs to; 0 for the connection itself.
    pub id: u64,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Request,
            4 => Self::Reply,
            5 => Self::Error,
            6 => Self::Push,
            7 => Self::Cancel,
            8 => Self::Credit,
            9 => Self::Ping,
            10 => Self::Pong,
            11 => Self::Goodbye,
            _ => return None,
        })
    }
}

impl Header {
    /// Returns the header of a frame without a body.
    pub fn bare(kind: Kind, id: u64) -> Self {
        Self { body_bytes: 0, kind, durability: 0, deadline_ms: 0, id }
    }

    /// Returns the bytes on the wire.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let [l0, l1, l2, l3] = self.body_bytes.to_le_bytes();
        let [d0, d1, d2, d3] = self.deadline_ms.to_le_bytes();
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.id.to_le_bytes();
        [
            l0,
            l1,
            l2,
            l3,
            self.kind as u8,
            CODEC_BINCODE,
            self.durability,
            0, //
            d0,
            d1,
            d2,
            d3,
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
        ]
    }

    /// Decodes a header.
    ///
    /// # Errors
    /// An unknown kind or codec, or a reserved byte that is not 0: the stream has lost its
    /// framing, or the peer is newer; the connection cannot continue.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, CodecError> {
        let [
            l0,
            l1,
            l2,
            l3,
            kind,
            codec,
            durability,
            reserved, //
            d0,
            d1,
            d2,
            d3,
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
        ] = *bytes;
        let kind = Kind::from_u8(kind).ok_or(CodecError::UnknownKind(kind))?;
        let durable = matches!(kind, Kind::Request | Kind::Reply);
        if codec != CODEC_BINCODE || reserved != 0 || (durability != 0 && !durable) {
            return Err(CodecError::UnknownCodec(codec));
        }
        Ok(Self {
            body_bytes: u32::from_le_bytes([l0, l1, l2, l3]),
            kind,
            durability,
            deadline_ms: u32::from_le_bytes([d0, d1, d2, d3]),
            id: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
        })
    }
}

/// Splits the first whole frame off `bytes`: header, body, and what follows. `None` while it is
/// incomplete.
///
/// # Errors
/// A bad header, or a body longer than `body_bytes_max` (reported as soon as the header is
/// complete, so that no more is read than is allowed): the connection cannot continue.
#[expect(clippy::type_complexity, reason = "a frame and its rest")]
pub fn split(
    bytes: &[u8],
    body_bytes_max: usize,
) -> Result<Option<(Header, &[u8], &[u8])>, CodecError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let header = Header::decode(header)?;
    let body_bytes = header.body_bytes as usize;
    if body_bytes > body_bytes_max {
        return Err(CodecError::TooLarge { bytes: body_bytes, max: body_bytes_max });
    }
    Ok(rest.split_at_checked(body_bytes).map(|(body, rest)| (header, body, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 11] = [
        Kind::Hello,
        Kind::Welcome,
        Kind::Request,
        Kind::Reply,
        Kind::Error,
        Kind::Push,
        Kind::Cancel,
        Kind::Credit,
        Kind::Ping,
        Kind::Pong,
        Kind::Goodbye,
    ];

    #[test]
    fn r1_headers_are_as_documented() {
        for (kind, number) in KINDS.into_iter().zip(1..) {
            let durability = if matches!(kind, Kind::Request | Kind::Reply) { 2 } else { 0 };
            let header = Header {
                body_bytes: 0x0102_0304,
                kind,
                durability,
                deadline_ms: 0x0506_0708,
                id: 0x090a << 48,
            };
            let bytes =
                [4, 3, 2, 1, number, 1, durability, 0, 8, 7, 6, 5, 0, 0, 0, 0, 0, 0, 0x0a, 0x09];
            assert_eq!(header.encode(), bytes);
            assert_eq!(Header::decode(&bytes), Ok(header));
        }
    }

    #[test]
    fn r4_headers_of_other_protocols_are_refused() {
        let good = Header::bare(Kind::Ping, 1).encode();
        for (at, byte) in [(4, 0), (4, 12), (4, 255), (5, 0), (5, 2), (6, 1), (7, 1)] {
            let mut bad = good;
            bad[at] = byte;
            assert!(Header::decode(&bad).is_err(), "byte {at} is {byte}");
        }
    }

    #[test]
    fn r4_a_frame_is_split_off_when_it_is_whole() {
        let mut bytes = Header { body_bytes: 3, ..Header::bare(Kind::Push, 5) }.encode().to_vec();
        bytes.extend_from_slice(b"abcrest");
        for length in 0..23 {
            assert_eq!(split(&bytes[..length], 3), Ok(None));
        }
        for length in 23..bytes.len() {
            let (header, body, rest) = split(&bytes[..length], 3).unwrap().unwrap();
            assert_eq!((header.kind, header.id, body), (Kind::Push, 5, &b"abc"[..]));
            assert_eq!(rest, &bytes[23..length]);
        }
        let refusal = Err(CodecError::TooLarge { bytes: 3, max: 2 });
        assert_eq!(split(&bytes[..20], 2), refusal, "said at the header");
    }
}
