//! Damage is reported with its position and never repaired automatically.

use super::*;

/// Returns a cleanly closed journal of a few small segments, and its number of records.
fn closed() -> (FaultyDisk, JournalConfig, RecordSeq) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut open = open_on(&disk, &config).unwrap();
    for round in 0..4 {
        append(&mut *open.journal, round * 3 + 1, 3);
        until("synced", || open.reports.synced() == round * 3 + 3);
    }
    open.journal.close().unwrap();
    (disk, config, 12)
}

/// Returns a journal whose process was killed with everything written; `unsynced` of its commits were
/// not synced, and so are not witnessed.
fn killed(unsynced: u64) -> (FaultyDisk, JournalConfig) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Interval, 8192);
    let mut open = open_on(&disk, &config).unwrap();
    for seq in 1..=4 + unsynced {
        append(&mut *open.journal, seq, 1);
        until("written", || open.reports.written() == seq);
        if seq <= 4 {
            open.journal.sync();
            until("synced", || open.reports.synced() == seq);
        }
    }
    let left = disk.kill();
    (left, config)
}

#[test]
fn every_flipped_byte_of_a_closed_journal_is_found_or_means_nothing() {
    let (disk, config, last) = closed();
    let (mut told, mut harmless) = (0, 0);
    for (path, bytes) in segments(&disk) {
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            match open_changed(&disk, &config, &path, flipped) {
                Err(_) => told += 1,
                Ok((records, _)) => {
                    harmless += 1;
                    assert_eq!(records, payloads(last), "{path:?} {at}");
                    assert_eq!(bytes[at], 0, "{path:?} {at}");
                }
            }
        }
    }
    assert!(told > 5000 && harmless > 1000, "{told} {harmless}");
}

#[test]
fn a_flipped_byte_costs_at_most_what_was_never_synced() {
    let (disk, config) = killed(2);
    for (path, bytes) in segments(&disk) {
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            if let Ok((records, cut)) = open_changed(&disk, &config, &path, flipped) {
                assert!(records.len() >= 4, "{path:?} {at}");
                assert!(records.len() == 6 || cut > 0, "{path:?} {at}");
                assert_eq!(records, payloads(records.len() as u64));
            }
        }
    }
}

