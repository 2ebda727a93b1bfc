//! Watches: opened once, then asked for each push.

use serde_json::{Value, json};

use super::Json;
use crate::support::eventually;
use crate::support::server::Server;

fn open(json: &mut Json, fields: &str) -> Value {
    json.ok("Wakeful.WatchOpen", fields)["watch"].clone()
}

fn next(json: &mut Json, watch: &Value) -> Value {
    json.ok("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#))
}

/// Returns the keys of the events, and whether each was put.
fn told(news: &Value) -> Vec<(String, bool)> {
    assert_eq!(news["type"], "events", "{news}");
    let events = news["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            let key = event["kv"]["key"].as_str().unwrap().to_owned();
            (key, event["kv"]["version"] != 0)
        })
        .collect()
}

#[test]
fn g8_a_watch_tells_every_event_when_it_is_asked() {
    let server = Server::start();
    let (mut json, mut other) = (Json::connect(server.addr()), Json::connect(server.addr()));
    let watch = open(&mut json, r#"{"range":{"prefix":"a/"},"previous":true}"#);
    let waiting = json.ask("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#));
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}), "it holds nobody up");
    let refused = json.refused("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#));
    assert!(refused.starts_with("InvalidArgument: "), "{refused}");
    other.ok("KVStoreService.Set", r#"["b/1","x"]"#);
    other.ok("KVStoreService.Set", r#"["a/1","x"]"#);
    let news = json.reply();
    assert_eq!(news["id"], waiting);
    let news = &news["result"];
    assert_eq!(told(news), [("a/1".to_owned(), true)]);
    assert_eq!((&news["revision"], &news["skipped"]), (&json!(3), &json!(0)));
    assert_eq!(news["events"][0]["previous"], Value::Null);
    // Events that occur between the requests are kept, in order.
    for key in 2..20 {
        other.ok("Wakeful.Set", &format!(r#"{{"key":"a/{key}","value":"y"}}"#));
    }
    other.ok("Wakeful.Delete", r#"{"range":{"key":"a/1"}}"#);
    let mut all = Vec::new();
    while all.len() < 19 {
        all.extend(told(&next(&mut json, &watch)));
    }
    let expected = (2..20).map(|key| (format!("a/{key}"), true));
    let expected: Vec<_> = expected.chain([("a/1".to_owned(), false)]).collect();
    assert_eq!(all, expected);
    let close = format!(r#"{{"watch":{watch}}}"#);
    assert_eq!(json.ok("Wakeful.WatchClose", &close), json!({}));
    for method in ["Wakeful.WatchClose", "Wakeful.WatchNext"] {
        let refused = json.refused(method, &close);
        assert!(refused.starts_with("WatchNotFound: "), "{refused}");
    }
    eventually("it is freed", || other.status("streams") == 0);
}

#[test]
fn g8_a_watch_begins_with_a_snapshot_or_at_a_revision() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    json.ok("KVStoreService.Set", r#"["a","1"]"#);
    json.ok("KVStoreService.Set", r#"["a","2"]"#);
    let fields = r#"{"range":{"key":"a"},"from":"Snapshot","progress_ms":100}"#;
    let watch = open(&mut json, fields);
    let news = next(&mut json, &watch);
    assert_eq!((&news["type"], &news["kvs"][0]["value"]), (&json!("snapshot"), &json!("2")));
    let news = next(&mut json, &watch);
    assert_eq!(news, json!({"type": "snapshot_end", "revision": 3}));
    let news = next(&mut json, &watch);
    assert_eq!(news, json!({"type": "progress", "revision": 3}));
    let watch = open(&mut json, r#"{"range":{"key":"a"},"from":{"Revision":2}}"#);
    let mut values = Vec::new();
    while values.len() < 2 {
        let news = next(&mut json, &watch);
        let events = news["events"].as_array().unwrap();
        values.extend(events.iter().map(|event| event["kv"]["value"].clone()));
    }
    assert_eq!(values, ["1", "2"]);
}

#[test]
fn g8_why_a_watch_ends_or_cannot_begin_is_told() {
    let server = Server::start();
    let (mut json, mut other) = (Json::connect(server.addr()), Json::connect(server.addr()));
    let refused = json.refused("Wakeful.WatchOpen", r#"{"range":{"key":""}}"#);
    assert!(refused.starts_with("InvalidArgument: "), "{refused}");
    let refused =
        json.refused("Wakeful.WatchOpen", r#"{"range":{"key":"a"},"from":{"revision":99}}"#);
    assert!(refused.starts_with("FutureRevision: "), "{refused}");
    eventually("no stream is left of those", || other.status("streams") == 0);
    let watch = open(&mut json, r#"{"range":{"key":"a"}}"#);
    let waiting = json.ask("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#));
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}));
    let watchers = other.ok("Wakeful.Watchers", "{}");
    assert_eq!(watchers["watchers"][0]["range"], json!({"Key": "a"}));
    let ended = &watchers["watchers"][0]["id"];
    assert_eq!(other.ok("Wakeful.EndWatcher", &format!(r#"{{"id":{ended}}}"#)), json!({}));
    let reply = json.reply();
    assert_eq!(reply["id"], waiting);
    let error = reply["error"].as_str().unwrap();
    assert!(error.starts_with("EndedByOperator: ") && error.contains("resume"), "{error}");
    let refused = json.refused("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#));
    assert!(refused.starts_with("WatchNotFound: "), "{refused}");
    // A request for the next push can be cancelled; the watch continues.
    let watch = open(&mut json, r#"{"range":{"key":"a"}}"#);
    let waiting = json.ask("Wakeful.WatchNext", &format!(r#"{{"watch":{watch}}}"#));
    let cancel = json.ask("Wakeful.Cancel", &format!(r#"{{"id":{waiting}}}"#));
    let reply = json.reply();
    assert_eq!(reply["id"], waiting);
    assert!(reply["error"].as_str().unwrap().starts_with("Cancelled: "), "{reply}");
    assert_eq!(json.reply()["id"], cancel);
    other.ok("KVStoreService.Set", r#"["a","1"]"#);
    assert_eq!(told(&next(&mut json, &watch)).len(), 1, "nothing was lost");
}

/// Streams with more events than fit in one reply.
#[test]
fn g8_a_large_revision_comes_in_parts() {
    let server = Server::start();
    let (mut json, mut other) = (Json::connect(server.addr()), Json::connect(server.addr()));
    let watch = open(&mut json, r#"{"range":{"prefix":""}}"#);
    let value = "x".repeat(10_000);
    let sets: Vec<String> =
        (0..20).map(|key| format!(r#"{{"Set":{{"key":"{key:02}","value":"{value}"}}}}"#)).collect();
    let txn = format!(r#"{{"success":[{}]}}"#, sets.join(","));
    let done = other.ok("Wakeful.Txn", &txn);
    assert_eq!((&done["succeeded"], &done["revision"]), (&json!(true), &json!(2)));
    assert_eq!(done["results"][0]["Set"]["changed"], true);
    let (mut keys, mut parts) = (Vec::new(), 0);
    loop {
        let news = next(&mut json, &watch);
        assert_eq!(news["revision"], 2);
        keys.extend(told(&news).into_iter().map(|(key, _)| key));
        parts += 1;
        if news["fragment"] == false {
            break;
        }
    }
    assert!(parts > 1);
    assert_eq!(keys, (0..20).map(|key| format!("{key:02}")).collect::<Vec<_>>());
}
