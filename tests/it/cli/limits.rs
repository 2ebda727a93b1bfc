//! The command line can use everything that a server's limits allow, and splits larger requests.

use std::fs;

use serde_json::json;

use crate::process::{Running, Server};

const MIB: usize = 1024 * 1024;

/// A server with limits above all defaults.
fn generous() -> Server {
    Server::start_with(&[
        "--limit=rpc.frame_bytes_max=64MiB",
        "--limit=store.value_bytes_max=12MiB",
        "--limit=store.revision_bytes_max=16MiB",
        "--limit=journal.segment_bytes=64MiB",
        "--limit=queue.payload_bytes_max=4MiB",
        "--limit=queue.output_bytes_max=4MiB",
        "--limit=queue.push_bytes_max=8MiB",
        "--limit=queue.push_jobs_max=3000",
        "--limit=queue.credits_max=2000",
    ])
}

/// Runs a command with this input, and returns its output.
fn fed(server: &Server, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let ran = Running::start_with_input(server.command(arguments), input).finish();
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{arguments:?}");
    ran.stdout
}

#[test]
fn what_a_server_allows_the_command_line_reads_sends_and_takes() {
    let server = generous();
    let value = vec![b'v'; 10 * MIB];
    fed(&server, &["set", "large", "-"], &value);
    assert_eq!(fed(&server, &["get", "large", "--raw"], b""), value);
    let payload = vec![b'p'; 3 * MIB];
    let pushed = fed(&server, &["job", "push", "w", "-"], &payload);
    let id = String::from_utf8(pushed).unwrap();
    let work = ["job", "work", "w", "--once", "--concurrency", "2000", "--", "cat"];
    fed(&server, &work, b"");
    assert_eq!(fed(&server, &["job", "wait", id.trim(), "--raw"], b""), payload);
    let lines = [&payload[..], b"\nsmall\n"].concat();
    assert_eq!(fed(&server, &["job", "push", "t", "--lines"], &lines), b"2\n3\n");
    assert_eq!(fed(&server, &["job", "push", "t", "-"], &payload), b"4\n");
    let reserved = ["job", "reserve", "t", "--credits", "2000", "--wait", "1s", "--json"];
    let mut held = server.spawn(&reserved);
    let first = held.json();
    assert_eq!(
        (&first["reservation"]["id"], first["payload"].as_str().unwrap().len()),
        (&json!(2), payload.len())
    );
}

#[test]
fn what_is_more_than_a_frame_of_the_server_holds_is_refused_and_not_cut() {
    let server = Server::start();
    let input = vec![b'v'; 8 * MIB + 1];
    let set = Running::start_with_input(server.command(&["set", "large", "-"]), &input);
    let told = set.finish().fails(1);
    assert!(told.contains("8388608") && told.contains("rpc.frame_bytes_max"), "{told}");
    let long = vec![b'p'; MIB + 1];
    let lines = [b"first\n", &long[..], b"\nthird\n"].concat();
    let push = server.command(&["job", "push", "t", "--lines"]);
    let ran = Running::start_with_input(push, &lines).finish();
    assert_eq!((ran.code, &ran.stdout[..]), (Some(1), &b"1\n"[..]));
    assert!(ran.stderr.contains("line 2") && ran.stderr.contains("1048576"), "{}", ran.stderr);
}

/// Regression: deletes of prefixes with more than 100,000 keys were refused, and there was no other
/// way.
#[test]
fn keys_beyond_what_one_revision_may_change_are_deleted_in_parts_when_asked_for() {
    let server = Server::start_with(&[
        "--limit=store.revision_events_max=100",
        "--limit=store.range_keys_max=30",
    ]);
    let sets = |prefix: &str, from: usize| {
        let set = |nth: usize| json!({"set": {"key": format!("{prefix}{nth:04}"), "value": "v"}});
        json!({"success": (from..from + 100).map(set).collect::<Vec<_>>()}).to_string()
    };
    for from in [0, 100, 200] {
        fed(&server, &["txn"], sets("a/", from).as_bytes());
    }
    fed(&server, &["set", "b", "stays"], b"");
    let told = server.run(&["del", "a/", "--prefix"]).fails(1);
    assert!(told.contains("store.revision_events_max") && told.contains("--yes"), "{told}");
    assert_eq!(server.ok(&["range", "a/", "--prefix", "--count-only"]), "300\n");
    assert_eq!(server.ok(&["del", "a/", "--prefix", "--yes"]), "300\n");
    assert_eq!(server.ok(&["range", "--all"]), "b\tstays\n");
    for from in [0, 100] {
        fed(&server, &["txn"], sets("c/", from).as_bytes());
    }
    let parts = server.run(&["del", "c/", "--to", "d", "--yes", "--previous", "--json"]).objects();
    assert!(parts.len() > 1, "{parts:?}");
    let deleted: u64 = parts.iter().map(|part| part["deleted"].as_u64().unwrap()).sum();
    let previous = parts.iter().flat_map(|part| part["previous"].as_array().unwrap());
    let keys: Vec<_> = previous.map(|kv| kv["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!((deleted, keys.len()), (200, 200));
    assert!(keys.is_sorted());
    let told = server.run(&["del", "", "--prefix"]).fails(2);
    assert!(told.contains("--all"), "{told}");
    assert_eq!(server.ok(&["range", "--all", "--count-only"]), "1\n");
}

/// Regression: the keys of a lease were sent in one reply, which did not fit in a frame.
#[test]
fn a_lease_with_more_keys_than_a_frame_holds_is_shown_whole() {
    const KEYS: usize = 3_000;
    let server = Server::start();
    server.ok(&["lease", "grant", "1h", "--id", "42"]);
    let long = "k".repeat(3_990);
    let key = |nth: usize| format!("{nth:04}/{long}");
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("txn.json");
    for nth in (0..KEYS).step_by(1_000) {
        let set = |nth| json!({"set": {"key": key(nth), "value": "", "lease": 42}});
        let sets: Vec<_> = (nth..nth + 1_000).map(set).collect();
        fs::write(&path, json!({"success": sets}).to_string()).unwrap();
        server.ok(&["txn", path.to_str().unwrap()]);
    }
    let shown = server.ok(&["lease", "ttl", "42", "--keys"]);
    let mut lines = shown.lines();
    assert!(lines.next().unwrap().starts_with("remaining "));
    assert!(lines.eq((0..KEYS).map(key)));
    let left = server.ok(&["lease", "ttl", "42"]);
    assert!(left.starts_with("remaining ") && left.lines().count() == 1, "{left}");
    assert_eq!(server.ok(&["lease", "revoke", "42"]), format!("{KEYS}\n"));
}
