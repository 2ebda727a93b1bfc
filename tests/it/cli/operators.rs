//! `status`, `watchers`, `compact`, `completions`: commands for operators.

use serde_json::{Value, json};

use crate::process::{Server, run};

#[test]
fn status_counts() {
    let server = Server::start();
    server.ok(&["set", "a", "123"]);
    server.ok(&["set", "b", "456", "--ttl", "60s"]);
    let _wait = server.spawn(&["wait", "a", "--timeout", "60s"]);
    let _watch = server.spawn(&["watch", "a"]);
    server.until_status("waits", 1);
    server.until_status("watches", 1);
    let status = server.run(&["status", "--json"]).json();
    let facts = ["revision", "oldest", "keys", "bytes", "history_events", "leases", "streams"];
    let counted: Vec<_> = facts.iter().map(|fact| status[*fact].as_u64().unwrap()).collect();
    assert_eq!(counted, [3, 1, 2, 8, 2, 1, 1], "{status}");
    // The wait, the watch, and this command; the connection of an earlier command may still be
    // there.
    assert!((3..=4).contains(&status["connections"].as_u64().unwrap()), "{status}");
    assert_eq!(status["server_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["store_id"].as_str().unwrap().len(), 16);
    assert!(status["requests"].as_u64().unwrap() > 4, "{status}");
    let text = server.ok(&["status"]);
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(line("revision"), "revision     3 (oldest 1)");
    assert_eq!(line("keys"), "keys         2 (8 bytes)");
    assert_eq!(line("waits"), "waits        1");
    assert_eq!(line("watches"), "watches      1 (on 1 streams)");
}

#[test]
fn watchers_are_listed_and_ended() {
    let server = Server::start();
    assert_eq!(server.ok(&["watchers"]), "");
    server.ok(&["set", "a", "1"]);
    let wait = server.spawn(&["wait", "a", "--timeout", "60s"]);
    server.until_status("waits", 1);
    let watch = server.spawn(&["watch", "b/", "--prefix", "--json"]);
    server.until_status("watches", 1);
    let listed = server.run(&["watchers", "--json"]).objects();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let (first, second) = (&listed[0], &listed[1]);
    assert_eq!((&first["watch"], &first["range"]), (&json!(false), &json!({"Key": "a"})));
    assert_eq!((&second["watch"], &second["range"]), (&json!(true), &json!({"Prefix": "b/"})));
    assert_eq!((&first["behind"], &first["revision"]), (&json!(0), &json!(2)));
    assert!(first["owner"].as_str().unwrap().contains("wakeful wait"), "{first}");
    let table = server.ok(&["watchers", "list"]);
    assert!(table.trim_start().starts_with("ID ") && table.lines().count() == 3, "{table}");
    assert!(table.contains("b/*"), "{table}");

    let id = first["id"].as_str().unwrap();
    assert_eq!(server.ok(&["watchers", "end", id]), format!("ended {id}\n"));
    let told = wait.finish().fails(1);
    assert!(told.starts_with("error: "), "{told}");
    let id = second["id"].as_str().unwrap();
    let ended = server.run(&["watchers", "end", id, "--json"]).json();
    assert_eq!(ended, json!({}));
    let told: Value = serde_json::from_str(&watch.finish().fails(1)).unwrap();
    assert_eq!(told["error"]["code"], "EndedByOperator");
    assert_eq!(told["error"]["resume"], 3);
    assert!(server.run(&["watchers", "end", id]).fails(3).contains(id));
    assert_eq!(server.status("waits") + server.status("watches"), 0);
}

#[test]
fn s5_compacted_revisions_cannot_be_read() {
    let server = Server::start();
    for nth in 2..=6 {
        server.ok(&["set", "a", &nth.to_string()]);
    }
    assert_eq!(server.ok(&["get", "a", "--revision", "3"]), "3\n");
    assert_eq!(server.ok(&["compact", "4"]), "oldest 4 (revision 6)\n");
    assert_eq!(server.run(&["compact", "5", "--json"]).json(), json!({"revision": 6, "oldest": 5}));
    assert_eq!(server.ok(&["get", "a", "--revision", "5"]), "5\n");
    for arguments in [
        &["get", "a", "--revision", "4"][..],
        &["range", "--revision", "4"],
        &["watch", "a", "--from", "4"],
        &["wait", "a", "--after", "3"],
    ] {
        let refusal = server.run(&[arguments, &["--json"]].concat()).fails(1);
        let refusal: Value = serde_json::from_str(&refusal).unwrap();
        assert_eq!(refusal["error"]["code"], "Compacted", "{arguments:?}");
        assert_eq!(refusal["error"]["oldest"], 5, "{arguments:?}");
        assert_eq!(refusal["error"]["current"], 6, "{arguments:?}");
    }
    assert_eq!(server.ok(&["get", "a"]), "6\n");
    assert_eq!(server.run(&["get", "a", "--revision", "7"]).code, Some(1));
}

#[test]
fn bench_is_a_program_of_its_own() {
    for rest in [&["-c", "100", "--fill"][..], &["jobs", "--idle"], &["--help"], &[]] {
        let told = run(&[&["bench"], rest].concat()).fails(2);
        assert!(told.contains("`wakeful-bench`"), "{rest:?}: {told}");
    }
}

#[test]
fn completions_need_no_server() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["--addr", "127.0.0.1:1", "completions", shell]).ok();
        assert!(script.contains("keep-alive"), "{shell}");
    }
    assert!(run(&["completions", "tcsh"]).fails(2).contains("possible values"));
}

#[test]
fn help_has_an_example_of_every_command() {
    let help = run(&["--help"]).ok();
    assert!(help.contains("Exit codes:") && help.contains("wakeful watch greeting"), "{help}");
    let commands = [
        "serve",
        "set",
        "get",
        "del",
        "range",
        "txn",
        "watch",
        "wait",
        "lease",
        "watchers",
        "compact",
        "status",
        "completions",
    ];
    for command in commands {
        let help = run(&[command, "--help"]).ok();
        assert!(help.contains("Example") && help.contains("wakeful"), "{command}: {help}");
    }
    assert_eq!(run(&["--version"]).ok(), format!("wakeful {}\n", env!("CARGO_PKG_VERSION")));
}
