//! The byte format: segment headers, commit headers, frames of records. `docs/journal.md` specifies it
//! in tables.

use super::RecordSeq;

/// The unit that a disk writes whole or not at all.
pub(super) const SECTOR: u64 = 512;
/// The alignment of commits. A header of this size never straddles two sectors.
pub(super) const ALIGN: u64 = 64;
/// Bytes of a commit's header.
pub(super) const COMMIT_HEAD: usize = 64;
/// Bytes that records leave free at the end of a segment: for a commit without records, which states
/// that there is a next segment (if no earlier one could) or that the log was closed.
pub(super) const SEAL: usize = COMMIT_HEAD;
/// Bytes before a record's payload.
pub(super) const FRAME_BYTES: usize = 8;
/// Bytes of a segment's header, padding included; commits start here.
pub(super) const SEGMENT_HEAD: usize = 512;
/// The version that is written. Everything in an older version is also valid in this one.
pub(super) const VERSION: u32 = 2;
/// The oldest version that can be read.
const VERSION_OLDEST: u32 = 1;
/// The most bytes of records in one commit: far less than a 32-bit length allows.
pub(super) const COMMIT_BYTES_MAX: u64 = 1 << 30;

/// The log ends here because it was closed.
pub(super) const FLAG_CLOSED: u32 = 1;
/// The segment had no successor when this commit was written.
pub(super) const FLAG_NO_SUCCESSOR: u32 = 2;

/// The records and padding are masked; see [`mask`].
pub(super) const FLAG_MASKED: u32 = 4;

/// Records of this commit and later ones may be visible before they are on the disk.
pub(super) const FLAG_UNSYNCED_SHOWN: u32 = 8;

/// A piece of a commit with fewer non-zero bytes than this is masked: a few flipped bits could
/// otherwise make it look as if it had never been written.
const SPARSE: usize = 8;

/// The bits of a record's length field that hold the length.
const LENGTH: u32 = FOLLOWS - 1;
/// Flag in a record's length field: not the first record of its group.
const FOLLOWS: u32 = 1 << 30;
/// Flag in a record's length field: not the last record of its group.
const MORE: u32 = 1 << 31;

const MAGIC: &[u8; 16] = b"WAKEFUL\0LOG\0\0\0\0\0";
const MARKER: &[u8; 4] = b"WKCM";
const SNAPSHOT_MAGIC: &[u8; 16] = b"WAKEFUL\0SNAP\0\0\0\0";
const END: &[u8; 4] = b"WKSE";

/// Returns `bytes` rounded up to a multiple of [`ALIGN`].
pub(super) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN)
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) version: u32,
    pub(super) store_id: u64,
    pub(super) number: u64,
    pub(super) size: u64,
    pub(super) salt: u64,
}

/// The reason why a segment's header is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHead {
    Foreign,
    Version(u32),
    Damaged(u64, &'static str),
}

impl SegmentHead {
    /// Encodes the whole first sector.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEAD);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        for field in [self.store_id, self.number, self.size, self.salt] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&0u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(SEGMENT_HEAD, 0);
        bytes
    }

    /// Decodes the first sector.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHead> {
        if bytes.get(..16) != Some(MAGIC) {
            return Err(BadHead::Foreign);
        }
        let version = version_at(bytes)?;
        if crc32c::crc32c(bytes.get(..60).unwrap_or_default()) != u32_at(bytes, 60) {
            return Err(BadHead::Damaged(60, "the checksum of the segment's header is wrong"));
        }
        if let Some(at) = bytes.iter().skip(64).position(|byte| *byte != 0) {
            let what = "there is data after the segment's header";
            return Err(BadHead::Damaged(64 + at as u64, what));
        }
        let size = u64_at(bytes, 40);
        if !size.is_multiple_of(SECTOR) {
            return Err(BadHead::Damaged(40, "the size is not a multiple of 512"));
        }
        Ok(Self {
            version,
            store_id: u64_at(bytes, 24),
            number: u64_at(bytes, 32),
            size,
            salt: u64_at(bytes, 48),
        })
    }
}

/// Returns the version in the header of a segment or a snapshot.
fn version_at(bytes: &[u8]) -> Result<u32, BadHead> {
    let version = u32_at(bytes, 16);
    let known = (VERSION_OLDEST..=VERSION).contains(&version);
    known.then_some(version).ok_or(BadHead::Version(version))
}

/// A commit's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommitHead {
    /// The number of the first record; without records, of the next one.
    pub(super) first: RecordSeq,
    /// The last record known to be on the disk when the commit was written.
    pub(super) synced_through: RecordSeq,
    /// Bytes of framed records.
    pub(super) bytes: u32,
    /// The number of records.
    pub(super) records: u32,
    /// The number of sector-sized pieces of the commit that are zero by content; see [`zero_pieces`].
    pub(super) zero_sectors: u32,
    pub(super) flags: u32,
    /// The id of the store from here on; 0 if it does not change.
    pub(super) incarnation: u64,
}

