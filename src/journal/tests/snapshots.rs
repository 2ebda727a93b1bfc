//! Everything in a snapshot is there, or the journal is refused.

use super::*;

/// The last record in the snapshot of [`closed`], after which its log begins.
const SNAPSHOT: RecordSeq = 12;
const LAST: RecordSeq = 20;

/// Returns a cleanly closed journal with a snapshot, in the middle of a segment, and a log after it.
fn closed() -> (FaultyDisk, JournalConfig) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut open = open_on(&disk, &config).unwrap();
    write(&mut open, 1..=SNAPSHOT);
    take_snapshot(&mut open, SNAPSHOT);
    write(&mut open, SNAPSHOT + 1..=LAST);
    open.journal.close().unwrap();
    assert!(!names(&disk).contains(&segment(1)) && names(&disk).contains(&snapshot_of(SNAPSHOT)));
    (disk, config)
}

/// Appends records two by two, each pair durable before the next.
fn write(open: &mut Open, records: std::ops::RangeInclusive<RecordSeq>) {
    let end = *records.end();
    for seq in records.step_by(2) {
        let last = append(&mut *open.journal, seq, 2.min(end + 1 - seq));
        open.journal.sync();
        until("synced", || open.reports.synced() == last);
    }
}

fn names(disk: &FaultyDisk) -> Vec<PathBuf> {
    segments(disk).into_iter().map(|(path, _)| path).collect()
}

/// Checks that opening is refused without changing anything; returns the message.
fn refused(disk: &FaultyDisk, config: &JournalConfig) -> String {
    let before = disk.contents();
    let error = open_on(disk, config).err().expect("it opens");
    assert!(is_damage(&error), "{error}");
    assert_eq!(verify(disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap_err(), error);
    assert_eq!(disk.contents(), before);
    error.to_string()
}

#[test]
fn d6_every_flipped_byte_is_found_or_means_nothing() {
    let (disk, config) = closed();
    let (mut told, mut harmless) = (0, 0);
    for (path, bytes) in segments(&disk) {
        let of_snapshot = path == snapshot_of(SNAPSHOT);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            match open_changed(&disk, &config, &path, flipped) {
                Err(_) => told += 1,
                Ok((records, _)) => {
                    harmless += 1;
                    assert!(!of_snapshot && bytes[at] == 0, "{path:?} {at}");
                    assert_eq!(records, payloads(LAST), "{path:?} {at}");
                }
            }
        }
    }
    assert!(told > 5000 && harmless > 1000, "{told} {harmless}");
}

#[test]
fn d6_every_truncation_and_every_longer_file_is_found() {
    let (disk, config) = closed();
    for (path, bytes) in segments(&disk) {
        for len in 0..bytes.len() {
            open_changed(&disk, &config, &path, bytes[..len].to_vec()).unwrap_err();
        }
        let longer = [&bytes[..], &[0]].concat();
        open_changed(&disk, &config, &path, longer).unwrap_err();
    }
}

#[test]
fn d6_a_snapshot_or_segment_that_is_missing_is_missed() {
    let (disk, config) = closed();
    let files = segments(&disk);
    for (index, (path, bytes)) in files.iter().enumerate() {
        let copy = disk.kill();
        copy.remove(path).unwrap();
        // A last segment without commits may be missing.
        let spare = index + 1 == files.len() - 1 && bytes[512..].iter().all(|byte| *byte == 0);
        if !spare {
            assert!(refused(&copy, &config).contains("missing"), "{path:?}");
        }
    }
    // The remaining files are not taken for an empty store.
    for (path, _) in files.iter().filter(|(path, _)| *path != snapshot_of(SNAPSHOT)) {
        disk.remove(path).unwrap();
    }
    assert!(refused(&disk, &config).contains("missing"));
}

#[test]
fn d6_swapped_segments_and_misnamed_snapshots_are_found() {
    let (disk, config) = closed();
    let logs: Vec<_> =
        names(&disk).into_iter().filter(|it| it.extension().unwrap() == "log").collect();
    for pair in logs.windows(2) {
        let copy = disk.kill();
        copy.put(&pair[0], content(&disk, &pair[1]));
        copy.put(&pair[1], content(&disk, &pair[0]));
        refused(&copy, &config);
    }
    let bytes = content(&disk, &snapshot_of(SNAPSHOT));
    for other in [SNAPSHOT - 1, SNAPSHOT + 1, LAST, LAST + 1] {
        let copy = disk.kill();
        copy.remove(&snapshot_of(SNAPSHOT)).unwrap();
        copy.put(&snapshot_of(other), bytes.clone());
        assert!(refused(&copy, &config).contains("a wrong name"), "{other}");
    }
    for name in ["c.snap", "000000000000000C.snap", ".snap"] {
        let copy = disk.kill();
        copy.put(&Path::new(DIR).join(name), bytes.clone());
        assert!(refused(&copy, &config).contains("move the file away"), "{name}");
    }
}

