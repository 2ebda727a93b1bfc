//! O7, O8: the content of the log.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tracing_subscriber::fmt::format::FmtSpan;
use wakeful::{Client, Config, MethodContext, Methods, Operations, Service, Wakeful};

use super::Served;
use crate::json::Json;
use crate::support::raw::{Raw, hello};
use crate::support::{body, raw, within};

#[test]
fn o7_each_request_is_logged_with_its_connection() {
    let filter = "info,wakeful::request=debug";
    let server = Served::start(&["--log", filter, "--log-format", "json"]);
    server.ask(&["set", "a", "1"]).ok();
    assert_eq!(server.ask(&["get", "b"]).code, Some(3));
    assert_eq!(server.ask(&["set", "", "1"]).code, Some(2));
    assert_eq!(server.ask(&["wait", "b", "--timeout", "1ms"]).code, Some(4));
    server.ask(&["job", "push", "t", "x"]).ok();
    let log = server.stop();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let requests: Vec<&Value> =
        lines.iter().filter(|line| line["target"] == "wakeful::request").collect();
    let told = |line: &&Value| {
        let fields = &line["fields"];
        assert!(fields["request"].as_u64().is_some(), "{line}");
        assert!(fields["micros"].as_u64().is_some(), "{line}");
        let connection = &line["spans"][0];
        assert_eq!(connection["name"], "connection", "{line}");
        assert!(connection["id"].as_u64().is_some(), "{line}");
        assert!(connection["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(connection["client"].as_str().unwrap().starts_with("wakeful "), "{line}");
        let text = |name: &str| fields[name].as_str().expect(name).to_owned();
        (text("method"), text("outcome"))
    };
    let told: Vec<(String, String)> = requests.iter().map(told).collect();
    for (method, outcome) in
        [("Set", "Ok"), ("Get", "Ok"), ("Set", "InvalidArgument"), ("Wait", "Ok"), ("Push", "Ok")]
    {
        assert!(told.contains(&(method.to_owned(), outcome.to_owned())), "{method}: {told:?}");
    }
    let ids: std::collections::HashSet<u64> =
        requests.iter().map(|line| line["spans"][0]["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), 5, "each connection has its own");
}

/// A log in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_rt::test]
async fn o7_a_method_logs_in_the_span_of_its_call() {
    let log = Memory::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_span_events(FmtSpan::NEW);
    let _logged =
        tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let nothing = Service::new("Own").method("Nothing", async |(): (), _: MethodContext| Ok(()));
    wakeful.register(nothing).unwrap();
    let addr = wakeful.listen("127.0.0.1:0").await.unwrap();
    let client = within(Client::connect(addr.to_string())).await.unwrap();
    within(client.status()).await.unwrap();
    within(client.invoke::<()>("Own.Nothing", &())).await.unwrap();
    within(wakeful.stop()).await;
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let call = lines.map(|line| line["span"].clone()).find(|span| span["name"] == "call");
    let call = call.unwrap_or_else(|| panic!("no call in: {log}"));
    assert_eq!(call["method"], "Own.Nothing");
    assert!(call["connection"].as_u64().is_some_and(|id| id > 0), "{call}");
    assert!(call["request"].as_u64().is_some_and(|id| id > 0), "{call}");
}

#[test]
fn o7_requests_in_json_are_logged_too() {
    let server = Served::start(&["--log", "debug", "--log-format", "json"]);
    let mut client = Json::connect(server.socket_addr());
    client.ok("Wakeful.Hello", r#"{"client_name":"by hand"}"#);
    client.ok("KVStoreService.Set", r#"["key-that-is-mine","value-that-is-mine"]"#);
    client.refused("KVStoreService.Get", r#""another-that-is-mine""#);
    client.refused("Nobody.Knows", "7");
    client.refused("Wakeful.Get", r#"{"no-field-that-is-mine":1}"#);
    drop(client);
    let log = server.stop();
    assert!(!log.contains("that-is-mine"), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let requests: Vec<Value> = lines.filter(|line| line["target"] == "wakeful::request").collect();
    let told = |line: &Value| {
        assert_eq!(line["spans"][0]["client"], "by hand", "{line}");
        let text = |name: &str| line["fields"][name].as_str().unwrap().to_owned();
        (text("method"), text("outcome"))
    };
    let told: Vec<(String, String)> = requests.iter().map(told).collect();
    let expect = |(method, outcome): (&str, &str)| (method.to_owned(), outcome.to_owned());
    let expected = [
        ("Set", "Ok"),
        ("Get", "Ok"),
        ("Nobody.Knows", "ServiceNotFound"),
        ("unreadable", "Refused"),
    ];
    assert_eq!(told, expected.map(expect));
}

#[test]
fn o8_no_key_and_no_value_is_logged() {
    let server = Served::start(&["--log", "trace"]);
    server.ask(&["set", "key-that-is-mine", "value-that-is-mine"]).ok();
    server.ask(&["get", "key-that-is-mine"]).ok();
    server.ask(&["set", "key-that-is-mine", "value-that-is-mine", "--lease", "77"]).fails(3);
    server.ask(&["job", "push", "topic", "payload-that-is-mine"]).ok();
    let log = server.stop();
    assert!(log.contains("wakeful::request"), "{log}");
    assert!(!log.contains("that-is-mine"), "{log}");
}

#[test]
fn o8_what_a_client_says_neither_begins_a_line_nor_commands_the_terminal() {
    for format in ["human", "json"] {
        let server = Served::start(&["--log", "trace", "--log-format", format]);
        let nasty = "a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31m\u{9b}2J\u{202e}\" id=7";
        let mut client = Raw::connect(server.socket_addr());
        client.send(raw::PREFACE);
        client.send(&hello(nasty));
        client.expect_preface();
        assert_eq!(client.next().kind, raw::WELCOME);
        client.set(nasty.as_bytes(), nasty.as_bytes());
        // A method that does not exist, with a name that the client chose.
        let invoke = body::Body::request(21).bytes(nasty.as_bytes()).u32(0).bytes(b"");
        client.ask(invoke);
        assert_eq!(client.next().kind, raw::ERROR);
        // A refusal that quotes the request.
        client.ask(body::wait(body::key(b""), 77, 1));
        assert_eq!(client.next().kind, raw::ERROR);
        drop(client);
        let log = server.stop();
        assert!(log.contains("forged"), "it was logged: {log}");
        for line in log.lines() {
            assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line:?}");
            let control = line.chars().find(|c| c.is_control());
            assert_eq!(control, None, "{line:?}");
            if format == "json" {
                assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
            }
        }
    }
}
