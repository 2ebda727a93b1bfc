//! `set`, `get`, `del`, `range`, `txn`: their output in both forms, and their exit codes.

use serde_json::{Value, json};

use crate::process::{Running, Server};

#[test]
fn set_get_and_del() {
    let server = Server::start();
    assert_eq!(server.ok(&["set", "greeting", "hello"]), "revision 2\n");
    assert_eq!(server.ok(&["get", "greeting"]), "hello\n");
    assert_eq!(server.ok(&["get", "greeting", "--raw"]), "hello");
    assert_eq!(server.ok(&["set", "greeting", "hi", "--previous"]), "revision 3\nprevious hello\n");
    assert_eq!(server.ok(&["get", "greeting", "--revision", "2"]), "hello\n");
    assert_eq!(server.ok(&["del", "greeting", "--previous"]), "1\ngreeting\thi\n");
    let refusal = server.run(&["get", "greeting"]).fails(3);
    assert!(refusal.contains("no key `greeting`"), "{refusal}");
    assert_eq!(server.ok(&["set", "greeting", "hey", "--previous"]), "revision 5\nno previous\n");
}

#[test]
fn a_set_that_changes_nothing_makes_no_revision() {
    let server = Server::start();
    assert_eq!(server.ok(&["set", "a", "1"]), "revision 2\n");
    assert_eq!(server.ok(&["set", "a", "1"]), "revision 2 (unchanged)\n");
    assert_eq!(server.ok(&["set", "a", "1", "--always"]), "revision 3\n");
    let unchanged = server.run(&["set", "a", "1", "--json"]).json();
    let expected = json!({"revision": 3, "changed": false, "lease": "0", "previous": null,
        "durability": null});
    assert_eq!(unchanged, expected);
}

#[test]
fn json_has_every_fact() {
    let server = Server::start();
    let set = server.run(&["set", "a", "1", "--json", "--previous"]).json();
    let expected = json!({"revision": 2, "changed": true, "lease": "0", "previous": null,
        "durability": null});
    assert_eq!(set, expected);
    let set = server.run(&["set", "a", "2", "--json", "--previous"]).json();
    assert_eq!(
        set["previous"],
        json!({"key": "a", "value": "1", "create_revision": 2, "mod_revision": 2, "version": 1,
            "lease": "0"})
    );
    let mut kv = json!({"key": "a", "value": "2", "create_revision": 2, "mod_revision": 3,
        "version": 2, "lease": "0"});
    let got = server.run(&["get", "a", "--json"]).json();
    assert_eq!(got, json!({"revision": 3, "kv": kv}));
    let previous = json!([kv]);
    kv["revision"] = json!(3);
    assert_eq!(server.run(&["range", "--json"]).json(), kv);
    let del = server.run(&["del", "a", "--json", "--previous"]).json();
    assert_eq!(del, json!({"revision": 4, "deleted": 1, "previous": previous, "durability": null}));
    let none = server.run(&["del", "a", "--json"]);
    assert_eq!(none.code, Some(3));
    assert_eq!(
        String::from_utf8(none.stdout).unwrap(),
        "{\"revision\":4,\"deleted\":0,\"previous\":[],\"durability\":null}\n"
    );
}

#[test]
#[cfg(unix)]
fn bytes_are_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let server = Server::start();
    let bytes: Vec<u8> = (0..=255).collect();
    let mut set = server.command(&["set"]);
    set.args([OsStr::from_bytes(b"k\xff"), OsStr::new("-")]);
    assert_eq!(Running::start_with_input(set, &bytes).finish().ok(), "revision 2\n");
    let mut get = server.command(&["get", "--raw"]);
    get.arg(OsStr::from_bytes(b"k\xff"));
    let got = Running::start(get).finish();
    assert_eq!((got.code, got.stdout), (Some(0), bytes));
    assert_eq!(server.ok(&["set", "v", "x"]), "revision 3\n");
    let objects = server.run(&["range", "--json"]).objects();
    assert_eq!(objects[0]["key"], json!({"base64": "a/8="}));
    let value = objects[0]["value"]["base64"].as_str().unwrap();
    assert!(value.starts_with("AAECAwQF"), "{objects:?}");
    assert_eq!(objects[1]["key"], "v");
}

