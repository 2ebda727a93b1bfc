//! D6, the way out: a repair drops what it reports, and nothing before.

use super::*;
use crate::journal::repair::{Repair, plan};

const LAST: RecordSeq = 20;

/// Returns a closed journal with each record in a commit of its own, with or without a snapshot of the
/// first eight.
fn closed(snapshot: bool) -> (FaultyDisk, JournalConfig) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut open = open_on(&disk, &config).unwrap();
    for seq in 1..=LAST {
        append(&mut *open.journal, seq, 1);
        until("synced", || open.reports.synced() == seq);
        if snapshot && seq == 8 {
            take_snapshot(&mut open, seq);
        }
    }
    open.journal.close().unwrap();
    (disk, config)
}

/// Returns the position that an error names.
fn place(error: &JournalError) -> Option<(String, u64)> {
    let (file, offset) = match error {
        JournalError::Damaged { file, offset, .. } => (file, *offset),
        JournalError::Format { file, .. } => (file, 0),
        _ => return None,
    };
    Some((file.file_name()?.to_str()?.to_owned(), offset))
}

fn plan_on(disk: &FaultyDisk, file: &str, offset: u64) -> Result<Repair, JournalError> {
    let before = disk.contents();
    let planned = plan(disk, Path::new(DIR), file, offset);
    assert_eq!(disk.contents(), before);
    planned
}

/// Repairs `disk` at the position that `verify` reports until nothing is wrong; returns how many
/// records are left, `None` if the snapshot needs what would be dropped.
fn repair(disk: &FaultyDisk, config: &JournalConfig, what: &str) -> Option<RecordSeq> {
    let Err(error) = verify(disk, Path::new(DIR), &mut |_, _| Ok(())) else {
        return Some(open_on(disk, config).unwrap().records.len() as RecordSeq);
    };
    let (file, offset) = place(&error).unwrap();
    let repair = match plan_on(disk, &file, offset) {
        Err(JournalError::Needed { .. }) => return None,
        planned => planned.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    let dropped = repair.dropped();
    repair.apply(config).unwrap();
    let open = open_on(disk, config).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((open.cut_bytes, dropped.last), (0, open.records.len() as RecordSeq), "{what}");
    assert_eq!(open.records, payloads(dropped.last), "{what}");
    assert!(dropped.last + dropped.records <= LAST, "{what}: {dropped:?}");
    Some(dropped.last)
}

/// Returns the start of each commit with a record, and the record's number.
fn commits(disk: &FaultyDisk) -> Vec<(PathBuf, usize, RecordSeq)> {
    let logs = segments(disk).into_iter().filter(|(path, _)| path.extension().unwrap() == "log");
    logs.flat_map(|(path, bytes)| {
        let marks = (512..bytes.len()).step_by(64).filter(|at| bytes[*at..].starts_with(b"WKCM"));
        let commits: Vec<_> = marks
            .filter(|at| bytes[at + 28] != 0)
            .map(|at| {
                (path.clone(), at, u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap()))
            })
            .collect();
        commits
    })
    .collect()
}

#[test]
fn d6_a_repair_keeps_every_record_before_the_commit_that_is_cut() {
    for snapshot in [false, true] {
        let (disk, config) = closed(snapshot);
        for (path, at, seq) in commits(&disk) {
            // In its header; in its record's frame.
            for damaged in [at, at + 20, at + 64 + 5] {
                let copy = disk.kill();
                let mut bytes = content(&disk, &path);
                bytes[damaged] ^= 0x20;
                copy.put(&path, bytes);
                let left = repair(&copy, &config, &format!("{path:?} {damaged}"));
                let needed = snapshot && seq <= 8;
                assert_eq!(left, (!needed).then_some(seq - 1), "{path:?} {damaged}");
            }
        }
    }
}

#[test]
fn d6_a_repair_works_wherever_the_damage_is() {
    for snapshot in [false, true] {
        let (disk, config) = closed(snapshot);
        for (path, bytes) in segments(&disk) {
            if path.extension().unwrap() != "log" {
                continue;
            }
            for at in (0..bytes.len()).step_by(31) {
                let what = format!("{path:?} {at}");
                let flipped = disk.kill();
                let mut other = bytes.clone();
                other[at] ^= 0x04;
                flipped.put(&path, other);
                repair(&flipped, &config, &what);
                let shorter = disk.kill();
                shorter.put(&path, bytes[..at].to_vec());
                let left = repair(&shorter, &config, &format!("{what} shorter"));
                let whole = bytes[at..].iter().all(|byte| *byte == 0);
                if whole && at >= 512 && left.is_some() {
                    let newest =
                        commits(&disk).into_iter().filter(|it| it.0 <= path).map(|it| it.2);
                    assert!(left >= newest.max(), "{what}: whole records went: {left:?}");
                }
            }
            let longer = disk.kill();
            longer.put(&path, [&bytes[..], &[1, 2, 3]].concat());
            repair(&longer, &config, "longer");
            let gone = disk.kill();
            gone.remove(&path).unwrap();
            repair(&gone, &config, "gone");
            let foreign = disk.kill();
            foreign.put(&path, vec![7; 4096]);
            repair(&foreign, &config, "foreign");
        }
    }
}

