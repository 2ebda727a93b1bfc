//! Creating a journal from a snapshot's file.

use super::*;

const TO: &str = "/restored";

/// Returns a disk with a backup of `last` records at `/backup`.
fn backup(last: RecordSeq) -> (FaultyDisk, JournalConfig) {
    let disk = FaultyDisk::new();
    let config = config(Durability::Fsync, 4096);
    let mut open = open_on(&disk, &config).unwrap();
    if last > 0 {
        append(&mut *open.journal, 1, last);
    }
    take_snapshot(&mut open, last);
    open.journal.close().unwrap();
    let of = FaultyDisk::new();
    of.put(Path::new("/backup"), content(&disk, &snapshot_of(last)));
    (of, config)
}

fn restore_on(
    disk: &FaultyDisk,
    config: &JournalConfig,
) -> (Result<Contents, JournalError>, Vec<Vec<u8>>) {
    let mut records = Vec::new();
    let mut replay = |_, payload: &[u8]| {
        records.push(payload.to_vec());
        Ok(())
    };
    let restored = restore(disk, Path::new("/backup"), Path::new(TO), config, 78, &mut replay);
    (restored, records)
}

fn open_restored(disk: &FaultyDisk, config: &JournalConfig) -> Result<Open, JournalError> {
    open_dir(Arc::new(disk.clone()), Path::new(TO), config)
}

#[test]
fn d11_a_restored_journal_has_every_record_and_goes_on() {
    for last in [0, 1, 9] {
        let (disk, config) = backup(last);
        let (restored, records) = restore_on(&disk, &config);
        assert_eq!((restored.unwrap().store_id, records), (77, payloads(last)));
        for round in 0..3 {
            let mut open = open_restored(&disk, &config).unwrap();
            assert_eq!((open.records, open.store_id), (payloads(last + round), 78));
            append(&mut *open.journal, last + round + 1, 1);
            open.journal.close().unwrap();
        }
    }
}

#[test]
fn d11_every_flipped_byte_and_every_truncation_of_a_backup_is_found() {
    let (disk, config) = backup(9);
    let bytes = content(&disk, Path::new("/backup"));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        for changed in [flipped, bytes[..at].to_vec()] {
            let copy = disk.kill();
            copy.put(Path::new("/backup"), changed);
            let before = copy.contents();
            let error = restore_on(&copy, &config).0.unwrap_err();
            assert!(is_damage(&error), "{error}");
            assert_eq!(copy.contents(), before);
        }
    }
}

#[test]
fn d11_a_directory_with_a_journal_is_refused() {
    let (disk, config) = backup(9);
    restore_on(&disk, &config).0.unwrap();
    let before = disk.contents();
    let again = restore_on(&disk, &config).0.unwrap_err();
    assert!(matches!(again, JournalError::NotEmpty { .. }), "{again}");
    assert_eq!(disk.contents(), before);
    let open = open_restored(&disk, &config).unwrap();
    let busy = restore_on(&disk, &config).0.unwrap_err();
    assert!(matches!(busy, JournalError::Locked { .. }), "{busy}");
    open.journal.close().unwrap();
}

#[test]
fn d6_a_restored_journal_that_lost_its_snapshot_is_no_empty_store() {
    let (disk, config) = backup(9);
    restore_on(&disk, &config).0.unwrap();
    let of_snapshot = |it: &&(PathBuf, Vec<u8>)| it.0.extension().is_some_and(|it| it == "snap");
    let snapshot = disk.contents().iter().find(of_snapshot).unwrap().0.clone();
    for opened in [false, true] {
        if opened {
            open_restored(&disk, &config).unwrap().journal.close().unwrap();
        }
        let copy = disk.kill();
        copy.remove(&snapshot).unwrap();
        let error = open_restored(&copy, &config).err().expect("it opens as an empty store");
        assert!(is_damage(&error), "{error}");
    }
}

#[test]
fn d11_a_crash_while_restoring_leaves_all_or_what_is_refused() {
    let (disk, config) = backup(9);
    for changes in 0.. {
        let copy = disk.kill();
        copy.end_after(Some(changes));
        let done = restore_on(&copy, &config).0.is_ok();
        for seed in 0..8 {
            let left = if seed == 0 { copy.kill() } else { copy.cut_power(seed) };
            match open_restored(&left, &config) {
                Err(error) => assert!(!done && is_damage(&error), "{changes}: {error}"),
                // Nothing was created yet: it is a new store, with an id that was never reported.
                Ok(open) if open.records.is_empty() => assert!(!done && open.store_id == 77),
                Ok(open) => assert_eq!((open.records, open.store_id), (payloads(9), 78)),
            }
        }
        if done {
            break;
        }
    }
}
