//! Segments of a journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::{put, u32_at};
use crate::config::{Config, Durability, JournalConfig};
use crate::journal::{self, Disk, FaultyDisk, JournalError};

pub(super) const DIR: &str = "/journal";
const SECTOR: usize = 512;
pub(super) const COMMIT_HEAD: usize = 64;
const SEGMENT_BYTES: usize = 8 * SECTOR;
const SEGMENTS_MAX: u64 = 4;
/// The flag of a commit whose records are masked.
const MASKED: u8 = 4;
/// The bits of a record's length field that hold the length.
const LENGTH: usize = (1 << 30) - 1;
/// Replaces the salt of the input; the same in the headers of all segments.
const SALT: u64 = 0x5a17;
const STORE_ID: u64 = 7;

/// Reads `data` as a journal: the first byte determines which checksums are corrected before (1: of the
/// segments' headers, 2: of commits, 4: of their records) and whether they are of the older version
/// (8); the segments follow. A refused journal must be unchanged; one that is opened must have the same
/// content when it is opened again.
pub fn journal_segments(data: &[u8]) {
    if let Some((choice, data)) = data.split_first() {
        check_journal(&lay_out(*choice, data));
    }
}

pub(super) fn lay_out(choice: u8, data: &[u8]) -> FaultyDisk {
    let disk = FaultyDisk::new();
    for (number, part) in (1..=SEGMENTS_MAX).zip(data.chunks(SEGMENT_BYTES)) {
        let mut segment = part.to_vec();
        segment.resize(SEGMENT_BYTES, 0);
        if choice & 1 > 0 {
            let version = if choice & 8 > 0 { 1 } else { 2 };
            repair_head(&mut segment, number, version);
        }
        if choice & 2 > 0 {
            repair_commits(&mut segment, choice & 4 > 0);
        }
        assert!(write(&disk, &path(number), &segment).is_ok());
    }
    disk
}

fn path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:016x}.log"))
}

pub(super) fn write(disk: &FaultyDisk, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = disk.create(path)?;
    file.write_all_at(0, bytes)?;
    file.sync_data()?;
    disk.sync_dir(Path::new(DIR))
}

/// Returns every segment with its current content.
pub(super) fn segments(disk: &FaultyDisk) -> Vec<(String, Vec<u8>)> {
    let mut names = disk.list(Path::new(DIR)).unwrap_or_default();
    names.retain(|name| name.ends_with(".log"));
    let read = |name: String| {
        let file = disk.open(&Path::new(DIR).join(&name)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_at(0, &mut bytes).ok()?;
        Some((name, bytes))
    };
    names.into_iter().filter_map(read).collect()
}

pub(super) fn check_journal(disk: &FaultyDisk) {
    let before = segments(disk);
    let verified = journal::verify(disk, Path::new(DIR), &mut |_, _| Ok(()));
    assert_eq!(segments(disk), before, "verifying changes nothing");
    match read_journal(disk) {
        Err(error) => {
            assert_eq!(segments(disk), before, "what is refused is as it was: {error}");
            assert!(verified.is_err(), "verified, but: {error}");
        }
        Ok((records, _)) => {
            assert!(verified.is_ok(), "opened, but: {:?}", verified.err());
            assert_eq!(read_journal(disk), Ok((records, 0)), "opened again");
        }
    }
}

pub(super) fn small_segments() -> JournalConfig {
    JournalConfig {
        durability: Durability::Fsync,
        segment_bytes: SEGMENT_BYTES as u64,
        ..Config::new().journal
    }
}

/// Returns the records, and the number of bytes of a torn tail that were cut off.
pub(super) fn read_journal(disk: &FaultyDisk) -> Result<(Vec<Vec<u8>>, u64), JournalError> {
    let config = small_segments();
    let mut records = Vec::new();
    let replay = &mut |_, payload: &[u8]| {
        records.push(payload.to_vec());
        Ok(())
    };
    let disk = Arc::new(disk.clone());
    let opened = {
        let (runner, dir) = (journal::JournalRunner::Threads, Path::new(DIR));
        journal::open_by(runner, disk, dir, &config, 1, Arc::new(|_| {}), replay)?
    };
    opened.journal.close()?;
    Ok((records, opened.cut_bytes))
}

/// Corrects the header of a segment, as specified in `docs/journal.md`.
fn repair_head(segment: &mut [u8], number: u64, version: u64) {
    let size = segment.len() as u64;
    put(segment, 0, b"WAKEFUL\0LOG\0\0\0\0\0");
    put(segment, 16, &version.to_le_bytes());
    put(segment, 24, &STORE_ID.to_le_bytes());
    put(segment, 32, &number.to_le_bytes());
    put(segment, 40, &size.to_le_bytes());
    put(segment, 48, &SALT.to_le_bytes());
    put(segment, 56, &[0; 4]);
    put(segment, 64, &[0; SECTOR - 64]);
    let checksum = crc32c::crc32c(segment.get(..60).unwrap_or_default());
    put(segment, 60, &checksum.to_le_bytes());
}

/// Corrects the checksums of consecutive commits and, if requested, of their records.
fn repair_commits(segment: &mut [u8], records: bool) {
    let mut at = SECTOR;
    while let Some(head) = segment.get(at..at + COMMIT_HEAD)
        && head.iter().any(|byte| *byte != 0)
    {
        let bytes = u32_at(segment, at + 24);
        let end = (at + COMMIT_HEAD).saturating_add(bytes);
        if records {
            repair_records(segment, at + COMMIT_HEAD, end);
        }
        put(segment, at, b"WKCM");
        put(segment, at + 40, &[0; 24]);
        // Corrected records are not masked.
        let flags = u32_at(segment, at + 36) as u8 & !MASKED;
        put(segment, at + 36, &[flags]);
        let head = segment.get(at + 8..at + COMMIT_HEAD).unwrap_or_default();
        // The salt is that of the header, corrected or not.
        let salt = segment.get(48..56).unwrap_or_default();
        let seed = [salt, &(at as u64).to_le_bytes()].concat();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&seed), head);
        put(segment, at + 4, &checksum.to_le_bytes());
        at = end.next_multiple_of(COMMIT_HEAD);
    }
}

fn repair_records(segment: &mut [u8], mut at: usize, end: usize) {
    while at + 8 <= end.min(segment.len()) {
        let payload_end = (at + 8).saturating_add(u32_at(segment, at) & LENGTH);
        let Some(payload) = segment.get(at + 8..payload_end) else { return };
        let length = segment.get(at..at + 4).unwrap_or_default();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(length), payload);
        put(segment, at + 4, &checksum.to_le_bytes());
        at = payload_end;
    }
}
