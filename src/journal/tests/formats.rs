//! Files of earlier versions can be read and are continued in the current format.

use super::*;
use crate::journal::format::{SEGMENT_HEAD, SegmentHead, VERSION};

/// The number of records after the snapshot in the journal of version 1, and the number of the last
/// one.
const BEHIND: usize = 7;
const LAST: RecordSeq = 20;

/// Returns a disk with a journal that version 1 wrote, whose process was killed.
fn version_1() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durable/v1");
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        disk.put(&Path::new(DIR).join(path.file_name().unwrap()), bytes);
        files += 1;
    }
    assert_eq!(files, 5);
    disk
}

type Records = Vec<Vec<u8>>;

/// Returns the records after the snapshot, the number of the last one, and the journal.
fn open_old(
    disk: &FaultyDisk,
    reports: &Reports,
) -> Result<(Records, Box<dyn Journal>), JournalError> {
    let mut records = Vec::new();
    let mut replay = |seq, payload: &[u8]| {
        if seq > LAST - BEHIND as RecordSeq {
            records.push(payload.to_vec());
        }
        Ok(())
    };
    let (to, config) = (Arc::new(disk.clone()), config(Durability::Fsync, 4096));
    let opened = open(to, Path::new(DIR), &config, 77, reports.sink(), &mut replay)?;
    assert_eq!((opened.store_id, opened.cut_bytes), (0xd506_9f0b_5500_8b58, 0));
    Ok((records, opened.journal))
}

fn versions(disk: &FaultyDisk) -> Vec<u32> {
    let logs = segments(disk).into_iter().filter(|(path, _)| path.extension().unwrap() == "log");
    logs.map(|(_, bytes)| SegmentHead::decode(&bytes[..SEGMENT_HEAD]).unwrap().version).collect()
}

#[test]
fn d3_a_journal_of_version_1_goes_on_in_this_version() {
    let disk = version_1();
    assert_eq!(versions(&disk), [1, 1, 1, 1]);
    let before = disk.contents();
    assert_eq!(verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap().records, LAST);
    assert_eq!(disk.contents(), before);
    let reports = Reports::default();
    let (old, mut journal) = open_old(&disk, &reports).unwrap();
    assert_eq!(old.len(), BEHIND);
    // Segments before the end are unchanged; what is written from now on may be of the current version.
    assert_eq!(versions(&disk), [1, VERSION, VERSION, VERSION]);
    append(&mut *journal, 1, 30);
    journal.close().unwrap();
    let (records, journal) = open_old(&disk, &reports).unwrap();
    assert_eq!(records, [old, payloads(30)].concat());
    journal.close().unwrap();
}

#[test]
fn d2_a_crash_at_any_change_while_a_journal_of_version_1_is_taken_over_loses_nothing() {
    let reports = Reports::default();
    let (old, journal) = open_old(&version_1(), &reports).unwrap();
    drop(journal);
    for changes in 0.. {
        let disk = version_1();
        disk.end_after(Some(changes));
        let opened = open_old(&disk, &reports).is_ok();
        let done = opened && !disk.has_ended();
        for seed in 0..6 {
            let left = if seed == 0 { disk.kill() } else { disk.cut_power(seed) };
            let (records, _) = open_old(&left, &reports).unwrap();
            assert_eq!(records, old, "{changes}, {seed}");
        }
        if done {
            break;
        }
    }
}

#[test]
fn d6_damage_of_a_journal_of_version_1_is_found() {
    let disk = version_1();
    let reports = Reports::default();
    let (old, journal) = open_old(&disk.kill(), &reports).unwrap();
    drop(journal);
    for (path, bytes) in segments(&disk) {
        for at in (0..bytes.len()).filter(|at| bytes[*at] != 0).step_by(7) {
            let copy = disk.kill();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            copy.put(&path, flipped);
            let before = copy.contents();
            match open_old(&copy, &reports) {
                // Files that a snapshot replaced are not read.
                Ok((records, _)) => assert_eq!(records, old, "{path:?} {at}"),
                Err(error) => {
                    assert!(is_damage(&error), "{error}");
                    assert_eq!(copy.contents().len(), before.len() + 1, "but for the lock");
                }
            }
        }
    }
}
