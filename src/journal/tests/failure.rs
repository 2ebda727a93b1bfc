//! A failure is reported once, and nothing is promised after it.

use super::*;

/// Space for two segments and the file that marks the directory.
const TWO_SEGMENTS: u64 = 2 * 4096 + 512;

#[test]
fn after_a_failed_write_or_sync_nothing_is_reported() {
    for durability in [Durability::Fsync, Durability::Interval] {
        for on_sync in [false, true] {
            let disk = FaultyDisk::new();
            let mut open = open_on(&disk, &config(durability, 1 << 16)).unwrap();
            append(&mut *open.journal, 1, 3);
            open.journal.sync();
            until("synced", || open.reports.synced() == 3);
            if on_sync {
                disk.fail_syncs_after(Some(0));
            } else {
                disk.fail_writes_after(Some(0));
            }
            append(&mut *open.journal, 4, 3);
            open.journal.sync();
            until("failed", || open.reports.failures() == 1);
            disk.fail_syncs_after(None);
            disk.fail_writes_after(None);
            assert_eq!(append(&mut *open.journal, 7, 3), 9);
            open.journal.sync();
            assert_eq!(open.journal.pending_bytes(), 0);
            let error = open.journal.close().unwrap_err();
            assert!(matches!(error, JournalError::Io { .. }), "{error}");
            assert_eq!(open.reports.all().last(), Some(&JournalProgress::Failed(error)));
            assert_eq!((open.reports.failures(), open.reports.synced()), (1, 3));
            let again = open_on(&disk, &config(durability, 1 << 16)).unwrap();
            assert!(again.records.len() >= 3 && again.records.len() <= 6);
        }
    }
}

#[test]
fn short_writes_are_continued() {
    let disk = FaultyDisk::new();
    disk.short_writes(true);
    let config = config(Durability::Fsync, 16 * 1024);
    let mut open = open_on(&disk, &config).unwrap();
    append(&mut *open.journal, 1, 60);
    open.journal.close().unwrap();
    assert_eq!(open_on(&disk, &config).unwrap().records, payloads(60));
}

fn told_of_no_room(open: &Open) -> bool {
    open.reports.all().iter().any(|it| matches!(it, JournalProgress::Space(Some(_))))
}

#[test]
fn no_room_for_a_successor_is_told_and_so_is_room_again() {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    disk.limit_space(Some(TWO_SEGMENTS));
    let mut open = open_on(&disk, &config).unwrap();
    let mut last = 0;
    // Until the second segment is full too, and something waits for a third.
    while last < 40 {
        last = append(&mut *open.journal, last + 1, 1);
    }
    until("told", || told_of_no_room(&open));
    until("blocked", || open.journal.pending_bytes() > 0 && open.journal.stats().commits > 1);
    assert!(open.reports.synced() < last && open.reports.failures() == 0);
    disk.limit_space(None);
    until("room again", || {
        open.journal.sync();
        open.reports.all().contains(&JournalProgress::Space(None))
    });
    until("all synced", || open.reports.synced() == last);
    open.journal.close().unwrap();
    assert_eq!(open_on(&disk, &config).unwrap().records, payloads(last));
}

#[test]
fn d9_a_sync_asked_for_without_room_comes_when_there_is_room() {
    let disk = FaultyDisk::new();
    let config = config(Durability::Interval, 4096);
    disk.limit_space(Some(TWO_SEGMENTS));
    let mut open = open_on(&disk, &config).unwrap();
    let last = append(&mut *open.journal, 1, 40);
    until("told", || told_of_no_room(&open));
    let written = open.reports.written();
    assert!(written < last && open.journal.pending_bytes() > 0);
    open.journal.sync();
    until("what is written is synced", || open.reports.synced() == written);
    disk.limit_space(None);
    // By its own next attempt to create a segment, without another request.
    until("all synced", || open.reports.synced() == last);
    open.journal.close().unwrap();
}

#[test]
fn a_full_disk_can_be_opened_and_closed_and_loses_nothing_synced() {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    disk.limit_space(Some(TWO_SEGMENTS));
    let mut open = open_on(&disk, &config).unwrap();
    append(&mut *open.journal, 1, 40);
    until("told", || told_of_no_room(&open));
    let error = open.journal.close().unwrap_err();
    assert!(matches!(error, JournalError::NoSpace { .. }), "{error}");
    let again = open_on(&disk, &config).unwrap();
    assert!(again.records.len() as u64 >= open.reports.synced());
    assert_eq!(again.records, payloads(again.records.len() as u64));
    until("told", || told_of_no_room(&again));
    again.journal.close().unwrap();
}

#[test]
fn a_record_that_fits_no_segment_fails() {
    let disk = FaultyDisk::new();
    let mut open = open_on(&disk, &config(Durability::Fsync, 4096)).unwrap();
    let mut batch = RecordBatch::new();
    batch.push_if(|to| {
        to.resize(to.len() + 4096, 1);
        true
    });
    open.journal.append(&mut batch);
    let error = open.journal.close().unwrap_err();
    assert!(matches!(error, JournalError::RecordTooLarge { seq: 1, .. }), "{error}");
}

/// After a failed sync, Linux considers the pages written and returns them to readers; no later sync
/// writes them.
#[test]
fn d8_what_is_seen_after_a_failed_sync_and_a_restart_is_durable_or_not_shown() {
    for durability in [Durability::Fsync, Durability::Interval] {
        for closing in [false, true] {
            let mut seen = 0;
            for records in 1..12 {
                let disk = FaultyDisk::new();
                let config = config(durability, 16 * 1024);
                let mut open = open_on(&disk, &config).unwrap();
                append(&mut *open.journal, 1, 3);
                open.journal.sync();
                until("synced", || open.reports.synced() == 3);
                // The successor of the segment is being created concurrently.
                until("no segment is being made", || open.journal.stats().segments == 2);
                if closing {
                    // Fails the sync of the closing mark.
                    disk.fail_syncs_after(Some(0));
                } else {
                    disk.fail_syncs_after(Some(0));
                    append(&mut *open.journal, 4, records);
                    open.journal.sync();
                }
                open.journal.close().unwrap_err();
                let again = disk.kill();
                let mut open = open_on(&again, &config).unwrap();
                let shown = open.records.len() as RecordSeq;
                assert!(shown >= 3);
                seen = seen.max(shown);
                for seed in 0..6 {
                    open_with(&again.cut_power(seed), &config, shown..=shown, seed);
                }
                // What follows is built on the durable part.
                let last = append(&mut *open.journal, shown + 1, 2);
                open.journal.sync();
                until("synced", || open.reports.synced() == last);
                for seed in 0..6 {
                    open_with(&again.cut_power(seed), &config, last..=last, seed);
                }
            }
            assert!(closing || seen > 3, "{seen}");
        }
    }
}
