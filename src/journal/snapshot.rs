//! A file of a snapshot: the state after a certain record, as records of its own. `docs/journal.md`
//! specifies every byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::JournalOperation;
use super::format::{
    BadHead, CommitRecord, FRAME_BYTES, GroupPosition, Records, SnapshotHead, Trailer, frame_len,
};
use super::segment::TEMPORARY;
use super::{JournalError, RecordSeq};

const SUFFIX: &str = ".snap";

/// The size of a read; a longer record gets a buffer of its own.
const CHUNK: usize = 1024 * 1024;

/// Bytes written between two syncs. A sync of more would delay those of the log for longer.
const SYNC_EVERY: u64 = 256 * 1024;

/// A limit that no journal reaches: every record and segment has a lower number.
const NUMBER_MAX: u64 = 1 << 62;

/// Returns the name of the snapshot of every record up to `seq`.
pub(super) fn name(seq: RecordSeq) -> String {
    format!("{seq:016x}{SUFFIX}")
}

/// Returns the path of that snapshot.
pub(super) fn path(dir: &Path, seq: RecordSeq) -> PathBuf {
    dir.join(name(seq))
}

/// Returns the record in a name: `None` for other files, `Some(None)` for a name that no snapshot has.
pub(super) fn seq_in(file: &str) -> Option<Option<RecordSeq>> {
    let digits = file.strip_suffix(SUFFIX)?;
    let seq = RecordSeq::from_str_radix(digits, 16).ok();
    Some(seq.filter(|seq| name(*seq) == file))
}

/// A snapshot that is being written, under a temporary name.
pub(super) struct UnfinishedSnapshot {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    pub(super) seq: RecordSeq,
    at: u64,
    synced: u64,
    trailer: Trailer,
    kept: bool,
}

