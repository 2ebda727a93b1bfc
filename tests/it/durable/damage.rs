//! Damaged data directories.

use std::fs;
use std::os::unix::fs::FileExt;

use super::{Home, serve_in};
use crate::process::{run, wakeful};

/// Returns a directory with some sets in its log, after the server ended by `signal`.
pub(crate) fn written(signal: &str) -> Home {
    let home = Home::new();
    let server = home.server();
    for nth in 0..5 {
        server.ok(&["set", &format!("key{nth}"), "some value"]);
    }
    server.signal(signal);
    server.finish();
    home
}

/// Flips the first nonzero byte after `from`; returns its position.
pub(crate) fn flip(path: &std::path::Path, from: usize) -> u64 {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let bytes = fs::read(path).unwrap();
    let at = (from..bytes.len()).find(|at| bytes[*at] != 0).unwrap() as u64;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    at
}

pub(crate) fn refused(home: &Home) -> String {
    let before: Vec<Vec<u8>> = home.segments().iter().map(|path| fs::read(path).unwrap()).collect();
    let dir = home.dir();
    let listen = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    let told = run(&[&listen[..], &serve_in(&dir)].concat()).fails(6);
    let after: Vec<Vec<u8>> = home.segments().iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "the directory was changed");
    told
}

#[test]
fn d6_a_flipped_bit_refuses_to_start_and_names_file_and_offset() {
    for signal in ["TERM", "KILL"] {
        let home = written(signal);
        let segment = home.segments()[0].clone();
        flip(&segment, 512 + 64);
        let told = refused(&home);
        let name = segment.file_name().unwrap().to_str().unwrap();
        assert!(told.contains(name) && told.contains("at byte 576"), "{told}");
    }
}

#[test]
fn d6_a_missing_segment_refuses_to_start() {
    let home = written("TERM");
    let last = home.segments().pop().unwrap();
    fs::remove_file(&last).unwrap();
    let told = refused(&home);
    assert!(told.contains(last.file_name().unwrap().to_str().unwrap()), "{told}");
}

#[test]
fn d6_a_foreign_file_refuses_to_start() {
    let home = written("TERM");
    fs::write(&home.segments()[0], b"SQLite format 3\0").unwrap();
    refused(&home);
}

#[test]
fn d6_a_repair_says_what_it_drops_asks_and_the_rest_is_there() {
    let home = written("TERM");
    let segment = home.segments()[0].clone();
    let dir = home.dir();
    let dir = dir.to_str().unwrap();
    // The record of the third key.
    let bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(4).position(|name| name == b"key2").unwrap();
    flip(&segment, at);
    let verify = ["journal", "verify", "--data-dir", dir];
    let told = run(&verify).fails(6);
    let place = told.split("at byte ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let name = segment.file_name().unwrap().to_str().unwrap();
    let place = format!("{name}:{place}");
    let repair = ["journal", "repair", "--truncate-at", &place, "--data-dir", dir];
    // Without confirmation, nothing is changed.
    let before = fs::read(&segment).unwrap();
    let told = run(&repair).fails(1);
    assert!(told.contains("drops about 3 records after record 2"), "{told}");
    assert!(told.contains("type yes"), "{told}");
    assert_eq!(fs::read(&segment).unwrap(), before);
    let answered = crate::process::Running::start_with_input(wakeful(&repair), b"yes\n").finish();
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    run(&verify).ok();
    let server = home.server();
    assert_eq!((server.ok(&["get", "key1"]), server.status("keys")), ("some value\n".into(), 2));
    // A directory in use is never repaired.
    run(&[&repair[..], &["--yes"]].concat()).fails(7);
}

#[test]
fn d6_a_torn_tail_is_cut_and_the_log_says_how_many_bytes() {
    let home = written("KILL");
    let server = home.server();
    server.ok(&["set", "torn", &"v".repeat(3000)]);
    server.signal("KILL");
    server.finish();
    // As after a power failure during the last write: one of its sectors never reached the disk.
    let segment = home.segments()[0].clone();
    let mut bytes = fs::read(&segment).unwrap();
    let begin = bytes.windows(4).rposition(|mark| mark == b"WKCM").unwrap();
    let sector = (begin + 1024) / 512 * 512;
    bytes[sector..sector + 512].fill(0);
    fs::write(&segment, &bytes).unwrap();
    let torn = bytes[begin..].iter().filter(|byte| **byte != 0).count();
    let dir = home.dir();
    let told = run(&["journal", "verify", "--data-dir", dir.to_str().unwrap()]).ok();
    assert!(told.contains(&format!("a torn tail of {torn} bytes")), "{told}");

    let server = home.server();
    assert_eq!(server.status("keys"), 5);
    server.run(&["get", "torn"]).fails(3);
    server.signal("TERM");
    let told = server.finish().stderr;
    assert!(told.contains(&format!("bytes={torn}")) && told.contains("cut"), "{told}");
}
