//! Every request of the native protocol, by its JSON name.

use serde_json::{Value, json};

use super::Json;
use crate::support::server::Server;

#[test]
fn g6_keys() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let set = json.ok("Wakeful.Set", r#"{"key":"a","value":"1","return_previous":true}"#);
    assert_eq!(set, json!({"revision": 2, "changed": true, "lease": "0", "previous": null}));
    let set = json.ok("Wakeful.Set", r#"{"key":"a","value":"2","return_previous":true}"#);
    assert_eq!(set["previous"]["value"], "1");
    let kv = json!({"key": "a", "value": "2", "create_revision": 2, "mod_revision": 3,
        "version": 2, "lease": "0"});
    assert_eq!(json.ok("Wakeful.Get", r#"{"key":"a"}"#), json!({"revision": 3, "kv": kv}));
    let old = json.ok("Wakeful.Get", r#"{"key":"a","revision":2}"#);
    assert_eq!(old["kv"]["value"], "1");
    assert_eq!(json.ok("Wakeful.Get", r#"{"key":"b"}"#), json!({"revision": 3, "kv": null}));
    let page = json.ok("Wakeful.Range", r#"{"range":{"range":{"from":"a","to":"b"}},"limit":1}"#);
    assert_eq!(page, json!({"revision": 3, "kvs": [kv], "more": false, "count": 1}));
    let txn = json.ok(
        "Wakeful.Txn",
        r#"{"compares":[{"range":{"Key":"a"},"op":"Equal","target":{"Value":"2"}}],
            "success":[{"Set":{"key":"b","value":"3"}},{"Get":{"key":"b"}}],
            "failure":[{"Delete":{"range":{"Key":"a"}}}]}"#,
    );
    assert_eq!(txn["succeeded"], true);
    assert_eq!(txn["results"][1]["Get"]["kv"]["value"], "3");
    let deleted = json.ok("Wakeful.Delete", r#"{"range":{"prefix":""},"return_previous":true}"#);
    assert_eq!((&deleted["deleted"], &deleted["previous"][0]), (&json!(2), &kv));
    assert_eq!(
        json.ok("Wakeful.Compact", r#"{"revision":4}"#),
        json!({"revision": 5, "oldest": 4})
    );
    let refused = json.refused("Wakeful.Get", r#"{"key":"a","revision":2}"#);
    assert!(refused.starts_with("Compacted: revision 2 is compacted: the oldest"), "{refused}");
    let refused = json.refused("Wakeful.Snapshot", "{}");
    assert!(refused.starts_with("InvalidArgument: the store is in memory"), "{refused}");
    let refused = json.refused("Wakeful.ReadSnapshot", r#"{"id":1}"#);
    assert!(refused.starts_with("InvalidArgument: "), "{refused}");
}

#[test]
fn g6_leases_options_and_waits() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let granted = json.ok("Wakeful.LeaseGrant", r#"{"id":7,"ttl_ms":60000}"#);
    assert_eq!(granted, json!({"revision": 1, "id": "7", "ttl_ms": 60000}));
    json.ok("Wakeful.Set", r#"{"key":"a","value":"1","lease":7}"#);
    assert_eq!(json.ok("Wakeful.LeaseKeepAlive", r#"{"id":7}"#)["id"], "7");
    let left = json.ok("Wakeful.LeaseTimeToLive", r#"{"id":7}"#);
    assert_eq!((&left["granted_ms"], &left["keys"]), (&json!(60000), &json!(["a"])));
    assert_eq!(json.ok("Wakeful.LeaseList", "{}")["leases"], json!(["7"]));
    assert_eq!(json.ok("Wakeful.LeaseRevoke", r#"{"id":7}"#)["deleted"], 1);
    let refused = json.refused("Wakeful.LeaseKeepAlive", r#"{"id":7}"#);
    assert!(refused.starts_with("LeaseNotFound: "), "{refused}");
    // A repeated request is executed once.
    let set = r#"{"key":"n","value":"1","idempotency":"340282366920938463463374607431768211455"}"#;
    let first = json.ok("Wakeful.Set", set);
    assert_eq!(json.ok("Wakeful.Set", set), first);
    let refused = json.refused("Wakeful.Set", &set.replace("\"1\"", "\"2\""));
    assert!(refused.starts_with("IdempotencyMismatch: "), "{refused}");
    let told = json.ok("Wakeful.Get", r#"{"key":"n","durability":"fsync"}"#);
    assert!(told["durability"].is_null(), "nothing is durable in memory");
    assert!(told.as_object().unwrap().contains_key("durability"));
    let waited = json.ok("Wakeful.Wait", r#"{"range":{"key":"n"},"condition":{"Equals":"1"}}"#);
    assert_eq!((&waited["met"], &waited["event"]["kv"]["value"]), (&json!(true), &json!("1")));
    let waited = json.ok("Wakeful.Wait", r#"{"range":{"key":"n"},"timeout_ms":1}"#);
    assert_eq!((&waited["met"], &waited["event"]), (&json!(false), &Value::Null));
    let wait =
        json.ask("Wakeful.Wait", r#"{"range":{"prefix":"n"},"after":1,"condition":"absent"}"#);
    assert_eq!(json.ok("Wakeful.Delete", r#"{"range":{"key":"n"}}"#)["deleted"], 1);
    let reply = json.reply();
    assert_eq!((&reply["id"], &reply["result"]["met"]), (&json!(wait), &json!(true)));
}

/// Readers that use doubles for numbers keep all digits only of text.
#[test]
fn g6_ids_that_can_pass_2_to_the_53_are_text_and_come_back_as_text_or_number() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let id = u64::MAX.to_string();
    let granted = json.ok("Wakeful.LeaseGrant", &format!(r#"{{"id":"{id}","ttl_ms":"60000"}}"#));
    assert_eq!(granted, json!({"revision": 1, "id": id, "ttl_ms": 60000}));
    // Each is also accepted as a number, as in earlier versions.
    for (lease, id) in [(granted["id"].to_string(), &granted["id"]), (id.clone(), &json!(id))] {
        let set = format!(r#"{{"key":"a","value":"1","lease":{lease},"return_previous":true}}"#);
        assert_eq!(json.ok("Wakeful.Set", &set)["lease"], *id);
        let mut named = |method: &str| json.ok(method, &format!(r#"{{"id":{lease}}}"#));
        assert_eq!(named("Wakeful.LeaseKeepAlive")["id"], *id);
        assert_eq!(named("Wakeful.LeaseTimeToLive")["id"], *id);
        assert_eq!(named("Wakeful.LeaseKeys")["keys"], json!(["a"]));
        let txn = format!(
            r#"{{"compares":[{{"range":{{"Key":"a"}},"op":"Equal","target":{{"Lease":{lease}}}}}]}}"#
        );
        assert_eq!(json.ok("Wakeful.Txn", &txn)["succeeded"], true);
        let list = json.ok("Wakeful.LeaseList", r#"{"after":"0"}"#);
        assert_eq!(list["leases"], json!([id]));
        assert_eq!(json.ok("Wakeful.Get", r#"{"key":"a"}"#)["kv"]["lease"], *id);
    }
    let mut other = Json::connect(server.addr());
    for number in [false, true] {
        let wait = json.ask("Wakeful.Wait", r#"{"range":{"key":"w"}}"#);
        let watchers = json.ok("Wakeful.Watchers", "{}");
        let id = watchers["watchers"][0]["id"].as_str().expect("it is text").to_owned();
        let id = if number { id } else { format!("{id:?}") };
        assert_eq!(other.ok("Wakeful.EndWatcher", &format!(r#"{{"id":{id}}}"#)), json!({}));
        assert_eq!(json.reply()["id"], wait);
    }
    json.ok("Wakeful.LeaseRevoke", &format!(r#"{{"id":"{id}"}}"#));
    assert_eq!(json.ok("Wakeful.Get", r#"{"key":"a"}"#)["kv"], Value::Null);
}

#[test]
fn g6_status_and_hello() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let welcome = json.ok("Wakeful.Hello", r#"{"client_name":"me\u0007"}"#);
    let status = json.ok("Wakeful.Status", "null");
    assert_eq!((&welcome["store_id"], &welcome["revision"]), (&status["store_id"], &json!(1)));
    let store_id = status["store_id"].as_str().unwrap();
    assert!(store_id.len() == 16 && u64::from_str_radix(store_id, 16).is_ok(), "{status}");
    assert_eq!(status["connections"], 1);
    json.ask("Wakeful.Wait", r#"{"range":{"key":"a"}}"#);
    let mut other = Json::connect(server.addr());
    crate::support::eventually("it waits", || other.status("waits") == 1);
    let watchers = other.ok("Wakeful.Watchers", "null");
    let owner = watchers["watchers"][0]["owner"].as_str().unwrap();
    assert!(owner.starts_with("127.0.0.1:") && owner.ends_with(" (me)"), "{owner}");
    let long = format!(r#"{{"client_name":"{}"}}"#, "x".repeat(257));
    assert!(json.refused("Wakeful.Hello", &long).starts_with("InvalidArgument: "));
}

#[test]
fn g6_jobs() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let settings =
        r#"{"topic":"t","settings":{"retry_max":1,"backoff":{"Constant":{"pause_ms":1}}}}"#;
    let topic = json.ok("Wakeful.JobSetTopic", settings);
    assert_eq!(topic["settings"]["backoff"], json!({"Constant": {"pause_ms": 1}}));
    let pushed = json.ok(
        "Wakeful.JobPush",
        r#"{"jobs":[{"topic":"t","payload":"p","index":"i"},{"topic":"t","payload":{"base64":"/w=="}}]}"#,
    );
    assert_eq!(pushed["pushed"][0], json!({"id": 1, "state": "Ready", "existing": false}));
    let reserved = json.ok("Wakeful.JobReserve", r#"{"topic":"t","credits":2}"#);
    let jobs = reserved["jobs"].as_array().unwrap();
    assert_eq!((&jobs[0]["payload"], &jobs[0]["index"]), (&json!("p"), &json!("i")));
    assert_eq!(jobs[1]["payload"], json!({"base64": "/w=="}));
    let (first, second) = (&jobs[0]["reservation"], &jobs[1]["reservation"]);
    let touch = format!(r#"{{"reservations":[{first}]}}"#);
    assert_eq!(json.ok("Wakeful.JobTouch", &touch), json!({"errors": [null]}));
    let resume = format!(r#"{{"reservations":[{first},{{"id":99,"epoch":1}}]}}"#);
    assert_eq!(json.ok("Wakeful.JobResume", &resume), json!({"topics": ["t", null]}));
    let note = format!(r#"{{"reservation":{first},"progress":"half"}}"#);
    assert_eq!(json.ok("Wakeful.JobProgress", &note), json!({"errors": [null]}));
    let info = json.ok("Wakeful.JobGet", r#"{"job":{"Id":1}}"#);
    assert_eq!((&info["state"], &info["progress"]), (&json!("Reserved"), &json!("half")));
    let settle = format!(
        r#"{{"settlements":[{{"reservation":{first},"verdict":{{"Done":{{"output":"o"}}}}}},
            {{"reservation":{second},"verdict":{{"Fail":{{"error":"e"}}}}}}]}}"#
    );
    assert_eq!(json.ok("Wakeful.JobSettle", &settle), json!({"errors": [null, null]}));
    let errors = json.ok("Wakeful.JobSettle", &settle);
    assert_eq!(errors["errors"][0]["code"], 25, "stale");
    let done = json.ok("Wakeful.JobAwait", r#"{"job":{"index":{"topic":"t","index":"i"}}}"#);
    assert_eq!((&done["state"], &done["output"]), (&json!("Done"), &json!("o")));
    let outcomes = json.ok("Wakeful.JobOutcomes", r#"{"topic":"t","after":0,"wait_ms":0}"#);
    assert_eq!(outcomes["jobs"].as_array().unwrap().len(), 2);
    let dead = json.ok("Wakeful.JobList", r#"{"topic":"t","state":"Dead"}"#);
    assert_eq!(dead["jobs"][0]["errors"], json!(["e"]));
    let replayed = json.ok("Wakeful.JobReplay", r#"{"topic":"t","id":2}"#);
    assert_eq!(replayed, json!({"count": 1, "more": false}));
    let cancelled = json.ok("Wakeful.JobCancel", r#"{"job":{"Id":2}}"#);
    assert_eq!(cancelled["state"], "Cancelled");
    assert_eq!(json.ok("Wakeful.JobRevoked", r#"{"wait_ms":0}"#), json!({"reservations": []}));
    assert_eq!(json.ok("Wakeful.JobPauseTopic", r#"{"topic":"t","paused":true}"#)["paused"], true);
    assert_eq!(json.ok("Wakeful.JobClearTopic", r#"{"topic":"t"}"#)["count"], 0);
    assert_eq!(json.ok("Wakeful.JobTopic", r#"{"topic":"t"}"#)["done_total"], 1);
    assert_eq!(json.ok("Wakeful.JobTopics", "{}")["topics"][0]["name"], "t");
    let schedule =
        r#"{"name":"s","cron":"0 3 * * *","timezone":"UTC","push":{"topic":"t","payload":"p"}}"#;
    let schedules = json.ok("Wakeful.JobSetSchedule", schedule);
    assert_eq!(schedules["schedules"][0]["schedule"]["cron"], "0 3 * * *");
    assert_eq!(json.ok("Wakeful.JobSchedules", "{}")["schedules"].as_array().unwrap().len(), 1);
    let in_use = json.refused("Wakeful.JobDeleteTopic", r#"{"topic":"t"}"#);
    assert!(in_use.starts_with("TopicInUse: topic t is in use: 1 schedule"), "{in_use}");
    assert_eq!(json.ok("Wakeful.JobRemoveSchedule", r#"{"name":"s"}"#)["count"], 1);
    assert_eq!(json.ok("Wakeful.JobDeleteDead", r#"{"topic":"t"}"#)["count"], 0);
    let free = json.ok("Wakeful.JobFreeIndex", r#"{"topic":"t","index":"i"}"#);
    assert_eq!(free, json!({"count": 0, "more": false}));
    let deleted = json.ok("Wakeful.JobDeleteTopic", r#"{"topic":"t","force":true}"#);
    assert_eq!(deleted, json!({"count": 0, "more": false}));
    let refused = json.refused("Wakeful.JobPush", r#"{"jobs":[],"idempotency":5}"#);
    assert!(refused.starts_with("InvalidArgument: "), "{refused}");
}

/// A worker that requests to wait, in a language with only a JSON library.
#[test]
fn g6_a_worker_waits_for_jobs() {
    let server = Server::start();
    let (mut worker, mut json) = (Json::connect(server.addr()), Json::connect(server.addr()));
    let waiting = worker.ask("Wakeful.JobReserve", r#"{"topic":"t","wait_ms":3600000}"#);
    assert_eq!(worker.ok("Wakeful.Ping", "{}"), json!({}));
    json.ok("Wakeful.JobPush", r#"{"jobs":[{"topic":"t","payload":"p"}]}"#);
    let given = worker.reply();
    assert_eq!(given["id"], waiting);
    let reservation = &given["result"]["jobs"][0]["reservation"];
    let settle =
        format!(r#"{{"settlements":[{{"reservation":{reservation},"verdict":"Release"}}]}}"#);
    assert_eq!(worker.ok("Wakeful.JobSettle", &settle), json!({"errors": [null]}));
    worker.ok("Wakeful.JobReserve", r#"{"topic":"t"}"#);
    drop(worker);
    let taken = json.ok("Wakeful.JobReserve", r#"{"topic":"t"}"#);
    assert_eq!(taken["jobs"][0]["losses"], 1, "the job of a worker that went");
}

#[test]
fn g6_of_a_member_that_comes_twice_the_last_counts() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    json.ok("Wakeful.Set", r#"{"durability":"fsync","key":"dup","value":"1","value":"2"}"#);
    assert_eq!(json.ok("KVStoreService.Get", r#""dup""#), "2");
    let open = json.ok("Wakeful.WatchOpen", r#"{"range":{"key":"a"}}"#);
    let next = format!(r#"{{"watch":0,"Watch":{}}}"#, open["watch"]);
    json.ok("Wakeful.WatchClose", &next);
}