/// The content of a place where a commit's header may be.
pub(super) enum CommitSlot {
    Zero,
    Commit(CommitHead),
    Bad,
}

impl CommitHead {
    /// Encodes the header for `offset` of a segment with `salt`. Both are part of the checksum, so that
    /// no payload and no misplaced sector looks like a commit.
    pub(super) fn encode(&self, salt: u64, offset: u64) -> [u8; COMMIT_HEAD] {
        let mut rest = Vec::with_capacity(COMMIT_HEAD);
        rest.extend_from_slice(&self.first.to_le_bytes());
        rest.extend_from_slice(&self.synced_through.to_le_bytes());
        for field in [self.bytes, self.records, self.zero_sectors, self.flags] {
            rest.extend_from_slice(&field.to_le_bytes());
        }
        rest.extend_from_slice(&self.incarnation.to_le_bytes());
        rest.resize(COMMIT_HEAD - 8, 0);
        let mut head = [0; COMMIT_HEAD];
        let crc = head_crc(&rest, salt, offset).to_le_bytes();
        let bytes = MARKER.iter().chain(&crc).chain(&rest);
        head.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        head
    }

    /// Decodes the slot at `offset`.
    pub(super) fn decode(bytes: &[u8], salt: u64, offset: u64) -> CommitSlot {
        let Some(bytes) = bytes.get(..COMMIT_HEAD) else { return CommitSlot::Bad };
        // A shortcut for the search through every place where a header may be.
        if bytes.get(..4) != Some(MARKER) {
            return if is_zero(bytes) { CommitSlot::Zero } else { CommitSlot::Bad };
        }
        let rest = bytes.get(8..).unwrap_or_default();
        if head_crc(rest, salt, offset) != u32_at(bytes, 4) {
            return CommitSlot::Bad;
        }
        CommitSlot::Commit(Self {
            first: u64_at(bytes, 8),
            synced_through: u64_at(bytes, 16),
            bytes: u32_at(bytes, 24),
            records: u32_at(bytes, 28),
            zero_sectors: u32_at(bytes, 32),
            flags: u32_at(bytes, 36),
            incarnation: u64_at(bytes, 40),
        })
    }

    /// Returns the number of the last record; without records, of the one before.
    pub(super) fn last(&self) -> RecordSeq {
        self.first.saturating_add(u64::from(self.records)).saturating_sub(1)
    }

    /// Returns the bytes in the segment, header and padding included.
    pub(super) fn span(&self) -> u64 {
        COMMIT_HEAD as u64 + padded(u64::from(self.bytes))
    }
}

fn head_crc(rest: &[u8], salt: u64, offset: u64) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &offset.to_le_bytes()), rest)
}

/// The header of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotHead {
    pub(super) store_id: u64,
    /// The last record in the snapshot.
    pub(super) seq: RecordSeq,
    /// The id of the store when the snapshot was written; 0 for `store_id`.
    pub(super) incarnation: u64,
}

impl SnapshotHead {
    pub(super) const BYTES: usize = 64;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(SNAPSHOT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&self.store_id.to_le_bytes());
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes.resize(Self::BYTES - 4, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHead> {
        if bytes.get(..16) != Some(SNAPSHOT_MAGIC) {
            return Err(BadHead::Foreign);
        }
        version_at(bytes)?;
        if crc32c::crc32c(bytes.get(..60).unwrap_or_default()) != u32_at(bytes, 60) {
            return Err(BadHead::Damaged(60, "the checksum of the header is wrong"));
        }
        let (store_id, seq) = (u64_at(bytes, 24), u64_at(bytes, 32));
        Ok(Self { store_id, seq, incarnation: u64_at(bytes, 40) })
    }
}

/// The end of a snapshot, which describes its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trailer {
    /// The segment with the first record after the snapshot, or where it will be written.
    pub(super) segment: u64,
    /// The first record in that segment.
    pub(super) first: RecordSeq,
    pub(super) records: u64,
    /// Bytes of the records, framing included.
    pub(super) bytes: u64,
    /// The checksum of all records, in order.
    pub(super) crc: u32,
}

impl Trailer {
    pub(super) const BYTES: usize = 64;

    /// Adds framed records.
    pub(super) fn add(&mut self, framed: &[u8], records: u64) {
        self.records += records;
        self.bytes += framed.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, framed);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(END);
        bytes.extend_from_slice(&self.crc.to_le_bytes());
        for field in [self.segment, self.first, self.records, self.bytes] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.resize(Self::BYTES - 4, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let crc = crc32c::crc32c(bytes.get(..60)?);
        if bytes.get(..4) != Some(END) || crc != u32_at(bytes, 60) {
            return None;
        }
        Some(Self {
            segment: u64_at(bytes, 8),
            first: u64_at(bytes, 16),
            records: u64_at(bytes, 24),
            bytes: u64_at(bytes, 32),
            crc: u32_at(bytes, 4),
        })
    }
}

