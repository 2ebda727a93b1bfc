//! The file of a snapshot.

use std::path::Path;

use super::bytes::{put, u32_at};
use super::segments::{COMMIT_HEAD, DIR, read_journal, small_segments, write};
use super::store::store_records;
use crate::journal::{self, FaultyDisk};

/// Reads `data` as the file of a snapshot: the first byte determines what is corrected before (1:
/// header and trailer, 2: the checksums of the records). A complete snapshot must be restored to the
/// same content; an incomplete one must be refused.
pub fn journal_snapshot(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let mut file = data.to_vec();
    if choice & 1 > 0 {
        repair_snapshot(&mut file, choice & 2 > 0);
    }
    let disk = FaultyDisk::new();
    let from = Path::new("/backup");
    assert!(write(&disk, from, &file).is_ok());
    let mut records = Vec::new();
    let checked = journal::check_snapshot(&disk, from, &mut |_, payload: &[u8]| {
        records.push(payload.to_vec());
        Ok(())
    });
    let (config, dir) = (small_segments(), Path::new(DIR));
    let restored = journal::restore(&disk, from, dir, &config, 1, &mut |_, _| Ok(()));
    assert_eq!(checked, restored);
    if checked.is_ok() {
        assert_eq!(read_journal(&disk), Ok((records.clone(), 0)), "restored");
        let frame = |record: &Vec<u8>| {
            let length = u16::try_from(record.len()).ok()?;
            Some([&length.to_le_bytes(), &record[..]].concat())
        };
        store_records(&records.iter().map_while(frame).flatten().collect::<Vec<u8>>());
    }
}

/// Corrects the header and trailer of a snapshot, as specified in `docs/journal.md`, and what they
/// state about its records.
fn repair_snapshot(file: &mut [u8], frames: bool) {
    let Some(end) = file.len().checked_sub(COMMIT_HEAD).filter(|end| *end >= COMMIT_HEAD) else {
        return;
    };
    let (mut at, mut records) = (COMMIT_HEAD, 0_u64);
    while at + 8 <= end {
        let next = at + 8 + u32_at(file, at);
        if next > end {
            break;
        }
        if frames {
            let crc = crc32c::crc32c(file.get(at..at + 4).unwrap_or_default());
            let payload = file.get(at + 8..next).unwrap_or_default();
            let crc = crc32c::crc32c_append(crc, payload);
            put(file, at + 4, &crc.to_le_bytes());
        }
        (at, records) = (next, records + 1);
    }
    put(file, 0, b"WAKEFUL\0SNAP\0\0\0\0");
    put(file, 16, &1_u64.to_le_bytes());
    let checksum = crc32c::crc32c(file.get(..60).unwrap_or_default());
    put(file, 60, &checksum.to_le_bytes());
    let body = crc32c::crc32c(file.get(COMMIT_HEAD..end).unwrap_or_default());
    put(file, end, b"WKSE");
    put(file, end + 4, &body.to_le_bytes());
    put(file, end + 24, &records.to_le_bytes());
    put(file, end + 32, &((end - COMMIT_HEAD) as u64).to_le_bytes());
    let checksum = crc32c::crc32c(file.get(end..end + 60).unwrap_or_default());
    put(file, end + 60, &checksum.to_le_bytes());
}
