//! `lease`: granted, renewed, inspected and revoked.

use serde_json::{Value, json};

use crate::process::Server;

#[test]
fn a_lease_ends_its_keys_in_one_revision() {
    let server = Server::start();
    let id = server.ok(&["lease", "grant", "60s"]);
    let id = id.trim();
    server.ok(&["set", "worker/1", "up", "--lease", id]);
    server.ok(&["set", "worker/2", "up", "--lease", id]);
    let ttl = server.ok(&["lease", "ttl", id, "--keys"]);
    let mut lines = ttl.lines();
    let remaining = lines.next().unwrap();
    assert!(remaining.starts_with("remaining ") && remaining.ends_with(" of 60s"), "{ttl}");
    assert_eq!(lines.collect::<Vec<_>>(), ["worker/1", "worker/2"]);
    let kv = server.run(&["get", "worker/1", "--json"]).json();
    assert_eq!(kv["kv"]["lease"], id);
    assert_eq!(server.ok(&["lease", "list"]), format!("{id}\n"));
    let mut watch = server.spawn(&["watch", "--json", "--from", "4"]);
    assert_eq!(server.ok(&["lease", "revoke", id]), "2\n");
    for key in ["worker/1", "worker/2"] {
        let event = watch.json();
        assert_eq!((&event["type"], &event["revision"]), (&json!("delete"), &json!(4)));
        assert_eq!((&event["kv"]["key"], &event["previous"]), (&json!(key), &Value::Null));
    }
    assert_eq!(server.ok(&["lease", "list"]), "");
    assert!(server.run(&["lease", "ttl", id]).fails(3).contains("lease"));
}

#[test]
fn leases_have_json_forms_and_ids_of_choice() {
    let server = Server::start();
    let lease = server.run(&["lease", "grant", "60s", "--id", "42", "--json"]).json();
    let granted = json!({"revision": 1, "id": "42", "ttl_ms": 60_000, "durability": null});
    assert_eq!(lease, granted);
    let taken = server.run(&["lease", "grant", "60s", "--id", "42", "--json"]).fails(1);
    assert!(taken.contains("LeaseExists"), "{taken}");
    let renewed = server.run(&["lease", "keep-alive", "42", "--once", "--json"]).json();
    assert_eq!(renewed, json!({"revision": 1, "id": "42", "ttl_ms": 60_000}));
    server.ok(&["set", "a", "1", "--lease", "42"]);
    let ttl = server.run(&["lease", "ttl", "42", "--keys", "--json"]).json();
    assert_eq!((&ttl["granted_ms"], &ttl["keys"]), (&json!(60_000), &json!(["a"])));
    assert!((1..=60_000).contains(&ttl["remaining_ms"].as_u64().unwrap()), "{ttl}");
    let listed = server.run(&["lease", "list", "--json"]).json();
    assert_eq!(listed, json!({"revision": 2, "id": "42"}));
    let revoked = server.run(&["lease", "revoke", "42", "--json"]).json();
    let ended = json!({"revision": 3, "deleted": 1, "previous": [], "durability": null});
    assert_eq!(revoked, ended);
    for arguments in [&["revoke", "42"][..], &["keep-alive", "42"], &["keep-alive", "42", "--once"]]
    {
        assert_eq!(server.run(&[&["lease"], arguments].concat()).code, Some(3), "{arguments:?}");
    }
    assert_eq!(server.run(&["set", "a", "1", "--lease", "42"]).code, Some(3));
}

#[test]
fn s8_a_lease_lives_as_long_as_it_is_kept() {
    let server = Server::start();
    server.ok(&["lease", "grant", "1500ms", "--id", "7"]);
    server.ok(&["set", "worker", "up", "--lease", "7"]);
    let mut keep = server.spawn(&["lease", "keep-alive", "7"]);
    // Each renewal comes after a third of the time to live, so five of them outlast it.
    for _ in 0..5 {
        assert_eq!(keep.line(), "lease 7 ttl 1500ms");
    }
    assert_eq!(server.ok(&["get", "worker"]), "up\n");
    keep.signal("INT");
    let kept = keep.finish();
    assert_eq!((kept.code, &*kept.stderr), (Some(0), ""));
    let gone = server.run(&["wait", "worker", "--absent", "--timeout", "30s"]);
    assert_eq!(gone.ok(), "worker\n");
}
