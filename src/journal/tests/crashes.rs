//! Crashes at any change of the disk, with snapshots: everything that was reported as synced survives.

use super::*;

/// Opens, appends and takes snapshots until the disk ends after this many `changes`; returns what was
/// synced then and what was handed over. `None`: everything was done before.
fn live(disk: &FaultyDisk, config: &JournalConfig, changes: u64) -> Option<(RecordSeq, RecordSeq)> {
    disk.end_after(Some(changes));
    let Ok(mut open) = open_on(disk, config) else { return Some((0, 0)) };
    let mut last = open.records.len() as u64;
    let reports = open.reports.clone();
    let ended = |seq: RecordSeq| {
        // Ends without failing, too, when a segment cannot be created.
        until("synced, or ended", || reports.synced() == seq || disk.has_ended());
        reports.synced() < seq
    };
    for records in [5, 4] {
        last = append(&mut *open.journal, last + 1, records);
        open.journal.sync();
        if ended(last) {
            return Some((reports.synced(), last));
        }
        tell_snapshot(&mut *open.journal, last);
        open.journal.finish_snapshot();
        // Appends continue during the snapshot.
        let of = last;
        last = append(&mut *open.journal, last + 1, 2);
        open.journal.sync();
        let done = || reports.snapshots().iter().any(|it| it.seq == of) || disk.has_ended();
        until("the snapshot is safe, or failed", done);
        if ended(last) {
            return Some((reports.synced(), last));
        }
    }
    let closed = open.journal.close();
    (closed.is_err() || disk.has_ended()).then_some((last, last))
}

fn check(
    disk: &FaultyDisk,
    config: &JournalConfig,
    safe: RecordSeq,
    last: RecordSeq,
    what: &str,
) -> RecordSeq {
    let open = open_on(disk, config).unwrap_or_else(|error| panic!("{what}: {error}"));
    let have = open.records.len() as u64;
    assert!((safe..=last).contains(&have), "{what}: {have} of {safe}..={last}");
    assert_eq!(open.records, payloads(have), "{what}");
    have
}

#[test]
fn d2_a_crash_at_any_change_loses_nothing_synced() {
    for durability in [Durability::Fsync, Durability::Interval] {
        let config = config(durability, 2048);
        let mut changes = 0;
        loop {
            let disk = FaultyDisk::new();
            let Some((safe, last)) = live(&disk, &config, changes) else { break };
            check(&disk.kill(), &config, safe, last, &format!("killed at {changes}"));
            for seed in 0..6 {
                let what = format!("cut at {changes}, seed {seed}");
                check(&disk.cut_power(seed), &config, safe, last, &what);
            }
            changes += 1;
        }
        assert!(changes > 60, "{changes}");
    }
}

#[test]
fn d2_a_crash_at_any_change_of_the_opening_after_a_crash_loses_nothing_synced() {
    let config = config(Durability::Fsync, 2048);
    for changes in (0..).step_by(3) {
        let disk = FaultyDisk::new();
        let Some((safe, last)) = live(&disk, &config, changes) else { break };
        for (left, how) in [(disk.kill(), "kill"), (disk.cut_power(changes), "cut")] {
            // More than opening makes.
            for then in 0..20 {
                let again = left.kill();
                again.end_after(Some(then));
                if let Ok(open) = open_on(&again, &config) {
                    assert_eq!(open.records, payloads(open.records.len() as u64));
                }
                for seed in 0..3 {
                    let what = format!("{how} at {changes}, cut at {then}, seed {seed}");
                    check(&again.cut_power(seed), &config, safe, last, &what);
                }
            }
        }
    }
}

#[test]
fn d2_random_lives_with_snapshots_lose_nothing_synced() {
    for seed in 0..600 {
        let durability = if seed % 2 == 0 { Durability::Fsync } else { Durability::Interval };
        random_life(seed, durability);
    }
}

/// Appends and takes snapshots on one disk until a power failure, a kill or neither, repeatedly.
fn random_life(seed: u64, durability: Durability) {
    let mut below = choices(seed);
    let config = config(durability, 4096);
    let mut disk = FaultyDisk::new();
    let (mut last, mut safe) = (0, 0);
    for _ in 0..5 {
        disk.short_writes(below(4) == 0);
        let (mut open, have) = open_with(&disk, &config, safe..=last, seed);
        (last, safe) = (have, have);
        for _ in 0..below(8) {
            last = append(&mut *open.journal, last + 1, 1 + below(4));
            match below(6) {
                0 => open.journal.sync(),
                1 => until("written", || open.journal.pending_bytes() == 0),
                2 => {
                    tell_snapshot(&mut *open.journal, last);
                    open.journal.finish_snapshot();
                }
                3 => take_snapshot(&mut open, last),
                4 => {
                    tell_snapshot(&mut *open.journal, last);
                    if below(2) == 0 {
                        open.journal.abandon_snapshot();
                    }
                }
                _ => {}
            }
        }
        assert_eq!((open.reports.failures(), open.reports.snapshot_failures()), (0, 0), "{seed}");
        let synced = open.reports.synced();
        let snapshot = open.reports.snapshots().last().map_or(0, |it| it.seq);
        safe = safe.max(synced).max(snapshot);
        disk = match below(5) {
            0 => {
                safe = safe.max(open.reports.written());
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
fn d10_a_snapshots_name_that_a_kill_left_in_memory_is_durable_before_the_log_goes() {
    let config = config(Durability::Fsync, 2048);
    let disk = FaultyDisk::new();
    let mut open = open_on(&disk, &config).unwrap();
    append(&mut *open.journal, 1, 8);
    until("synced", || open.reports.synced() == 8);
    let before = disk.kill();
    take_snapshot(&mut open, 8);
    let bytes = content(&disk, &snapshot_of(8));
    // As if the process had ended between the renaming of the snapshot and the sync of its directory.
    let temporary = Path::new(DIR).join("0000000000000008.snap.tmp");
    before.create(&temporary).unwrap().write_all_at(0, &bytes).unwrap();
    before.open(&temporary).unwrap().sync_data().unwrap();
    before.rename(&temporary, &snapshot_of(8)).unwrap();
    for changes in 0..12 {
        let disk = before.kill();
        disk.end_after(Some(changes));
        let opened = open_on(&disk, &config);
        for seed in 0..40 {
            let what = format!("cut at {changes}, seed {seed}");
            check(&disk.cut_power(seed), &config, 8, 8, &what);
        }
        drop(opened);
    }
}
