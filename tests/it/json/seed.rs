//! `KVStoreService`, and a service of the application as in Go's tutorial.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use wakeful::{Error, MethodContext, Service};

use super::Json;
use crate::support::eventually;
use crate::support::server::Server;

#[test]
fn g3_get_and_set_are_the_seeds() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    assert_eq!(json.refused("KVStoreService.Get", r#""abc""#), "not found");
    assert_eq!(json.refused("KVStoreService.Get", r#""""#), "not found");
    assert_eq!(json.ok("KVStoreService.Set", r#"["abc","abc-value"]"#), json!({}), "never null");
    assert_eq!(json.ok("KVStoreService.Get", r#""abc""#), "abc-value");
    assert_eq!(json.ok("KVStoreService.Set", r#"["empty"]"#), json!({}));
    assert_eq!(json.ok("KVStoreService.Get", r#""empty""#), "");
    let refused = json.refused("KVStoreService.Set", "[]");
    assert!(refused.starts_with("InvalidArgument: "), "{refused}");
}

#[test]
fn g3_a_watch_tells_the_next_key_whose_value_changes() {
    let server = Server::start();
    let (mut json, mut other) = (Json::connect(server.addr()), Json::connect(server.addr()));
    json.ok("KVStoreService.Set", r#"["a","1"]"#);
    let watch = json.ask("KVStoreService.Watch", "30");
    // On the same connection, so after the wait.
    assert_eq!(json.ok("KVStoreService.Get", r#""a""#), "1", "it holds nobody up");
    other.ok("KVStoreService.Set", r#"["a","1"]"#);
    assert_eq!(other.status("waits"), 1, "a set that changes nothing wakes nobody");
    other.ok("KVStoreService.Set", r#"["a","2"]"#);
    assert_eq!(json.reply(), json!({"id": watch, "result": "a", "error": null}));
    for seconds in ["0", "-1"] {
        assert_eq!(json.refused("KVStoreService.Watch", seconds), "timeout");
    }
    let refused = json.refused("KVStoreService.Watch", "9223372036854775807");
    assert!(refused.contains("watch.wait_timeout_max"), "{refused}");
}

#[test]
fn t5_watches_of_a_connection_that_is_gone_are_freed() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    for _ in 0..50 {
        json.ask("KVStoreService.Watch", "3600");
        json.ask("Wakeful.Wait", r#"{"range":{"key":"a"}}"#);
        json.ask("Wakeful.JobReserve", r#"{"topic":"t"}"#);
    }
    let mut other = Json::connect(server.addr());
    eventually("they are there", || other.status("waits") == 100);
    drop(json);
    eventually("they are gone", || {
        other.status("waits") == 0
            && other.ok("Wakeful.JobTopic", r#"{"topic":"t"}"#)["waiting_workers"] == 0
            && other.status("connections") == 1
    });
}

#[derive(Default)]
struct IsLogin(AtomicBool);

/// Returns the tutorial's `HelloService`.
pub(crate) fn hello_service() -> Service {
    let login = async |request: String, cx: MethodContext| {
        if request != "user:password" {
            return Err(Error::failed("auth failed"));
        }
        cx.session().state::<IsLogin>().0.store(true, Ordering::Relaxed);
        Ok(())
    };
    let hello = async |request: String, cx: MethodContext| {
        if !cx.session().state::<IsLogin>().0.load(Ordering::Relaxed) {
            return Err(Error::failed("please login"));
        }
        Ok(format!("hello:{request}, from{}", cx.session().peer()))
    };
    Service::new("HelloService").method("Login", login).method("Hello", hello)
}

#[test]
fn g5_services_of_an_application_are_methods_like_any_other() {
    let server = Server::offering(vec![hello_service()]);
    let (mut json, mut other) = (Json::connect(server.addr()), Json::connect(server.addr()));
    assert_eq!(json.refused("HelloService.Hello", r#""x""#), "please login");
    assert_eq!(json.refused("HelloService.Login", r#""user:wrong""#), "auth failed");
    assert_eq!(json.ok("HelloService.Login", r#""user:password""#), json!({}), "never null");
    let said = json.ok("HelloService.Hello", r#""x""#);
    assert!(said.as_str().unwrap().starts_with("hello:x, from127.0.0.1:"), "{said}");
    assert_eq!(other.refused("HelloService.Hello", r#""x""#), "please login", "of one connection");
    let none = json.refused("HelloService.Nope", r#""x""#);
    assert_eq!(none, "rpc: can't find method HelloService.Nope");
    json.send(r#"{"method":"HelloService.Hello","id":5}"#);
    assert_eq!(json.reply()["error"], "jsonrpc: request body missing params");
    let wrong = json.refused("HelloService.Hello", "5");
    assert!(wrong.starts_with("InvalidArgument: "), "{wrong}");
    let services = json.ok("Wakeful.Services", "{}");
    assert_eq!(services, json!([{"name": "HelloService", "methods": ["Hello", "Login"]}]));
}
