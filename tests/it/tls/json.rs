//! TLS1: the first byte inside TLS decides the protocol, as on a plain port.

use serde_json::json;
use wakeful::{Operations, SetRequest};

use super::{Authority, Server, connect, stream};
use crate::json::Json;
use crate::support::within;

#[actix_rt::test]
async fn tls1_json_is_spoken_inside_tls() {
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    let native = connect(server.addr, Some(authority.trusted())).await.unwrap();
    let mut go = Json::over(stream(server.addr, &authority));
    assert_eq!(go.refused("KVStoreService.Get", r#""a""#), "not found");
    assert_eq!(go.ok("KVStoreService.Set", r#"["a","1"]"#), json!({}));
    let watch = go.ask("KVStoreService.Watch", "30");
    assert_eq!(go.ok("KVStoreService.Get", r#""a""#), "1", "the watch holds nobody up");
    within(native.set(SetRequest::new("a", "2"))).await.unwrap();
    assert_eq!(go.reply(), json!({"id": watch, "result": "a", "error": null}));
    // Large in both directions: a value of many TLS records.
    let large = "x".repeat(200_000);
    go.ok("KVStoreService.Set", &format!(r#"["large","{large}"]"#));
    assert_eq!(go.ok("KVStoreService.Get", r#""large""#), *large);

    // A client that closes its sending side with a close_notify gets the answers and a
    // close_notify.
    let last = go.ask("Wakeful.Ping", "{}");
    let stream = go.socket();
    stream.conn.send_close_notify();
    stream.conn.complete_io(&mut stream.sock).unwrap();
    assert_eq!(go.reply(), json!({"id": last, "result": {}, "error": null}));
    go.expect_end();
    server.stop();
}
