//! `wait` and `watch`: one process waits, another sets, the first prints the change.

use serde_json::{Value, json};

use crate::process::{Running, Server};

impl Server {
    /// Starts a `wait`, and returns once the server has parked it.
    fn waiting(&self, arguments: &[&str]) -> Running {
        let parked = self.status("waits");
        let wait = self.spawn(&[&["wait", "--timeout", "60s"], arguments].concat());
        self.until_status("waits", parked + 1);
        wait
    }

    /// Starts a `watch`, and returns once the server has opened it.
    fn watching(&self, arguments: &[&str]) -> Running {
        let present = self.status("watches");
        let watch = self.spawn(&[&["watch"], arguments].concat());
        self.until_status("watches", present + 1);
        watch
    }
}

#[test]
fn w8_one_process_waits_another_sets_the_first_prints_the_change() {
    let server = Server::start();
    let mut watch = server.watching(&["greeting"]);
    let wait = server.waiting(&["greeting"]);
    let any = server.waiting(&[]);
    let other = server.waiting(&["other", "--json"]);
    server.ok(&["set", "greeting", "hello"]);
    assert_eq!(watch.line(), "put greeting hello (revision 2)");
    assert_eq!(wait.finish().ok(), "greeting\n");
    assert_eq!(any.finish().ok(), "greeting\n");
    server.ok(&["set", "other", "x"]);
    let met = other.finish().json();
    let kv = json!({"key": "other", "value": "x", "create_revision": 3, "mod_revision": 3,
        "version": 1, "lease": "0"});
    let expected = json!({"met": true, "revision": 3, "event": {"kv": kv, "previous": null}});
    assert_eq!(met, expected);
    server.ok(&["del", "greeting"]);
    assert_eq!(watch.line(), "delete greeting (revision 4)");
    assert!(watch.is_quiet());
}

#[test]
fn t2_a_timeout_exits_with_4_and_says_where_to_go_on() {
    let server = Server::start();
    server.ok(&["set", "a", "1"]);
    let told = server.run(&["wait", "b", "--timeout", "20ms"]).fails(4);
    assert_eq!(told, "timeout; continue with --after 2\n");
    let json = server.run(&["wait", "b", "--timeout", "20ms", "--json"]);
    assert_eq!((json.code, &*json.stderr), (Some(4), ""));
    assert_eq!(json.stdout, b"{\"met\":false,\"revision\":2,\"event\":null}\n");
    server.ok(&["set", "b", "1"]);
    server.ok(&["set", "b", "2"]);
    let first = server.run(&["wait", "b", "--after", "2", "--json"]).json();
    assert_eq!((&first["event"]["kv"]["value"], &first["revision"]), (&json!("1"), &json!(3)));
    server.until_status("waits", 0);
}

#[test]
fn t3_a_loop_of_waits_misses_nothing() {
    let server = Server::start();
    for nth in 0..10 {
        server.ok(&["set", "k", &nth.to_string()]);
    }
    let mut after = json!(1);
    for nth in 0..10 {
        let met = server.run(&["wait", "k", "--after", &after.to_string(), "--json"]).json();
        assert_eq!(met["event"]["kv"]["value"], nth.to_string());
        after = met["revision"].clone();
    }
    assert_eq!(after, 11);
}

#[test]
fn t4_conditions_that_hold_already_are_answered_at_once() {
    let server = Server::start();
    server.ok(&["set", "phase", "ready"]);
    assert_eq!(server.ok(&["wait", "phase", "--exists"]), "phase\n");
    assert_eq!(server.ok(&["wait", "phase", "--equals", "ready"]), "phase\n");
    assert_eq!(server.ok(&["wait", "phase", "--differs", "steady"]), "phase\n");
    assert_eq!(server.ok(&["wait", "phase", "--mod-above", "1"]), "phase\n");
    assert_eq!(server.ok(&["wait", "lock", "--absent"]), "lock\n");
    assert_eq!(server.ok(&["wait", "lock/", "--prefix", "--absent"]), "");
    let absent = server.run(&["wait", "lock", "--absent", "--json"]).json();
    assert_eq!(absent, json!({"met": true, "revision": 2, "event": null}));
}

#[test]
fn t4_conditions_that_do_not_hold_yet_are_waited_for() {
    let server = Server::start();
    server.ok(&["set", "phase", "ready"]);
    let equals = server.waiting(&["phase", "--equals", "go"]);
    let differs = server.waiting(&["phase", "--differs", "ready", "--json"]);
    let absent = server.waiting(&["phase", "--absent", "--json"]);
    let exists = server.waiting(&["jobs/", "--prefix", "--exists"]);
    let above = server.waiting(&["phase", "--mod-above", "3", "--json"]);
    server.ok(&["set", "phase", "steady"]);
    assert_eq!(differs.finish().json()["event"]["kv"]["value"], "steady");
    server.ok(&["set", "phase", "go"]);
    assert_eq!(equals.finish().ok(), "phase\n");
    assert_eq!(above.finish().json()["revision"], 4);
    server.ok(&["set", "jobs/1", "x"]);
    assert_eq!(exists.finish().ok(), "jobs/1\n");
    server.ok(&["del", "phase"]);
    let gone = absent.finish().json();
    assert_eq!((&gone["event"]["kv"]["version"], &gone["revision"]), (&json!(0), &json!(6)));
}