#[test]
fn d6_a_snapshot_of_another_store_or_version_is_found() {
    let (disk, config) = closed();
    let bytes = content(&disk, &snapshot_of(SNAPSHOT));
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&crc);
        let copy = disk.kill();
        copy.put(&snapshot_of(SNAPSHOT), bytes);
        refused(&copy, &config)
    };
    assert!(with(24, 78).contains("another store"));
    assert!(with(16, 3).contains("newer"));
    assert!(with(16, 0).contains("older"));
    assert!(with(0, b'?').contains("not a Wakeful snapshot"));
    // The bytes of a segment do not pass for a snapshot either.
    let copy = disk.kill();
    assert_eq!(names(&disk)[0].extension().unwrap(), "log");
    copy.put(&snapshot_of(SNAPSHOT), content(&disk, &names(&disk)[0]));
    refused(&copy, &config);
}

#[test]
fn d6_a_log_that_ends_before_its_snapshot_is_found() {
    let (disk, config) = closed();
    let copy = disk.kill();
    let first = names(&disk).into_iter().find(|it| it.extension().unwrap() == "log").unwrap();
    for (path, bytes) in segments(&disk) {
        if path == first {
            copy.put(&path, [&bytes[..512], &vec![0; bytes.len() - 512][..]].concat());
        } else if path.extension().unwrap() == "log" {
            copy.remove(&path).unwrap();
        }
    }
    assert!(refused(&copy, &config).contains("includes 12 records"));
}

/// Returns a closed journal, and the files that its second and last snapshot replaced: a snapshot and
/// segments.
fn replaced() -> (FaultyDisk, JournalConfig, Vec<(PathBuf, Vec<u8>)>) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 2048);
    let mut open = open_on(&disk, &config).unwrap();
    write(&mut open, 1..=5);
    take_snapshot(&mut open, 5);
    write(&mut open, 6..=SNAPSHOT);
    let before = segments(&disk);
    take_snapshot(&mut open, SNAPSHOT);
    write(&mut open, SNAPSHOT + 1..=LAST);
    open.journal.close().unwrap();
    let after = names(&disk);
    let gone: Vec<_> = before.into_iter().filter(|(path, _)| !after.contains(path)).collect();
    assert!(gone.len() >= 3 && gone.iter().any(|(path, _)| *path == snapshot_of(5)));
    (disk, config, gone)
}

#[test]
fn d10_what_is_left_of_what_a_snapshot_replaced_means_nothing() {
    let (disk, config, gone) = replaced();
    let after = names(&disk);
    for subset in 0..1_u32 << gone.len() {
        let copy = disk.kill();
        for (at, (path, bytes)) in gone.iter().enumerate() {
            if subset & 1 << at != 0 {
                // Whatever their content.
                let bytes = if subset % 3 == 0 { vec![7; 100] } else { bytes.clone() };
                copy.put(path, bytes);
            }
        }
        let verified = verify(&copy, Path::new(DIR), &mut |_, _| Ok(())).unwrap();
        assert_eq!((verified.records, verified.snapshot), (LAST, SNAPSHOT));
        let open = open_on(&copy, &config).unwrap();
        assert_eq!((open.records, open.cut_bytes), (payloads(LAST), 0), "{subset:b}");
        open.journal.close().unwrap();
        assert!(gone.iter().all(|(path, _)| !names(&copy).contains(path)), "{subset:b}");
        assert!(after.iter().all(|path| names(&copy).contains(path)), "{subset:b}");
    }
}