/// Returns how many of the pieces into which sector boundaries cut `body` are all zero. `body` starts
/// right after a header that ends at `offset`; the piece in the header's own sector is not counted,
/// because it is there whenever the header is.
pub(super) fn zero_pieces(body: &[u8], offset: u64) -> u32 {
    let with_head = offset.next_multiple_of(SECTOR) - offset;
    let behind = body.get(with_head as usize..).unwrap_or_default();
    behind.chunks(SECTOR as usize).filter(|piece| is_zero(piece)).count() as u32
}

/// Returns whether one of the pieces that [`zero_pieces`] counts has so few non-zero bytes that damage
/// could make it look like a piece that was never written.
pub(super) fn is_sparse(body: &[u8], offset: u64) -> bool {
    let with_head = offset.next_multiple_of(SECTOR) - offset;
    let behind = body.get(with_head as usize..).unwrap_or_default();
    behind.chunks(SECTOR as usize).any(|piece| {
        let filled = piece.iter().filter(|byte| **byte != 0);
        filled.take(SPARSE).count() < SPARSE
    })
}

/// Masks or unmasks the bytes at `offset`, a multiple of 8, of a segment with `salt`: each word of 8
/// bytes is combined (exclusive or) with a word that SplitMix64 derives from the salt and the position.
pub(super) fn mask(bytes: &mut [u8], salt: u64, offset: u64) {
    for (word, at) in bytes.chunks_mut(8).zip((offset..).step_by(8)) {
        let mut mixed = salt.wrapping_add((at / 8 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        word.iter_mut().zip(mixed.to_le_bytes()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// The position of a record in its group; the records of a group are handed over together and read back
/// all or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupPosition {
    pub(super) first: bool,
    pub(super) last: bool,
}

impl GroupPosition {
    /// The position of a record that is a group of its own.
    pub(super) const ALONE: Self = Self { first: true, last: true };
}

/// Returns the length, position and checksum of a record.
pub(super) fn frame_head(payload: &[u8], place: GroupPosition) -> [u8; FRAME_BYTES] {
    // A longer record fits in no segment, and the writer refuses it.
    let mut len = u32::try_from(payload.len()).unwrap_or(LENGTH).min(LENGTH);
    len |= if place.first { 0 } else { FOLLOWS };
    len |= if place.last { 0 } else { MORE };
    let len = len.to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len), payload).to_le_bytes();
    let mut head = [0; FRAME_BYTES];
    head.iter_mut().zip(len.iter().chain(&crc)).for_each(|(to, from)| *to = *from);
    head
}

/// Returns the bytes of the record at the start of `framed`, its frame included.
pub(super) fn frame_len(framed: &[u8]) -> u64 {
    FRAME_BYTES as u64 + u64::from(u32_at(framed, 0) & LENGTH)
}

/// A record of a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitRecord<'a> {
    /// The position in the body.
    pub(super) at: usize,
    pub(super) payload: &'a [u8],
    pub(super) place: GroupPosition,
}

/// The records of a commit; ends at the position of the first bad one.
pub(super) struct Records<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(super) fn of(framed: &'a [u8]) -> Self {
        Self { rest: framed, at: 0 }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<CommitRecord<'a>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.at;
        let len = usize::try_from(frame_len(self.rest)).unwrap_or(usize::MAX);
        let field = u32_at(self.rest, 0);
        let place = GroupPosition { first: field & FOLLOWS == 0, last: field & MORE == 0 };
        let framed = self.rest.split_at_checked(len).and_then(|(framed, rest)| {
            let (head, payload) = framed.split_at_checked(FRAME_BYTES)?;
            (head == frame_head(payload, place)).then_some((payload, rest))
        });
        let Some((payload, rest)) = framed else {
            self.rest = &[];
            return Some(Err(at));
        };
        self.rest = rest;
        self.at += len;
        Some(Ok(CommitRecord { at, payload, place }))
    }
}

/// Checks a commit's body (records and padding); returns the position of the first invalid part.
pub(super) fn check_body(head: &CommitHead, body: &[u8]) -> Result<(), usize> {
    let bytes = head.bytes as usize;
    let (framed, padding) = body.split_at_checked(bytes).ok_or(0usize)?;
    let mut records = 0;
    for record in Records::of(framed) {
        record?;
        records += 1;
    }
    if records != head.records || !is_zero(padding) {
        return Err(bytes);
    }
    Ok(())
}

/// Returns whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..at + 4).and_then(|field| field.try_into().ok());
    field.map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + 8).and_then(|field| field.try_into().ok());
    field.map_or(0, u64::from_le_bytes)
}
