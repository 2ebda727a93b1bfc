//! Backups of a running server, and stores restored from them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wakeful::{CallOptions, KeyRange, KvRequest, LeaseGrantRequest, Operations, SetRequest};

use super::kills::{count_of, write};
use super::{Home, connect, within};
use crate::process::{Ran, Running, Server, run, until, wakeful};
use crate::support::body::Body;
use crate::support::raw::Raw;

const WRITERS: u64 = 4;

fn file(home: &Home, name: &str) -> PathBuf {
    home.0.path().join(name)
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

fn restore(file: &std::path::Path, to: &Home) -> Ran {
    run(&["restore", text(file), "--data-dir", text(&to.dir())])
}

/// Returns a file with a backup of a few keys.
fn backup(home: &Home) -> PathBuf {
    let server = home.server();
    for nth in 0..5 {
        server.ok(&["set", &format!("key{nth}"), "some value"]);
    }
    let file = file(home, "backup");
    server.ok(&["backup", text(&file)]);
    file
}

#[tokio::test]
async fn d11_a_backup_under_load_has_what_was_acknowledged_before_and_transactions_whole() {
    let home = Home::new();
    let server = home.server();
    let client = connect(server.addr()).await;
    let acknowledged: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let writers: Vec<_> = acknowledged
        .iter()
        .zip(0..)
        .map(|(acknowledged, writer)| {
            tokio::spawn(write(client.clone(), writer, 0, Arc::clone(acknowledged)))
        })
        .collect();
    let counts = || acknowledged.iter().map(|it| it.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let mut backups = Vec::new();
    for nth in 0..3 {
        within(async {
            while counts().iter().any(|count| *count < 20 * (nth + 1)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let before = counts();
        let file = file(&home, &format!("{nth}"));
        let running = server.spawn(&["backup", text(&file)]);
        tokio::task::spawn_blocking(|| running.finish().ok()).await.unwrap();
        backups.push((file, before));
    }
    server.signal("KILL");
    server.finish();
    client.close().await;
    let mut last = Vec::new();
    for writer in writers {
        last.push(within(writer).await.unwrap().0);
    }
    for (file, before) in backups {
        let restored = Home::new();
        restore(&file, &restored).ok();
        let server = restored.server();
        let client = connect(server.addr()).await;
        for (writer, (before, last)) in before.into_iter().zip(&last).enumerate() {
            let left = within(count_of(&client, format!("left/{writer}"))).await.unwrap();
            let right = within(count_of(&client, format!("right/{writer}"))).await.unwrap();
            assert_eq!(left, right, "half a transaction of writer {writer}");
            assert!((before..=last + 1).contains(&left), "{before} before, {left} in the backup");
        }
        client.close().await;
    }
}

#[tokio::test]
async fn d11_a_restored_store_has_the_same_keys_history_leases_and_replies_under_a_new_id() {
    let home = Home::new();
    let server = home.server();
    let client = connect(server.addr()).await;
    let grant = LeaseGrantRequest { id: 7, ttl: Duration::from_secs(3600) };
    within(client.call(KvRequest::LeaseGrant(grant))).await.unwrap();
    within(client.set(SetRequest { lease: 7, ..SetRequest::new("leased", "1") })).await.unwrap();
    for value in ["1", "2", "3"] {
        within(client.set(SetRequest::new("a", value))).await.unwrap();
    }
    within(client.set(SetRequest::new("gone", "1"))).await.unwrap();
    within(client.delete(KeyRange::key("gone"))).await.unwrap();
    let once = || KvRequest::Set(SetRequest::new("once", "1")).into();
    let first = within(client.call_with(once(), CallOptions::once(42))).await.unwrap();
    let before = within(client.status()).await.unwrap();
    let file = file(&home, "backup");
    let told = server.run(&["backup", text(&file), "--json"]).json();
    assert_eq!(told["revision"].as_u64(), Some(before.revision));
    assert_eq!(told["store_id"].as_str(), Some(&*format!("{:016x}", before.store_id)));
    assert_eq!(told["bytes"].as_u64(), Some(fs::metadata(&file).unwrap().len()));

    let restored = Home::new();
    restore(&file, &restored).ok();
    run(&["journal", "verify", "--data-dir", text(&restored.dir())]).ok();
    // Repeatedly, after writes and a kill.
    for nth in 0..2 {
        let again = restored.server();
        let other = connect(again.addr()).await;
        let after = within(other.status()).await.unwrap();
        assert_ne!(after.store_id, before.store_id);
        assert_eq!((after.revision, after.oldest), (before.revision + nth, before.oldest));
        for revision in 1..=before.revision {
            for key in ["a", "leased", "gone", "once"] {
                let (there, here) = (client.get_at(key, revision), other.get_at(key, revision));
                let (there, here) = (within(there).await.unwrap(), within(here).await.unwrap());
                assert_eq!(here.kv, there.kv, "{key} at {revision}");
            }
        }
        let lease = within(other.lease_time_to_live(7)).await.unwrap();
        assert_eq!((lease.granted, lease.keys.len()), (Duration::from_secs(3600), 1));
        assert!(lease.remaining > Duration::from_secs(1200), "{lease:?}");
        let reply = within(other.call_with(once(), CallOptions::once(42))).await.unwrap();
        assert_eq!(reply, first);
        within(other.set(SetRequest::new("later", "1"))).await.unwrap();
        other.close().await;
        again.signal("KILL");
        again.finish();
    }
}

#[test]
fn d11_a_damaged_or_truncated_backup_is_refused_and_nothing_made() {
    let home = Home::new();
    let file = backup(&home);
    let bytes = fs::read(&file).unwrap();
    let to = Home::new();
    for at in [0, 20, 63, 70, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        for changed in [&flipped[..], &bytes[..at]] {
            fs::write(&file, changed).unwrap();
            let told = restore(&file, &to).fails(6);
            assert!(told.contains(text(&file)), "{told}");
            assert!(!to.dir().exists());
        }
    }
    fs::remove_file(&file).unwrap();
    restore(&file, &to).fails(1);
    assert!(!to.dir().exists());
}

/// Returns every file in a store's directory, with its content.
fn files(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(home.dir()).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn d11_a_directory_with_a_store_is_not_restored_into() {
    let home = Home::new();
    let file = backup(&home);
    let before = files(&home);
    let told = restore(&file, &home).fails(2);
    assert!(told.contains("already exists"), "{told}");
    assert!(files(&home) == before, "the directory was changed");
    let server = home.server();
    restore(&file, &home).fails(7);
    assert_eq!(server.ok(&["get", "key1"]), "some value\n");
}

#[test]
fn d11_a_file_that_exists_is_not_overwritten() {
    let home = Home::new();
    let server = home.server();
    let file = file(&home, "backup");
    fs::write(&file, b"precious").unwrap();
    let told = server.run(&["backup", text(&file)]).fails(2);
    assert!(told.contains("exists"), "{told}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let nowhere = home.0.path().join("no/such/dir");
    server.run(&["backup", text(&nowhere)]).fails(1);
}

#[test]
fn d11_a_file_is_replaced_only_when_asked_for_and_by_a_whole_backup_that_only_its_owner_reads() {
    let home = Home::new();
    let server = home.server();
    server.ok(&["set", "a", "1"]);
    let file = file(&home, "backup");
    fs::write(&file, b"precious").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let told = server.run(&["backup", text(&file)]).fails(2);
    assert!(told.contains("--force"), "{told}");
    server.ok(&["backup", text(&file), "--force"]);
    assert_eq!(mode(&file), 0o600);
    let names = fs::read_dir(home.0.path()).unwrap().map(|it| it.unwrap().file_name());
    let parts = names.filter(|name| name.to_string_lossy().contains("part")).count();
    assert_eq!(parts, 0);
    let restored = Home::new();
    restore(&file, &restored).ok();
    assert_eq!(restored.server().ok(&["get", "a"]), "1\n");
    let link = home.0.path().join("null");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let told = server.run(&["backup", text(&link), "--force"]).fails(2);
    assert!(told.contains("not a regular file"), "{told}");
}

#[test]
fn d11_a_backup_goes_through_a_pipe_both_ways() {
    let home = Home::new();
    let server = home.server();
    server.ok(&["set", "a", "1"]);
    let temporary = tempfile::tempdir().unwrap();
    let mut backup = server.command(&["backup", "-"]);
    backup.env("TMPDIR", temporary.path());
    let backup = backup.output().unwrap();
    assert!(backup.status.success());
    let told = String::from_utf8(backup.stderr).unwrap();
    assert!(told.starts_with("revision 2, ") && told.lines().count() == 1, "{told}");
    assert!(!home.0.path().join("-").exists());
    let from_stdin = |bytes: &[u8], to: &Home| {
        let mut restore = wakeful(&["restore", "-", "--data-dir", text(&to.dir())]);
        restore.env("TMPDIR", temporary.path());
        Running::start_with_input(restore, bytes).finish()
    };
    let restored = Home::new();
    from_stdin(&backup.stdout, &restored).ok();
    assert_eq!(restored.server().ok(&["get", "a"]), "1\n");
    let other = Home::new();
    let told = from_stdin(&backup.stdout[..backup.stdout.len() - 1], &other).fails(6);
    assert!(told.contains("standard input") && !told.contains(".part"), "{told}");
    assert!(!other.dir().exists());
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn d11_a_server_in_memory_has_no_backups() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start();
    let told = server.run(&["backup", text(&dir.path().join("backup"))]).fails(2);
    assert!(told.contains("in memory"), "{told}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn d6_the_snapshot_of_a_damaged_directory_restores() {
    let home = Home::new();
    let snapshot = {
        let server = home.server();
        server.ok(&["set", "a", "1"]);
        server.ok(&["backup", text(&file(&home, "backup"))]);
        fs::read_dir(home.dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|it| it == "snap"))
            .unwrap()
    };
    let to = Home::new();
    restore(&snapshot, &to).ok();
    assert_eq!(to.server().ok(&["get", "a"]), "1\n");
}

#[test]
fn d11_a_peer_that_asks_for_parts_and_takes_none_is_not_served_ahead() {
    const ASKED: u64 = 4_000;
    let home = Home::new();
    let server = home.server();
    let mut raw = Raw::open(server.addr().parse().unwrap());
    for key in [b"a", b"b", b"c", b"d"] {
        raw.set(key, &vec![7; 512 * 1024]);
    }
    let made = raw.call(Body::request(18));
    let mut reply = made.reply(18);
    let (_, id, bytes) = (reply.u64(), reply.u64(), reply.u64());
    assert!(bytes > 2 * 1024 * 1024);
    let before = server.status("requests");
    // The requests that reading the number itself adds.
    let asking = server.status("requests") - before;
    for _ in 0..ASKED {
        raw.ask(Body::request(19).u64(id).u64(0).u32(0));
    }
    // The server answers as much as the sockets take, then nothing more until it is read.
    let mut last = 0;
    until("nothing more is served", || {
        let now = server.status("requests");
        now == std::mem::replace(&mut last, now) + asking && now > before + 2 * asking
    });
    let served = last - before;
    assert!(served < ASKED / 4, "{served} parts of 64 KiB were made for nobody");
    assert_eq!(server.ok(&["set", "e", "others are served"]).lines().count(), 1);
}
