//! The id of a store that may have lost visible changes.

use super::*;
use crate::journal::writer::UNSYNCED_MAX;

fn open_as(disk: &FaultyDisk, config: &JournalConfig, id: u64) -> (OpenedJournal, Reports) {
    let reports = Reports::default();
    let to = Arc::new(disk.clone());
    let opened = open(to, Path::new(DIR), config, id, reports.sink(), &mut |_, _| Ok(()));
    (opened.unwrap(), reports)
}

/// Opens the store, writes, and kills it; returns its id.
fn live(disk: &FaultyDisk, durability: Durability, id: u64) -> (u64, bool, FaultyDisk) {
    let (mut opened, reports) = open_as(disk, &config(durability, 4096), id);
    let last = append(&mut *opened.journal, opened.last + 1, 3);
    until("written", || reports.written().max(reports.synced()) == last);
    (opened.store_id, opened.is_reborn, disk.kill())
}

#[test]
fn d3_a_store_that_shows_what_is_durable_is_always_called_the_same() {
    let disk = FaultyDisk::new();
    let mut left = disk;
    for id in 1..5 {
        let (called, reborn, after) = live(&left, Durability::Fsync, id);
        assert_eq!((called, reborn), (1, false));
        left = after;
    }
}

#[test]
fn d3_a_store_that_showed_more_and_was_not_closed_is_called_otherwise() {
    let disk = FaultyDisk::new();
    let (called, reborn, left) = live(&disk, Durability::Interval, 1);
    assert_eq!((called, reborn), (1, false));
    // However it continues.
    let (called, reborn, left) = live(&left, Durability::Interval, 2);
    assert_eq!((called, reborn), (2, true));
    let (called, reborn, left) = live(&left, Durability::Fsync, 3);
    assert_eq!((called, reborn), (3, true));
    let (called, reborn, left) = live(&left, Durability::Fsync, 4);
    assert_eq!((called, reborn), (3, false));
    let (opened, _) = open_as(&left, &config(Durability::Interval, 4096), 5);
    assert_eq!((opened.store_id, opened.is_reborn), (3, false));
    opened.journal.close().unwrap();
    let (opened, _) = open_as(&left, &config(Durability::Interval, 4096), 6);
    assert_eq!((opened.store_id, opened.is_reborn), (3, false), "it was closed");
}

#[test]
fn d3_nothing_that_was_shown_and_lost_goes_unnoticed() {
    for seed in 0..60 {
        let mut below = choices(seed);
        let disk = FaultyDisk::new();
        let fsync = config(Durability::Fsync, 2048);
        let (mut opened, _) = open_as(&disk, &fsync, 1);
        append(&mut *opened.journal, 1, below(6));
        opened.journal.close().unwrap();
        let interval = config(Durability::Interval, 2048);
        let (mut opened, reports) = open_as(&disk, &interval, 2);
        let before = opened.last;
        let last = append(&mut *opened.journal, before + 1, 1 + below(8));
        // Visible to a waiting client.
        until("written", || reports.written() == last);
        let left = disk.cut_power(seed);
        let (again, _) = open_as(&left, &fsync, 3);
        assert!(again.last >= before);
        assert_eq!((again.store_id, again.is_reborn), (3, true), "{seed}");
    }
}

#[test]
fn d3_a_snapshot_knows_what_the_store_is_called() {
    let (_, _, left) = live(&FaultyDisk::new(), Durability::Interval, 1);
    let (mut opened, reports) = open_as(&left, &config(Durability::Fsync, 2048), 2);
    assert!(opened.is_reborn);
    let mut last = opened.last;
    for _ in 0..2 {
        last = append(&mut *opened.journal, last + 1, 9);
        until("synced", || reports.synced() == last);
        tell_snapshot(&mut *opened.journal, last);
        opened.journal.finish_snapshot();
        until("safe", || reports.snapshots().iter().any(|it| it.seq == last));
    }
    opened.journal.close().unwrap();
    let (again, _) = open_as(&left, &config(Durability::Fsync, 2048), 3);
    assert_eq!((again.store_id, again.is_reborn), (2, false));
    assert_eq!(check_snapshot(&left, &snapshot_of(last), &mut |_, _| Ok(())).unwrap().store_id, 2);
    // A backup of it is another store.
    let to = Path::new("/restored");
    restore(&left, &snapshot_of(last), to, &config(Durability::Fsync, 2048), 9, &mut |_, _| Ok(()))
        .unwrap();
    let fsync = config(Durability::Fsync, 2048);
    let report = Reports::default().sink();
    let opened = open(Arc::new(left), to, &fsync, 10, report, &mut |_, _| Ok(())).unwrap();
    assert_eq!((opened.store_id, opened.is_reborn), (9, false));
}

#[test]
fn d6_a_store_of_which_a_repair_dropped_something_is_called_otherwise() {
    let (_, _, left) = live(&FaultyDisk::new(), Durability::Fsync, 1);
    plan_repair(&left, Path::new(DIR), "0000000000000001.log", 512)
        .unwrap()
        .apply(&config(Durability::Fsync, 4096))
        .unwrap();
    let (opened, _) = open_as(&left, &config(Durability::Fsync, 4096), 2);
    assert_eq!((opened.last, opened.store_id, opened.is_reborn), (0, 2, true));
}

#[test]
fn j3_no_more_records_are_shown_before_they_are_synced_than_a_fence_passes_over() {
    let config = JournalConfig {
        pending_bytes_max: 1 << 30,
        ..config(Durability::Interval, 64 * 1024 * 1024)
    };
    let (mut opened, reports) = open_as(&FaultyDisk::new(), &config, 1);
    let mut last = 0;
    for _ in 0..3 {
        last = append(&mut *opened.journal, last + 1, UNSYNCED_MAX);
        until("written", || reports.written() == last);
        assert!(last - reports.synced() <= UNSYNCED_MAX, "{last} after {}", reports.synced());
    }
    assert!(reports.synced() > 1);
}
