//! Clients that reach servers behind a relay, all in processes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use futures_util::StreamExt;
use serde_json::{Value, json};
use wakeful::{
    Client, ClientConfig, ErrorCode, HandlerOptions, KeyRange, Operations, PushOptions, SetRequest,
    Topic, WatchFrom, WatchItem, WatchRequest,
};

use super::{Dialing, Double, Relay, TOKEN, client_config, dialing};
use crate::process::{Running, Server, TIMEOUT};
use crate::support::{until, within, write_secret};

#[test]
fn l5_clients_reach_servers_by_their_names() {
    let relay = Relay::start();
    let refusal = relay.run("home", &["get", "a"]);
    assert_ne!(refusal.code, Some(0));
    assert!(refusal.stderr.contains("no server home"), "{}", refusal.stderr);
    let _servers = [relay.serve("home"), relay.serve("away")];
    relay.until_there("home");
    relay.until_there("away");
    for name in ["home", "away"] {
        relay.ok(name, &["set", "where", name]);
    }
    assert_eq!(relay.ok("home", &["get", "where"]), "home\n");
    assert_eq!(relay.ok("away", &["get", "where"]), "away\n");
    // With two servers, the relay cannot choose one.
    let refusal = relay.run("", &["get", "where"]);
    assert!(refusal.stderr.contains("2 servers") && refusal.stderr.contains("--server"));
    let said = relay.run("nowhere", &["--json", "get", "where"]).stderr;
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(said["error"]["code"], "NoSuchServer");
}

#[test]
fn l5_without_a_name_the_only_server_answers() {
    let relay = Relay::start();
    let _server = relay.serve("home");
    relay.until_there("home");
    relay.ok("", &["set", "where", "home"]);
    assert_eq!(relay.ok("", &["get", "where"]), "home\n");
}

#[test]
fn l5_a_server_that_has_another_name_refuses() {
    let server = Server::start_with(&["--dial-name", "home"]);
    server.ok(&["--server", "home", "set", "a", "1"]);
    let refusal = server.run(&["--server", "away", "get", "a"]);
    assert!(refusal.stderr.contains("this is the server home, not away"), "{}", refusal.stderr);
    server.ok(&["set", "a", "1"]);
}

#[tokio::test]
async fn l6_watches_go_on_when_a_server_or_the_relay_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let durable = ["--durability", "fsync", "--data-dir", dir];
    let mut relay = Relay::start();
    let mut server = Dialing::start(dialing(&relay.accepting, "home", &durable));
    relay.until_there("home");
    let client = relay.client("home").await;
    let request =
        WatchRequest { from: WatchFrom::Revision(1), ..WatchRequest::new(KeyRange::all()) };
    let mut watch = within(client.watch(request)).await.unwrap();
    for round in 0_u8..4 {
        match round {
            0 => {}
            1 | 3 => {
                server.kill();
                server = Dialing::start(dialing(&relay.accepting, "home", &durable));
            }
            _ => relay = relay.again(&[]),
        }
        let key = format!("round {round}");
        // A write of unknown outcome is not repeated, so write until one succeeds.
        until("a write is done", async || client.set(SetRequest::new(&*key, "done")).await.is_ok())
            .await;
        let event = loop {
            let item = within(watch.next()).await.expect("the watch lasts").unwrap();
            if let WatchItem::Events { events, .. } = item
                && let Some(event) = events.iter().find(|event| event.kv.key == key.as_str())
            {
                break event.clone();
            }
        };
        assert_eq!(event.kv.value, "done");
    }
    drop(server);
}

#[actix_rt::test]
async fn l6_workers_work_through_a_relay() {
    let relay = Relay::start();
    let _server = relay.serve("home");
    relay.until_there("home");
    let (pusher, client) = (relay.client("home").await, relay.client("home").await);
    let worker = client.work("double", Double, HandlerOptions::default()).unwrap();
    let topic: Topic<u64, u64> = Topic::new("double");
    for job in 0..20 {
        let id = within(topic.push(&pusher, &job, PushOptions::default())).await.unwrap();
        assert_eq!(within(topic.result(&pusher, id).wait(TIMEOUT)).await, Ok(job * 2));
    }
    worker.stop(TIMEOUT).await;
}

#[test]
fn l5_a_json_client_names_its_server_by_a_first_call() {
    let relay = Relay::start();
    let call = |lines: &[Value]| -> Vec<Value> {
        let mut socket = TcpStream::connect(&relay.listening).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        for line in lines {
            writeln!(socket, "{line}").unwrap();
        }
        let answers = BufReader::new(socket).lines().take(lines.len());
        answers.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    };
    let connect = json!({"method": "Wakeful.Connect", "params": [{"server": "home"}], "id": 4});
    let refusal = call(std::slice::from_ref(&connect)).remove(0);
    assert_eq!((&refusal["id"], &refusal["result"]), (&json!(4), &Value::Null));
    assert!(refusal["error"].as_str().unwrap().starts_with("NoSuchServer: "), "{refusal}");
    let _server = relay.serve("home");
    relay.until_there("home");
    let set = json!({"method": "KVStoreService.Set", "params": [["a", "1"]], "id": 5});
    let answers = call(&[connect, set]);
    assert_eq!(answers[0], json!({"id": 4, "result": {"server": "home"}, "error": null}));
    assert_eq!((&answers[1]["id"], &answers[1]["error"]), (&json!(5), &Value::Null));
    assert_eq!(relay.ok("home", &["get", "a"]), "1\n");
    // A client whose first call is another one gets the only server.
    let get = json!({"method": "KVStoreService.Get", "params": ["a"], "id": 6});
    assert_eq!(call(&[get]), [json!({"id": 6, "result": "1", "error": null})]);
}

