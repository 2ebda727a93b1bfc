//! A real server that answers before it syncs, and requests that require more.

use wakeful::{CallOptions, Durability, KvRequest, Operations, SetRequest};

use super::{Home, connect, within};
use crate::process::Server;
use crate::support::body::{get, key, set, stream_open, wait};
use crate::support::raw::{ERROR, REPLY, Raw, asking};

/// Starts a server in `home` that answers once the operating system has the data, and never syncs
/// by itself.
fn lazy(home: &Home) -> Server {
    let dir = home.dir();
    let dir = dir.to_str().unwrap();
    let limits = ["--limit", "journal.segment_bytes=16MiB", "--limit", "journal.sync_interval=1h"];
    let durable = ["--durability", "interval", "--data-dir", dir];
    Server::start_with(&[&durable[..], &limits].concat())
}

const INVALID_ARGUMENT: u16 = 1;

fn raw(server: &Server) -> Raw {
    Raw::open(server.addr().parse().unwrap())
}

#[test]
fn d9_byte_6_asks_and_says_what_it_got() {
    let home = Home::new();
    let server = lazy(&home);
    let mut raw = raw(&server);
    assert_eq!(raw.call(set(b"a", b"1")).durability, 1, "the default");
    assert_eq!(server.status("journal_sync_us"), 0, "nothing was synced");
    let mut answer = |durability, id, body| {
        raw.send(&asking(durability, id, body));
        let frame = raw.next();
        assert_eq!(frame.id, id, "{frame:?}");
        frame
    };
    assert_eq!(answer(1, 100, set(b"a", b"2")).durability, 1);
    assert_eq!(server.status("journal_sync_us"), 0, "still nothing was synced");
    let durable = answer(2, 101, set(b"a", b"3"));
    assert_eq!((durable.kind, durable.durability), (REPLY, 2));
    assert!(server.status("journal_sync_us") > 0, "it was synced before the answer");
    assert_eq!(answer(2, 102, get(b"a")).durability, 2, "there is nothing to wait for");
    assert_eq!(answer(0, 103, get(b"a")).durability, 1);
    // An unknown durability fails only its own request.
    let refused = answer(3, 104, set(b"b", b"1"));
    assert_eq!((refused.kind, refused.refusal().code), (ERROR, INVALID_ARGUMENT));
    assert_eq!(answer(255, 105, get(b"a")).refusal().code, INVALID_ARGUMENT);
    let absent = answer(0, 106, get(b"b"));
    let mut reply = absent.reply(1);
    assert_eq!((reply.u64(), reply.bool()), (4, false), "nothing was changed");
    // Waits use the default, as their replies report; the opening of a stream shows no data.
    let exists = 1;
    assert_eq!(answer(2, 107, wait(key(b"a"), exists, 1000)).durability, 1);
    assert_eq!(answer(2, 108, stream_open(1024)).durability, 0);
}

#[test]
fn d9_answers_that_wait_for_the_disk_do_not_mix_with_the_others() {
    let home = Home::new();
    let server = lazy(&home);
    let mut raw = raw(&server);
    let mut bytes = Vec::new();
    for id in 1..=600_u64 {
        let durability = (id % 3) as u8;
        let name = format!("key-{}", id % 7);
        let body = if id % 4 == 0 { get(name.as_bytes()) } else { set(name.as_bytes(), b"v") };
        bytes.extend_from_slice(&asking(durability, id, body));
    }
    raw.send(&bytes);
    let mut got: Vec<(u64, u8)> = (0..600)
        .map(|_| {
            let frame = raw.next();
            assert_eq!(frame.kind, REPLY, "{frame:?}");
            (frame.id, frame.durability)
        })
        .collect();
    got.sort_unstable();
    let expected = (1..=600_u64).map(|id| (id, if id % 3 == 2 { 2 } else { 1 }));
    assert_eq!(got, expected.collect::<Vec<_>>());
    // The ids are free again, so no request counts as unanswered.
    raw.send(&asking(2, 2, set(b"a", b"1")));
    assert_eq!((raw.next().id, raw.status().revision > 0), (2, true));
}

#[tokio::test]
async fn d9_clients_and_the_command_line_ask() {
    let home = Home::new();
    let server = lazy(&home);
    let told = |arguments: &[&str]| server.run(arguments).json()["durability"].clone();
    assert_eq!(told(&["set", "a", "1", "--json"]), "interval");
    assert_eq!(told(&["set", "a", "1", "--json", "--durability", "fsync"]), "fsync");
    assert_eq!(told(&["del", "a", "--json", "--durability", "interval"]), "interval");
    let client = connect(server.addr()).await;
    let set = |value: &str| KvRequest::Set(SetRequest::new("b", value)).into();
    let asked = CallOptions::durable(Durability::Fsync);
    let done = within(client.call_with(set("1"), asked)).await.unwrap();
    assert_eq!(done.durability, Some(Durability::Fsync));
    let done = within(client.call_with(set("2"), CallOptions::default())).await.unwrap();
    assert_eq!(done.durability, Some(Durability::Interval));
    server.signal("KILL");
    server.finish();

    // Never less than the default.
    let server = home.server();
    let told = |arguments: &[&str]| server.run(arguments).json()["durability"].clone();
    assert_eq!(told(&["set", "a", "2", "--json", "--durability", "interval"]), "fsync");
    assert_eq!(server.ok(&["get", "b"]), "2\n");
}

#[test]
fn d9_a_server_in_memory_says_that_nothing_is_durable() {
    let server = Server::start();
    let mut raw = raw(&server);
    raw.send(&asking(2, 1, set(b"a", b"1")));
    let frame = raw.next();
    assert_eq!((frame.kind, frame.durability), (REPLY, 0));
    let asked = server.run(&["set", "a", "2", "--durability", "fsync"]);
    assert_eq!(asked.code, Some(0));
    assert!(asked.stderr.contains("in memory"), "{}", asked.stderr);
    let told = server.run(&["set", "a", "3", "--durability", "fsync", "--json"]).json();
    assert_eq!(told.get("durability"), Some(&serde_json::Value::Null));
}
