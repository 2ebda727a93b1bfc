//! Records that were handed over can be read back.

use super::*;
use crate::journal::disk::RealDisk;

#[test]
fn every_record_comes_back_in_order_over_many_segments() {
    for durability in [Durability::Fsync, Durability::Interval] {
        let disk = FaultyDisk::new();
        let config = config(durability, 4096);
        let mut last = 0;
        for round in 1..6 {
            let mut open = open_on(&disk, &config).unwrap();
            assert_eq!(open.records, payloads(last));
            assert_eq!((open.cut_bytes, open.store_id), (0, 77));
            for size in 1..5 {
                last = append(&mut *open.journal, last + 1, size * round);
            }
            open.journal.close().unwrap();
            assert_eq!(open.reports.synced(), last);
            let verified = verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap();
            assert!(verified.closed && verified.records == last && verified.torn_bytes == 0);
        }
    }
}

#[test]
fn the_operating_systems_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let config = config(Durability::Fsync, 64 * 1024);
    for round in 0..3 {
        let mut open = open_dir(Arc::new(RealDisk), &dir, &config).unwrap();
        assert_eq!(open.records, payloads(round * 200));
        let second = open_dir(Arc::new(RealDisk), &dir, &config).err().unwrap();
        assert_eq!(second, JournalError::Locked { dir: dir.clone() });
        assert_eq!(verify(&RealDisk, &dir, &mut |_, _| Ok(())).unwrap_err(), second);
        append(&mut *open.journal, round * 200 + 1, 200);
        open.journal.close().unwrap();
    }
    assert_eq!(verify(&RealDisk, &dir, &mut |_, _| Ok(())).unwrap().records, 600);
}

#[test]
fn one_sync_serves_all_that_arrived_during_the_one_before() {
    let disk = FaultyDisk::new();
    let mut open = open_on(&disk, &config(Durability::Fsync, 1 << 20)).unwrap();
    disk.hold_syncs(true);
    append(&mut *open.journal, 1, 1);
    until("the first sync runs", || disk.syncs_held() == 1);
    for seq in 2..=40 {
        append(&mut *open.journal, seq, 1);
    }
    assert!(open.journal.pending_bytes() > 0);
    disk.hold_syncs(false);
    until("all is synced", || open.reports.synced() == 40);
    assert_eq!(open.reports.all(), [JournalProgress::Synced(1), JournalProgress::Synced(40)]);
    let stats = open.journal.stats();
    assert_eq!((stats.commits, stats.records, stats.synced), (2, 40, 40));
    assert_eq!(open.journal.pending_bytes(), 0);
    open.journal.close().unwrap();
}

#[test]
fn a_second_open_is_refused_and_the_first_unharmed() {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let open = open_on(&disk, &config).unwrap();
    let before = disk.contents();
    let locked = JournalError::Locked { dir: DIR.into() };
    assert_eq!(open_on(&disk, &config).err().unwrap(), locked);
    assert_eq!(verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap_err(), locked);
    assert_eq!(disk.contents(), before);
    open.journal.close().unwrap();
    open_on(&disk, &config).unwrap();
}

#[test]
fn a_change_of_the_segment_size_loses_nothing() {
    let disk = FaultyDisk::new();
    let mut last = 0;
    for size in [4096, 16 * 1024, 3000, 8192] {
        let mut open = open_on(&disk, &config(Durability::Fsync, size)).unwrap();
        assert_eq!(open.records, payloads(last));
        last = append(&mut *open.journal, last + 1, 30);
        open.journal.close().unwrap();
    }
    assert_eq!(verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap().records, last);
}
