//! `serve`: its output, its stop, and the messages to its clients.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Running, Server, run, wakeful};

#[test]
fn r5_a_server_that_is_told_to_stop_ends_well_and_soon() {
    for signal in ["TERM", "INT"] {
        let server = Server::start();
        let wait = server.spawn(&["wait", "a", "--timeout", "1s"]);
        server.until_status("waits", 1);
        let watch = server.spawn(&["watch", "a"]);
        server.until_status("watches", 1);
        server.signal(signal);
        let asked = Instant::now();
        let ran = server.finish();
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), &b""[..], ""), "{signal}");
        // Not after the grace period: the clients got a goodbye and have disconnected.
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        // They look for another server until their timeout or a signal.
        watch.signal("INT");
        assert_eq!(watch.finish().code, Some(0));
        let told = wait.finish().fails(5);
        let told: Vec<&str> = told.lines().collect();
        assert!(told[0].ends_with("; trying again") && told[1].starts_with("error: "), "{told:?}");
    }
}

#[test]
fn another_server_at_the_same_address_is_another_store() {
    let server = Server::start();
    server.ok(&["set", "a", "1"]);
    let addr = server.addr().to_owned();
    let wait = server.spawn(&["wait", "a", "--timeout", "60s", "--json"]);
    server.until_status("waits", 1);
    let watch = server.spawn(&["watch", "a", "--json"]);
    server.until_status("watches", 1);
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
    let _other = Server::start_at(&addr, &[]);
    for client in [wait, watch] {
        let told: Value = serde_json::from_str(&client.finish().fails(1)).unwrap();
        assert_eq!(told["error"]["code"], "StoreChanged");
    }
}

#[test]
fn a_client_that_does_not_leave_is_left_after_the_grace() {
    let server = Server::start_with(&["--limit", "rpc.shutdown_grace=200ms"]);
    let silent = TcpStream::connect(server.addr()).unwrap();
    server.until_status("connections", 2);
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
    drop(silent);
}

#[test]
fn limits_are_listed_and_set_by_name() {
    let defaults = run(&["serve", "--limits"]).ok();
    assert!(defaults.contains("store.keys_max=") && defaults.contains("rpc.shutdown_grace=30s"));
    let set = run(&["serve", "--limits", "--limit", "store.keys_max=2"]).ok();
    assert!(set.contains("store.keys_max=2\n"), "{set}");
    let unknown = run(&["serve", "--limit", "store.key_max=2"]).fails(2);
    assert!(unknown.contains("store.keys_max"), "{unknown}");
    let server = Server::start_with(&["--limit", "store.keys_max=2"]);
    server.ok(&["set", "a", "1"]);
    server.ok(&["set", "b", "1"]);
    assert!(server.run(&["set", "c", "1"]).fails(1).contains("store.keys_max"));
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let server = Server::start();
    let second = run(&["serve", "--listen", server.addr()]);
    let told = second.fails(1);
    assert!(told.contains("cannot listen") && told.contains("--listen"), "{told}");
}

#[test]
fn the_first_line_has_a_json_form_and_logs_go_elsewhere() {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--json", "--log", "info", "--log-format"];
    let mut server = Running::start(wakeful(&[&serve[..], &["json"]].concat()));
    let addr = server.json()["listening"].as_str().unwrap().to_owned();
    assert_eq!(run(&["set", "a", "1", "--addr", &addr]).ok(), "revision 2\n");
    server.signal("TERM");
    let ran = server.finish();
    assert_eq!((ran.code, &*ran.stdout), (Some(0), &b""[..]));
    for line in ran.stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert!(ran.stderr.contains("listening"), "{}", ran.stderr);
}
