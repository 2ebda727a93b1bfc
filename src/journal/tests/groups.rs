//! Records that were handed over as one group are read back all or not at all.

use super::*;
use crate::journal::format::{
    COMMIT_HEAD, CommitHead, CommitSlot, FLAG_MASKED, FRAME_BYTES, Records, SEGMENT_HEAD,
    SegmentHead, frame_len, mask,
};

/// An open journal, and the payloads that were replayed.
struct Found {
    journal: Box<dyn Journal>,
    reports: Reports,
    records: Vec<Vec<u8>>,
    last: RecordSeq,
}

fn open_groups(disk: &FaultyDisk, config: &JournalConfig) -> Result<Found, JournalError> {
    let reports = Reports::default();
    let mut records = Vec::new();
    let mut before = 0;
    let mut replay = |seq, payload: &[u8]| {
        assert!(seq > before, "{seq} after {before}");
        before = seq;
        records.push(payload.to_vec());
        Ok(())
    };
    let disk = Arc::new(disk.clone());
    let opened = open(disk, Path::new(DIR), config, 77, reports.sink(), &mut replay)?;
    let OpenedJournal { journal, last, .. } = opened;
    Ok(Found { journal, reports, records, last })
}

/// Returns a batch of one group, whose records are the payloads of these numbers.
fn group(numbers: impl Iterator<Item = RecordSeq>) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let mut numbers = numbers;
    batch.push_group(|out| match numbers.next() {
        Some(number) => {
            out.extend_from_slice(&payload(number));
            true
        }
        None => false,
    });
    batch
}

/// Returns groups of these sizes, numbered consecutively.
fn groups(sizes: &[u64]) -> Vec<std::ops::Range<RecordSeq>> {
    let mut next = 1;
    let group = |size: &u64| {
        next += size;
        next - size..next
    };
    sizes.iter().map(group).collect()
}

/// Returns the framed records of a batch, one by one.
fn frames(mut framed: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !framed.is_empty() {
        let (frame, rest) = framed.split_at(frame_len(framed) as usize);
        frames.push(frame.to_vec());
        framed = rest;
    }
    frames
}

/// Returns the journal of a disk as it was before and after each of its records, each in a commit of
/// its own. The journal must not have a snapshot.
pub(crate) fn cuts(disk: &FaultyDisk, dir: &Path, config: &JournalConfig) -> Vec<FaultyDisk> {
    let mut all = Vec::new();
    let mut store_id = 0;
    for (path, bytes) in disk.contents() {
        if path.extension().is_none_or(|it| it != "log") {
            continue;
        }
        let head = SegmentHead::decode(&bytes[..SEGMENT_HEAD]).unwrap();
        store_id = head.store_id;
        let mut at = SEGMENT_HEAD;
        while let Some(slot) = bytes.get(at..at + COMMIT_HEAD)
            && let CommitSlot::Commit(commit) = CommitHead::decode(slot, head.salt, at as u64)
        {
            let from = at + COMMIT_HEAD;
            let mut body = bytes[from..from + commit.bytes as usize].to_vec();
            if commit.flags & FLAG_MASKED != 0 {
                mask(&mut body, head.salt, from as u64);
            }
            let framed = |record: Result<crate::journal::format::CommitRecord, usize>| {
                let record = record.unwrap();
                body[record.at..record.at + FRAME_BYTES + record.payload.len()].to_vec()
            };
            all.extend(Records::of(&body).map(framed));
            at += commit.span() as usize;
        }
    }
    let copy = FaultyDisk::new();
    let reports = Reports::default();
    let (to, report) = (Arc::new(copy.clone()), reports.sink());
    let opened = open(to, dir, config, store_id, report, &mut |_, _| Ok(()));
    let mut journal = opened.unwrap().journal;
    let mut cuts = vec![copy.kill()];
    for framed in all {
        let last = journal.append(&mut RecordBatch { framed, records: 1 });
        journal.sync();
        until("synced", || reports.synced() == last);
        cuts.push(copy.kill());
    }
    cuts
}

/// Checks that the records read back are whole groups, from the first on; returns how many.
fn whole(groups: &[std::ops::Range<RecordSeq>], records: &[Vec<u8>], what: &str) -> usize {
    let last = records.len() as RecordSeq + 1;
    let count = groups.iter().take_while(|group| group.end <= last).count();
    let expected: Vec<_> = groups[..count].iter().cloned().flatten().map(payload).collect();
    assert_eq!(records, expected, "{what}");
    count
}

const SIZES: [u64; 9] = [1, 3, 1, 8, 2, 30, 1, 5, 4];