#[test]
fn values_may_come_from_standard_input_or_look_like_options() {
    let server = Server::start();
    let config = server.command(&["set", "config", "-"]);
    let config = Running::start_with_input(config, b"line 1\nline 2\n").finish();
    assert_eq!(config.ok(), "revision 2\n");
    assert_eq!(server.ok(&["get", "config", "--raw"]), "line 1\nline 2\n");
    server.ok(&["set", "n", "-5"]);
    server.ok(&["set", "flags", "--", "--verbose"]);
    server.ok(&["set", "empty", ""]);
    assert_eq!(server.ok(&["get", "n"]), "-5\n");
    assert_eq!(server.ok(&["get", "flags"]), "--verbose\n");
    assert_eq!(server.ok(&["get", "empty"]), "\n");
}

#[test]
fn range_selects_and_orders() {
    let server = Server::start();
    for key in ["a", "b/1", "b/2", "b/3", "b/4", "b/5", "c"] {
        server.ok(&["set", key, &format!("<{key}>")]);
    }
    assert_eq!(server.ok(&["range", "b/1"]), "b/1\t<b/1>\n");
    assert_eq!(
        server.ok(&["range", "b/", "--prefix"]),
        "b/1\t<b/1>\nb/2\t<b/2>\nb/3\t<b/3>\nb/4\t<b/4>\nb/5\t<b/5>\n"
    );
    assert_eq!(server.ok(&["range", "b/2", "--to", "b/4", "--keys-only"]), "b/2\nb/3\n");
    assert_eq!(server.ok(&["range", "b/5", "--to", "", "--keys-only"]), "b/5\nc\n");
    let all = server.ok(&["range", "--all", "--keys-only", "--descending"]);
    assert_eq!(all, "c\nb/5\nb/4\nb/3\nb/2\nb/1\na\n");
    assert_eq!(server.ok(&["range", "--count-only"]), "7\n");
    assert_eq!(server.run(&["range", "--count-only", "--json"]).json()["count"], 7);
    assert_eq!(server.ok(&["range", "--revision", "3", "--keys-only"]), "a\nb/1\n");
    let limited = server.run(&["range", "--limit", "5", "--keys-only"]);
    assert_eq!(limited.code, Some(0));
    assert_eq!(limited.stdout, b"a\nb/1\nb/2\nb/3\nb/4\n");
    assert_eq!(limited.stderr, "there are more keys; raise --limit to see them\n");
    assert_eq!(server.ok(&["range", "nothing", "--prefix"]), "");
}

#[test]
fn s6_a_long_list_is_read_in_pages_that_fit_together() {
    let server = Server::start_with(&["--limit", "store.range_keys_max=100"]);
    let keys: Vec<_> = (0..250).map(|nth| format!("key-{nth:03}")).collect();
    let sets: Vec<_> = keys.iter().map(|key| json!({"set": {"key": key, "value": "x"}})).collect();
    let form = json!({ "success": sets }).to_string();
    let txn = Running::start_with_input(server.command(&["txn", "--json"]), form.as_bytes());
    assert_eq!(txn.finish().json()["revision"], 2);
    let mut expected = keys.join("\n") + "\n";
    assert_eq!(server.ok(&["range", "--keys-only"]), expected);
    assert_eq!(server.ok(&["range", "--count-only"]), "250\n");
    let limited = server.run(&["range", "--limit", "249", "--keys-only"]);
    expected.truncate(249 * "key-000\n".len());
    assert_eq!((limited.code, limited.stdout), (Some(0), expected.into_bytes()));
    let mut keys = keys;
    keys.reverse();
    assert_eq!(server.ok(&["range", "--keys-only", "--descending"]), keys.join("\n") + "\n");
}

