//! The JSON dialect: ids, split input, and the errors that close a connection.

use serde_json::{Value, json};

use super::Json;
use crate::support::raw::Raw;
use crate::support::server::Server;

#[test]
fn g1_requests_may_come_in_any_pieces() {
    let server = Server::start();
    let script = concat!(
        r#"{"method":"KVStoreService.Set","params":[["a","}{\""]],"id":1}"#,
        r#"{"method":"KVStoreService.Get","params":["a"],"id":2}"#,
        "\n\t  ",
        r#"{"params":["a"],"id":3,"method":"KVStoreService.Get"}"#
    );
    for size in [1, 2, 7, 50, script.len()] {
        let mut json = Json::connect(server.addr());
        for piece in script.as_bytes().chunks(size) {
            json.send(piece);
        }
        let mut replies = [json.reply(), json.reply(), json.reply()];
        replies.sort_by_key(|reply| reply["id"].as_u64());
        assert_eq!(replies[0], json!({"id": 1, "result": {}, "error": null}), "by {size}");
        assert_eq!(replies[1], json!({"id": 2, "result": "}{\"", "error": null}));
        assert_eq!(replies[2], json!({"id": 3, "result": "}{\"", "error": null}));
    }
}

#[test]
fn g2_ids_are_any_json_and_come_back_as_they_were() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    for id in ["0", "18446744073709551615", "-1.50", r#""a\u0041""#, r#"[1, {"x":null}]"#, "true"] {
        json.send(format!(r#"{{"method":"Wakeful.Ping","params":[],"id":{id}}}"#));
        assert_eq!(json.line(), format!(r#"{{"id":{id},"result":{{}},"error":null}}"#));
    }
    for without in [r#"{"method":"Wakeful.Ping","params":[]}"#, r#"{"id":null}"#] {
        json.send(without);
        assert!(json.reply()["id"].is_null(), "{without}");
    }
    json.send(r#"{"method":"Wakeful.Wait","params":[{"range":{"key":"k"}}],"id":7}"#.repeat(2));
    assert_eq!(json.ok("Wakeful.Set", r#"{"key":"k"}"#)["changed"], true);
    let (a, b) = (json.reply(), json.reply());
    assert_eq!((&a["id"], &b["id"]), (&json!(7), &json!(7)), "in flight twice");
}

/// Asserts that a connection that sends `said` is closed without a reply.
fn closes(server: &Server, said: &[u8]) {
    let mut json = Json::connect(server.addr());
    assert_eq!(json.ok("Wakeful.Ping", "{}"), json!({}));
    json.send(said);
    let shown = String::from_utf8_lossy(&said[..said.len().min(60)]);
    assert_eq!(json.line_or_end(), None, "{shown}");
}

#[test]
fn g4_malformed_json_closes_the_connection_without_a_reply() {
    let server = Server::start_with(|config| {
        config.rpc.json_depth_max = 10;
        config.rpc.json_id_bytes_max = 20;
    });
    let mut beside = Json::connect(server.addr());
    beside.ok("KVStoreService.Set", r#"["a","1"]"#);
    for said in [
        &b"x"[..],
        b"5",
        b"null",
        b"[]",
        b"{]",
        b"{\"id\" 1}",
        b"{\"id\":1,}",
        b"{\"method\":5,\"params\":[],\"id\":1}",
        b"{\"method\":\"\xff\",\"params\":[],\"id\":1}",
        b"{\"method\":\"a.b\",\"params\":[[[[[[[[[[[]]]]]]]]]]],\"id\":1}",
        b"{\"method\":\"Wakeful.Ping\",\"params\":[],\"id\":\"0123456789012345678\"}",
    ] {
        closes(&server, said);
    }
    let deep = [b"{\"a\":".as_slice(), &[b'['; 100_000]].concat();
    closes(&server, &deep);
    assert_eq!(beside.ok("KVStoreService.Get", r#""a""#), "1", "others do not notice");
}

#[test]
fn g4_what_was_asked_before_malformed_json_is_answered() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    json.send(r#"{"method":"Wakeful.Ping","params":[],"id":1}{"method":"Wakeful.Status","params":[],"id":2}}"#);
    let mut ids = [json.reply()["id"].as_u64(), json.reply()["id"].as_u64()];
    ids.sort();
    assert_eq!(ids, [Some(1), Some(2)]);
    json.expect_end();
}

#[test]
fn s10_json_is_no_longer_than_a_frame() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    let value = "x".repeat(1 << 20);
    json.ok("KVStoreService.Set", &format!(r#"["long","{value}"]"#));
    assert_eq!(json.ok("KVStoreService.Get", r#""long""#), Value::from(value.clone()));
    let refused = json.refused("KVStoreService.Set", &format!(r#"["long","{value}x"]"#));
    assert!(refused.starts_with("LimitExceeded: ") && refused.contains("value_bytes_max"));
    // Many small values take more memory than their text.
    let many = format!(r#"{{"idempotency":[{}0]}}"#, "0,".repeat(200_000));
    let refused = json.refused("Wakeful.Set", &many);
    assert!(refused.contains("rpc.frame_bytes_max"), "{refused}");
    let mut endless = Json::connect(server.addr());
    let start = r#"{"method":""#;
    endless.send(start);
    // The connection is closed during this write or soon after.
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..9 {
        if std::io::Write::write_all(&mut endless.socket, &chunk).is_err() {
            break;
        }
    }
    assert_eq!(endless.line_or_end(), None);
}

#[test]
fn g3_an_argument_that_does_not_fit_is_an_error_to_that_call_alone() {
    let server = Server::start();
    let mut json = Json::connect(server.addr());
    for (method, argument) in [
        ("KVStoreService.Get", "5"),
        ("KVStoreService.Get", "\"\\ud800\""),
        ("KVStoreService.Set", r#""a""#),
        ("KVStoreService.Set", r#"["a",1]"#),
        ("KVStoreService.Watch", "\"1\""),
        ("KVStoreService.Watch", "1.5"),
        ("Wakeful.Set", r#"{"key":1}"#),
        ("Wakeful.Set", r#"{"kye":"a"}"#),
        ("Wakeful.Ping", "1"),
    ] {
        let (result, error) = json.call(method, argument);
        if method != "Wakeful.Ping" {
            assert!(result.is_null() && error.is_string(), "{method} {argument}: {result}");
        }
    }
    json.send(r#"{"method":"KVStoreService.Get","params":{"key":"a"},"id":"x"}"#);
    assert!(json.reply()["error"].is_string());
    json.send(r#"{"method":"KVStoreService.Get","id":"x"}"#);
    assert_eq!(json.reply()["error"], "jsonrpc: request body missing params");
    json.send(r#"{"method":"NoService.Nope","id":"x"}"#);
    assert_eq!(json.reply()["error"], "rpc: can't find service NoService.Nope");
}

/// Both protocols are doors to the same node.
#[test]
fn g6_a_native_client_sees_what_json_does() {
    let server = Server::start();
    let (mut json, mut raw) = (Json::connect(server.addr()), Raw::open(server.addr()));
    raw.set(b"binary", b"\xff\xfe");
    let kv = &json.ok("Wakeful.Get", r#"{"key":"binary"}"#)["kv"];
    assert_eq!(kv["value"], json!({"base64": "//4="}));
    let refused = json.refused("KVStoreService.Get", r#""binary""#);
    assert!(refused.contains("not UTF-8"), "{refused}");
    json.ok("Wakeful.Set", r#"{"key":{"base64":"/w=="},"value":"x"}"#);
    let page = json.ok("Wakeful.Range", r#"{"range":{"prefix":{"base64":"/w=="}}}"#);
    assert_eq!(page["kvs"][0]["key"], json!({"base64": "/w=="}));
    assert_eq!(raw.status().keys, 2);
}
