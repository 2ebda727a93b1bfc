//! How commands end: exit codes, signals, closed outputs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::process::{Killed, Running, Server, exit_of, run, until, wakeful};

/// An address without a server.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn every_exit_code_has_its_case() {
    let server = Server::start_with(&["--limit", "store.key_bytes_max=10"]);
    assert_eq!(server.run(&["set", "a", "1"]).code, Some(0));
    assert_eq!(server.run(&["set", "a-key-too-long", "1"]).code, Some(1));
    assert_eq!(server.run(&["set", "a"]).code, Some(2));
    assert_eq!(server.run(&["set", "", "1"]).code, Some(2));
    assert_eq!(server.run(&["get", "b"]).code, Some(3));
    assert_eq!(server.run(&["del", "b"]).code, Some(3));
    assert_eq!(server.run(&["wait", "b", "--timeout", "1ms"]).code, Some(4));
    assert_eq!(run(&["get", "a", "--addr", NOWHERE]).code, Some(5));
}

#[test]
fn an_address_that_is_none_is_a_usage_error_that_says_what_to_write() {
    for (addr, instead) in [
        ("http://127.0.0.1:7117", "write `127.0.0.1:7117`"),
        ("https://db.example", "write `db.example:7117`, and ask for TLS (--tls)"),
        ("localhost", "as in `localhost:7117`"),
        ("localhost:http", "not a port"),
    ] {
        let told = run(&["--addr", addr, "get", "a"]).fails(2);
        assert!(told.contains(instead) && !told.contains("serve"), "{addr}: {told}");
    }
    let told = run(&["serve", "--durability", "memory", "--dial", "http://relay:7118"]).fails(2);
    assert!(told.contains("write `relay:7118`"), "{told}");
}