impl UnfinishedSnapshot {
    pub(super) fn begin(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        head: SnapshotHead,
    ) -> Result<Self, JournalError> {
        let seq = head.seq;
        let temporary = dir.join(format!("{}{TEMPORARY}", name(seq)));
        let head = head.encode();
        let made = disk.create(&temporary).and_then(|file| {
            file.write_all_at(0, &head)?;
            Ok(file)
        });
        let file = made.map_err(|error| {
            // Best effort: the next start removes it too.
            let _ = disk.remove(&temporary);
            JournalError::io(JournalOperation::Make, &temporary, &error)
        })?;
        Ok(Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            temporary,
            file,
            seq,
            at: head.len() as u64,
            synced: 0,
            trailer: Trailer::default(),
            kept: false,
        })
    }

    /// Appends framed records.
    pub(super) fn append(&mut self, framed: &[u8], records: u64) -> Result<(), JournalError> {
        self.trailer.add(framed, records);
        self.write(framed)?;
        if self.at - self.synced >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Completes the snapshot: the log continues in `segment`, which begins with the record `first`.
    /// Returns its size.
    pub(super) fn finish(mut self, segment: u64, first: RecordSeq) -> Result<u64, JournalError> {
        (self.trailer.segment, self.trailer.first) = (segment, first);
        let trailer = self.trailer.encode();
        self.write(&trailer)?;
        self.sync()?;
        let path = path(&self.dir, self.seq);
        let renamed = self.disk.rename(&self.temporary, &path);
        renamed.map_err(|error| JournalError::io(JournalOperation::Make, &path, &error))?;
        self.kept = true;
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|error| JournalError::io(JournalOperation::Sync, &self.dir, &error))?;
        Ok(self.at)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let written = self.file.write_all_at(self.at, bytes);
        written
            .map_err(|error| JournalError::io(JournalOperation::Write, &self.temporary, &error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let synced = self.file.sync_data();
        synced
            .map_err(|error| JournalError::io(JournalOperation::Sync, &self.temporary, &error))?;
        self.synced = self.at;
        Ok(())
    }
}

impl Drop for UnfinishedSnapshot {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: the next start removes it too.
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

/// The properties stored in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapshotFacts {
    pub(super) store_id: u64,
    /// The id of the store when the snapshot was written.
    pub(super) incarnation: u64,
    /// The last record in the snapshot.
    pub(super) seq: RecordSeq,
    /// The segment in which the log continues.
    pub(super) segment: u64,
    /// The first record there.
    pub(super) first: RecordSeq,
    /// The number of the snapshot's own records.
    pub(super) records: u64,
    /// The size of the file.
    pub(super) bytes: u64,
}

/// A snapshot that is read, always completely, because only its end shows whether it is complete.
pub(super) struct SnapshotReader {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    head: SnapshotHead,
    trailer: Trailer,
    len: u64,
}

impl SnapshotReader {
    /// Opens the file at `path`, whatever its name, and reads its header and trailer.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, JournalError> {
        let failed = |action| move |error| JournalError::io(action, path, &error);
        let file = disk.open(path).map_err(failed(JournalOperation::Open))?;
        let len = file.len().map_err(failed(JournalOperation::Read))?;
        let (mut head, mut trailer) = (vec![0; SnapshotHead::BYTES], vec![0; Trailer::BYTES]);
        if len < (head.len() + trailer.len()) as u64 {
            return Err(JournalError::damaged(path, len, "the file is cut short"));
        }
        file.read_at(0, &mut head).map_err(failed(JournalOperation::Read))?;
        let head = SnapshotHead::decode(&head).map_err(|bad| match bad {
            BadHead::Foreign => JournalError::format(path, "it is not a Wakeful snapshot"),
            BadHead::Version(version) => JournalError::version(path, version),
            BadHead::Damaged(offset, what) => JournalError::damaged(path, offset, what),
        })?;
        let end = len - trailer.len() as u64;
        file.read_at(end, &mut trailer).map_err(failed(JournalOperation::Read))?;
        let trailer = Trailer::decode(&trailer).ok_or_else(|| {
            JournalError::damaged(path, end, "the file does not end like a complete snapshot")
        })?;
        if trailer.bytes != end - SnapshotHead::BYTES as u64 {
            let what = format!("it should have {} bytes of records", trailer.bytes);
            return Err(JournalError::damaged(path, end, what));
        }
        let Trailer { segment, first, .. } = trailer;
        let numbers = head.seq < NUMBER_MAX && (1..NUMBER_MAX).contains(&segment);
        if !numbers || first == 0 || first > head.seq + 1 {
            return Err(JournalError::damaged(
                path,
                end,
                "the log cannot continue where the snapshot states",
            ));
        }
        Ok(Self { path: path.to_owned(), file, head, trailer, len })
    }

    pub(super) fn facts(&self) -> SnapshotFacts {
        SnapshotFacts {
            store_id: self.head.store_id,
            incarnation: match self.head.incarnation {
                0 => self.head.store_id,
                incarnation => incarnation,
            },
            seq: self.head.seq,
            segment: self.trailer.segment,
            first: self.trailer.first,
            records: self.trailer.records,
            bytes: self.len,
        }
    }

    /// Reads and checks everything; calls `see` with every run of complete framed records and its
    /// position.
    pub(super) fn read(
        &self,
        mut see: impl FnMut(u64, &[u8], u64) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let end = self.len - Trailer::BYTES as u64;
        let mut at = SnapshotHead::BYTES as u64;
        let mut buffer = Vec::new();
        let Trailer { segment, first, .. } = self.trailer;
        let mut found = Trailer { segment, first, ..Trailer::default() };
        let mut want = CHUNK as u64;
        while at < end {
            buffer.resize(want.min(end - at) as usize, 0);
            let read = self.file.read_at(at, &mut buffer);
            read.map_err(|error| JournalError::io(JournalOperation::Read, &self.path, &error))?;
            let (bytes, records) = whole_records(&buffer);
            if records == 0 {
                let needed = frame_len(&buffer);
                if needed <= buffer.len() as u64 || needed > end - at {
                    return Err(self.damaged(at, "this is not a record"));
                }
                want = needed;
                continue;
            }
            want = CHUNK as u64;
            let framed = buffer.get(..bytes).unwrap_or_default();
            found.add(framed, records);
            see(at, framed, records)?;
            at += bytes as u64;
        }
        if found != self.trailer {
            return Err(self.damaged(end, "the records are not those that were written"));
        }
        Ok(())
    }

    /// Reads and checks everything; passes every record to `replay`.
    pub(super) fn replay(&self, replay: super::Replay) -> Result<(), JournalError> {
        self.read(|at, framed, _| {
            for record in Records::of(framed).flatten() {
                replay(self.head.seq, record.payload)
                    .map_err(|what| self.damaged(at + record.at as u64, what))?;
            }
            Ok(())
        })
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> JournalError {
        JournalError::damaged(&self.path, offset, what)
    }
}

/// Returns how many bytes at the start of `bytes` are complete and valid records, and their number.
fn whole_records(bytes: &[u8]) -> (usize, u64) {
    let (mut end, mut records) = (0, 0);
    // A snapshot is complete or absent as a whole, so it has no groups.
    let alone = |record: &CommitRecord| record.place == GroupPosition::ALONE;
    for record in Records::of(bytes).map_while(Result::ok).take_while(alone) {
        end = record.at + FRAME_BYTES + record.payload.len();
        records += 1;
    }
    (end, records)
}