/// JSON has no pings, so only the kernel can detect that a client has vanished.
#[cfg(target_os = "linux")]
#[test]
fn l7_a_relay_has_the_kernel_ask_after_its_clients() {
    let relay = Relay::start();
    let _server = relay.serve("home");
    relay.until_there("home");
    let mut socket = TcpStream::connect(&relay.listening).unwrap();
    let get = json!({"method": "KVStoreService.Get", "params": ["a"], "id": 1});
    writeln!(socket, "{get}").unwrap();
    let mut answer = String::new();
    BufReader::new(&socket).read_line(&mut answer).unwrap();
    let port = |addr: std::net::SocketAddr| format!(":{:04X}", addr.port());
    let (own, relays) = (port(socket.local_addr().unwrap()), port(socket.peer_addr().unwrap()));
    // The timer of an idle socket: 2 is keep-alive.
    crate::process::until("the timer runs", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().map(|line| line.split_whitespace().collect()).any(|it: Vec<&str>| {
            it[1].ends_with(&relays) && it[2].ends_with(&own) && it[5].starts_with("02:")
        })
    });
}

#[test]
fn l3_a_rogue_dialer_never_gets_a_name() {
    let relay = Relay::start();
    let mut rogue = dialing(&relay.accepting, "home", &[]);
    rogue.env("WAKEFUL_DIAL_TOKEN", "0123456789abcdef0123456789abcdee").env("RUST_LOG", "warn");
    let rogue = Dialing::start(rogue);
    let mut mute = dialing(&relay.accepting, "home", &[]);
    mute.env_remove("WAKEFUL_DIAL_TOKEN").env("RUST_LOG", "warn");
    let mute = Dialing::start(mute);
    // They were refused, and dial again.
    for process in [&rogue, &mute] {
        process.0.said("wrong or missing token");
    }
    let refusal = relay.run("home", &["get", "a"]);
    assert!(refusal.stderr.contains("no server home"), "{}", refusal.stderr);
    let _server = relay.serve("home");
    relay.until_there("home");
}

#[test]
fn l3_a_relay_asks_who_may_dial_before_it_starts() {
    let mut command = crate::process::wakeful(&["relay", "--listen", "127.0.0.1:0"]);
    command.env_remove("WAKEFUL_RELAY_TOKEN");
    let said = Running::start(command).finish().fails(2);
    assert!(said.contains("--accept-token-file") && said.contains("--accept-anyone"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    write_secret(&file, "short");
    let path = file.to_str().unwrap();
    let fixed = ["relay", "--listen", "127.0.0.1:0", "--accept", "127.0.0.1:0"];
    let refused = crate::process::run(&[&fixed[..], &["--accept-token-file", path]].concat());
    assert!(refused.fails(2).contains("16 to 512 bytes"));
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let relay = Relay::start_at("127.0.0.1:0", "127.0.0.1:0", &["--accept-token-file", path]);
    let mut server = dialing(&relay.accepting, "home", &["--dial-token-file", path]);
    server.env_remove("WAKEFUL_DIAL_TOKEN");
    let _server = Dialing::start(server);
    relay.until_there("home");
}

#[test]
fn l7_a_relay_stops_in_order() {
    let relay = Relay::start();
    let server = relay.serve("home");
    relay.until_there("home");
    let Relay { process, .. } = relay;
    process.signal("TERM");
    let ran = process.finish();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // The server continues, and stops in order without a relay.
    server.0.signal("TERM");
    assert_eq!(server.0.finish().code, Some(0));
}

#[tokio::test]
async fn l7_what_is_under_way_ends_before_a_relay_does() {
    let relay = Relay::start();
    let _server = relay.serve("home");
    relay.until_there("home");
    let client = relay.client("home").await;
    let waiting = client.go_wait(wakeful::WaitRequest::new(KeyRange::key("a")));
    until("the wait is parked", async || client.status().await.unwrap().waits == 1).await;
    relay.process.signal("TERM");
    // The relay accepts no new client, and the waiting one gets its answer.
    let config = ClientConfig { server: "home".to_owned(), ..client_config(&relay.listening) };
    until("it takes nobody new", async || Client::connect_with(config.clone()).await.is_err())
        .await;
    let wanted = Client::connect_with(config).await.unwrap_err();
    assert_eq!(wanted.code, ErrorCode::Unreachable);
    drop(waiting);
    client.close().await;
    let ran = relay.process.finish();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}
