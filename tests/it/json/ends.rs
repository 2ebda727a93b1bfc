//! Ends of connections, and idle connections.

use std::time::{Duration, Instant};

use serde_json::json;
use wakeful::Service;

use super::Json;
use crate::support::eventually;
use crate::support::server::Server;

/// As `nc -N` and scripts do.
#[test]
fn g7_what_does_not_wait_is_answered_to_who_sends_no_more() {
    let slow = Service::new("Slow").method("Echo", async |text: String, _| {
        tokio::task::yield_now().await;
        Ok(text)
    });
    let server = Server::offering(vec![slow]);
    let mut json = Json::connect(server.addr());
    json.ask("KVStoreService.Set", r#"["a","1"]"#);
    json.ask("Slow.Echo", r#""x""#);
    json.ask("Wakeful.JobPush", r#"{"jobs":[{"topic":"t","payload":"p"}]}"#);
    json.ask("Wakeful.JobReserve", r#"{"topic":"t","wait_ms":0}"#);
    json.ask("Wakeful.JobReserve", r#"{"topic":"other"}"#);
    json.ask("KVStoreService.Watch", "3600");
    json.shutdown_write();
    let mut replies: Vec<_> = (1..=6).map(|_| json.reply()).collect();
    json.expect_end();
    replies.sort_by_key(|reply| reply["id"].as_u64());
    assert_eq!(replies[0]["result"], json!({}));
    assert_eq!(replies[1]["result"], "x");
    assert_eq!(replies[2]["result"]["pushed"][0]["state"], "Ready");
    assert_eq!(replies[3]["result"]["jobs"][0]["payload"], "p");
    for waited in &replies[4..] {
        assert!(waited["error"].as_str().unwrap().starts_with("Cancelled: "), "{waited}");
    }
    let mut other = Json::connect(server.addr());
    let topic = other.ok("Wakeful.JobTopic", r#"{"topic":"t"}"#);
    assert_eq!(topic["ready"], 1, "who is gone holds no jobs");
    assert_eq!(other.status("waits"), 0);
}

#[test]
fn g7_a_connection_may_be_idle_as_long_as_it_likes() {
    let server = Server::start_with(|config| {
        config.rpc.handshake_timeout = Duration::from_millis(50);
        config.rpc.ping_interval = Duration::from_millis(20);
        config.rpc.ping_timeout = Duration::from_millis(20);
        config.rpc.frame_timeout = Duration::from_millis(20);
    });
    let mut json = Json::connect(server.addr());
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}));
    let mut raw = crate::support::raw::Raw::open(server.addr());
    // This connection gets a ping, does not answer, and is closed; the other is idle for at least
    // that long.
    while raw.next_or_end().is_some() {}
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}), "no ping in between");
    // A value that has begun must be completed in time.
    json.send("{\"method\":");
    json.expect_end();
}

#[test]
fn r5_a_server_that_stops_answers_what_is_in_flight_and_closes() {
    let mut server = Server::start();
    let mut json = Json::connect(server.addr());
    let opened = json.ok("Wakeful.WatchOpen", r#"{"range":{"key":"a"}}"#);
    let idle = json.ok("Wakeful.WatchOpen", r#"{"range":{"key":"b"}}"#);
    assert_ne!(opened["watch"], idle["watch"]);
    let next = json.ask("Wakeful.WatchNext", &format!(r#"{{"watch":{}}}"#, opened["watch"]));
    let wait = json.ask("Wakeful.Wait", r#"{"range":{"key":"a"}}"#);
    let watch = json.ask("KVStoreService.Watch", "3600");
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}));
    let mut other = Json::connect(server.addr());
    eventually("they wait", || other.status("waits") == 2);
    server.begin_stop();
    let mut replies = [json.reply(), json.reply(), json.reply()];
    replies.sort_by_key(|reply| reply["id"].as_u64());
    for (reply, id) in replies.iter().zip([next, wait, watch]) {
        assert_eq!(reply["id"], id);
        let error = reply["error"].as_str().unwrap();
        assert!(error.starts_with("Unavailable: ") && error.contains("resume from"), "{error}");
    }
    json.expect_end();
}

#[test]
fn g7_goodbye_and_cancel_are_methods() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    json.send(r#"{"method":"KVStoreService.Watch","params":[3600],"id":"w"}"#);
    assert_eq!(json.ok("Wakeful.Cancel", r#"{"id":"w"}"#), json!({}));
    let cancelled = json.reply();
    assert_eq!(cancelled["id"], "w");
    assert!(cancelled["error"].as_str().unwrap().starts_with("Cancelled: "), "{cancelled}");
    let wait = json.ask("Wakeful.Wait", r#"{"range":{"key":"a"}}"#);
    assert_eq!(json.ok("Wakeful.Goodbye", "{}"), json!({}));
    let refused = json.refused("Wakeful.Status", "{}");
    assert!(refused.starts_with("Unavailable: "), "{refused}");
    let mut other = Json::connect(server.addr());
    other.ok("KVStoreService.Set", r#"["a","1"]"#);
    let answered = json.reply();
    assert_eq!((&answered["id"], &answered["result"]["met"]), (&json!(wait), &json!(true)));
    json.expect_end();
}
