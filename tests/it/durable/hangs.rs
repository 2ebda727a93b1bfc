//! D8: a disk that does not answer under a running server.

use super::{Home, serve_in};
use crate::process::{Running, until, wakeful};
use crate::support::body;
use crate::support::raw::{REQUEST, Raw, frame};

const DEADLINE_EXCEEDED: u16 = 12;

/// Writes and reads of what is written were never answered, and a SIGTERM never ended the process.
#[test]
fn d8_while_a_write_hangs_requests_are_answered_in_time_and_a_stop_ends() {
    let home = Home::new();
    let now = home.0.path().join("hang");
    let dir = home.dir();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--limit", "rpc.shutdown_grace=300ms"];
    let mut command = wakeful(&[&serve[..], &serve_in(&dir)].concat());
    command.env("WAKEFUL_FAILPOINT", format!("journal-written=hang@{}", now.display()));
    let mut server = Running::start(command);
    let line = server.line();
    let mut raw = Raw::open(line.strip_prefix("listening on ").expect(&line).parse().unwrap());
    raw.set(b"a", b"1");
    std::fs::write(&now, "").unwrap();
    let ask = |raw: &mut Raw, id, body: body::Body| {
        raw.send(&frame(REQUEST, 200, id, &body.into_bytes()));
    };
    ask(&mut raw, 100, body::set(b"a", b"2"));
    ask(&mut raw, 101, body::get(b"a"));
    for _ in 0..2 {
        let answer = raw.next();
        let refusal = answer.refusal();
        assert_eq!(refusal.code, DEADLINE_EXCEEDED, "{refusal:?}");
        assert!(refusal.message.contains("the disk did not take in time"), "{refusal:?}");
    }
    // What is durable is read as ever.
    raw.call(body::get(b"b")).reply(1);
    server.signal("TERM");
    let ran = server.finish();
    assert_eq!(ran.code, Some(8), "{}", ran.stderr);
    assert!(ran.stderr.contains("has not ended a write or a sync in time"), "{}", ran.stderr);
    std::fs::remove_file(&now).unwrap();
    let again = home.server();
    assert_eq!(again.ok(&["get", "a"]).trim().len(), 1, "one of the two");
    until("it goes on", || again.run(&["set", "a", "3"]).code == Some(0));
}