#[test]
fn d6_a_repair_says_what_it_drops() {
    let (disk, config) = closed(false);
    let all = commits(&disk);
    let (path, at, seq) = &all[7];
    let name = path.file_name().unwrap().to_str().unwrap();
    let dropped = plan_on(&disk, name, *at as u64).unwrap().dropped();
    let later = segments(&disk).into_iter().filter(|(other, _)| other > path).count();
    assert_eq!((dropped.last, dropped.records), (seq - 1, LAST + 1 - seq));
    assert_eq!(dropped.segments, later as u64);
    let bytes = |(other, bytes): &(PathBuf, Vec<u8>)| {
        let from = if other == path { *at } else { 512 };
        let counts = other >= path;
        bytes[from..].iter().filter(|byte| counts && **byte != 0).count() as u64
    };
    assert_eq!(dropped.bytes, segments(&disk).iter().map(bytes).sum::<u64>());
    // After the end of the log, there is nothing to drop.
    let (path, ..) = all.last().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let repair = plan_on(&disk, name, 4095).unwrap();
    assert_eq!((repair.dropped().last, repair.dropped().bytes), (LAST, 0));
    repair.apply(&config).unwrap();
    assert_eq!(open_on(&disk, &config).unwrap().records, payloads(LAST));
}

#[test]
fn d6_a_repair_behind_other_damage_is_refused() {
    let (disk, config) = closed(false);
    let all = commits(&disk);
    for (before, after) in [(2, 3), (2, 9), (8, 17)] {
        for damaged in [0, 20, 70] {
            let (path, at, _) = &all[before];
            let copy = disk.kill();
            let mut bytes = content(&disk, path);
            bytes[at + damaged] ^= 0x20;
            copy.put(path, bytes);
            let (later, later_at, _) = &all[after];
            let name = later.file_name().unwrap().to_str().unwrap();
            let refused = plan_on(&copy, name, *later_at as u64).err().unwrap();
            assert_eq!(refused, open_on(&copy, &config).err().unwrap(), "{before} {damaged}");
        }
    }
    // A hole is treated like any other damage.
    let (path, at, _) = &all[2];
    let mut bytes = content(&disk, path);
    let end = (at + 1).next_multiple_of(512) + 512;
    bytes[*at..end].fill(0);
    disk.put(path, bytes);
    let (later, later_at, _) = &all[12];
    let name = later.file_name().unwrap().to_str().unwrap();
    assert!(is_damage(&plan_on(&disk, name, *later_at as u64).err().unwrap()));
}

#[test]
fn d6_a_repair_refuses_what_is_no_segment_and_what_is_open() {
    let (disk, config) = closed(true);
    for file in ["0000000000000008.snap", "lock", "0.log", "x"] {
        let error = plan_on(&disk, file, 0).err().unwrap();
        assert!(error.to_string().contains("only a segment"), "{error}");
    }
    let open = open_on(&disk, &config).unwrap();
    let error = plan_on(&disk, "0000000000000001.log", 512).err().unwrap();
    assert!(matches!(error, JournalError::Locked { .. }));
    open.journal.close().unwrap();
}

#[test]
fn d6_what_the_snapshot_needs_is_not_dropped_and_the_snapshot_itself_restores() {
    let (disk, config) = closed(true);
    let (path, at, seq) = commits(&disk)[0].clone();
    assert!(seq <= 8);
    let mut bytes = content(&disk, &path);
    bytes[at] ^= 1;
    disk.put(&path, bytes);
    let name = path.file_name().unwrap().to_str().unwrap();
    for offset in [at as u64, 512, 0] {
        let error = plan_on(&disk, name, offset).err().unwrap().to_string();
        let snapshot = snapshot_of(8).display().to_string();
        assert!(error.contains(&format!("wakeful restore {snapshot} --data-dir NEW")), "{error}");
    }
    let (to, of) = (Path::new("/new"), Arc::new(disk.clone()) as Arc<dyn Disk>);
    let mut replay = |_, _: &[u8]| Ok(());
    restore(&*of, &snapshot_of(8), to, &config, 78, &mut replay).unwrap();
    let restored = open_dir(of, to, &config).unwrap();
    assert_eq!((restored.records, restored.store_id), (payloads(8), 78));
}

#[test]
fn d6_a_repair_that_is_cut_short_can_be_made_again() {
    for snapshot in [false, true] {
        let (disk, config) = closed(snapshot);
        let all = commits(&disk);
        for (path, at, seq) in [&all[all.len() / 2], &all[all.len() - 2]] {
            let mut bytes = content(&disk, path);
            bytes[at + 70] ^= 1;
            let name = path.file_name().unwrap().to_str().unwrap();
            for changes in 0.. {
                let copy = disk.kill();
                copy.put(path, bytes.clone());
                let planned = plan_on(&copy, name, *at as u64).unwrap();
                copy.end_after(Some(changes));
                let done = planned.apply(&config).is_ok();
                for seed in 0..6 {
                    let left = if seed == 0 { copy.kill() } else { copy.cut_power(seed) };
                    let what = format!("{name} {at}: ended at {changes}, seed {seed}");
                    assert_eq!(repair(&left, &config, &what), Some(seq - 1), "{what}");
                }
                if done {
                    break;
                }
            }
        }
    }
}
