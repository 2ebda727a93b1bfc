//! O5: the effect of SIGHUP.

use std::net::TcpStream;

use super::{Folder, Served};
use crate::support::raw::Raw;

#[test]
fn o5_a_hangup_takes_over_what_can_change_and_says_what_cannot() {
    let folder = Folder::new();
    let file = folder.config("log = \"info\"\n[limits]\nrpc.connections_max = 100\n");
    let server = Served::start(&["--config", &file]);
    let open = Raw::open(server.socket_addr());
    folder.config(
        "log = \"info,wakeful::request=debug\"\ndata-dir = \"elsewhere\"\nlog-format = \"json\"\n\
         [limits]\nrpc.connections_max = 1\nstore.keys_max = 1\n",
    );
    server.process.signal("HUP");
    for told in [
        "rpc.connections_max is now 1, was 100",
        "store.keys_max stays 10000000: 1 takes effect at the next start",
        "data-dir: takes effect at the next start",
        "log: `info` is now `info,wakeful::request=debug`",
        "log-format: takes effect at the next start",
        "changes=5",
    ] {
        let said = server.process.said(told);
        assert!(said.contains("INFO"), "{said}");
    }
    // Open connections stay; the next one exceeds the limit.
    let mut late = Raw::connect(server.socket_addr());
    late.expect_preface();
    let refused = late.refused();
    assert!(refused.message.contains("rpc.connections_max is 1"), "{}", refused.message);
    drop(open);
    // Freed once the server has noticed; until then, a connection may get the same refusal.
    crate::process::until("there is room for one", || {
        server.ask(&["set", "a", "1"]).code == Some(0)
    });
    let said = server.process.said("wakeful::request");
    assert!(said.contains("method=Set"), "{said}");
    crate::process::until("a second key is taken", || {
        server.ask(&["set", "b", "1"]).code == Some(0)
    });
    server.stop();
}

#[test]
fn o5_a_file_that_is_wrong_changes_nothing_and_says_so() {
    let folder = Folder::new();
    let file = folder.config("[limits]\nrpc.connections_max = 100\n");
    let server = Served::start(&["--config", &file]);
    for (text, told) in [
        (
            "log = \"debug\"\n[limits]\nrpc.conections_max = 1\n",
            "wakeful.toml:3: no limit is named",
        ),
        (
            "log = \"debug\"\n[limits]\nrpc.frame_bytes_max = 10\n",
            "rpc.frame_bytes_max must be at least",
        ),
        (
            "log = \"a=b=c\"\n[limits]\nrpc.connections_max = 1\n",
            "wakeful.toml:1: invalid value 'a=b=c' for '--log <FILTER>'",
        ),
        // With these options the server would not start again.
        ("tls = true\nlog = \"debug\"\n", "a TLS port needs a certificate"),
        ("log = ", "wakeful.toml:1"),
    ] {
        folder.config(text);
        server.process.signal("HUP");
        let said = server.process.said("refused");
        assert!(said.contains("ERROR") && said.contains(told), "{said}");
        assert!(said.contains("changed"), "{said}");
    }
    std::fs::remove_file(&file).unwrap();
    server.process.signal("HUP");
    assert!(server.process.said("refused").contains("No such file"));
    // As before: two connections are allowed.
    let _one = TcpStream::connect(server.socket_addr()).unwrap();
    server.ask(&["set", "a", "1"]).ok();
    assert!(!server.stop().contains("DEBUG"));
}
