//! TLS1: everything that works on a plain connection works over TLS.

use std::io::{Read, Write};

use futures_util::future::join_all;
use wakeful::{
    Config, Identity, KeyRange, Methods, Operations, RangeRequest, Service, SetRequest, TlsConfig,
    Via, Wakeful, WatchItem, WatchRequest,
};

use super::{Authority, Server, connect, refused, stream, text};
use crate::process::{Running, wakeful};
use crate::support::raw::{PREFACE, hello};
use crate::support::within;

#[test]
fn tls1_the_command_line_speaks_tls() {
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    let ca = authority.ca();
    assert_eq!(server.run(&["--tls-ca", text(&ca), "set", "a", "1"]).ok(), "revision 2\n");
    let addr = server.addr.to_string();
    let watch = |arguments: &[&str]| {
        let mut command = wakeful(&[&["--addr", &addr, "watch", "a"], arguments].concat());
        // As services set it, by environment variables.
        command.env("WAKEFUL_TLS", "1").env("WAKEFUL_TLS_CA", &ca);
        Running::start(command)
    };
    let mut watch = watch(&["--from", "2", "--json"]);
    assert_eq!(watch.json()["revision"], 2);
    let plain = server.plain.to_string();
    let set = Running::start(wakeful(&["--addr", &plain, "set", "a", "2"]));
    assert_eq!(set.finish().ok(), "revision 3\n");
    assert_eq!(watch.json()["revision"], 3);
    server.stop();
}

#[test]
fn tls1_tls_may_be_all_there_is() {
    let authority = Authority::new();
    let pair = authority.server("localhost");
    let mut process = Running::start(wakeful(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--tls",
        "--tls-cert",
        text(&pair.cert),
        "--tls-key",
        text(&pair.key),
        "--json",
    ]));
    let listening = process.json();
    assert_eq!(listening["tls"], true);
    let addr = listening["listening"].as_str().unwrap();
    let run = |arguments: &[&str]| {
        Running::start(wakeful(&[&["--addr", addr], arguments].concat())).finish()
    };
    let ca = authority.ca();
    let said = run(&["get", "a"]).fails(1);
    assert!(said.contains("TLS only") && said.contains("--tls"), "{said}");
    let said = run(&["--tls-ca", text(&ca), "get", "a"]).fails(5);
    assert!(said.contains("localhost") && said.contains("--tls-server-name"), "{said}");
    let named = ["--tls-ca", text(&ca), "--tls-server-name", "localhost"];
    assert_eq!(run(&[&named[..], &["set", "a", "1"]].concat()).ok(), "revision 2\n");
    process.signal("TERM");
    assert_eq!(process.finish().code, Some(0));
}

/// Large data in both directions at once, through the smallest buffers.
#[actix_rt::test]
async fn tls1_what_is_large_arrives_whole() {
    const BYTES: usize = 1 << 20;
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    let client = connect(server.addr, Some(authority.trusted())).await.unwrap();
    let value = |n: usize| -> Vec<u8> { (0..BYTES).map(|at| (at / 7 + n) as u8).collect() };
    let key = |n: usize| format!("k{n:02}");
    let sets = (0..24).map(|n| client.set(SetRequest::new(key(n), value(n))));
    for set in within(join_all(sets)).await {
        set.unwrap();
    }
    let gets = within(join_all((0..24).map(|n| client.get(key(n))))).await;
    for (n, got) in gets.into_iter().enumerate() {
        assert!(got.unwrap().kv.unwrap().value == value(n)[..], "{n}");
    }
    let small = (0..2_000).map(|n| client.set(SetRequest::new(format!("s{n}"), "x")));
    assert!(within(join_all(small)).await.into_iter().all(|set| set.is_ok()));
    let all = RangeRequest::new(KeyRange::prefix("s"));
    assert_eq!(within(client.range(all)).await.unwrap().kvs.len(), 2_000);
    within(client.close()).await;
    server.stop();
}