#[test]
fn a_limit_with_a_slip_is_told_the_one_that_was_meant() {
    let told = run(&["serve", "--limit", "store.key_max=1"]).fails(2);
    assert!(told.contains("did you mean `store.keys_max`?"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn errors_name_the_limit_in_both_forms() {
    let server = Server::start_with(&["--limit", "store.key_bytes_max=10"]);
    let text = server.run(&["set", "a-key-too-long", "1"]).fails(1);
    assert!(text.starts_with("error: ") && text.contains("store.key_bytes_max"), "{text}");
    assert_eq!(text.lines().count(), 1);
    let json = server.run(&["set", "a-key-too-long", "1", "--json"]).fails(1);
    let error: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(error["error"]["code"], "LimitExceeded");
    assert_eq!(error["error"]["limit"], "store.key_bytes_max");
    assert_eq!(error["error"]["value"], 10);
    let usage = run(&["wait", "--timeout", "5", "--json"]).fails(2);
    let usage: Value = serde_json::from_str(&usage).unwrap();
    assert_eq!(usage["error"]["code"], "Usage");
    assert!(usage["error"]["message"].as_str().unwrap().contains("1500ms"), "{usage}");
}

#[test]
fn errors_are_coloured_where_that_is_asked_for_and_nowhere_else() {
    let told = |name: &str, value: &str, arguments: &[&str]| {
        let mut get = wakeful(&[&["get", "a", "--addr", NOWHERE], arguments].concat());
        get.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env(name, value);
        Running::start(get).finish().fails(5)
    };
    assert!(told("TERM", "xterm-256color", &[]).starts_with("error: no server"));
    let coloured = told("CLICOLOR_FORCE", "1", &[]);
    assert!(coloured.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no server"), "{coloured:?}");
    assert!(told("NO_COLOR", "1", &[]).starts_with("error: no server"));
    assert!(told("CLICOLOR_FORCE", "1", &["--json"]).starts_with("{\"error\""));
}

#[test]
fn without_a_server_every_command_says_what_to_do() {
    for arguments in [
        &["set", "a", "1"][..],
        &["get", "a"],
        &["del", "a"],
        &["range"],
        &["txn", "--set", "a", "1"],
        &["watch"],
        &["wait"],
        &["lease", "list"],
        &["watchers"],
        &["compact", "1"],
        &["status"],
    ] {
        let told = run(&[&["--addr", NOWHERE], arguments].concat()).fails(5);
        assert!(told.contains("wakeful serve") && told.contains(NOWHERE), "{arguments:?}: {told}");
    }
}

#[test]
fn the_address_may_come_from_the_environment() {
    let server = Server::start();
    server.ok(&["set", "a", "1"]);
    let mut get = wakeful(&["get", "a"]);
    get.env("WAKEFUL_ADDR", server.addr());
    assert_eq!(Running::start(get).finish().ok(), "1\n");
    let mut flag_first = wakeful(&["get", "a", "--addr", server.addr()]);
    flag_first.env("WAKEFUL_ADDR", NOWHERE);
    assert_eq!(Running::start(flag_first).finish().ok(), "1\n");
}

#[test]
fn t5_a_signal_ends_a_command_and_frees_what_it_held() {
    let server = Server::start();
    for (command, field, signal, code) in [
        ("watch", "watches", "INT", 0),
        ("watch", "watches", "TERM", 0),
        ("wait", "waits", "INT", 130),
        ("wait", "waits", "TERM", 143),
    ] {
        let running = server.spawn(&[command, "a"]);
        server.until_status(field, 1);
        running.signal(signal);
        let ran = running.finish();
        assert_eq!((ran.code, &*ran.stderr), (Some(code), ""), "{command} {signal}");
        server.until_status(field, 0);
    }
    server.until_status("streams", 0);
}

#[test]
fn t5_a_killed_waiter_leaves_nothing_behind() {
    let server = Server::start();
    let waiters: Vec<_> =
        (0..8).map(|_| server.spawn(&["wait", "a", "--timeout", "60s"])).collect();
    let watchers: Vec<_> = (0..4).map(|_| server.spawn(&["watch", "a"])).collect();
    server.until_status("waits", 8);
    server.until_status("watches", 4);
    waiters.iter().chain(&watchers).for_each(|process| process.signal("KILL"));
    for field in ["waits", "watches", "streams"] {
        server.until_status(field, 0);
    }
    server.until_status("connections", 1);
}

#[test]
fn w9_a_stopped_reader_holds_nobody_up() {
    // In the predecessor of this service, the eleventh event for a waiter that was gone blocked
    // every write for good.
    let server = Server::start();
    let mut stopped = server.spawn(&["watch", "--json"]);
    server.until_status("watches", 1);
    stopped.signal("STOP");
    let value = "x".repeat(100_000);
    for nth in 2..=40_u64 {
        let set = server.command(&["set", "a", "-", "--always"]);
        let set = Running::start_with_input(set, value.as_bytes()).finish();
        assert_eq!(set.ok(), format!("revision {nth}\n"));
    }
    stopped.signal("CONT");
    for nth in 2..=40_u64 {
        assert_eq!(stopped.json()["revision"], nth);
    }
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let server = Server::start();
    for nth in 0..50 {
        server.ok(&["set", &format!("key-{nth:02}"), &"x".repeat(4_000)]);
    }
    // As `| head -1` does: read one line and close the pipe.
    for (arguments, ends) in [
        (&["range"][..], true),
        (&["range", "--json"], true),
        (&["watch", "--snapshot"], true),
        (&["watch", "--from", "2"], true),
        (&["watch"], false),
    ] {
        let mut command = server.command(arguments);
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Killed(piped.spawn().unwrap());
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        if ends {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert!(line.contains("key-00"), "{line}");
        } else {
            server.until_status("watches", 1);
        }
        drop(stdout);
        if !ends {
            server.ok(&["set", "one-more", "line"]);
        }
        assert_eq!(exit_of(&mut child.0), Some(0), "{arguments:?}");
        let stderr = child.0.stderr.take().unwrap();
        assert_eq!(std::io::read_to_string(stderr).unwrap(), "", "{arguments:?}");
    }
    until("the watches are freed", || server.status("watches") == 0);
}
