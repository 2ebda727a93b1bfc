//! Forged log lines, and floods of log lines.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::victim::{Victim, closed};
use crate::auth::{LOGIN_FAILED, Users, login_token};
use crate::process::{Server, wakeful};
use crate::support::body::{self, From, get, key};
use crate::support::raw::{ERROR, PREFACE, Raw, WELCOME, frame, hello, request};

const SECRET: &str = "s3cr3t-value-of-nobody";

/// Text that a peer may put into a name, a key or a value to forge a line of the log.
const FORGED: &str =
    "x\r\n2026-01-01T00:00:00Z  INFO wakeful: forged=\"yes\"\x1b[2J\x1b]0;title\x07";

/// Triggers every kind of log line at the most verbose level, and returns the log.
fn logged(format: &str) -> String {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "trace", "--log-format", format];
    let victim = Victim::of(Server::run_by(wakeful(&serve)));
    let name = format!("{FORGED}{}", "n".repeat(100));
    let mut raw = victim.connect();
    raw.send(&[&PREFACE[..], &hello(&name)].concat());
    raw.expect_preface();
    assert_eq!(raw.next().kind, WELCOME);
    raw.set(FORGED.as_bytes(), SECRET.as_bytes());
    raw.set(SECRET.as_bytes(), b"1");
    raw.call(get(SECRET.as_bytes()));
    let stream = raw.open_stream(1000);
    raw.watch(stream, 1, key(SECRET.as_bytes()), From::Now);
    raw.park(body::wait(key(FORGED.as_bytes()), body::CHANGED, 600_000));
    // A refusal whose reason contains the name.
    assert_eq!(raw.call(body::watch_add(stream, 1, key(FORGED.as_bytes()), From::Now)).kind, ERROR);
    // The logged ends of connections: an unknown protocol, and a violation of ours.
    for bytes in [FORGED.as_bytes().to_vec(), frame(99, 0, 1, FORGED.as_bytes())] {
        let mut other = victim.connect();
        if bytes[4] == 99 {
            other = other.welcome();
        }
        other.socket().write_all(&bytes).unwrap();
        other.rest();
    }
    raw.send(&request(stream, get(SECRET.as_bytes())));
    while raw.next().id != 0 {}
    let ran = victim.stop();
    assert_eq!(ran.code, Some(0));
    ran.stderr
}

#[test]
fn abuse_30_nothing_a_peer_says_is_a_line_of_the_log_and_no_secret_stands_in_it() {
    let human = logged("human");
    assert!(human.contains("listening"), "{human}");
    for line in human.lines() {
        assert!(!line.starts_with("2026-01-01"), "a forged line: {line}");
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
    }
    let json = logged("json");
    for line in json.lines() {
        let entry: Value = serde_json::from_str(line).expect(line);
        assert_ne!(entry["fields"]["forged"], "yes");
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
    }
    for log in [&human, &json] {
        assert!(!log.contains(SECRET), "a key or a value is in the log: {log}");
    }
}

/// Names that operators are shown do not reach their terminals unescaped.
#[test]
fn abuse_30_the_name_of_a_client_is_shown_without_its_control_characters() {
    let victim = Victim::start();
    let mut raw = victim.connect();
    raw.send(&[&PREFACE[..], &hello(FORGED)].concat());
    raw.expect_preface();
    assert_eq!(raw.next().kind, WELCOME);
    raw.park(body::wait(key(b"a"), body::CHANGED, 600_000));
    let shown = victim.server().ok(&["watchers"]);
    assert!(
        shown.lines().all(|line| line.chars().all(|c| c == '\t' || !c.is_control())),
        "{shown:?}"
    );
    assert!(!shown.lines().any(|line| line.starts_with("2026-01-01")), "{shown}");
    drop(Raw::open(victim.addr()));
}

/// Returns the number of lines of a log that contain `text`, and how many more were suppressed
/// according to the log.
fn counted(log: &str, text: &str, of: &str) -> (usize, u64) {
    let lines = log.lines().filter(|line| line.contains(text)).count();
    let left_out = log.lines().filter(|line| line.contains(of)).filter_map(|line| {
        let (_, count) = line.split_once("left_out=")?;
        count.split_whitespace().next()?.parse::<u64>().ok()
    });
    (lines, left_out.sum())
}

/// The lines of each kind that are written per hour, longer than any test lasts.
const WRITTEN: [&str; 4] =
    ["--limit", "rpc.stranger_lines_max=7", "--limit", "rpc.stranger_lines_interval=1h"];

/// Any peer could write 95 GB of log a day by connecting repeatedly.
#[test]
fn abuse_32_strangers_that_connect_again_and_again_fill_no_log() {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "debug"];
    let victim = Victim::of(Server::run_by(wakeful(&[&serve[..], &WRITTEN].concat())));
    let said: [&[u8]; 4] =
        [b"no protocol at all", b"GET / HTTP/1.1\r\n\r\n", b"{]", b"WAKEFUL\x02"];
    for nth in 0..200 {
        let mut raw = victim.connect();
        raw.send(said[nth % said.len()]);
        closed(&raw);
    }
    let left_out = victim.server().ok(&["status", "--json"]);
    let status: Value = serde_json::from_str(&left_out).unwrap();
    assert!(status["log_stranger_lines_left_out"].as_u64().unwrap() >= 193, "{status}");
    let log = victim.stop().stderr;
    let (lines, left_out) = counted(&log, ": refused", "of=\"refused\"");
    assert_eq!((lines, left_out), (7, 193), "{log}");
    assert!(log.lines().count() < 100, "{log}");
}

#[test]
fn abuse_32_logins_that_fail_are_counted_where_they_are_not_written() {
    let users = Users::new(&[]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "info", "--auth", users.path()];
    let victim = Victim::of(Server::run_by(wakeful(&[&serve[..], &WRITTEN].concat())));
    // Fewer from each address than the number that slows it down.
    for nth in 0..60 {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + nth / 6));
        let mut raw = Raw::connect_from(from, victim.addr()).welcome();
        assert_eq!(raw.call(login_token("nobody's")).refusal().code, LOGIN_FAILED);
    }
    // The acts of an authenticated peer are logged without a limit.
    for _ in 0..20 {
        users.raw("root", victim.server()).call(body::compact(1));
    }
    let log = victim.stop().stderr;
    let (lines, left_out) =
        counted(&log, "act=\"login failed\" user", "act=\"login failed\" left_out");
    assert_eq!((lines, left_out), (7, 53), "{log}");
    let (acts, _) = counted(&log, "act=\"login\" user=\"root\"", "no summary");
    assert_eq!(acts, 20, "{log}");
}