#[actix_rt::test]
async fn tls1_a_watch_goes_on_over_a_restart_of_the_server() {
    let authority = Authority::new();
    let pair = authority.server("127.0.0.1");
    let dir = tempfile::tempdir().unwrap();
    let start = |addr: &str| {
        let files = ["--tls-cert", text(&pair.cert), "--tls-key", text(&pair.key)];
        let data = ["--data-dir", text(dir.path()), "--durability", "fsync"];
        let serve = ["serve", "--tls", "--listen", addr];
        let mut process = Running::start(wakeful(&[&serve[..], &files, &data].concat()));
        let line = process.line();
        let addr = line.strip_prefix("listening on ").unwrap().strip_suffix(" with TLS").unwrap();
        (process, addr.to_owned())
    };
    let (process, addr) = start("127.0.0.1:0");
    let client = connect(addr.parse().unwrap(), Some(authority.trusted())).await.unwrap();
    let mut watch = within(client.watch(WatchRequest::new(KeyRange::key("a")))).await.unwrap();
    within(client.set(SetRequest::new("a", "1"))).await.unwrap();
    assert_eq!(next_revision(&mut watch).await, 2);
    process.signal("KILL");
    drop(process);
    let (process, _) = start(&addr);
    // The first client may not have noticed the end of its server yet.
    let another = connect(addr.parse().unwrap(), Some(authority.trusted())).await.unwrap();
    within(another.set(SetRequest::new("a", "2"))).await.unwrap();
    assert_eq!(next_revision(&mut watch).await, 3);
    process.signal("TERM");
    process.finish();
}

async fn next_revision(watch: &mut wakeful::WatchStream) -> u64 {
    use futures_util::StreamExt;
    loop {
        let item = within(watch.next()).await.expect("it goes on").unwrap();
        if let WatchItem::Events { events, .. } = item {
            return events[0].revision();
        }
    }
}

/// Another TLS implementation sees a close_notify at the end, not a cut.
#[test]
fn tls1_the_end_is_said() {
    let authority = Authority::new();
    let server = Server::start(&authority.server("127.0.0.1"), &[]);
    for last in [&b"rubbish that is no frame"[..], b""] {
        let mut stream = stream(server.addr, &authority);
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&hello("another make")).unwrap();
        if last.is_empty() {
            let mut welcome = [0; 8 + 20];
            stream.read_exact(&mut welcome).unwrap();
            // After a goodbye of the client, the server has nothing more to send.
            stream.write_all(&crate::support::raw::frame(11, 0, 0, b"")).unwrap();
        } else {
            stream.write_all(last).unwrap();
        }
        // Without a close_notify, this is an error.
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
    }
    server.stop();
}

#[actix_rt::test]
async fn tls4_a_certificate_is_the_identity_of_its_connection() {
    let authority = Authority::new();
    let pair = authority.server("127.0.0.1");
    let wakeful = Wakeful::start(Config::new()).unwrap();
    let who = Service::new("Who").method("Am", async |(): (), cx| {
        let Some(Identity { name, via: Via::Certificate }) = cx.identity() else {
            return Ok(String::new());
        };
        Ok(name)
    });
    wakeful.register(who).unwrap();
    let mut config = TlsConfig::new(&pair.cert, &pair.key);
    config.client_ca = Some(authority.ca());
    config.client_certificates = wakeful::ClientCertificates::Optional;
    let door = wakeful.listen_tls("127.0.0.1:0", config).await.unwrap();
    let ann = authority.trusted_with(&authority.client("ann"));
    for (tls, name) in [(ann, "ann"), (authority.trusted(), "")] {
        let client = connect(door.addr(), Some(tls)).await.unwrap();
        let said: String = within(client.invoke("Who.Am", &())).await.unwrap();
        assert_eq!(said, name);
        within(client.close()).await;
    }
    // An optional certificate must be valid, too.
    let stranger = Authority::new();
    let wrong = authority.trusted_with(&stranger.client("ann"));
    assert_eq!(refused(door.addr(), Some(wrong)).await.code, wakeful::ErrorCode::TlsFailed);
    let new = authority.server("localhost");
    door.reload().unwrap();
    assert!(refused(door.addr(), Some(authority.trusted())).await.message.contains("localhost"));
    std::fs::write(&new.key, "rubbish").unwrap();
    assert!(door.reload().unwrap_err().message.contains("server.key"));
    within(wakeful.stop()).await;
}