#[test]
fn d6_an_older_snapshot_never_stands_in_for_a_newer_one() {
    let (disk, config, gone) = replaced();
    let newest = snapshot_of(SNAPSHOT);
    for subset in 0..1_u32 << gone.len() {
        let copy = disk.kill();
        for (at, (path, bytes)) in gone.iter().enumerate() {
            if subset & 1 << at != 0 {
                copy.put(path, bytes.clone());
            }
        }
        let mut bytes = content(&disk, &newest);
        bytes[100] ^= 1;
        copy.put(&newest, bytes);
        assert!(refused(&copy, &config).contains("000c.snap"), "{subset:b}");
        // Without it, the older snapshot and its whole log are all there is, or it is missed.
        copy.remove(&newest).unwrap();
        match open_on(&copy, &config) {
            Ok(open) => assert_eq!(open.records, payloads(LAST), "{subset:b}"),
            Err(error) => assert!(is_damage(&error), "{error}"),
        }
    }
}

#[test]
fn d10_a_snapshot_that_fails_harms_nothing_and_the_next_succeeds() {
    let config = config(Durability::Fsync, 4096);
    // A fault at its beginning, at a part or at its end: of a write or a sync, or there is no space.
    for fault in 0..9 {
        let disk = FaultyDisk::new();
        let mut open = open_on(&disk, &config).unwrap();
        write(&mut open, 1..=6);
        until("no segment is being made", || open.journal.stats().segments == 3);
        match fault {
            0..4 => disk.fail_writes_after(Some(fault)),
            4 => disk.fail_syncs_after(Some(0)),
            _ => {
                let used: usize = disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
                disk.limit_space(Some(used as u64 + (fault - 5) * 600));
            }
        }
        tell_snapshot(&mut *open.journal, 6);
        open.journal.finish_snapshot();
        until("it has failed", || open.reports.snapshot_failures() == 1);
        assert!(open.reports.snapshots().is_empty() && open.journal.stats().snapshot.is_none());
        assert!(names(&disk).iter().all(|it| it.extension().unwrap() == "log"), "{fault}");
        disk.fail_writes_after(None);
        disk.fail_syncs_after(None);
        disk.limit_space(None);
        write(&mut open, 7..=9);
        take_snapshot(&mut open, 9);
        write(&mut open, 10..=11);
        assert_eq!((open.reports.failures(), open.reports.snapshot_failures()), (0, 1));
        open.journal.close().unwrap();
        assert_eq!(open_on(&disk, &config).unwrap().records, payloads(11), "{fault}");
    }
}

#[test]
fn d10_an_abandoned_snapshot_leaves_nothing_and_the_next_may_be_of_the_same_record() {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut open = open_on(&disk, &config).unwrap();
    write(&mut open, 1..=6);
    tell_snapshot(&mut *open.journal, 6);
    open.journal.abandon_snapshot();
    take_snapshot(&mut open, 6);
    // Restarted without abandoning it, too, and more than once.
    tell_snapshot(&mut *open.journal, 6);
    take_snapshot(&mut open, 6);
    take_snapshot(&mut open, 6);
    assert_eq!(open.reports.snapshot_failures(), 0);
    // Left unfinished by a kill, and by a close.
    tell_snapshot(&mut *open.journal, 6);
    until("it is begun", || names(&disk).iter().any(|it| it.extension().unwrap() == "tmp"));
    let killed = disk.kill();
    open.journal.close().unwrap();
    for disk in [disk, killed] {
        disk.put(&Path::new(DIR).join("notes.tmp"), b"of somebody else".to_vec());
        let open = open_on(&disk, &config).unwrap();
        assert_eq!(open.records, payloads(6));
        open.journal.close().unwrap();
        let temporary = |it: &&PathBuf| it.extension().unwrap() == "tmp";
        let left: Vec<_> = names(&disk).iter().filter(temporary).cloned().collect();
        assert_eq!(left, [Path::new(DIR).join("notes.tmp")], "what is not ours is left alone");
    }
}

#[test]
fn the_books_say_what_is_on_the_disk() {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut last = 0;
    for _ in 0..3 {
        let mut open = open_on(&disk, &config).unwrap();
        for _ in 0..3 {
            write(&mut open, last + 1..=last + 7);
            last += 7;
            take_snapshot(&mut open, last);
            // A successor may be created at this moment.
            until("stats and disk agree", || {
                let stats = open.journal.stats();
                let files = segments(&disk);
                let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
                stats.disk_bytes == bytes as u64 && stats.segments == files.len() as u64 - 1
            });
        }
        open.journal.close().unwrap();
    }
    // No replaced file is left.
    assert_eq!(names(&disk).iter().filter(|it| it.extension().unwrap() == "snap").count(), 1);
    assert!(!names(&disk).contains(&segment(1)));
}
