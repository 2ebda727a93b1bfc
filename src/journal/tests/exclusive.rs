//! One process per directory; a directory that held a store is not taken for a new one.

use super::*;
use crate::journal::disk::RealDisk;
use crate::journal::exclusive::{LOCK, MARKER};

const LAST: RecordSeq = 20;

fn in_dir(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Returns a closed journal of several segments, with or without a snapshot of its first twelve
/// records.
fn closed(snapshot: bool) -> (FaultyDisk, JournalConfig) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut open = open_on(&disk, &config).unwrap();
    append(&mut *open.journal, 1, 12);
    if snapshot {
        take_snapshot(&mut open, 12);
    }
    append(&mut *open.journal, 13, LAST - 12);
    open.journal.close().unwrap();
    (disk, config)
}

#[test]
fn d7_a_second_open_is_refused_without_the_lock_file_too() {
    let (disk, config) = closed(false);
    let open = open_on(&disk, &config).unwrap();
    disk.remove(&in_dir(LOCK)).unwrap();
    let locked = JournalError::Locked { dir: DIR.into() };
    assert_eq!(open_on(&disk, &config).err().unwrap(), locked);
    assert_eq!(verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap_err(), locked);
    open.journal.close().unwrap();
    open_on(&disk, &config).unwrap();
}

#[test]
fn d7_a_process_of_an_earlier_version_excludes_and_is_excluded() {
    let (disk, config) = closed(false);
    // Earlier versions lock only the file.
    let earlier = disk.lock(&in_dir(LOCK)).unwrap();
    assert!(earlier.is_some());
    let locked = JournalError::Locked { dir: DIR.into() };
    assert_eq!(open_on(&disk, &config).err().unwrap(), locked);
    assert_eq!(verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap_err(), locked);
    drop(earlier);
    let open = open_on(&disk, &config).unwrap();
    assert!(disk.lock(&in_dir(LOCK)).unwrap().is_none());
    open.journal.close().unwrap();
    assert!(disk.lock(&in_dir(LOCK)).unwrap().is_some());
}

#[test]
fn d6_whichever_files_are_gone_no_store_is_taken_for_a_new_one() {
    for snapshot in [false, true] {
        let (disk, config) = closed(snapshot);
        let files: Vec<_> = disk.contents().into_iter().collect();
        let marker = |path: &Path| path == in_dir(MARKER);
        assert!(files.iter().any(|(path, _)| marker(path)));
        let (mut refused, mut whole) = (0, 0);
        for gone in 0..1_u32 << files.len() {
            let copy = disk.kill();
            let removed = files.iter().enumerate().filter(|(at, _)| gone & 1 << at != 0);
            removed.for_each(|(_, (path, _))| copy.remove(path).unwrap());
            let before = copy.contents();
            let left = |suffix: &str| before.iter().any(|(path, _)| path.ends_with(suffix));
            let any = before.iter().any(|(path, _)| path.extension().is_some());
            match open_on(&copy, &config) {
                // Without the marker as well, the directory is as new as one that never had a store.
                Ok(open) if !any && !left(MARKER) => assert!(open.records.is_empty()),
                Ok(open) => {
                    whole += 1;
                    assert_eq!(open.records, payloads(LAST), "{gone:b}");
                }
                Err(error) => {
                    refused += 1;
                    let gone = matches!(error, JournalError::Gone { .. });
                    assert_eq!(gone, !any, "{error}");
                    assert!(gone || is_damage(&error), "{error}");
                    // A lock does not count as a change.
                    let mut after = copy.contents();
                    after.retain(|(path, _)| *path != in_dir(LOCK) || left(LOCK));
                    assert_eq!(after, before, "{gone}");
                }
            }
        }
        assert!(refused > 0 && whole > 0, "{refused} {whole}");
    }
}

#[test]
fn d6_a_directory_of_an_earlier_version_is_marked_when_it_is_opened() {
    let (disk, config) = closed(true);
    disk.remove(&in_dir(MARKER)).unwrap();
    verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap();
    open_on(&disk, &config).unwrap().journal.close().unwrap();
    for (path, _) in segments(&disk) {
        disk.remove(&path).unwrap();
    }
    let error = open_on(&disk, &config).err().expect("it opens");
    let marker = in_dir(MARKER).display().to_string();
    assert!(error.to_string().contains(&format!("remove {marker}")), "{error}");
    assert_eq!(verify(&disk, Path::new(DIR), &mut |_, _| Ok(())).unwrap_err(), error);
    // As the message suggests.
    disk.remove(&in_dir(MARKER)).unwrap();
    assert!(open_on(&disk, &config).unwrap().records.is_empty());
}

#[test]
fn d6_a_crash_while_a_store_is_made_leaves_one_that_can_be_made() {
    let config = config(Durability::Fsync, 4096);
    for changes in 0.. {
        let disk = FaultyDisk::new();
        disk.end_after(Some(changes));
        let opened = open_on(&disk, &config);
        let done = opened.is_ok() && !disk.has_ended();
        for seed in 0..20 {
            let left = if seed == 0 { disk.kill() } else { disk.cut_power(seed) };
            let open = open_on(&left, &config);
            let open = open.unwrap_or_else(|error| panic!("{changes}, {seed}: {error}"));
            assert!(open.records.is_empty());
        }
        if done {
            break;
        }
    }
}

#[test]
fn d11_a_backup_can_be_restored_where_the_files_are_gone() {
    let (disk, config) = closed(true);
    let backup = content(&disk, &snapshot_of(12));
    for (path, _) in segments(&disk) {
        disk.remove(&path).unwrap();
    }
    disk.put(Path::new("/backup"), backup);
    let mut replay = |_, _: &[u8]| Ok(());
    restore(&disk, Path::new("/backup"), Path::new(DIR), &config, 78, &mut replay).unwrap();
    let open = open_on(&disk, &config).unwrap();
    assert_eq!((open.records, open.store_id), (payloads(12), 78));
}

#[test]
fn d7_a_directory_that_is_moved_goes_on_under_its_new_name() {
    let home = tempfile::tempdir().unwrap();
    let (dir, moved) = (home.path().join("data"), home.path().join("moved"));
    let config = config(Durability::Fsync, 4096);
    let open_real = |dir: &Path| open_dir(Arc::new(RealDisk), dir, &config);
    let mut first = open_real(&dir).unwrap();
    append(&mut *first.journal, 1, 4);
    std::fs::rename(&dir, &moved).unwrap();
    let locked = open_real(&moved).err().unwrap();
    assert_eq!(locked, JournalError::Locked { dir: moved.clone() });
    // A second journal in its place: neither writes to the other's files.
    let mut second = open_real(&dir).unwrap();
    append(&mut *second.journal, 1, 30);
    append(&mut *first.journal, 5, LAST - 4);
    until("synced", || first.reports.synced() == LAST);
    take_snapshot(&mut first, LAST);
    first.journal.close().unwrap();
    second.journal.close().unwrap();
    assert_eq!(open_real(&moved).unwrap().records, payloads(LAST));
    assert_eq!(open_real(&dir).unwrap().records, payloads(30));
}