#[test]
fn watch_shows_what_was_asked_for() {
    let server = Server::start();
    let mut plain = server.watching(&["a", "--json"]);
    let mut previous = server.watching(&["a", "--previous"]);
    let mut puts = server.watching(&["a", "--puts-only", "--keys-only"]);
    let mut deletes = server.watching(&["--all", "--deletes-only", "--json", "--previous"]);
    let mut prefix = server.watching(&["b/", "--prefix"]);
    let mut range = server.watching(&["b/2", "--to", "b/3"]);
    server.ok(&["set", "a", "1"]);
    server.ok(&["set", "a", "two\nlines"]);
    server.ok(&["del", "a"]);
    server.ok(&["set", "b/1", "x"]);
    server.ok(&["set", "b/2", "y"]);
    server.ok(&["set", "a", "end"]);
    let kv = json!({"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2,
        "version": 1, "lease": "0"});
    let put = json!({"type": "put", "revision": 2, "kv": kv, "previous": null});
    assert_eq!(plain.json(), put);
    assert_eq!(plain.json()["kv"]["value"], "two\nlines");
    let kv = json!({"key": "a", "value": "", "create_revision": 0, "mod_revision": 4,
        "version": 0, "lease": "0"});
    let delete = json!({"type": "delete", "revision": 4, "kv": kv, "previous": null});
    assert_eq!(plain.json(), delete);
    assert_eq!(previous.line(), "put a 1 (revision 2, new)");
    assert_eq!(previous.line(), "put a two\\nlines (revision 3, previous 1)");
    assert_eq!(previous.line(), "delete a (revision 4, previous two\\nlines)");
    assert_eq!(puts.line(), "put a (revision 2)");
    assert_eq!(puts.line(), "put a (revision 3)");
    assert_eq!(puts.line(), "put a (revision 7)");
    let deleted = deletes.json();
    assert_eq!((&deleted["type"], &deleted["revision"]), (&json!("delete"), &json!(4)));
    assert_eq!(deleted["previous"]["value"], "two\nlines");
    assert_eq!(prefix.line(), "put b/1 x (revision 5)");
    assert_eq!(prefix.line(), "put b/2 y (revision 6)");
    assert_eq!(range.line(), "put b/2 y (revision 6)");
    assert!(prefix.is_quiet() && range.is_quiet() && deletes.is_quiet());
}

#[test]
fn watch_ends_by_count() {
    let server = Server::start();
    let watch = server.watching(&["--count", "2"]);
    for key in ["a", "b", "c"] {
        server.ok(&["set", key, "1"]);
    }
    assert_eq!(watch.finish().ok(), "put a 1 (revision 2)\nput b 1 (revision 3)\n");
    server.until_status("watches", 0);
    server.until_status("streams", 0);
}

#[test]
fn w5_watch_from_a_revision_shows_history_first() {
    let server = Server::start();
    for nth in 2..=5 {
        server.ok(&["set", "a", &nth.to_string()]);
    }
    let watch = server.run(&["watch", "a", "--from", "3", "--count", "3"]).ok();
    assert_eq!(watch, "put a 3 (revision 3)\nput a 4 (revision 4)\nput a 5 (revision 5)\n");
    let future = server.run(&["watch", "a", "--from", "100", "--json"]).fails(1);
    let refusal: Value = serde_json::from_str(&future).unwrap();
    assert_eq!(refusal["error"]["code"], "FutureRevision");
    assert_eq!(refusal["error"]["current"], 5);
}

#[test]
fn w7_watch_from_a_snapshot_shows_the_keys_a_marker_and_what_follows() {
    let server = Server::start();
    server.ok(&["set", "b", "2"]);
    server.ok(&["set", "a", "1"]);
    server.ok(&["set", "a", "one"]);
    let mut text = server.watching(&["--snapshot"]);
    let mut json = server.watching(&["--snapshot", "--json", "--count", "1"]);
    server.ok(&["del", "b"]);
    assert_eq!(text.line(), "snapshot a one (revision 4)");
    assert_eq!(text.line(), "snapshot b 2 (revision 2)");
    assert_eq!(text.line(), "synced (revision 4)");
    assert_eq!(text.line(), "delete b (revision 5)");
    let kv = json!({"key": "a", "value": "one", "create_revision": 3, "mod_revision": 4,
        "version": 2, "lease": "0"});
    assert_eq!(json.json(), json!({"type": "snapshot", "revision": 4, "kv": kv}));
    assert_eq!(json.json()["kv"]["key"], "b");
    assert_eq!(json.json(), json!({"type": "snapshot_end", "revision": 4}));
    assert_eq!(json.finish().json()["type"], "delete");
}

#[test]
fn w6_progress_says_up_to_where() {
    let server = Server::start();
    let mut text = server.watching(&["a", "--progress", "100ms"]);
    let mut json = server.watching(&["a", "--progress", "100ms", "--json"]);
    assert_eq!(text.line(), "progress (revision 1)");
    assert_eq!(json.json(), json!({"type": "progress", "revision": 1}));
    server.ok(&["set", "b", "not shown"]);
    while text.line() != "progress (revision 2)" {}
}

#[test]
fn w4_a_transaction_is_shown_whole() {
    let server = Server::start();
    let mut watch = server.watching(&["--json"]);
    server.ok(&["txn", "--set", "a", "1", "--set", "b", "2", "--set", "c", "3"]);
    for key in ["a", "b", "c"] {
        let event = watch.json();
        assert_eq!((&event["kv"]["key"], &event["revision"]), (&json!(key), &json!(2)));
    }
}

#[test]
fn s8_the_end_of_a_ttl_is_seen() {
    let server = Server::start();
    let mut watch = server.watching(&["lock"]);
    server.ok(&["set", "lock", "me", "--ttl", "150ms"]);
    assert_eq!(watch.line(), "put lock me (revision 2)");
    assert_eq!(server.ok(&["wait", "lock", "--absent"]), "lock\n");
    assert_eq!(watch.line(), "delete lock (revision 3)");
    assert_eq!(server.run(&["get", "lock"]).code, Some(3));
}
