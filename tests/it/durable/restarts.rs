//! A server that is stopped and started again.

use std::time::Duration;

use futures_util::StreamExt;
use wakeful::{
    CallOptions, KeyRange, KvRequest, LeaseGrantRequest, Operations, SetRequest, WatchFrom,
    WatchItem, WatchRequest,
};

use super::{Home, connect, within};
use crate::process::{run, wakeful};

#[tokio::test]
async fn d3_a_watch_resumes_across_a_restart_and_revisions_go_on() {
    let home = Home::new();
    let server = home.server();
    let client = connect(server.addr()).await;
    let request = WatchRequest { from: WatchFrom::Now, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = within(client.watch(request)).await.unwrap();
    let first = within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    let second = within(client.set(SetRequest::new("a", "2"))).await.unwrap();
    assert_eq!((first.revision, second.revision), (2, 3));
    assert!(matches!(within(watch.next()).await, Some(Ok(WatchItem::Events { .. }))));
    drop((watch, client));
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));

    let server = home.server();
    let client = connect(server.addr()).await;
    let from = WatchFrom::Revision(3);
    let request = WatchRequest { from, ..WatchRequest::new(KeyRange::all()) };
    let mut watch = within(client.watch(request)).await.unwrap();
    let third = within(client.set(SetRequest::new("a", "3"))).await.unwrap();
    assert_eq!(third.revision, 4);
    let mut values = Vec::new();
    while values.len() < 2 {
        if let WatchItem::Events { events, .. } = within(watch.next()).await.unwrap().unwrap() {
            values.extend(events.iter().map(|event| event.kv.value.clone()));
        }
    }
    assert_eq!(values, ["2", "3"].map(wakeful::Blob::from));
    assert_eq!(&*within(client.get_at("a", 2)).await.unwrap().kv.unwrap().value, b"1");
}

#[tokio::test]
async fn d3_the_store_is_the_same_store_and_keys_keep_their_past() {
    let home = Home::new();
    let server = home.server();
    let store_id = server.run(&["status", "--json"]).json()["store_id"].clone();
    server.ok(&["set", "a", "1"]);
    server.ok(&["set", "a", "2"]);
    server.ok(&["set", "gone", "1"]);
    server.ok(&["del", "gone"]);
    server.signal("KILL");
    server.finish();
    let server = home.server();
    assert_eq!(server.run(&["status", "--json"]).json()["store_id"].clone(), store_id);
    assert_eq!((server.status("revision"), server.status("keys")), (5, 1));
    let kv = server.run(&["get", "a", "--json"]).json()["kv"].clone();
    assert_eq!((kv["version"].as_u64(), kv["create_revision"].as_u64()), (Some(2), Some(2)));
}

#[tokio::test]
async fn d4_leases_live_on() {
    let home = Home::new();
    let server = home.server();
    let client = connect(server.addr()).await;
    let grant = LeaseGrantRequest { id: 7, ttl: Duration::from_secs(3600) };
    within(client.call(KvRequest::LeaseGrant(grant))).await.unwrap();
    let attached = SetRequest { lease: 7, ..SetRequest::new("a", "1") };
    within(client.set(attached)).await.unwrap();
    let brief = Some(Duration::from_millis(300));
    within(client.set(SetRequest { ttl: brief, ..SetRequest::new("b", "1") })).await.unwrap();
    server.signal("KILL");
    server.finish();
    let server = home.server();
    let client = connect(server.addr()).await;
    let lease = within(client.lease_time_to_live(7)).await.unwrap();
    assert_eq!((lease.granted, lease.keys.len()), (Duration::from_secs(3600), 1));
    assert!(lease.remaining > Duration::from_secs(3500), "{lease:?}");
    server.until_status("keys", 1);
    server.ok(&["lease", "revoke", "7"]);
    assert_eq!(server.status("keys"), 0);
}

#[tokio::test]
async fn d5_a_write_that_is_sent_again_after_a_restart_is_done_once() {
    let home = Home::new();
    let server = home.server();
    let client = connect(server.addr()).await;
    let set = SetRequest { return_previous: true, ..SetRequest::new("a", "1") };
    let write = || KvRequest::Set(set.clone()).into();
    let first = within(client.call_with(write(), CallOptions::once(42))).await.unwrap();
    server.signal("KILL");
    server.finish();
    let server = home.server();
    let client = connect(server.addr()).await;
    assert_eq!(within(client.call_with(write(), CallOptions::once(42))).await.unwrap(), first);
    assert_eq!(server.status("revision"), 2);
}

#[test]
fn d7_a_second_process_is_refused() {
    let home = Home::new();
    let server = home.server();
    let dir = home.dir();
    let listen = ["serve", "--listen", "127.0.0.1:0", "--log", "error"];
    let second = run(&[&listen[..], &super::serve_in(&dir)].concat());
    let told = second.fails(7);
    assert!(told.contains("another process"), "{told}");
    server.ok(&["set", "a", "1"]);
}

#[test]
fn memory_touches_no_disk() {
    let home = tempfile::tempdir().unwrap();
    let mut command = wakeful(&["serve", "--listen", "127.0.0.1:0", "--durability", "memory"]);
    command.current_dir(home.path());
    let mut server = crate::process::Running::start(command);
    server.line();
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
