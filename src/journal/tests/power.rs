//! A power failure loses nothing that was synced, and of the rest a suffix.

use super::*;

/// Appends on one disk until a power failure, a kill or neither, repeatedly.
fn live_through(seed: u64, durability: Durability) {
    let mut below = choices(seed);
    let config = config(durability, 4096);
    let mut disk = FaultyDisk::new();
    let (mut last, mut safe) = (0, 0);
    for _ in 0..4 {
        disk.short_writes(below(4) == 0);
        let (mut open, have) = open_with(&disk, &config, safe..=last, seed);
        last = have;
        safe = have;
        // Sometimes in the middle of opening's own writes.
        let rounds = below(8);
        for _ in 0..rounds {
            last = append(&mut *open.journal, last + 1, 1 + below(4));
            match below(4) {
                0 => open.journal.sync(),
                1 => until("written", || open.journal.pending_bytes() == 0),
                2 if durability == Durability::Fsync => {
                    until("synced", || open.reports.synced() == last);
                }
                _ => {}
            }
        }
        // What is reported before the failure must be there after it.
        safe = safe.max(open.reports.synced());
        disk = match below(5) {
            0 => {
                let written = open.reports.written().max(safe);
                safe = written;
                disk.kill()
            }
            1 => {
                safe = last;
                open.journal.close().unwrap();
                disk.cut_power(below(1 << 30))
            }
            _ => disk.cut_power(below(1 << 30)),
        };
    }
}

#[test]
fn fsync_loses_nothing_reported_as_synced() {
    (0..1200).for_each(|seed| live_through(seed, Durability::Fsync));
}

#[test]
fn interval_loses_only_a_suffix_of_what_was_not_synced() {
    (0..1200).for_each(|seed| live_through(seed, Durability::Interval));
}

#[test]
fn a_cut_while_the_tail_is_cut_off_changes_nothing() {
    let config = config(Durability::Interval, 8192);
    let mut torn = 0;
    for seed in 0..200 {
        let disk = FaultyDisk::new();
        let mut open = open_on(&disk, &config).unwrap();
        for seq in 1..=6 {
            append(&mut *open.journal, seq, 1);
            until("written", || open.reports.written() == seq);
        }
        let left = disk.cut_power(seed);
        // The zeros are written, their sync fails.
        left.fail_syncs_after(Some(0));
        match open_on(&left, &config) {
            Ok(_) => continue,
            Err(error) => assert!(matches!(error, JournalError::Io { .. }), "{error}"),
        }
        let again = left.cut_power(seed + 1);
        let open = open_on(&again, &config).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert_eq!(open.records, payloads(open.records.len() as u64));
        torn += u64::from(open.cut_bytes > 0);
    }
    assert!(torn > 0);
}

#[test]
fn a_kill_loses_nothing_written() {
    for durability in [Durability::Interval, Durability::Fsync] {
        let disk = FaultyDisk::new();
        let config = config(durability, 4096);
        let mut open = open_on(&disk, &config).unwrap();
        append(&mut *open.journal, 1, 30);
        until("written", || open.reports.written().max(open.reports.synced()) == 30);
        let again = open_on(&disk.kill(), &config).unwrap();
        assert_eq!((again.records, again.cut_bytes), (payloads(30), 0));
    }
}

#[test]
fn a_name_that_a_kill_left_in_memory_is_durable_before_it_is_used() {
    let config = config(Durability::Fsync, 4096);
    let disk = FaultyDisk::new();
    drop(open_on(&disk, &config).unwrap().journal);
    // As if the process had ended between the renaming of segment 2 and the sync of its directory.
    let bytes = content(&disk, &segment(2));
    disk.remove(&segment(2)).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.create(&segment(2)).unwrap().write_all_at(0, &bytes).unwrap();
    disk.open(&segment(2)).unwrap().sync_data().unwrap();
    let disk = disk.kill();
    let mut open = open_on(&disk, &config).unwrap();
    append(&mut *open.journal, 1, 3);
    until("synced", || open.reports.synced() == 3);
    for seed in 0..20 {
        let left = disk.cut_power(seed);
        assert_eq!(open_on(&left, &config).unwrap().records, payloads(3), "{seed}");
    }
}
