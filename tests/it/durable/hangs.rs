//! D8: a disk that does not answer under a running server.

use std::path::Path;

use super::{Home, serve_in};
use crate::process::{Running, until, wakeful};
use crate::support::body::{self, Body};
use crate::support::raw::{REQUEST, Raw, frame};

const SNAPSHOT: u32 = 18;
const READ_SNAPSHOT: u32 = 19;

const DEADLINE_EXCEEDED: u16 = 12;

/// Starts a server that hangs at `place` once the file exists.
fn serve(home: &Home, place: &str, file: &Path) -> (Running, Raw) {
    let dir = home.dir();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--limit", "rpc.shutdown_grace=300ms"];
    let mut command = wakeful(&[&serve[..], &serve_in(&dir)].concat());
    command.env("WAKEFUL_FAILPOINT", format!("{place}=hang@{}", file.display()));
    let mut server = Running::start(command);
    let line = server.line();
    let raw = Raw::open(line.strip_prefix("listening on ").expect(&line).parse().unwrap());
    (server, raw)
}

fn ask(raw: &mut Raw, id: u64, body: Body) {
    raw.send(&frame(REQUEST, 200, id, &body.into_bytes()));
}

/// Regression: writes, and reads of written keys, were never answered, and a SIGTERM never ended
/// the process.
#[test]
fn d8_while_a_write_hangs_requests_are_answered_in_time_and_a_stop_ends() {
    let home = Home::new();
    let now = home.0.path().join("hang");
    let (server, mut raw) = serve(&home, "journal-written", &now);
    raw.set(b"a", b"1");
    std::fs::write(&now, "").unwrap();
    ask(&mut raw, 100, body::set(b"a", b"2"));
    ask(&mut raw, 101, body::get(b"a"));
    for _ in 0..2 {
        let answer = raw.next();
        let refusal = answer.refusal();
        assert_eq!(refusal.code, DEADLINE_EXCEEDED, "{refusal:?}");
        assert!(refusal.message.contains("the disk did not store in time"), "{refusal:?}");
    }
    // Durable data can still be read.
    raw.call(body::get(b"b")).reply(1);
    server.signal("TERM");
    let ran = server.finish();
    assert_eq!(ran.code, Some(8), "{}", ran.stderr);
    assert!(ran.stderr.contains("has not finished a write or a sync in time"), "{}", ran.stderr);
    std::fs::remove_file(&now).unwrap();
    let again = home.server();
    assert_eq!(again.ok(&["get", "a"]).trim().len(), 1, "one of the two");
    until("it goes on", || again.run(&["set", "a", "3"]).code == Some(0));
}

/// Regression: a backup waited for its answer, and the stop for the backup.
#[test]
fn d8_while_a_snapshot_hangs_its_request_is_answered_in_time_and_a_stop_ends() {
    let home = Home::new();
    let now = home.0.path().join("hang");
    let (server, mut raw) = serve(&home, "snapshots", &now);
    raw.set(b"a", b"1");
    std::fs::write(&now, "").unwrap();
    ask(&mut raw, 100, Body::request(SNAPSHOT));
    ask(&mut raw, 101, Body::request(READ_SNAPSHOT).u64(1).u64(0).u32(0));
    for _ in 0..2 {
        let refusal = raw.next().refusal();
        assert_eq!(refusal.code, DEADLINE_EXCEEDED, "{refusal:?}");
    }
    // Writes do not wait for the snapshot.
    raw.set(b"a", b"2");
    server.signal("TERM");
    let ran = server.finish();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("has not finished a write or a sync in time"), "{}", ran.stderr);
    assert_eq!(home.server().ok(&["get", "a"]).trim(), "2");
}
