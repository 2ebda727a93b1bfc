//! A data directory whose files an operator removes before, while and after a server uses it.

use std::fs;
use std::path::Path;

use super::{Home, serve_in};
use crate::process::{Server, run};

/// Limits that make segments small.
const SMALL: [&str; 14] = [
    "store.key_bytes_max=128",
    "store.value_bytes_max=1KiB",
    "store.range_keys_max=128",
    "store.range_bytes_max=8KiB",
    "store.txn_ops_max=16",
    "store.revision_bytes_max=32KiB",
    "queue.payload_bytes_max=4KiB",
    "queue.output_bytes_max=4KiB",
    "queue.error_bytes_max=256",
    "queue.errors_kept_max=2",
    "queue.name_bytes_max=128",
    "journal.segment_bytes=64KiB",
    "journal.snapshot_log_bytes=16KiB",
    "rpc.shutdown_grace=1s",
];

fn small(dir: &Path) -> Server {
    let limits = SMALL.iter().flat_map(|limit| ["--limit", limit]);
    let durable = ["--durability", "fsync", "--data-dir", dir.to_str().unwrap()];
    Server::start_with(&durable.into_iter().chain(limits).collect::<Vec<_>>())
}

/// Returns the message of a server on `dir` that must not start.
fn refused(dir: &Path, exit: i32) -> String {
    let listen = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    run(&[&listen[..], &serve_in(dir)].concat()).fails(exit)
}

fn stop(server: Server) {
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
}

#[test]
fn d7_a_second_server_is_refused_when_the_lock_file_is_gone() {
    let home = Home::new();
    let server = home.server();
    server.ok(&["set", "a", "1"]);
    fs::remove_file(home.dir().join("lock")).unwrap();
    assert!(refused(&home.dir(), 7).contains("another process"));
    run(&["journal", "verify", "--data-dir", home.dir().to_str().unwrap()]).fails(7);
    server.ok(&["set", "a", "2"]);
    server.signal("KILL");
    server.finish();
    assert_eq!(home.server().ok(&["get", "a"]), "2\n");
}

#[test]
fn d7_a_second_server_is_refused_when_every_file_is_gone() {
    let home = Home::new();
    let server = home.server();
    server.ok(&["set", "a", "1"]);
    let entries = fs::read_dir(home.dir()).unwrap();
    entries.for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
    assert!(refused(&home.dir(), 7).contains("another process"));
}

#[test]
fn d6_a_directory_whose_files_are_gone_is_not_silently_a_new_store() {
    let home = Home::new();
    let server = home.server();
    server.ok(&["set", "a", "1"]);
    let (dir, backup) = (home.dir(), home.dir().with_file_name("backup"));
    server.ok(&["backup", backup.to_str().unwrap()]);
    stop(server);
    // As `rm *` does.
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            fs::remove_file(path).unwrap();
        }
    }
    let told = refused(&dir, 6);
    assert!(told.contains("held a store") && told.contains("wakeful restore"), "{told}");
    run(&["journal", "verify", "--data-dir", dir.to_str().unwrap()]).fails(6);
    // Both ways out that the message names.
    run(&["restore", backup.to_str().unwrap(), "--data-dir", dir.to_str().unwrap()]).ok();
    let server = home.server();
    assert_eq!(server.ok(&["get", "a"]), "1\n");
    stop(server);
    for path in home.segments() {
        fs::remove_file(path).unwrap();
    }
    assert!(refused(&dir, 6).contains("this segment is missing"), "its snapshot is there");
    for entry in fs::read_dir(&dir).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(home.server().status("keys"), 0, "begun anew on purpose");
}

#[test]
fn d7_a_directory_that_is_moved_is_the_same_store_and_another_in_its_place_is_not() {
    let home = Home::new();
    let (dir, moved) = (home.dir(), home.dir().with_file_name("moved"));
    let first = small(&dir);
    first.ok(&["set", "whose", "first"]);
    fs::rename(&dir, &moved).unwrap();
    assert!(refused(&moved, 7).contains("another process"));
    let second = small(&dir);
    second.ok(&["set", "whose", "second"]);
    // Enough segments and snapshots for each server to meet the other's files, if they shared the
    // directory.
    let value = "v".repeat(1000);
    for nth in 0..100 {
        for server in [&first, &second] {
            server.ok(&["set", &format!("key{}", nth % 4), &value]);
        }
    }
    for (server, dir, whose) in [(first, &moved, "first\n"), (second, &dir, "second\n")] {
        server.signal("KILL");
        server.finish();
        let again = small(dir);
        assert_eq!((again.ok(&["get", "whose"]), again.status("keys")), (whose.into(), 5));
        stop(again);
    }
}