#[test]
fn d2_a_log_that_is_cut_behind_any_record_has_whole_groups_only() {
    let config = config(Durability::Fsync, 4096);
    let disk = FaultyDisk::new();
    let mut found = open_groups(&disk, &config).unwrap();
    let groups = groups(&SIZES);
    for group in &groups {
        let mut batch = self::group(group.clone());
        assert_eq!(batch.records(), group.end - group.start);
        found.journal.append(&mut batch);
    }
    found.journal.close().unwrap();
    let cuts = cuts(&disk, Path::new(DIR), &config);
    assert_eq!(cuts.len() as u64, SIZES.iter().sum::<u64>() + 1);
    for (records, cut) in (0..).zip(cuts) {
        let what = format!("behind record {records}");
        let verified = verify(&cut, Path::new(DIR), &mut |_, _| Ok(())).unwrap();
        let found = open_groups(&cut, &config).unwrap();
        let count = whole(&groups, &found.records, &what);
        let ends = groups.iter().filter(|group| group.end <= records + 1).count();
        assert_eq!((count, found.last), (ends, records), "{what}");
        assert_eq!(verified.unfinished, records - found.records.len() as u64, "{what}");
    }
}

#[test]
fn d2_a_group_that_was_cut_short_never_comes_back() {
    let config = config(Durability::Fsync, 4096);
    for (first, cut) in [(4, 1), (4, 3), (30, 29)] {
        let disk = FaultyDisk::new();
        let mut found = open_groups(&disk, &config).unwrap();
        let begun = frames(&group(1..=first).framed);
        for framed in begun.into_iter().take(cut) {
            found.journal.append(&mut RecordBatch { framed, records: 1 });
        }
        found.journal.close().unwrap();
        // Whatever follows: a record, a group, another group that is cut short, a snapshot.
        for round in 0..3 {
            let mut found = open_groups(&disk, &config).unwrap();
            let expected: Vec<_> = (0..round).flat_map(|_| (100..=104).map(payload)).collect();
            assert_eq!(found.records, expected);
            found.journal.append(&mut group(100..=103));
            found.journal.append(&mut group(104..=104));
            let framed = frames(&group(1..=2).framed).remove(0);
            found.journal.append(&mut RecordBatch { framed, records: 1 });
            found.journal.close().unwrap();
        }
        let verified = verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap();
        assert_eq!(verified.unfinished, cut as u64 + 3);
    }
}

#[test]
fn d6_the_end_of_a_group_without_its_beginning_is_damage() {
    let config = config(Durability::Fsync, 4096);
    let disk = FaultyDisk::new();
    let mut found = open_groups(&disk, &config).unwrap();
    let end = frames(&group(1..=3).framed).remove(2);
    found.journal.append(&mut RecordBatch { framed: end, records: 1 });
    found.journal.close().unwrap();
    let error = open_groups(&disk, &config).err().unwrap();
    assert!(is_damage(&error) && error.to_string().contains("has not begun"), "{error}");
}

/// Hands over groups until the disk ends after this many `changes`; returns how many groups were synced
/// then. `None`: everything was done before.
fn live(
    disk: &FaultyDisk,
    config: &JournalConfig,
    groups: &[std::ops::Range<RecordSeq>],
    changes: u64,
) -> Option<usize> {
    disk.end_after(Some(changes));
    let Ok(mut found) = open_groups(disk, config) else { return Some(0) };
    for (done, group) in groups.iter().enumerate() {
        let last = found.journal.append(&mut self::group(group.clone()));
        found.journal.sync();
        until("synced, or ended", || found.reports.synced() == last || disk.has_ended());
        if found.reports.synced() < last {
            return Some(done);
        }
    }
    found.journal.close().is_err().then_some(groups.len())
}

#[test]
fn d2_a_crash_at_any_change_leaves_whole_groups_and_none_that_was_synced_is_lost() {
    let groups = groups(&SIZES);
    for durability in [Durability::Fsync, Durability::Interval] {
        let config = config(durability, 2560);
        let mut unfinished = 0;
        for changes in 0.. {
            let disk = FaultyDisk::new();
            let Some(safe) = live(&disk, &config, &groups, changes) else { break };
            for seed in 0..4 {
                let left = if seed == 0 { disk.kill() } else { disk.cut_power(seed) };
                let what = format!("ended at {changes}, seed {seed}");
                unfinished +=
                    verify(&left, Path::new(DIR), &mut |_, _| Ok(())).map_or(0, |it| it.unfinished);
                let mut found = open_groups(&left, &config).unwrap();
                let count = whole(&groups, &found.records, &what);
                assert!((safe..=safe + 1).contains(&count), "{what}: {count} of {safe}");
                // Appends continue after them.
                let from = groups[..count].last().map_or(1, |group| group.end);
                found.journal.append(&mut group(from..from + 3));
                found.journal.close().unwrap();
                let again = open_groups(&left, &config).unwrap();
                assert_eq!(again.records, payloads(from + 2), "{what}");
            }
        }
        assert!(unfinished > 0);
    }
}