#[test]
fn del_takes_many_in_one_revision_and_needs_to_be_told() {
    let server = Server::start();
    for key in ["a", "b/1", "b/2", "c"] {
        server.ok(&["set", key, "x"]);
    }
    let deleted = server.run(&["del", "b/", "--prefix", "--json"]).json();
    assert_eq!(deleted, json!({"revision": 6, "deleted": 2, "previous": [], "durability": null}));
    assert!(server.run(&["del"]).fails(2).contains("required"));
    assert_eq!(server.ok(&["del", "--all"]), "2\n");
    let none = server.run(&["del", "--all"]);
    assert_eq!((none.code, &*none.stdout), (Some(3), &b"0\n"[..]));
}

#[test]
fn txn_by_flags() {
    let server = Server::start();
    assert_eq!(
        server.ok(&["txn", "--if-absent", "lock", "--set", "lock", "me"]),
        "succeeded (revision 2)\nset lock\n"
    );
    let second =
        server.run(&["txn", "--if-absent", "lock", "--set", "lock", "you", "--else-get", "lock"]);
    assert_eq!(second.code, Some(3));
    assert_eq!(second.stdout, b"failed (revision 2)\nget lock me\n");
    assert_eq!(
        server.ok(&["txn", "--if-value", "lock", "me", "--delete", "lock", "--set", "x", "1"]),
        "succeeded (revision 3)\nset x\ndelete 1\n"
    );
    assert_eq!(
        server.ok(&["txn", "--if-revision", "x", "3", "--set", "x", "2", "--get", "x"]),
        "succeeded (revision 4)\nset x\nget x 2\n"
    );
    assert_eq!(server.run(&["txn", "--if-revision", "x", "3", "--set", "x", "3"]).code, Some(3));
    let wrong = server.run(&["txn", "--if-revision", "x", "soon"]).fails(2);
    assert!(wrong.contains("`soon` is not a revision"), "{wrong}");
}

#[test]
fn txn_by_form() {
    let server = Server::start();
    server.ok(&["set", "a", "1"]);
    let form = br#"{
        "compare": [{"key": "a", "value": "1"}, {"key": "b", "target": "version", "value": 0}],
        "success": [
            {"set": {"key": "b", "value": "2", "previous": true}},
            {"get": {"key": "nothing"}},
            {"range": {"all": true, "keys_only": true}},
            {"delete": {"key": "a", "previous": true}}
        ]
    }"#;
    let txn = server.command(&["txn", "-", "--json"]);
    let done = Running::start_with_input(txn, form).finish().json();
    assert_eq!((&done["revision"], &done["succeeded"]), (&json!(3), &json!(true)));
    let results = done["results"].as_array().unwrap();
    let types: Vec<_> = results
        .iter()
        .map(|result| &**result.as_object().unwrap().keys().next().unwrap())
        .collect();
    assert_eq!(types, ["Set", "Get", "Range", "Delete"]);
    assert_eq!(results[1]["Get"]["kv"], Value::Null);
    assert_eq!(results[2]["Range"]["count"], 2);
    assert_eq!(results[3]["Delete"]["previous"][0]["value"], "1");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), form).unwrap();
    let again = server.run(&["txn", file.path().to_str().unwrap()]);
    assert_eq!((again.code, &*again.stdout), (Some(3), &b"failed (revision 3)\n"[..]));
    let twice = br#"{"success": [{"set": {"key": "a", "value": "1"}},
        {"set": {"key": "a", "value": "2"}}]}"#;
    let twice = Running::start_with_input(server.command(&["txn", "--json"]), twice).finish();
    assert!(twice.fails(1).contains("DuplicateKey"));
    let broken = Running::start_with_input(server.command(&["txn"]), b"{").finish();
    assert!(broken.fails(2).contains("`wakeful txn --help` has the form"));
}