#[test]
fn every_zeroed_sector_of_a_closed_journal_is_found() {
    let (disk, config, last) = closed();
    for (path, bytes) in segments(&disk) {
        for start in (0..bytes.len()).step_by(512) {
            let mut zeroed = bytes.clone();
            zeroed[start..start + 512].fill(0);
            if zeroed == bytes {
                continue;
            }
            if let Ok((records, _)) = open_changed(&disk, &config, &path, zeroed) {
                // The sector of the closing mark: the commit before it is durable nevertheless, or it
                // shares the sector, and then nothing is left as evidence.
                assert_eq!(records, payloads(records.len() as u64));
                assert!(records.len() as u64 >= last - 3, "{path:?} {start}");
            }
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let (disk, config, _) = closed();
    for (path, bytes) in segments(&disk) {
        for len in 0..bytes.len() {
            open_changed(&disk, &config, &path, bytes[..len].to_vec()).unwrap_err();
        }
        let mut longer = bytes.clone();
        longer.push(0);
        open_changed(&disk, &config, &path, longer).unwrap_err();
    }
}

#[test]
fn every_missing_segment_is_found_when_one_before_it_has_commits() {
    let (disk, config, _) = closed();
    let files = segments(&disk);
    assert!(files.len() >= 3);
    for (index, (path, bytes)) in files.iter().enumerate() {
        let copy = disk.kill();
        copy.remove(path).unwrap();
        let before = copy.contents();
        let opened = open_on(&copy, &config);
        let Some(error) = opened.err() else {
            // A last segment without commits may be missing.
            assert!(index + 1 == files.len() && bytes[512..].iter().all(|byte| *byte == 0));
            continue;
        };
        assert!(error.to_string().contains("this segment is missing"), "{error}");
        assert_eq!(copy.contents(), before);
    }
}

#[test]
fn swapped_and_foreign_segments_are_found() {
    let (disk, config, _) = closed();
    let copy = disk.kill();
    let (one, two) = (content(&disk, &segment(1)), content(&disk, &segment(2)));
    copy.put(&segment(1), two.clone());
    copy.put(&segment(2), one);
    assert!(is_damage(&open_on(&copy, &config).err().unwrap()));

    let other = FaultyDisk::new();
    let opened = open(
        Arc::new(other.clone()),
        Path::new(DIR),
        &config,
        78,
        Arc::new(|_| ()),
        &mut |_, _| Ok(()),
    );
    drop(opened.unwrap().journal);
    let foreign = content(&other, &segment(2));
    let error = open_changed(&disk, &config, &segment(2), foreign).unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");

    let error = open_changed(&disk, &config, &segment(1), vec![7; 4096]).unwrap_err();
    assert!(matches!(error, JournalError::Format { .. }));
    let mut newer = two;
    newer[16] = 3;
    let error = open_changed(&disk, &config, &segment(2), newer).unwrap_err();
    assert!(error.to_string().contains("newer"), "{error}");
}

#[test]
fn a_payload_that_cannot_be_replayed_is_damage() {
    let (disk, config, _) = closed();
    let before = disk.contents();
    let mut replay = |seq, _: &[u8]| if seq == 5 { Err("no such kind".to_owned()) } else { Ok(()) };
    let refused =
        open(Arc::new(disk.clone()), Path::new(DIR), &config, 1, Arc::new(|_| ()), &mut replay);
    let error = refused.err().unwrap();
    assert!(matches!(&error, JournalError::Damaged { offset, .. } if *offset > 512), "{error}");
    assert!(error.to_string().contains("no such kind"));
    assert_eq!(disk.contents(), before);
}

#[test]
fn a_missing_successor_is_found_behind_a_torn_tail_too() {
    let (disk, config) = killed(3);
    let mut bytes = content(&disk, &segment(1));
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let sector = end / 512 * 512;
    bytes[sector..sector + 512].fill(0);
    let torn = open_changed(&disk, &config, &segment(1), bytes.clone()).unwrap();
    assert!(torn.0.len() >= 4 && torn.1 > 0);
    let copy = disk.kill();
    copy.put(&segment(1), bytes);
    copy.remove(&segment(2)).unwrap();
    let error = open_on(&copy, &config).err().unwrap();
    assert!(error.to_string().contains("this segment is missing"), "{error}");
}

/// Records whose sectors have little in them: a crafted bit flip could empty one.
fn sparse() -> Vec<Vec<u8>> {
    let with = |len: usize, at: usize| {
        let mut payload = vec![0; len];
        payload[at] = 1;
        payload
    };
    vec![
        with(2000, 700),
        with(1500, 1499),
        vec![0; 1400],
        // Its last byte is the first one in its sector.
        with(COMMIT_TO_SECTOR, COMMIT_TO_SECTOR - 1),
        with(COMMIT_TO_SECTOR + 3, COMMIT_TO_SECTOR + 2),
        (0..1200).map(|at| at as u8).collect(),
        vec![1],
    ]
}

/// Bytes of a payload in the first commit of a segment up to its first whole sector, and one more.
const COMMIT_TO_SECTOR: usize = 512 - 64 - 8 + 1;

#[test]
fn d6_no_flipped_bit_makes_the_last_commit_look_torn() {
    for (nth, payload) in sparse().into_iter().enumerate() {
        for before in [0, 1] {
            let disk = FaultyDisk::new();
            let config = config(Durability::Fsync, 8192);
            let mut open = open_on(&disk, &config).unwrap();
            let mut batch = RecordBatch::new();
            for _ in 0..before {
                batch.push_if(|_| true);
            }
            let last = open.journal.append(&mut batch) + 1;
            until("synced", || open.reports.synced() + 1 == last);
            batch.push_if(|out| {
                out.extend_from_slice(&payload);
                true
            });
            open.journal.append(&mut batch);
            until("synced", || open.reports.synced() == last);
            // Acknowledged, and not witnessed.
            let killed = disk.kill();
            let bytes = content(&killed, &segment(1));
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 64;
            let mut refused = 0;
            for bit in 512 * 8..end * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                killed.put(&segment(1), flipped);
                match verify(&killed, Path::new(DIR), &mut |_, _| Ok(())) {
                    Ok(found) => assert_eq!(found.records, last, "{nth}: bit {bit}"),
                    Err(error) => {
                        refused += 1;
                        assert!(is_damage(&error), "{error}");
                    }
                }
            }
            assert!(refused > payload.len() * 8, "{nth}: {refused}");
        }
    }
}

#[test]
fn d6_a_sector_that_was_never_written_is_a_tear_whatever_is_in_its_commit() {
    for (nth, payload) in sparse().into_iter().enumerate() {
        let disk = FaultyDisk::new();
        let config = config(Durability::Interval, 8192);
        let mut open = open_on(&disk, &config).unwrap();
        let mut batch = RecordBatch::new();
        batch.push_if(|out| {
            out.extend_from_slice(&payload);
            true
        });
        open.journal.append(&mut batch);
        until("written", || open.reports.written() == 1);
        let killed = disk.kill();
        let bytes = content(&killed, &segment(1));
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        for sector in 1..=end / 512 {
            let mut torn = bytes.clone();
            torn[sector * 512..(sector + 1) * 512].fill(0);
            killed.put(&segment(1), torn);
            let found = verify(&killed, Path::new(DIR), &mut |_, _| Ok(())).unwrap();
            assert_eq!(found.records, 0, "{nth}: sector {sector}");
        }
    }
}
